"""Thresholds in every unit: whatever way one is asked for, all units say the same, and what passes the cut deserves to."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from candid.faces import scores
from candid.faces.registry import model_card
from candid.gallery.thresholds import Default, Threshold, Wanted, resolve

CALIBRATION = model_card("sface").calibration
assert CALIBRATION is not None
DEFAULT = Default(fmr=1e-4, expected_false_candidates=1.0)
LOOSEST = 1e-2

SIZES = st.integers(0, 10_000_000)
RATES = st.floats(1e-13, 1.0)
WAYS = st.one_of(
    st.just(Wanted()),
    RATES.map(lambda rate: Wanted(fmr=rate)),
    st.floats(0, 100).map(lambda value: Wanted(similarity=value)),
    st.floats(1e-6, 1e6).map(lambda number: Wanted(expected_false_candidates=number)),
)


def applied(wanted: Wanted, size: int) -> Threshold:
    return resolve(wanted, size, default=DEFAULT, loosest_fmr=LOOSEST, calibration=CALIBRATION)


def told_rate(wanted: Wanted, size: int) -> float:
    """The rule in its own words, uncut."""
    if wanted.fmr is not None:
        return wanted.fmr
    if wanted.similarity is not None:
        return (1 - wanted.similarity / 100) ** 4
    if wanted.expected_false_candidates is not None:
        return wanted.expected_false_candidates / max(size, 1)
    return min(1e-4, 1 / max(size, 1))


@given(WAYS, SIZES)
def test_the_rate_is_what_was_asked_cut_to_what_is_allowed_and_what_means_anything(wanted: Wanted, size: int) -> None:
    expected = max(min(told_rate(wanted, size), LOOSEST), scores.LEAST_FMR)
    assert applied(wanted, size).fmr == pytest.approx(expected, rel=1e-9)


@given(WAYS, SIZES)
def test_every_unit_says_the_same(wanted: Wanted, size: int) -> None:
    threshold = applied(wanted, size)
    assert threshold.fmr is not None
    assert threshold.similarity == scores.similarity(threshold.fmr)
    assert threshold.expected_false_candidates == threshold.fmr * size
    assert -1 <= threshold.cosine <= 1
    if threshold.cosine < 1:
        assert CALIBRATION.fmr(threshold.cosine) == pytest.approx(threshold.fmr, rel=1e-6)


@given(WAYS, SIZES)
def test_a_threshold_asked_again_in_another_unit_is_the_same(wanted: Wanted, size: int) -> None:
    first = applied(wanted, size)
    assert first.fmr is not None
    assert first.expected_false_candidates is not None
    again = [Wanted(fmr=first.fmr), Wanted(similarity=first.similarity)]
    if size:
        again.append(Wanted(expected_false_candidates=first.expected_false_candidates))
    for one in again:
        assert applied(one, size).cosine == pytest.approx(first.cosine, abs=1e-9)


@given(WAYS, SIZES, st.floats(-1, 1))
def test_what_passes_the_cut_has_the_rate_or_a_lower_one(wanted: Wanted, size: int, cosine: float) -> None:
    threshold = applied(wanted, size)
    assert threshold.fmr is not None
    assume(abs(cosine - threshold.cosine) > 1e-9)
    rate = CALIBRATION.fmr(cosine)
    if cosine >= threshold.cosine:
        assert rate <= threshold.fmr * (1 + 1e-9)
    else:
        assert rate >= threshold.fmr * (1 - 1e-9)


def test_at_three_hundred_thousand_faces_rekognitions_default_would_admit_four_hundred_and_eighty() -> None:
    eighty = applied(Wanted(similarity=80), 300_000)
    assert eighty.expected_false_candidates == pytest.approx(480)
    ours = applied(Wanted(), 300_000)
    assert ours.fmr == pytest.approx(1 / 300_000)
    assert ours.cosine > eighty.cosine
