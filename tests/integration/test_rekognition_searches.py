"""Searches of a collection by Rekognition's API over moto's AWS, with the real model and index."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from PIL import Image

from candid import aws
from candid.faces import image as images
from casework import app as casework_app
from ingest import app as ingest_app
from tests.contract.openapi import conforms
from tests.gateway import Caller
from tests.hostile import photos
from tests.integration.aws import CASEWORK_TABLE
from tests.integration.gallery import AGENCY, candidates, request, search
from tests.integration.rekognition_world import (
    World,
    ids,
    index,
    listed,
    rekognition_world,
)
from tests.integration.test_rekognition import side_by_side
from tests.portraits import portrait
from tests.refusals import wrong
from tests.rekognition import refused


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with rekognition_world(tmp_path_factory.mktemp("rekognition")) as made:
        yield made


@pytest.fixture
def name(world: World) -> str:
    return world.collection()


def test_an_image_is_searched_under_the_case_and_the_search_is_stored(world: World, name: str) -> None:
    one = world.client()
    (face,) = ids(index(one, name, portrait("person_a_1"), "anna"))
    index(one, name, portrait("impostor_1"), "otto")
    told = one.search_faces_by_image(CollectionId=name, Image={"Bytes": portrait("person_a_2")})
    (match,) = told["FaceMatches"]
    assert (match["Face"]["FaceId"], match["Face"]["ExternalImageId"]) == (face, "anna")
    assert match["Similarity"] > 95
    assert told["SearchedFaceConfidence"] > 90
    headers = told["ResponseMetadata"]["HTTPHeaders"]
    assert "not an identification" in headers["x-candid-notice"]
    assert float(headers["x-candid-expected-false-candidates"]) < 0.01
    assert "x-candid-policy" not in headers
    officer = Caller(casework_app.handler, AGENCY, "det.lee", "investigator")
    kept = officer("GET", f"/v1/searches/{headers['x-candid-search-id']}")
    assert kept.status == 200
    assert conforms(kept.body, "Search")
    assert (kept.body["case_id"], kept.body["officer"]) == (world.cases[AGENCY], "det.lee")
    (candidate,) = kept.body["results"][0]["candidates"]
    assert (candidate["face_id"], candidate["external_image_id"]) == (face, "anna")
    assert candidate["photo_url"]


def test_a_probe_is_decoded_once(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = world.client()
    decoded: list[int] = []
    decode = images.decode

    def counted(data: bytes) -> images.Pixels:
        decoded.append(len(data))
        return decode(data)

    monkeypatch.setattr(images, "decode", counted)
    probe = {"Bytes": portrait("person_a_2")}
    one.search_faces_by_image(CollectionId=name, Image=probe, QualityFilter="LOW")
    one.search_users_by_image(CollectionId=name, Image=probe)
    assert decoded == [len(portrait("person_a_2"))] * 2


def test_a_face_is_searched_with_and_is_not_its_own_candidate(world: World, name: str) -> None:
    one = world.client()
    (first,) = ids(index(one, name, portrait("person_a_1"), "anna:1"))
    (second,) = ids(index(one, name, portrait("person_a_2"), "anna:2"))
    told = one.search_faces(CollectionId=name, FaceId=first)
    assert told["SearchedFaceId"] == first
    assert [each["Face"]["FaceId"] for each in told["FaceMatches"]] == [second]
    search_id = told["ResponseMetadata"]["HTTPHeaders"]["x-candid-search-id"]
    officer = Caller(casework_app.handler, AGENCY, "det.lee", "investigator")
    kept = officer("GET", f"/v1/searches/{search_id}").body
    assert conforms(kept, "Search")
    assert kept["probe_face_id"] == first
    assert "probe_id" not in kept
    assert refused(one.search_faces, CollectionId=name, FaceId=str(uuid.uuid4()))[0] == "InvalidParameterException"


def test_the_policys_list_and_threshold_hold_and_a_header_says_when_they_cut(world: World, name: str) -> None:
    one = world.client()
    for number in range(3):
        index(one, name, portrait("person_a_1"), f"n{number}")
    index(one, name, portrait("impostor_1"), "otto")
    told = one.search_faces_by_image(
        CollectionId=name, Image={"Bytes": portrait("person_a_2")}, MaxFaces=4_096, FaceMatchThreshold=0
    )
    assert len(told["FaceMatches"]) == 3
    assert all(each["Similarity"] > 68 for each in told["FaceMatches"])
    cut = told["ResponseMetadata"]["HTTPHeaders"]["x-candid-policy"]
    assert cut == "MaxFaces cut to 50 (list.cap); FaceMatchThreshold raised to 68.38 (threshold.loosest_fmr)"
    assert (
        len(
            one.search_faces_by_image(CollectionId=name, Image={"Bytes": portrait("person_a_2")}, MaxFaces=1)[
                "FaceMatches"
            ]
        )
        == 1
    )


def test_what_comes_by_one_api_is_found_by_the_other(world: World, name: str) -> None:
    one = world.client()
    booking = world.gallery.enrol("person_a_1", "S-9", collection=name)
    (face,) = ids(index(one, name, portrait("person_a_2"), "by-index-faces"))
    found = one.search_faces_by_image(CollectionId=name, Image={"Bytes": portrait("person_a_2")})["FaceMatches"]
    assert {each["Face"]["FaceId"] for each in found} == set(listed(one, name))
    (booked,) = [each["Face"] for each in found if each["Face"]["FaceId"] != face]
    clerk = Caller(ingest_app.handler, AGENCY, "clerk.1", "records")
    assert booked["ExternalImageId"] == clerk("GET", f"/v1/bookings/{booking}").body["booking_number"]
    case_id = world.gallery.case(str(uuid.uuid4()))
    rest = candidates(search(world.gallery, request(case_id, "person_a_2"), collection=name))
    assert {each["face_id"] for each in rest} == set(listed(one, name))
    assert [each.get("external_image_id") for each in rest if each["face_id"] == face] == ["by-index-faces"]


def test_faces_of_one_photo_are_not_taken_for_one_person(world: World, name: str) -> None:
    """Nobody has said who is on a photo that came by IndexFaces: a list of one candidate a subject must not hide the others."""
    one = world.client()
    index(one, name, side_by_side("person_a_1", "person_a_2", "impostor_1"), "party")
    case_id = world.gallery.case(str(uuid.uuid4()))
    rest = candidates(search(world.gallery, request(case_id, "person_a_2"), collection=name))
    assert len(rest) == 2
    assert all("subject_id" not in each for each in rest)


def test_records_credentials_index_and_search_nothing(world: World, name: str) -> None:
    clerk = world.clerk()
    (face,) = ids(index(clerk, name, portrait("person_a_1")))
    before = aws.dynamodb().scan(TableName=CASEWORK_TABLE, Select="COUNT")["Count"]
    for call, members in (
        (clerk.search_faces, {"FaceId": face}),
        (clerk.search_faces_by_image, {"Image": {"Bytes": portrait("person_a_1")}}),
    ):
        told = refused(call, CollectionId=name, **members)
        assert told[0] == "AccessDeniedException"
        assert "No search without a case" in told[2]
        assert wrong(told[2]) is None
    assert aws.dynamodb().scan(TableName=CASEWORK_TABLE, Select="COUNT")["Count"] == before
    investigator = world.client(roles="investigator")
    assert refused(investigator.index_faces, CollectionId=name, Image={"Bytes": b"x"})[0] == "AccessDeniedException"


def test_no_face_in_the_probe_is_invalid_and_nothing_is_stored(world: World, name: str) -> None:
    blank = {"Bytes": photos.saved(Image.new("RGB", (300, 300)))}
    told = refused(world.client().search_faces_by_image, CollectionId=name, Image=blank)
    assert told[0] == "InvalidParameterException"
    assert wrong(told[2]) is None
    told = refused(world.client().search_faces_by_image, CollectionId="none", Image=blank)
    assert told[0] == "ResourceNotFoundException"
