"""Searches whose gallery changes under them: each test has an empty one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from candid.gallery.catalog import Catalog
from candid.gallery.collections import Collections
from candid.gallery.intake import Intake
from embed import wiring
from search import app
from tests.contract.openapi import conforms
from tests.gateway import Caller
from tests.integration.aws import GALLERY_TABLE, PHOTOS_BUCKET, PROBES_BUCKET
from tests.integration.gallery import AGENCY, Gallery, candidates, gallery, request, search
from tests.portraits import portrait


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Gallery]:
    with gallery(tmp_path) as made:
        yield made


def test_one_candidate_a_subject_unless_all_photos_are_asked_for(empty: Gallery) -> None:
    empty.enrol("person_a_1", "A")
    best = empty.enrol("person_a_2", "A")
    case = empty.case()
    [only] = candidates(search(empty, request(case)))
    assert only["booking_id"] == best
    both = candidates(search(empty, request(case, per_subject=False)))
    assert [candidate["subject_id"] for candidate in both] == ["A", "A"]
    assert both[0]["score"]["cosine"] >= both[1]["score"]["cosine"]


def test_a_booking_that_is_being_deleted_is_no_candidate_though_the_index_still_has_it(empty: Gallery) -> None:
    booking_id = empty.enrol("person_a_1", "A")
    case = empty.case()
    assert candidates(search(empty, request(case)))
    Intake(Catalog(GALLERY_TABLE), Collections(GALLERY_TABLE), PHOTOS_BUCKET).delete(AGENCY, booking_id)
    assert candidates(search(empty, request(case))) == []


def test_a_corrected_subject_shows_at_once_though_the_index_lags_behind(empty: Gallery) -> None:
    booking_id = empty.enrol("person_a_1", "A")
    Intake(Catalog(GALLERY_TABLE), Collections(GALLERY_TABLE), PHOTOS_BUCKET).change(
        AGENCY, booking_id, {"subject_id": "A2"}
    )
    assert [c["subject_id"] for c in candidates(search(empty, request(empty.case())))] == ["A2"]


def test_a_probe_is_stored_and_never_enrolled(empty: Gallery) -> None:
    empty.enrol("person_a_1", "A")
    answer = search(empty, request(empty.case()))
    kept = boto3.client("s3").get_object(Bucket=PROBES_BUCKET, Key=f"{AGENCY}/{answer.body['probe_id']}")
    assert kept["Body"].read() == portrait("person_a_2")
    assert kept["ContentType"] == "image/jpeg"
    assert search(empty, request(answer.body["case_id"])).body["gallery_size"] == 1


def test_an_uploaded_probe_is_searched_by_its_own_agency_alone(empty: Gallery) -> None:
    empty.enrol("person_a_1", "A")
    case = empty.case()
    probe = empty.casework("POST", "/v1/probes", {"content_type": "image/jpeg"})
    assert probe.status == 201
    assert conforms(probe.body, "ProbeUpload")
    named = {"case_id": case, "probe_source": "social_media", "probe_id": probe.body["probe_id"]}
    assert search(empty, named).status == 404
    boto3.client("s3").put_object(
        Bucket=PROBES_BUCKET, Key=probe.body["upload"]["fields"]["key"], Body=portrait("person_a_2")
    )
    assert [candidate["subject_id"] for candidate in candidates(search(empty, named))] == ["A"]
    stranger = Gallery(
        casework=Caller(empty.casework.handler, "lane-county", "det.ray", "investigator"),
        search=Caller(empty.search.handler, "lane-county", "det.ray", "investigator"),
    )
    assert search(stranger, named | {"case_id": stranger.case()}).status == 404


def test_searches_are_listed_by_case_officer_and_date(empty: Gallery) -> None:
    empty.enrol("person_a_1", "A")
    one, other = empty.case("1"), empty.case("2")
    first = search(empty, request(one)).body
    second = search(empty, request(other, "impostor_1")).body

    def ids(**query: str) -> list[str]:
        page = empty.casework("GET", "/v1/searches", query=query)
        assert page.status == 200, page
        assert conforms(page.body, "SearchPage")
        return [entry["search_id"] for entry in page.body["searches"]]

    assert ids() == [second["search_id"], first["search_id"]]
    assert ids(case_id=one) == [first["search_id"]]
    assert ids(officer="det.lee") == [second["search_id"], first["search_id"]]
    assert ids(officer="det.ray") == []
    assert ids(searched_before=second["searched_at"]) == [first["search_id"]]
    page = empty.casework("GET", "/v1/searches", query={"limit": "1"}).body
    assert ids(limit="1", cursor=page["next_cursor"]) == [first["search_id"]]


def test_a_face_whose_record_names_an_earlier_model_is_a_candidate_of_the_index_it_lies_in(empty: Gallery) -> None:
    booking_id = empty.enrol("person_a_1", "A")
    boto3.client("dynamodb").update_item(
        TableName=GALLERY_TABLE,
        Key=next(
            {"pk": item["pk"], "sk": item["sk"]}
            for item in boto3.client("dynamodb").scan(TableName=GALLERY_TABLE)["Items"]
            if item["sk"]["S"].startswith("PHOTO#")
        ),
        UpdateExpression="SET #model = :other",
        ExpressionAttributeNames={"#model": "model"},
        ExpressionAttributeValues={":other": {"S": "another-model"}},
    )
    [found] = candidates(search(empty, request(empty.case())))
    assert found["booking_id"] == booking_id


def test_two_functions_share_one_index_file(empty: Gallery) -> None:
    assert wiring.work().enrolment.indexes is not app.work().searches.indexes
    empty.enrol("person_a_1", "A")
    assert candidates(search(empty, request(empty.case())))


def test_a_link_shows_the_photo_that_was_compared_though_another_lies_under_its_key_by_now(empty: Gallery) -> None:
    booking_id = empty.enrol("person_a_1", "A")
    [found] = candidates(search(empty, request(empty.case())))
    key = f"{AGENCY}/bookings/{booking_id}/{found['photo_id']}"
    boto3.client("s3").put_object(Bucket=PHOTOS_BUCKET, Key=key, Body=portrait("impostor_1"))
    query = parse_qs(urlsplit(found["photo_url"]).query)
    shown = boto3.client("s3").get_object(Bucket=PHOTOS_BUCKET, Key=key, VersionId=query["versionId"][0])
    assert shown["Body"].read() == portrait("person_a_1")
