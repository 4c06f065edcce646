"""What a cosine means: monotone, invertible, and honest about where it was not measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candid.faces import scores
from candid.faces.registry import model_card

CALIBRATION = model_card("sface").calibration
assert CALIBRATION is not None
cosines = st.floats(-1, 1)


@given(cosines, cosines)
def test_a_higher_cosine_is_never_a_higher_false_match_rate(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert CALIBRATION.fmr(high) <= CALIBRATION.fmr(low)


@given(st.floats(1e-11, 0.99))
def test_the_cosine_at_a_rate_has_that_rate(rate: float) -> None:
    cosine = CALIBRATION.cosine_at_fmr(rate)
    if -1 < cosine < 1:
        assert CALIBRATION.fmr(cosine) == pytest.approx(rate, rel=1e-6)


@given(st.floats(0, 99.9))
def test_similarity_and_rate_are_each_others_inverse(value: float) -> None:
    assert scores.similarity(scores.fmr_at_similarity(value)) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(("cosine", "rate"), [(0.363, 1e-3), (0.424, 1e-4), (0.491, 1e-5)])
def test_the_rates_are_those_that_were_measured(cosine: float, rate: float) -> None:
    assert CALIBRATION.fmr(cosine) == pytest.approx(rate, rel=0.1)


def test_rekognitions_default_of_80_is_a_rate_of_one_in_625() -> None:
    assert scores.fmr_at_similarity(80) == pytest.approx(1.6e-3)
    assert scores.expected_false_candidates(scores.fmr_at_similarity(80), 300_000) == pytest.approx(480)


def test_beyond_the_last_measured_point_the_score_says_so() -> None:
    last = float(CALIBRATION.cosines[-1])
    assert last == pytest.approx(0.64)
    assert not CALIBRATION.score(last).extrapolated
    beyond = CALIBRATION.score(last + 0.05)
    assert beyond.extrapolated
    assert 0 < (beyond.fmr or 0) < CALIBRATION.fmr(last)


@given(cosines)
def test_every_scale_keeps_to_its_range(cosine: float) -> None:
    score = CALIBRATION.score(cosine)
    assert score.fmr is not None
    assert score.similarity is not None
    assert scores.LEAST_FMR <= score.fmr <= 1
    assert 0 <= score.similarity <= 100


@pytest.mark.parametrize("rate", [0, -1e-3, 1.1])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        CALIBRATION.cosine_at_fmr(rate)


def test_the_calibration_says_where_it_was_measured() -> None:
    assert "LFW" in CALIBRATION.measured_on
    assert "87306428" in CALIBRATION.measured_on
