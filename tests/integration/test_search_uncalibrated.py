"""A model that nobody has calibrated: it is asked for a cosine, and its answers claim no rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from candid.faces.engine import FaceEngine
from candid.gallery import indexes
from tests.contract.openapi import conforms
from tests.integration.gallery import Gallery, candidates, encoded, gallery, request, search
from tests.portraits import MODELS, engine, portrait


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    card = dataclasses.replace(engine().card, calibration=None)
    with pytest.MonkeyPatch.context() as patch, gallery(tmp_path_factory.mktemp("gallery")) as filled:
        patch.setattr(indexes, "load_engine", lambda *_: FaceEngine(card, MODELS))
        filled.enrol("person_a_1", "A")
        filled.enrol("impostor_1", "C")
        yield filled


@pytest.fixture(scope="module")
def case_id(made: Gallery) -> str:
    return made.case()


@pytest.mark.parametrize(
    "threshold", [None, {"fmr": 1e-4}, {"similarity": 80}, {"expected_false_candidates": 1}, {"cosine": None}]
)
def test_a_threshold_that_needs_a_calibration_is_refused_with_what_to_ask_instead(
    made: Gallery, case_id: str, threshold: dict[str, Any] | None
) -> None:
    answer = search(made, request(case_id) | ({"threshold": threshold} if threshold else {}))
    assert answer.status == 400
    if threshold != {"cosine": None}:
        assert "no calibration" in answer.body["detail"]
        assert "cosine" in answer.body["detail"]


def test_a_cosine_cuts_the_list_and_the_answer_claims_no_rate(made: Gallery, case_id: str) -> None:
    answer = search(made, request(case_id, threshold={"cosine": 0.5}))
    assert conforms(answer.body, "Search")
    [found] = candidates(answer)
    assert found["subject_id"] == "A"
    assert (found["score"]["fmr"], found["score"]["similarity"], found["expected_false_candidates"]) == (None,) * 3
    assert answer.body["threshold"] == {
        "cosine": 0.5,
        "fmr": None,
        "similarity": None,
        "expected_false_candidates": None,
        "basis": "requested as a cosine",
    }
    assert answer.body["model"]["calibration"] is None
    assert "This model has no calibration" in answer.body["notice"]
    everybody = search(made, request(case_id, threshold={"cosine": -1}))
    assert [one["subject_id"] for one in candidates(everybody)] == ["A", "C"]


def test_a_comparison_says_the_cosine_alone(made: Gallery) -> None:
    body = {"image_a": encoded(portrait("person_a_1")), "image_b": encoded(portrait("person_a_2"))}
    answer = made.search("POST", "/v1/comparisons", body)
    assert conforms(answer.body, "Comparison")
    assert (answer.body["score"]["fmr"], answer.body["score"]["similarity"]) == (None, None)
    assert answer.body["score"]["cosine"] > 0.6
