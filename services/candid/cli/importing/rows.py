"""What a source of photos yields: a photo with its booking's facts, or a row that is bad and why.

``manifest`` and ``folder`` are such sources; both stream, and neither opens a photo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PhotoRow:
    """One photo. ``where`` says where its facts come from, for whoever mends them; ``booked_at`` is timezone-aware."""

    where: str
    path: Path
    booking_number: str
    subject_id: str
    booked_at: datetime
    collection: str
    view: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be imported, and why."""

    where: str
    sentence: str


class Source(Protocol):
    """Where rows come from."""

    def count(self) -> int:
        """How many rows there are; a quick pass of its own, so that a rate and a time left can be told."""
        ...

    def rows(self) -> Iterator[PhotoRow | BadRow]:
        """The rows, one at a time."""
        ...
