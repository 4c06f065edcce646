"""Numbers and moments in words: rates as odds among strangers, times in UTC, counts with separators."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

_RAREST: Final = 1e-9
# Beyond the people there are, a number says nothing.
NONE: Final = "–"
"""Where there is nothing to say."""


def odds(fmr: float | None, *, extrapolated: bool = False) -> str:
    """A false match rate as people say it: 8.3e-5 is "1 in 12,000 strangers". Two digits, for it is known no better."""
    if fmr is None:
        return "not calibrated"
    if fmr > 0.5:
        return "most strangers"
    if fmr < _RAREST:
        return f"under 1 in {count(round(1 / _RAREST))} strangers{' *' if extrapolated else ''}"
    return f"1 in {count(two_digits(1 / fmr))} strangers{' *' if extrapolated else ''}"


def two_digits(value: float) -> int:
    """``value`` rounded to two significant digits, a whole number."""
    if value < 10:
        return round(value)
    unit = 10 ** (math.floor(math.log10(value)) - 1)
    return int(round(value / unit) * unit)


def expected(number: float | None) -> str:
    """Expected false candidates: 0.0002, 0.31, 4.8, 480."""
    if number is None:
        return NONE
    if number == 0:
        return "0"
    if number >= 9.95:
        return count(two_digits(number))
    if number < 0.00001:
        return "under 0.00001"
    digits = 1 - math.floor(math.log10(number))
    return f"{number:.{min(digits, 6)}f}"


def similarity(value: float | None) -> str:
    """On the scale of 0 to 100. Never rounded up to what it is not."""
    return NONE if value is None else f"{math.floor(value * 10) / 10:.1f}"


def count(number: int) -> str:
    """12,000."""
    return f"{number:,}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """ "1 photo", "2,006 photos"."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def day(when: datetime | None) -> str:
    """A date."""
    return when.astimezone(UTC).strftime("%Y-%m-%d") if when else NONE


def minute(when: datetime | None) -> str:
    """A date with its time, in UTC."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if when else NONE


def duration(seconds: float) -> str:
    """ "42 s", "3 min 5 s", "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def state(word: str) -> str:
    """A state of the contract as words: awaiting_photo is "awaiting photo"."""
    return word.replace("_", " ")
