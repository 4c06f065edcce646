"""The benchmarks' synthetic templates: as alike as the calibration says that strangers are."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.distractors import Population, Templates, distractors, false_match_rates, measured, population


@pytest.fixture(scope="module")
def drawn() -> Templates:
    return distractors(12_000)


def test_templates_are_float32_of_unit_length(drawn: Templates) -> None:
    assert drawn.dtype == np.float32
    assert drawn.shape == (12_000, 128)
    assert np.abs(np.linalg.norm(drawn.astype(np.float64), axis=1) - 1).max() < 1e-6


def test_a_seed_draws_the_same_again_and_a_smaller_gallery_is_the_larger_ones_beginning(drawn: Templates) -> None:
    assert np.array_equal(distractors(10_500), drawn[:10_500])
    assert distractors(0).shape == (0, 128)


@pytest.mark.slow
def test_another_seed_draws_other_people_of_the_same_types(drawn: Templates) -> None:
    others = distractors(12_000, seed=7)
    assert (others @ drawn[:200].T).max() < 0.9
    rates = dict(zip(measured().cosines.round(2), false_match_rates(others, drawn).rates, strict=True))
    assert rates[0.44] == pytest.approx(5.5e-5, rel=0.15)


def test_strangers_scores_fit_the_calibration(drawn: Templates) -> None:
    target, found = measured(), false_match_rates(drawn)
    assert found.pairs == 12_000 * 11_999 // 2
    ratios = found.rates / np.where(target.rates > 0, target.rates, np.inf)
    for low, high, within in ((1e-3, 1.0, 0.06), (1e-5, 1e-3, 0.15), (1e-6, 1e-5, 0.4)):
        here = (target.rates >= low) & (target.rates < high)
        assert np.abs(ratios[here] - 1).max() < within


@pytest.mark.slow
def test_a_real_face_given_has_lookalikes_among_the_distractors() -> None:
    """A stranger drawn alone has none of its own type beyond its share; the tail is what the types are for."""
    strangers = distractors(2_000, seed=11, of=_without_types())
    beside, without = distractors(60_000, near=strangers), distractors(60_000)
    at = int(np.flatnonzero(np.isclose(measured().cosines, 0.46))[0])
    wanted = measured().rates[at]
    assert false_match_rates(strangers, beside).rates[at] == pytest.approx(wanted, rel=0.25)
    assert false_match_rates(strangers, without).rates[at] < 0.5 * wanted


def _without_types() -> Population:
    told = population()
    return Population(told.mean, told.factor, told.types, 0.0)
