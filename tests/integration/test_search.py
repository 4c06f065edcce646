"""The search function: real faces, real index, real answers, held to the contract."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import cv2
import numpy as np
import pytest
from PIL import Image

from candid.casework.policy import policy
from candid.faces.image import decode
from casework import app as casework_app
from search import app
from tests.contract.openapi import conforms
from tests.gateway import Caller
from tests.integration.aws import CASEWORK_TABLE, GALLERY_TABLE
from tests.integration.gallery import AGENCY, Gallery, candidates, encoded, gallery, request, search
from tests.portraits import portrait


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """Three people of one agency, one of them in another agency too; tests of refusals and of reading share it."""
    with gallery(tmp_path_factory.mktemp("gallery")) as made:
        made.enrol("person_a_1", "A", booked_at=datetime(2026, 1, 1, tzinfo=UTC))
        made.enrol("person_b_1", "B", booked_at=datetime(2026, 2, 1, tzinfo=UTC))
        made.enrol("impostor_1", "C")
        made.enrol("person_b_2", "B-lane", agency="lane-county")
        yield made


@pytest.fixture(scope="module")
def case_id(shared: Gallery) -> str:
    return shared.case()


def picture(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1])).save(file, "PNG")
    return file.getvalue()


def two_people() -> bytes:
    halves = [
        cv2.resize(decode(portrait(name)), size)
        for name, size in (("person_a_2", (400, 500)), ("impostor_2", (300, 500)))
    ]
    return picture(np.hstack(halves))


def test_an_enrolled_person_is_found_by_another_photo(shared: Gallery, case_id: str) -> None:
    answer = search(shared, request(case_id))
    assert conforms(answer.body, "Search")
    [found] = candidates(answer)
    assert (found["subject_id"], found["rank"], found["agency"]) == ("A", 1, AGENCY)
    assert found["score"]["cosine"] > 0.6
    assert found["score"]["fmr"] < 1e-6
    assert found["expected_false_candidates"] == pytest.approx(3 * found["score"]["fmr"], rel=1e-3)
    assert answer.body["gallery_size"] == 3
    assert answer.body["exact"] is True
    assert "not an identification" in answer.body["notice"]


def test_a_stranger_gets_an_honest_empty_list(shared: Gallery, case_id: str) -> None:
    answer = search(shared, request(case_id, "impostor_2"))
    assert candidates(answer) == []
    assert answer.body["results"][0]["outcome"] == "no_candidate_above_threshold"
    assert conforms(answer.body, "Search")


def test_the_default_threshold_is_a_false_match_rate_of_one_in_ten_thousand(shared: Gallery, case_id: str) -> None:
    threshold = search(shared, request(case_id)).body["threshold"]
    assert threshold["fmr"] == pytest.approx(1e-4)
    assert threshold["cosine"] == pytest.approx(0.424, abs=0.001)
    assert threshold["basis"].startswith("default")


def test_a_candidates_photo_link_shows_the_photo_and_its_issue_is_logged(
    shared: Gallery, case_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(app.edge.logger.registered_handler, "stream", log)
    [found] = candidates(search(shared, request(case_id)))
    assert f"{AGENCY}/bookings/{found['booking_id']}/{found['photo_id']}" in found["photo_url"]
    assert "X-Amz-Signature" in found["photo_url"]
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    issued = [line for line in lines if line["message"] == "photo link issued"]
    assert [line["booking_id"] for line in issued] == [found["booking_id"]]
    for secret in (found["booking_number"], '"A"', "X-Amz-Signature", "det.lee"):
        assert secret not in log.getvalue()


def test_another_agencys_gallery_is_never_searched(shared: Gallery, case_id: str) -> None:
    assert [c["subject_id"] for c in candidates(search(shared, request(case_id, "person_b_2")))] == ["B"]
    refused = search(shared, request(case_id, filters={"agency": "lane-county"}))
    nowhere = search(shared, request(case_id, filters={"agency": "atlantis"}))
    assert refused.status == nowhere.status == 404
    assert refused.body | {"instance": ""} == nowhere.body | {"instance": ""}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"booked_from": "2026-01-15T00:00:00Z"}, []),
        ({"booked_before": "2026-01-15T00:00:00Z"}, ["A"]),
        ({"booked_from": "2026-01-01T00:00:00Z", "booked_before": "2026-01-02T00:00:00Z"}, ["A"]),
        ({"agency": AGENCY}, ["A"]),
    ],
)
def test_filters_narrow_the_gallery_and_its_size(
    shared: Gallery, case_id: str, filters: dict[str, str], expected: list[str]
) -> None:
    answer = search(shared, request(case_id, filters=filters))
    assert [candidate["subject_id"] for candidate in candidates(answer)] == expected
    if "booked_from" in filters and not expected:
        assert answer.body["gallery_size"] == 2


def test_a_mistyped_collection_is_not_there_and_nothing_is_stored(shared: Gallery, case_id: str) -> None:
    before = boto3.client("dynamodb").scan(TableName=CASEWORK_TABLE)["Count"]
    answer = search(shared, request(case_id, collection="archive"))
    assert answer.status == 404
    assert answer.body["detail"].startswith("There is no such collection.")
    assert boto3.client("dynamodb").scan(TableName=CASEWORK_TABLE)["Count"] == before


def test_an_agency_that_has_booked_nobody_yet_searches_an_empty_gallery(shared: Gallery) -> None:
    beginner = replace(
        shared,
        casework=Caller(casework_app.handler, "polk-county", "det.ortiz", "investigator"),
        search=Caller(app.handler, "polk-county", "det.ortiz", "investigator"),
    )
    answer = search(beginner, request(beginner.case()))
    assert candidates(answer) == []
    assert answer.body["gallery_size"] == 0


@pytest.mark.parametrize(
    ("threshold", "basis", "fmr"),
    [
        ({"fmr": 1e-3}, "requested as a false match rate", 1e-3),
        ({"similarity": 80}, "requested as a similarity", 1.6e-3),
        ({"expected_false_candidates": 0.003}, "requested as expected false candidates", 1e-3),
        ({"expected_false_candidates": 1}, "cut to the loosest rate", 1e-2),
    ],
)
def test_a_threshold_may_be_given_in_three_ways(
    shared: Gallery, case_id: str, threshold: dict[str, float], basis: str, fmr: float
) -> None:
    answer = search(shared, request(case_id, threshold=threshold))
    assert answer.status == 201
    assert basis in answer.body["threshold"]["basis"]
    assert answer.body["threshold"]["fmr"] == pytest.approx(fmr, rel=1e-3)


def test_a_probe_may_come_as_a_form(shared: Gallery, case_id: str) -> None:
    members = json.dumps({"case_id": case_id, "probe_source": "booking_photo"}).encode()
    form = (
        b'--line\r\nContent-Disposition: form-data; name="request"\r\nContent-Type: application/json\r\n\r\n'
        + members
        + b'\r\n--line\r\nContent-Disposition: form-data; name="probe"; filename="p.jpg"\r\n\r\n'
        + portrait("person_a_2")
        + b"\r\n--line--\r\n"
    )
    answer = shared.search("POST", "/v1/searches", raw=form, content_type="multipart/form-data; boundary=line")
    assert [candidate["subject_id"] for candidate in candidates(answer)] == ["A"]
    for broken in (form[: len(form) // 2], form.replace(b'name="probe"', b'name="photo"'), b""):
        refused = shared.search("POST", "/v1/searches", raw=broken, content_type="multipart/form-data; boundary=line")
        assert refused.status == 400
    assert shared.search("POST", "/v1/searches", raw=form, content_type="multipart/form-data").status == 400


def test_a_search_is_stored_with_its_answer_and_shown_with_fresh_links(shared: Gallery, case_id: str) -> None:
    made = search(shared, request(case_id)).body
    shown = shared.casework("GET", f"/v1/searches/{made['search_id']}")
    assert shown.status == 200
    assert conforms(shown.body, "Search")

    def without_links(body: dict[str, Any]) -> str:
        return json.dumps(
            [[{n: v for n, v in c.items() if "photo_url" not in n} for c in r["candidates"]] for r in body["results"]]
        )

    assert without_links(shown.body) == without_links(made)
    assert shown.body["results"][0]["candidates"][0]["photo_url"]
    stored = boto3.client("dynamodb").scan(TableName=CASEWORK_TABLE)["Items"]
    assert "X-Amz-Signature" not in json.dumps(stored)


def test_no_template_lies_in_a_table(shared: Gallery, case_id: str) -> None:
    search(shared, request(case_id))
    for table in (GALLERY_TABLE, CASEWORK_TABLE):
        for item in boto3.client("dynamodb").scan(TableName=table)["Items"]:
            assert not any("B" in value or len(value.get("L", [])) > 20 for value in item.values())


def test_an_idempotency_key_makes_a_retry_the_same_search(shared: Gallery, case_id: str) -> None:
    body, key = request(case_id), {"Idempotency-Key": "tap-tap"}
    first = shared.search("POST", "/v1/searches", body, headers=key)
    again = shared.search("POST", "/v1/searches", body, headers=key)
    assert again.status == 201
    assert again.body["search_id"] == first.body["search_id"]
    assert shared.search("POST", "/v1/searches", body | {"max_candidates": 5}, headers=key).status == 409


def test_several_faces_are_refused_with_their_boxes_unless_one_is_named(shared: Gallery, case_id: str) -> None:
    both = request(case_id, probe=encoded(two_people()))
    refused = search(shared, both)
    assert refused.status == 422
    assert conforms(refused.body, "Problem")
    assert refused.body["reason"] == "SEVERAL_FACES"
    assert [box["index"] for box in refused.body["faces"]] == [0, 1]
    assert [c["subject_id"] for c in candidates(search(shared, both, face="largest"))] == ["A"]
    assert candidates(search(shared, both, face=1)) == []
    assert search(shared, both, face=2).status == 400
    every = search(shared, both, face="all")
    assert (every.status, every.body["policy"]) == (403, "faces.all")


def test_no_face_and_no_image_are_refused_by_name(shared: Gallery, case_id: str) -> None:
    grey = picture(np.full((200, 200, 3), 127, np.uint8))
    for data, status, reason in (
        (grey, 422, "NO_FACE"),
        (b"not an image at all", 415, "IMAGE_FORMAT_UNSUPPORTED"),
        (portrait("person_a_1")[:5000], 422, "IMAGE_UNREADABLE"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), 415, "IMAGE_FORMAT_UNSUPPORTED"),
    ):
        answer = search(shared, request(case_id, probe=encoded(data)))
        assert (answer.status, answer.body["reason"]) == (status, reason)
        assert conforms(answer.body, "Problem")


def test_a_search_needs_an_open_case_of_its_own_agency(shared: Gallery) -> None:
    nothing = "00000000-0000-4000-8000-000000000000"
    mine = shared.case("2026-CR-77")
    stranger = Gallery(search=Caller(shared.search.handler, "lane-county", "det.ray", "investigator"))
    foreign, absent = search(stranger, request(mine)), search(stranger, request(nothing))
    assert foreign.status == absent.status == 404
    assert foreign.body | {"instance": ""} == absent.body | {"instance": ""}
    assert shared.casework("POST", f"/v1/cases/{mine}/close").status == 200
    assert search(shared, request(mine)).status == 409
    without = request(mine)
    del without["case_id"]
    assert search(shared, without).status == 400


@pytest.mark.parametrize("source", ["body_worn_camera", "live_stream", "sketch"])
def test_a_source_that_the_policy_forbids_is_refused_by_its_rule(shared: Gallery, case_id: str, source: str) -> None:
    answer = search(shared, request(case_id, probe_source=source))
    assert (answer.status, answer.body["policy"]) == (403, f"probe_sources.{source}.allowed")
    assert answer.body["detail"].startswith(policy().sources[source].why)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"probe_source": "drone"}, "probe_source"),
        ({"max_candidates": 1}, "max_candidates"),
        ({"max_candidates": 51}, "max_candidates"),
        ({"max_candidates": "20"}, "max_candidates"),
        ({"threshold": {}}, "threshold"),
        ({"threshold": {"fmr": 1e-4, "similarity": 80}}, "threshold"),
        ({"threshold": {"fmr": None}}, "threshold"),
        ({"threshold": {"fmr": 0}}, "threshold.fmr"),
        ({"threshold": {"similarity": 101}}, "threshold.similarity"),
        ({"face": -1}, "face"),
        ({"face": "any"}, "face"),
        ({"filters": {"booked_from": "2026-01-01"}}, "filters.booked_from"),
        ({"filters": {"booked_from": "20260101"}}, "filters.booked_from"),
        ({"filters": {"booked_from": 1767225600}}, "filters.booked_from"),
        ({"filters": {"booked_before": "0001-01-01T00:00:00+14:00"}}, "filters.booked_before"),
        ({"filters": {"booked_from": "2026-02-01T00:00:00Z", "booked_before": "2026-01-01T00:00:00Z"}}, "filters"),
        ({"probe": "!!!!"}, "probe"),
        ({"probe_id": "00000000-0000-4000-8000-000000000000"}, "(body)"),
        ({"officer": "det.ray"}, "officer"),
    ],
)
def test_a_wrong_member_is_refused_by_name(shared: Gallery, case_id: str, members: dict[str, Any], field: str) -> None:
    answer = search(shared, request(case_id, **members))
    assert answer.status == 400
    assert conforms(answer.body, "Problem")
    assert answer.body["fields"][0]["field"].startswith(field)


def test_a_threshold_looser_than_the_policy_is_refused(shared: Gallery, case_id: str) -> None:
    for threshold in ({"fmr": 0.5}, {"similarity": 10}):
        answer = search(shared, request(case_id, threshold=threshold))
        assert (answer.status, answer.body["policy"]) == (403, "threshold.loosest_fmr")
    assert search(shared, request(case_id, threshold={"cosine": 0.3})).status == 400


@pytest.mark.parametrize("roles", ["records admin", "auditor", ""])
def test_a_role_that_does_not_search_is_refused(shared: Gallery, case_id: str, roles: str) -> None:
    who = Gallery(search=Caller(shared.search.handler, AGENCY, "clerk.1", roles))
    assert search(who, request(case_id)).status == 403
    assert who.search("POST", "/v1/detections", {"image": encoded(portrait("person_a_1"))}).status == 403


def test_two_photos_are_compared_one_to_one(shared: Gallery) -> None:
    def compare(one: str, other: str) -> dict[str, Any]:
        answer = shared.search(
            "POST", "/v1/comparisons", {"image_a": encoded(portrait(one)), "image_b": encoded(portrait(other))}
        )
        assert answer.status == 200
        assert conforms(answer.body, "Comparison")
        score: dict[str, Any] = answer.body["score"]
        return score

    assert compare("person_a_1", "person_a_2")["fmr"] < 1e-6
    assert compare("person_a_1", "impostor_1")["fmr"] > 0.01


def test_a_comparison_that_fails_says_which_image_is_at_fault(shared: Gallery) -> None:
    body = {"image_a": encoded(portrait("person_a_1")), "image_b": encoded(two_people())}
    answer = shared.search("POST", "/v1/comparisons", body)
    assert answer.status == 422
    assert answer.body["detail"].startswith("Image b: ")
    indexed = shared.search("POST", "/v1/comparisons", body | {"face": 1})
    assert (indexed.status, indexed.body["detail"][:9]) == (400, "Image a: ")


def test_detection_shows_every_face_with_landmarks_pose_and_quality(shared: Gallery) -> None:
    answer = shared.search("POST", "/v1/detections", {"image": encoded(two_people())})
    assert answer.status == 200
    assert conforms(answer.body, "Detections")
    assert [face["box"]["index"] for face in answer.body["faces"]] == [0, 1]
    assert {"yaw", "pitch", "roll", "sharpness", "brightness", "score"} <= answer.body["faces"][0]["quality"].keys()
    blank = shared.search("POST", "/v1/detections", {"image": encoded(picture(np.full((99, 99, 3), 9, np.uint8)))})
    assert blank.body["faces"] == []
