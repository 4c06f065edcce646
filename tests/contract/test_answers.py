"""Every answer of casework and search, held to the contract down to its last member: one that it does not name fails too."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from candid.casework import answer
from candid.faces.engine import FaceEngine
from candid.faces.image import decode
from candid.gallery.booking import Booking, BookingState, Face, Photo, PhotoState, View
from candid.gallery.search import Candidate, Found
from candid.gallery.thresholds import Threshold
from candid.tables import now
from tests.contract.openapi import document
from tests.gateway import Answer
from tests.integration.gallery import Gallery, encoded, gallery, request, search
from tests.portraits import MODELS, engine, portrait

ABSENT = "00000000-0000-4000-8000-000000000000"


def closed(schema: Any) -> Any:
    """``schema`` with every object closed to members that it does not name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {name: closed(value) for name, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        shut.setdefault("additionalProperties", False)
    return shut


@cache
def validator(schema: str) -> Draft202012Validator:
    contract = copy.deepcopy(document())
    schemas = contract["components"]["schemas"]
    # RFC 9457 lets a problem say more.
    contract["components"]["schemas"] = {n: s if n == "Problem" else closed(s) for n, s in schemas.items()}
    registry = Registry().with_resource("urn:candid", Resource(contract, DRAFT202012))
    return Draft202012Validator(
        {"$ref": f"urn:candid#/components/schemas/{schema}"}, registry=registry, format_checker=FormatChecker()
    )


def holds(given: Answer, status: int, schema: str = "Problem") -> Any:
    assert given.status == status, given
    validator(schema).validate(given.body)
    assert given.headers["Content-Type"] == ("application/problem+json" if schema == "Problem" else "application/json")
    assert given.headers["Cache-Control"] == "no-store"
    return given.body


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    with gallery(tmp_path_factory.mktemp("gallery")) as filled:
        filled.enrol("person_a_1", "A")
        filled.enrol("impostor_1", "C")
        yield filled


def test_the_closed_contract_refuses_a_member_that_it_does_not_name() -> None:
    score = {"cosine": 0.5, "similarity": 90.0, "fmr": 1e-4}
    validator("Score").validate(score)
    with pytest.raises(ValidationError):
        validator("Comparison").validate({"score": score | {"percent": 93.53}})


def test_the_answers_of_a_case_from_opening_to_closing(made: Gallery) -> None:
    body = {"number": "contract-1", "purpose": "wanted_person", "legal_basis": "Warrant 2026-88"}
    case_id = holds(made.casework("POST", "/v1/cases", body), 201, "Case")["case_id"]
    holds(made.casework("GET", f"/v1/cases/{case_id}"), 200, "Case")
    holds(made.casework("GET", "/v1/cases"), 200, "CasePage")
    assert holds(made.casework("POST", "/v1/cases", body), 409)["case_id"] == case_id
    assert holds(made.casework("POST", f"/v1/cases/{case_id}/close"), 200, "Case")["closed_by"] == "det.lee"
    assert holds(made.casework("POST", "/v1/cases", body | {"purpose": "victim"}), 403)["policy"]


def test_the_answers_of_a_search_from_asking_to_listing(made: Gallery) -> None:
    case_id = made.case("contract-2")
    found = holds(search(made, request(case_id)), 201, "Search")
    assert found["results"][0]["candidates"]
    assert holds(search(made, request(case_id, "impostor_2")), 201, "Search")["results"][0]["candidates"] == []
    holds(made.casework("GET", f"/v1/searches/{found['search_id']}"), 200, "Search")
    assert len(holds(made.casework("GET", "/v1/searches"), 200, "SearchPage")["searches"]) == 2
    holds(made.casework("POST", "/v1/probes", {"content_type": "image/png"}), 201, "ProbeUpload")


def test_the_answers_of_looking_at_images(made: Gallery) -> None:
    both = {"image_a": encoded(portrait("person_a_1")), "image_b": encoded(portrait("person_a_2"))}
    holds(made.search("POST", "/v1/comparisons", both), 200, "Comparison")
    holds(made.search("POST", "/v1/detections", {"image": both["image_a"]}), 200, "Detections")


def test_every_refusal_is_a_problem_document(made: Gallery) -> None:
    case_id = made.case("contract-3")
    good = request(case_id)
    holds(search(made, good, case_id=ABSENT), 404)
    holds(search(made, good, max_candidates=1), 400)
    holds(search(made, good, probe_source="live_stream"), 403)
    holds(search(made, good, probe=encoded(b"no image")), 415)
    holds(made.search("POST", "/v1/searches", good, content_type="text/plain"), 415)
    holds(made.search("POST", "/v1/searches", "{"), 400)
    holds(made.search("POST", "/v1/nothing", {}), 404)
    holds(made.casework("GET", f"/v1/searches/{ABSENT}"), 404)
    holds(made.casework("GET", "/v1/searches/not-an-id"), 404)
    holds(made.casework("GET", "/v1/searches", query={"cursor": "e30"}), 400)
    holds(made.casework("POST", "/v1/probes", {"content_type": "text/html"}), 400)


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_candidate_with_the_least_that_a_record_holds_conforms_with_and_without_a_calibration(
    calibrated: bool,
) -> None:
    card = engine().card if calibrated else dataclasses.replace(engine().card, calibration=None)
    shown_by = FaceEngine(card, MODELS)
    pixels = decode(portrait("person_a_1"))
    [face] = shown_by.detect(pixels)
    photo = Photo(ABSENT, View.FRONTAL, PhotoState.ENROLLED)
    booking = Booking(
        "lane-county", "bookings", ABSENT, None, "S1", None, BookingState.ENROLLED, now(), photos=(photo,)
    )
    threshold = Threshold(0.4, 1e-4, 90.0, 3.0, "default") if calibrated else Threshold(0.4, None, None, None, "asked")
    least = Candidate(booking, photo, Face(ABSENT), float(np.float32(1.0000001)))
    found = Found((least,), threshold, 30_000, exact=False)
    result = answer.result(shown_by, answer.face(shown_by, pixels, face, 0), found)
    validator("FaceResult").validate(result)
    validator("SearchThreshold").validate(answer.threshold(threshold))
    validator("Model").validate(answer.model(card))
    [candidate] = result["candidates"]
    assert not candidate.keys() & {"booking_number", "external_image_id", "face_box", "face_confidence"}
    assert "booked_at" not in candidate
    assert candidate["score"]["cosine"] == 1
    assert (candidate["expected_false_candidates"] is not None) == calibrated
    assert (candidate["score"]["fmr"] is not None) == calibrated
    assert ("has no calibration" in answer.notice(card)) != calibrated
    for word in ("lead", "not an identification"):
        assert word in answer.notice(card)


def test_a_score_beyond_the_last_measured_point_says_that_it_is_extrapolated() -> None:
    assert answer.score(engine().score(0.99))["extrapolated"] is True
    assert "extrapolated" not in answer.score(engine().score(0.3))
