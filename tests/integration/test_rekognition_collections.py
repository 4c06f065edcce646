"""Collections and faces by Rekognition's API over moto's AWS, with the real model and index, events included."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.config import Config
from PIL import Image

from candid import storage
from candid.errors import Conflict, DependencyUnavailable
from candid.gallery.booking import BookingState
from candid.gallery.catalog import Catalog
from candid.gallery.collections import Collections
from candid.gallery.images import Images
from candid.gallery.sharing import Sharing
from candid.rekognition import paging
from ingest import app as ingest_app
from rekognition import app
from tests.gateway import Caller
from tests.hostile import photos
from tests.integration.aws import GALLERY_TABLE
from tests.integration.gallery import AGENCY, request, search
from tests.integration.rekognition_world import (
    STRANGER,
    World,
    eventually,
    ids,
    index,
    listed,
    rekognition_world,
    stored,
)
from tests.integration.test_rekognition import side_by_side
from tests.portraits import portrait
from tests.refusals import wrong
from tests.rekognition import client, refused

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with rekognition_world(tmp_path_factory.mktemp("rekognition")) as made:
        yield made


@pytest.fixture
def name(world: World) -> str:
    return world.collection()


# ---- collections


def test_a_collection_is_made_described_listed_and_deleted(world: World) -> None:
    one, name = world.client(), f"c-{uuid.uuid4()}"
    before = datetime.now(UTC)
    made = one.create_collection(CollectionId=name)
    assert made["CollectionArn"] == f"arn:aws:rekognition:us-east-1:123456789012:collection/{name}"
    told = one.describe_collection(CollectionId=name)
    assert (told["FaceCount"], told["UserCount"], told["CollectionARN"]) == (0, 0, made["CollectionArn"])
    assert before.replace(microsecond=0) <= told["CreationTimestamp"] <= datetime.now(UTC)
    assert told["FaceModelVersion"] == made["FaceModelVersion"]
    assert refused(one.create_collection, CollectionId=name)[:2] == ("ResourceAlreadyExistsException", 400)
    assert name in one.list_collections()["CollectionIds"]
    assert one.delete_collection(CollectionId=name)["StatusCode"] == 200
    for call in (one.describe_collection, one.delete_collection, one.list_faces):
        told = refused(call, CollectionId=name)
        assert told[0] == "ResourceNotFoundException"
        assert wrong(told[2]) is None
    assert name not in one.list_collections()["CollectionIds"]
    one.create_collection(CollectionId=name)


def test_collections_are_listed_in_the_order_of_their_names_page_by_page(world: World) -> None:
    one = world.client("pages-county")
    names = sorted([*(f"p{number}" for number in range(7)), "x" * 255, "x" * 254, "X", ".", "_"])
    for each in names:
        one.create_collection(CollectionId=each)
    pages = list(one.get_paginator("list_collections").paginate(PaginationConfig={"PageSize": 3}))
    assert [each for page in pages for each in page["CollectionIds"]] == names
    assert [len(page["CollectionIds"]) for page in pages] == [3, 3, 3, 3]
    assert all(len(page.get("NextToken", "")) <= 255 for page in pages)
    token = pages[0]["NextToken"]
    for other, members in (
        (world.client(), {"NextToken": token}),
        (one, {"NextToken": token[:-1] + "\x7f"}),
        (one, {"NextToken": "x"}),
    ):
        assert refused(other.list_collections, **members)[:2] == ("InvalidPaginationTokenException", 400)


def test_two_agencies_have_collections_of_one_name_each_its_own(world: World, name: str) -> None:
    mine, theirs = world.client(), world.client(STRANGER)
    assert refused(theirs.describe_collection, CollectionId=name)[0] == "ResourceNotFoundException"
    theirs.create_collection(CollectionId=name)
    (face,) = ids(index(theirs, name, portrait("person_a_1")))
    assert listed(mine, name) == []
    assert refused(mine.search_faces, CollectionId=name, FaceId=face)[0] == "InvalidParameterException"
    assert mine.delete_faces(CollectionId=name, FaceIds=[face])["UnsuccessfulFaceDeletions"]
    mine.delete_collection(CollectionId=name)
    assert listed(theirs, name) == [face]


def test_tags_are_set_listed_and_taken_away(world: World, name: str) -> None:
    one = world.client()
    arn = f"arn:aws:rekognition:us-east-1:123456789012:collection/{name}"
    assert one.list_tags_for_resource(ResourceArn=arn)["Tags"] == {}
    one.tag_resource(ResourceArn=arn, Tags={"unit": "fraud", "Größe": "ä ö"})
    one.tag_resource(ResourceArn=arn, Tags={"unit": "theft"})
    assert one.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"unit": "theft", "Größe": "ä ö"}
    one.untag_resource(ResourceArn=arn, TagKeys=["unit", "none"])
    assert one.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"Größe": "ä ö"}
    many = {f"k{number}": "v" for number in range(200)}
    assert refused(one.tag_resource, ResourceArn=arn, Tags=many)[0] == "ServiceQuotaExceededException"
    assert refused(one.tag_resource, ResourceArn=arn, Tags={"aws:x": "v"})[0] == "InvalidParameterException"
    for wrong_arn in (
        f"{arn}x",
        arn.replace("123456789012", "000000000000"),
        "arn:aws:s3:::bucket-of-twenty-characters",
    ):
        assert refused(one.list_tags_for_resource, ResourceArn=wrong_arn)[0] == "ResourceNotFoundException"


def test_a_deleted_collection_takes_all_that_is_in_it_and_its_shares(world: World, name: str) -> None:
    one = world.client()
    for photo in ("person_a_1", "impostor_1"):
        index(one, name, portrait(photo))
    booking = world.gallery.enrol("person_b_1", "S-1", collection=name)
    administrator = Caller(ingest_app.handler, AGENCY, "chief", "admin")
    share = {"collection": name, "reader": STRANGER, "legal_basis": "ORS 190.010"}
    assert administrator("POST", "/v1/shares", share).status == 201
    assert world.count(name) == 3
    one.delete_collection(CollectionId=name)
    assert world.count(name) == 0
    catalog = Catalog(GALLERY_TABLE)
    record = catalog.get(AGENCY, booking)
    assert record is not None
    assert record.state is BookingState.ERASED
    assert stored(name) == []
    assert not Sharing(GALLERY_TABLE).may_read(STRANGER, AGENCY, name)
    one.create_collection(CollectionId=name)
    assert listed(one, name) == []
    assert not Sharing(GALLERY_TABLE).may_read(STRANGER, AGENCY, name)


def test_a_booking_makes_its_collection_and_none_comes_into_one_that_is_being_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = f"c-{uuid.uuid4().hex[:8]}"
    one, clerk = world.client(), Caller(ingest_app.handler, AGENCY, "clerk.1", "records")
    body = {"booking_number": "1", "subject_id": "S-1", "booked_at": "2026-03-01T10:00:00Z", "collection": made}
    assert clerk("POST", "/v1/bookings", body).status == 201
    assert one.describe_collection(CollectionId=made)["FaceCount"] == 0
    # The tombstone comes between the first look and the record.
    monkeypatch.setattr(Collections, "forget", lambda *_: None)
    Collections(GALLERY_TABLE).mark_deleting(AGENCY, made)
    late = clerk("POST", "/v1/bookings", body | {"booking_number": "2"})
    assert late.status == 409
    assert "is being deleted" in late.body["detail"]
    case_id = world.gallery.case(str(uuid.uuid4()))
    half = search(world.gallery, request(case_id, "person_a_1"), collection=made)
    assert half.status == 409
    assert "is being deleted" in half.body["detail"]
    monkeypatch.undo()
    Collections(GALLERY_TABLE).remind(AGENCY, made)
    eventually(lambda: Collections(GALLERY_TABLE).get(AGENCY, made) is None)
    page = Catalog(GALLERY_TABLE).list(AGENCY, collection=made)
    assert [each for each in page.bookings if each.state is not BookingState.ERASED] == []


# ---- faces


def test_indexed_faces_are_answered_under_the_ids_that_the_event_gives_them(world: World, name: str) -> None:
    one = world.client()
    told = index(one, name, portrait("person_a_1"), "anna:1", DetectionAttributes=["ALL"])
    (record,) = told["FaceRecords"]
    assert told["UnindexedFaces"] == []
    assert record["Face"]["ExternalImageId"] == "anna:1"
    assert record["Face"]["BoundingBox"] == record["FaceDetail"]["BoundingBox"]
    (face,) = one.list_faces(CollectionId=name)["Faces"]
    assert face == record["Face"]
    assert one.describe_collection(CollectionId=name)["FaceCount"] == 1


def test_the_same_image_under_the_same_name_is_no_second_face_and_under_another_it_is(world: World, name: str) -> None:
    one = world.client()
    first = ids(index(one, name, portrait("person_a_1"), "anna"))
    assert ids(index(one, name, portrait("person_a_1"), "anna")) == first
    other = ids(index(one, name, portrait("person_a_1"), "anne"))
    unnamed = ids(index(one, name, portrait("person_a_1")))
    assert len({*first, *other, *unnamed}) == 3
    assert sorted(listed(one, name)) == sorted([*first, *other, *unnamed])


def test_every_face_of_a_photo_is_indexed_up_to_the_most_that_is_asked_for(world: World, name: str) -> None:
    one = world.client()
    photo = side_by_side("person_a_1", "impostor_1", "person_b_1")
    told = index(one, name, photo, "line-up", MaxFaces=1)
    assert len(told["FaceRecords"]) == 1
    assert [each["Reasons"] for each in told["UnindexedFaces"]] == [["EXCEEDS_MAX_FACES"]] * 2
    assert listed(one, name) == ids(told)
    more = index(one, name, photo, "line-up")
    assert len(more["FaceRecords"]) == 3
    assert ids(told)[0] in ids(more)
    assert sorted(listed(one, name)) == sorted(ids(more))
    # None that was taken goes with a call that takes fewer.
    index(one, name, photo, "line-up", MaxFaces=2)
    assert len(listed(one, name)) == 3
    assert len({face["ImageId"] for face in one.list_faces(CollectionId=name)["Faces"]}) == 1


def test_faces_that_do_not_pass_the_filter_are_told_and_nothing_is_kept_where_none_does(
    world: World, name: str
) -> None:
    one = world.client()
    tiny = photos.opened().resize((90, 90 * photos.opened().height // photos.opened().width))
    told = index(one, name, photos.saved(tiny, quality=95), QualityFilter="HIGH")
    assert told["FaceRecords"] == []
    (left,) = told["UnindexedFaces"]
    assert "SMALL_BOUNDING_BOX" in left["Reasons"]
    blank = index(one, name, photos.saved(Image.new("RGB", (300, 300))))
    assert blank["FaceRecords"] == blank["UnindexedFaces"] == []
    assert stored(name) == []
    assert len(index(one, name, photos.saved(tiny, quality=95), QualityFilter="NONE")["FaceRecords"]) == 1


def test_faces_are_listed_page_by_page_and_by_their_ids(world: World, name: str) -> None:
    one = world.client()
    made = sorted(
        one_id for number in range(5) for one_id in ids(index(one, name, portrait("person_a_1"), f"n{number}"))
    )
    pages = list(one.get_paginator("list_faces").paginate(CollectionId=name, PaginationConfig={"PageSize": 2}))
    assert [face["FaceId"] for page in pages for face in page["Faces"]] == made
    wanted = [made[3], made[1], str(uuid.uuid4()), made[3]]
    assert sorted(listed(one, name, FaceIds=wanted)) == sorted([made[1], made[3]])
    token = pages[0]["NextToken"]
    one.create_collection(CollectionId=f"{name}-2")
    assert refused(one.list_faces, CollectionId=f"{name}-2", NextToken=token)[0] == "InvalidPaginationTokenException"


def test_a_deleted_face_is_found_no_more_at_once_and_may_be_indexed_anew(world: World, name: str) -> None:
    one = world.client()
    photo = side_by_side("person_a_1", "impostor_1")
    both = ids(index(one, name, photo, "two"))
    nobody = str(uuid.uuid4())
    told = one.delete_faces(CollectionId=name, FaceIds=[both[0], nobody])
    assert told["DeletedFaces"] == [both[0]]
    assert told["UnsuccessfulFaceDeletions"] == [{"FaceId": nobody, "Reasons": ["FACE_NOT_FOUND"]}]
    assert listed(one, name) == [both[1]]
    found = one.search_faces_by_image(CollectionId=name, Image={"Bytes": portrait("person_a_2")})
    assert both[0] not in [each["Face"]["FaceId"] for each in found["FaceMatches"]]
    eventually(lambda: world.count(name) == 1)
    assert sorted(ids(index(one, name, photo, "two"))) == sorted(both)
    assert sorted(listed(one, name)) == sorted(both)
    # With its last face the photo goes.
    one.delete_faces(CollectionId=name, FaceIds=both)
    assert listed(one, name) == []
    eventually(lambda: not stored(name))
    again = ids(index(one, name, photo, "two"))
    assert not set(again) & set(both)
    assert sorted(listed(one, name)) == sorted(again)


def test_a_face_of_a_booking_is_deleted_too_and_its_photo_says_so(world: World, name: str) -> None:
    one = world.client()
    booking = world.gallery.enrol("person_a_1", "S-1", collection=name)
    (face,) = listed(one, name)
    assert one.delete_faces(CollectionId=name, FaceIds=[face])["DeletedFaces"] == [face]
    clerk = Caller(ingest_app.handler, AGENCY, "clerk.1", "records")
    eventually(lambda: clerk("GET", f"/v1/bookings/{booking}").body["photos"][0]["state"] == "rejected")
    (photo,) = clerk("GET", f"/v1/bookings/{booking}").body["photos"]
    assert (photo["state"], photo["reason"]) == ("rejected", "FACE_DELETED")
    assert wrong(photo["sentence"]) is None
    assert world.count(name) == 0


@pytest.mark.parametrize("operation", ["describe_collection", "list_faces", "delete_collection"])
@pytest.mark.parametrize("bad", ["a b", "ä", "x" * 256, ""])
def test_an_id_that_is_none_is_invalid(world: World, operation: str, bad: str) -> None:
    one = world.client()
    one.meta.config.parameter_validation = False
    told = refused(getattr(one, operation), CollectionId=bad) if bad else ("InvalidParameterException", 400, "")
    assert told[0] == "InvalidParameterException"
    assert bad not in told[2] or not bad


def test_two_calls_at_once_with_one_photo_are_one_face(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world.client()
    first = ids(index(one, name, portrait("person_a_1"), "anna"))
    looks: list[Any] = []
    find = Catalog.find_image

    def late(self: Catalog, booking: Any) -> Any:
        looks.append(booking)
        return None if len(looks) == 1 else find(self, booking)

    monkeypatch.setattr(Catalog, "find_image", late)
    assert ids(index(one, name, portrait("person_a_1"), "anna")) == first
    assert len(looks) == 2
    assert listed(one, name) == first


def test_what_can_not_be_enrolled_now_is_answered_and_enrolled_later(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Images, "wait", lambda *_: None)
    one = world.client()
    told = ids(index(one, name, portrait("person_a_1")))
    eventually(lambda: listed(one, name) == told)


def test_a_call_that_ended_before_its_photo_was_put_is_made_good_by_the_next(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, family = world.client(), side_by_side("person_a_1", "impostor_1")
    first = ids(index(one, name, family, "family", MaxFaces=1))

    def down(*_: Any, **__: Any) -> None:
        raise DependencyUnavailable("The photos bucket does not answer. Try again in a minute.")

    monkeypatch.setattr(storage, "put", down)
    assert refused(index, one=one, name=name, photo=family, external="family")[0] == "ThrottlingException"
    monkeypatch.undo()
    both = ids(index(one, name, family, "family"))
    assert (len(both), set(first) < set(both)) == (2, True)
    assert sorted(listed(one, name)) == sorted(both)


def test_an_image_that_comes_while_its_collection_is_deleted_is_in_none(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, put = world.client(), storage.put

    def late(*args: Any, **more: Any) -> Any:
        # Deleted, erased and made again between the record and the photo.
        one.delete_collection(CollectionId=name)
        one.create_collection(CollectionId=name)
        return put(*args, **more)

    other = world.client()
    monkeypatch.setattr(storage, "put", late)
    told = refused(other.index_faces, CollectionId=name, Image={"Bytes": portrait("person_a_1")})
    monkeypatch.undo()
    assert told[0] == "ResourceNotFoundException"
    eventually(lambda: stored(name) == [])
    assert listed(one, name) == []
    assert world.count(name) == 0


def test_two_who_delete_the_last_two_faces_of_an_image_at_once_leave_none_of_it(world: World, name: str) -> None:
    one = world.client()
    faces = ids(index(one, name, side_by_side("person_a_1", "impostor_1"), "family"))
    (booking,) = Catalog(GALLERY_TABLE).list(AGENCY, collection=name).bookings
    stale = Catalog(GALLERY_TABLE).get(AGENCY, booking.booking_id)
    assert stale is not None
    assert one.delete_faces(CollectionId=name, FaceIds=faces[:1])["DeletedFaces"] == faces[:1]
    with pytest.raises(Conflict):
        Catalog(GALLERY_TABLE).delete_faces(stale, stale.photos[0], faces[1:])
    assert one.delete_faces(CollectionId=name, FaceIds=faces[1:])["DeletedFaces"] == faces[1:]
    eventually(lambda: stored(name) == [])


@pytest.mark.parametrize("place", ["x", "~x", "ffffffff-ffff-ffff-ffff-fffffffffffg"])
def test_a_token_with_a_place_that_somebody_made_up_is_invalid(world: World, name: str, place: str) -> None:
    one = world.client()
    token = paging.token(place, "ListFaces", AGENCY, name)
    assert refused(one.list_faces, CollectionId=name, NextToken=token)[0] == "InvalidPaginationTokenException"
    token = paging.token(f"~{place}", "ListCollections", AGENCY)
    assert refused(one.list_collections, NextToken=token)[0] == "InvalidPaginationTokenException"


# ---- many at once


def test_sixteen_clients_whose_first_calls_are_throttled_have_each_a_face_in_the_end(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is told to slow down tries again, as SDKs do: nothing is lost by it, and nothing is there twice."""
    credentials = world.credentials()
    carried_out, calls, one_at_a_time = app._carried_out, itertools.count(1), threading.Lock()

    def throttled(*args: Any) -> Any:
        number = next(calls)
        answer = carried_out(*args) if number > 32 or number % 2 else None
        # Half of those that are throttled are done: it is the answer that gets lost.
        if number <= 32:
            raise DependencyUnavailable("The gallery table does not answer. Try again in a minute.")
        return answer

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        # A process of Lambda's has one invocation at a time.
        with one_at_a_time:
            return app.handler(event, context)

    monkeypatch.setattr(app, "_carried_out", throttled)
    patient = Config(retries={"mode": "standard", "total_max_attempts": 12})

    def work(number: int) -> str:
        one = client(credentials, handler, patient)
        (face,) = ids(index(one, name, portrait("person_a_1"), f"external-{number}"))
        return face

    with ThreadPoolExecutor(16) as pool:
        faces = list(pool.map(work, range(16)))
    assert next(calls) == 16 + 32 + 1
    assert len(set(faces)) == 16
    one = world.client()
    assert sorted(listed(one, name)) == sorted(faces)
    assert world.count(name) == 16
