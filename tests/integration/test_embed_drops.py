"""Photos dropped straight into the bucket: their fields as object metadata, their agency from the key alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from email.header import Header
from pathlib import Path

import pytest

from candid.gallery.booking import MAX_PHOTOS, BookingState, Indexing, PhotoState, View
from candid.gallery.photos import PhotoKey
from ingest import answers
from tests.contract.openapi import conforms
from tests.integration.embedding import AGENCY, BOOKED, METADATA, Station, station
from tests.portraits import portrait


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path) as one:
        yield one


def new_key(**members: str) -> PhotoKey:
    told = {"agency": AGENCY, "collection": "bookings", "booking_id": str(uuid.uuid4()), "photo_id": str(uuid.uuid4())}
    return PhotoKey(**(told | members))


def drop(here: Station, key: PhotoKey, metadata: dict[str, str], name: str = "person_a_1") -> None:
    here.put(key, portrait(name), metadata)
    assert here.arrive(key) == []


def test_a_drop_with_its_fields_becomes_a_booking_and_is_enrolled(here: Station) -> None:
    key = new_key()
    drop(here, key, METADATA | {"view": "frontal", "arresting-unit": "7"})
    booking = here.booking(key)
    assert (booking.booking_number, booking.subject_id, booking.booked_at) == ("2026-000123", "S-77", BOOKED)
    assert booking.fields == {"arresting-unit": "7"}
    assert booking.state is BookingState.ENROLLED
    assert here.catalog.find_number(AGENCY, "bookings", "2026-000123") == key.booking_id
    assert here.count() == 1
    assert conforms(answers.booking(booking), "Booking")


def test_the_agency_comes_from_the_key_and_never_from_metadata(here: Station) -> None:
    key = new_key()
    drop(here, key, METADATA | {"agency": "lane-county", "collection": "archive"})
    assert here.booking(key).agency == AGENCY
    assert here.booking(key).collection == "bookings"
    assert here.catalog.get("lane-county", key.booking_id) is None


@pytest.mark.parametrize("encoding", ["b", "q"])
def test_metadata_that_s3_hands_out_encoded_is_decoded(here: Station, encoding: str) -> None:
    key = new_key()
    word = {
        "b": Header("José Núñez", "utf-8").encode(),
        "q": "=?UTF-8?Q?Jos=C3=A9_N=C3=BA=C3=B1ez?=",
    }[encoding]
    drop(here, key, METADATA | {"clerk": word})
    assert here.booking(key).fields == {"clerk": "José Núñez"}


@pytest.mark.parametrize("missing", ["booking-number", "subject-id", "booked-at"])
def test_a_drop_without_a_field_is_rejected_and_says_which(here: Station, missing: str) -> None:
    key = new_key()
    drop(here, key, {name: value for name, value in METADATA.items() if name != missing})
    photo = here.photo(key)
    assert (photo.state, photo.reason) == (PhotoState.REJECTED, "METADATA_MISSING")
    assert missing in str(photo.sentence)
    assert here.booking(key).booking_number is None
    assert here.booking(key).state is BookingState.REJECTED
    assert here.count() == 0
    assert conforms(answers.booking(here.booking(key)), "Booking")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("booked-at", "yesterday", "booked-at"),
        ("booked-at", "2026-03-02T10:00:00", "booked-at"),
        ("booked-at", "1772388000", "booked-at"),
        ("booked-at", "1776-07-04T00:00:00Z", "booked-at"),
        ("booking-number", "x" * 129, "booking-number"),
        ("subject-id", "   ", "subject-id"),
        ("view", "sideways", "view"),
        ("Own.Field", "dots are not allowed", "own metadata"),
        ("subject-id", "=?no-such-charset?B?AAAA?=", "encoding"),
    ],
)
def test_a_drop_with_a_field_out_of_bounds_is_rejected_and_says_which(
    here: Station, name: str, value: str, said: str
) -> None:
    key = new_key()
    drop(here, key, METADATA | {name: value})
    photo = here.photo(key)
    assert (photo.state, photo.reason) == (PhotoState.REJECTED, "METADATA_INVALID")
    assert said in str(photo.sentence)
    assert value not in str(photo.sentence)
    assert here.booking(key).booking_number is None


def test_a_better_drop_under_the_same_key_completes_the_booking(here: Station) -> None:
    key = new_key()
    drop(here, key, {})
    drop(here, key, METADATA)
    assert here.booking(key).booking_number == "2026-000123"
    assert here.photo(key).state is PhotoState.ENROLLED
    assert here.catalog.find_number(AGENCY, "bookings", "2026-000123") == key.booking_id
    assert here.listed(BookingState.ENROLLED) == [key.booking_id]


def test_a_drop_with_another_bookings_number_is_recorded_without_it(here: Station) -> None:
    (registered,) = here.register(number="2026-000123")
    key = new_key()
    drop(here, key, METADATA)
    assert here.booking(key).booking_number is None
    assert (here.photo(key).state, here.photo(key).reason) == (PhotoState.REJECTED, "BOOKING_NUMBER_TAKEN")
    assert here.catalog.find_number(AGENCY, "bookings", "2026-000123") == registered.booking_id
    drop(here, key, METADATA | {"booking-number": "2026-000124"})
    assert here.photo(key).state is PhotoState.ENROLLED


def test_a_drop_for_a_registered_booking_adds_a_photo_to_it(here: Station) -> None:
    (registered,) = here.register()
    key = new_key(booking_id=registered.booking_id)
    drop(here, key, {"view": "left_profile"})
    booking = here.booking(key)
    assert len(booking.photos) == 2
    assert here.photo(key).view is View.LEFT_PROFILE
    assert here.photo(key).state is PhotoState.ENROLLED


def test_a_drop_that_names_another_number_than_its_bookings_is_not_enrolled(here: Station) -> None:
    (registered,) = here.register(number="2026-000123")
    key = new_key(booking_id=registered.booking_id)
    drop(here, key, METADATA | {"booking-number": "2026-000999"})
    assert here.photo(key).reason == "METADATA_MISMATCH"
    assert here.count() == 0


def test_a_ninth_photo_is_turned_away_and_its_erasure_still_finds_it(here: Station) -> None:
    keys = here.register(photos=MAX_PHOTOS)
    ninth = new_key(booking_id=keys[0].booking_id)
    drop(here, ninth, {})
    drop(here, ninth, {})
    assert len(here.booking(ninth).photos) == MAX_PHOTOS
    assert [(kind, detail["reason"]) for kind, detail in here.wire.published] == [("PhotoRejected", "TOO_MANY_PHOTOS")]
    here.catalog.mark_deleting(here.booking(ninth))
    assert here.follow(ninth) == []
    assert here.versions() == 0


def test_a_photo_under_another_collection_than_its_bookings_is_turned_away_and_erased_with_it(here: Station) -> None:
    (registered,) = here.register()
    astray = PhotoKey(AGENCY, "archive", registered.booking_id, registered.photo_id)
    drop(here, astray, METADATA)
    assert here.photo(registered).state is PhotoState.AWAITING_UPLOAD
    assert here.wire.published[0][1] == {
        "reason": "COLLECTION_MISMATCH",
        "agency": AGENCY,
        "collection": "archive",
        "booking_id": registered.booking_id,
        "photo_id": registered.photo_id,
    }
    assert here.count("archive") == 0
    here.catalog.mark_deleting(here.booking(registered))
    assert here.follow(registered) == []
    assert here.versions() == 0
    assert [item["sk"] for item in here.items(registered)] == ["BOOKING"]


def test_a_stray_that_is_taken_away_again_leaves_no_record(here: Station) -> None:
    (registered,) = here.register()
    astray = PhotoKey(AGENCY, "archive", registered.booking_id, registered.photo_id)
    drop(here, astray, {})
    here.remove(astray)
    assert here.depart(astray) == []
    assert not [item for item in here.items() if item["sk"].startswith("STRAY")]


def test_a_drop_that_is_gone_when_its_event_arrives_leaves_nothing(here: Station) -> None:
    key = new_key()
    here.put(key, portrait("person_a_1"), METADATA)
    here.remove(key)
    assert here.arrive(key) == []
    assert here.items() == []


def test_two_photos_of_a_new_booking_make_one_record(here: Station) -> None:
    first = new_key()
    second = new_key(booking_id=first.booking_id)
    here.put(first, portrait("person_a_1"), METADATA)
    here.put(second, portrait("person_a_2"), METADATA)
    here.wire.hooks["TransactWriteItems"] = lambda: here.arrive(second)
    assert here.arrive(first) == []
    assert {photo.state for photo in here.booking(first).photos} == {PhotoState.ENROLLED}
    assert len(here.booking(first).photos) == 2
    assert here.count() == 2


def test_a_photo_beside_an_image_of_index_faces_is_no_booking_photo_of_its(here: Station) -> None:
    (key,) = here.register()
    image = replace(
        here.booking(key), booking_id=str(uuid.uuid4()), booking_number=None, subject_id=None, booked_at=None
    )
    assert here.catalog.register_image(replace(image, indexing=Indexing("external")))
    beside = PhotoKey(AGENCY, "bookings", image.booking_id, str(uuid.uuid4()))
    drop(here, beside, METADATA)
    assert [(kind, detail["reason"]) for kind, detail in here.wire.published] == [("PhotoRejected", "INDEXED_IMAGE")]
    assert here.count() == 0
    here.catalog.mark_deleting(here.booking(beside))
    assert here.follow(beside) == []
    assert here.versions(f"{AGENCY}/bookings/{image.booking_id}/") == 0
