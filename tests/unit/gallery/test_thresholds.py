"""Thresholds: three ways in, one threshold out, never looser than the policy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candid.errors import InvalidRequest
from candid.faces.registry import model_card
from candid.gallery.thresholds import Default, Threshold, Wanted, requested_fmr, resolve

CALIBRATION = model_card("sface").calibration
assert CALIBRATION is not None
DEFAULT = Default(fmr=1e-4, expected_false_candidates=1.0)
LOOSEST = 1e-2
sizes = st.integers(0, 50_000_000)


def resolved(wanted: Wanted, size: int) -> Threshold:
    return resolve(wanted, size, default=DEFAULT, loosest_fmr=LOOSEST, calibration=CALIBRATION)


@given(sizes)
def test_the_default_is_the_stricter_of_a_rate_and_one_expected_false_candidate(size: int) -> None:
    applied = resolved(Wanted(), size)
    assert applied.fmr == pytest.approx(min(1e-4, 1 / max(size, 1)))
    assert (applied.expected_false_candidates or 0) <= 1 + 1e-9
    assert applied.basis.startswith("default")


@given(st.floats(1e-9, LOOSEST), sizes)
def test_a_rate_is_applied_as_it_is_asked_for(rate: float, size: int) -> None:
    applied = resolved(Wanted(fmr=rate), size)
    assert applied.fmr == pytest.approx(rate)
    assert CALIBRATION.fmr(applied.cosine) == pytest.approx(rate, rel=1e-6) or applied.cosine == 1.0


@given(st.floats(70, 99.9), sizes)
def test_a_similarity_comes_back_as_itself(similarity: float, size: int) -> None:
    assert resolved(Wanted(similarity=similarity), size).similarity == pytest.approx(similarity, abs=1e-6)


@given(st.floats(1e-6, 1e6), sizes)
def test_expected_false_candidates_are_never_looser_than_the_policy(number: float, size: int) -> None:
    applied = resolved(Wanted(expected_false_candidates=number), size)
    assert applied.fmr is not None
    assert applied.fmr <= LOOSEST
    assert ("cut to" in applied.basis) == (number / max(size, 1) > LOOSEST)


@given(sizes, sizes)
def test_a_larger_gallery_never_has_a_looser_default(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert resolved(Wanted(), large).cosine >= resolved(Wanted(), small).cosine


def test_what_a_caller_names_is_known_before_anything_is_searched() -> None:
    assert requested_fmr(Wanted(similarity=80)) == pytest.approx(1.6e-3)
    assert requested_fmr(Wanted(fmr=0.5)) == 0.5
    assert requested_fmr(Wanted(expected_false_candidates=3)) is None


def test_a_model_without_a_calibration_takes_a_cosine_and_gives_no_rate() -> None:
    applied = resolve(Wanted(cosine=0.4), 10, default=DEFAULT, loosest_fmr=LOOSEST, calibration=None)
    assert (applied.cosine, applied.fmr, applied.similarity, applied.expected_false_candidates) == (
        0.4,
        None,
        None,
        None,
    )
    for wanted in (Wanted(), Wanted(fmr=1e-4), Wanted(similarity=90), Wanted(expected_false_candidates=1)):
        with pytest.raises(InvalidRequest, match="cosine"):
            resolve(wanted, 10, default=DEFAULT, loosest_fmr=LOOSEST, calibration=None)


def test_a_calibrated_model_takes_no_cosine() -> None:
    with pytest.raises(InvalidRequest, match="calibrated"):
        resolved(Wanted(cosine=0.4), 10)
