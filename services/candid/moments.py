"""Moments in requests: RFC 3339, as the contract's ``format: date-time`` says, and nothing that could mean another.

Not here: dates as people write them (``candid.cli.moments``).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _written(value: Any) -> Any:
    # Pydantic also takes numbers as seconds since 1970, in texts too: "20260101" would be a day of August 1970.
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("must be a time with its offset, as 2026-11-23T08:00:00Z")
    return value


def _sortable(moment: datetime) -> datetime:
    try:
        if moment.astimezone(UTC).year >= 1000:
            return moment
    except OverflowError:
        pass
    raise ValueError("must lie in the years 1000 to 9999")


Moment = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_sortable)]
"""Timezone-aware, and in UTC within the years of which ``tables.timestamp`` makes texts that sort."""


def in_order(first: datetime | None, end: datetime | None) -> bool:
    """Whether anything can lie in ``first`` ≤ t < ``end``; None leaves that side open."""
    return first is None or end is None or first < end
