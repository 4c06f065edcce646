"""Dates and times as people and spreadsheets write them, to moments with an offset."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo


def parse(given: str, zone: tzinfo = UTC) -> datetime:
    """An ISO 8601 date or time; one without an offset is in ``zone``, a date alone is its midnight.

    Raises ``ValueError`` with what is wrong, as a sentence without its full stop. Other forms (03/04/2026) are refused, for they
    mean different days in different places.
    """
    try:
        when = datetime.fromisoformat(given.strip())
    except ValueError:
        raise ValueError("write a date as 2026-03-31, or a time as 2026-03-31T14:05:00-07:00") from None
    if when.year < 1900:
        raise ValueError("the year is before 1900")
    return when if when.tzinfo else when.replace(tzinfo=zone)
