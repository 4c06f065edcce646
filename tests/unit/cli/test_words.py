"""Numbers in words."""

from __future__ import annotations

import pytest

from candid.cli.rendering.words import duration, expected, odds, plural, similarity, two_digits


@pytest.mark.parametrize(
    ("fmr", "said"),
    [
        (8.3e-5, "1 in 12,000 strangers"),
        (1e-4, "1 in 10,000 strangers"),
        (0.33, "1 in 3 strangers"),
        (0.9, "most strangers"),
        (1.0, "most strangers"),
        (0.0, "under 1 in 1,000,000,000 strangers"),
        (None, "not calibrated"),
        (5e-324, "under 1 in 1,000,000,000 strangers"),
    ],
)
def test_a_rate_is_said_as_odds_among_strangers(fmr: float | None, said: str) -> None:
    assert odds(fmr) == said


def test_what_is_beyond_the_measured_is_marked() -> None:
    assert odds(1e-7, extrapolated=True) == "1 in 10,000,000 strangers *"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0"),
        (0.0002, "0.00020"),
        (0.314, "0.31"),
        (4.83, "4.8"),
        (480.3, "480"),
        (1e-9, "under 0.00001"),
        (None, "–"),
    ],
)
def test_expected_false_candidates_have_two_digits(number: float | None, said: str) -> None:
    assert expected(number) == said


def test_a_similarity_is_never_rounded_up() -> None:
    assert similarity(99.99) == "99.9"
    assert similarity(None) == "–"


def test_counts_and_durations_read_as_people_write_them() -> None:
    assert (plural(1, "photo"), plural(2006, "photo")) == ("1 photo", "2,006 photos")
    assert (duration(59.4), duration(185), duration(7800)) == ("59 s", "3 min 5 s", "2 h 10 min")
    assert (two_digits(12345), two_digits(3.4)) == (12000, 3)
