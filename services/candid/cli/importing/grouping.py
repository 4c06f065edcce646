"""Rows to bookings: neighbouring rows of one number are one booking, and a number may not have two subjects.

Rows of one number that lie apart are registered apart; the server then says that the number is taken and the photo is added to
the booking. What is kept of each number is two hashes, so that 300,000 rows cost about 40 MB and not their text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from candid.cli.importing.rows import BadRow, PhotoRow

MOST_PHOTOS: Final = 8
"""Of one registration, by the contract."""


@dataclass(frozen=True, slots=True)
class Group:
    """Photos that are registered as one booking; the first row's facts count."""

    rows: tuple[PhotoRow, ...]

    def facts(self) -> dict[str, Any]:
        """The booking without its photos, as the API takes it."""
        first = self.rows[0]
        fields: dict[str, str] = {}
        for row in reversed(self.rows):
            fields |= row.fields
        facts: dict[str, Any] = {
            "booking_number": first.booking_number,
            "subject_id": first.subject_id,
            "booked_at": first.booked_at.isoformat(),
            "collection": first.collection,
        }
        return facts | ({"fields": fields} if fields else {})


def grouped(rows: Iterable[PhotoRow | BadRow]) -> Iterator[Group | BadRow]:
    """The bookings that ``rows`` make, in their order; bad rows pass through."""
    subjects: dict[int, int] = {}
    held: list[PhotoRow] = []
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        number = hash((row.collection, row.booking_number))
        if subjects.setdefault(number, hash(row.subject_id)) != hash(row.subject_id):
            yield BadRow(row.where, "an earlier row has the same booking number with another subject.")
            continue
        if held and (len(held) == MOST_PHOTOS or not _same(held[0], row)):
            yield Group(tuple(held))
            held = []
        held.append(row)
    if held:
        yield Group(tuple(held))


def _same(one: PhotoRow, other: PhotoRow) -> bool:
    return (one.collection, one.booking_number) == (other.collection, other.booking_number)
