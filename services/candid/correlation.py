"""One id by which a request is followed: through the function that answers it, the record that it leaves, the event that its
photo sends, the function that hears it, the index, and what is published.

It is the gateway's id of the request, or the event's own where there was none; never something that a client chose. It names
nobody. Not here: where it is written (logs, records, events, the header X-Opaque-Id of OpenSearch).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_FORM: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_current: ContextVar[str | None] = ContextVar("correlation_id", default=None)


def correlation_id() -> str | None:
    """The id that is followed now; None outside of any request or event."""
    return _current.get()


@contextmanager
def following(found: object) -> Iterator[None]:
    """Follow an id for the length of a ``with``; what is none (another form, none at all) is not followed."""
    before = _current.set(_of(found))
    try:
        yield
    finally:
        _current.reset(before)


def follow(found: object) -> None:
    """Follow an id that was found on the way, in a record; keep to the one that is followed where there is none."""
    if (known := _of(found)) is not None:
        _current.set(known)


def _of(found: object) -> str | None:
    return found if isinstance(found, str) and _FORM.fullmatch(found) else None
