"""The embed function: what becomes of a photo in the bucket, through AWS's documented events, the real model and index."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from candid.gallery.booking import BookingState, PhotoState
from candid.gallery.index import Partition
from ingest import answers
from tests.contract.events import object_created, photo_batch
from tests.contract.openapi import conforms
from tests.integration.embedding import AGENCY, BOOKED, Station, grey, jpeg, side_by_side, station
from tests.portraits import portrait

PARTITION = Partition(AGENCY, "bookings")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path) as one:
        yield one


def test_a_booking_photo_becomes_a_template_a_record_and_an_event(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    assert here.arrive(key) == []
    photo = here.photo(key)
    digest = hashlib.sha256(portrait("person_a_1")).hexdigest()
    assert (photo.state, photo.sha256, photo.model) == (PhotoState.ENROLLED, digest, "sface-2021dec-int8bq")
    assert photo.face_id == str(key.face_id(digest, 0))
    assert photo.face_ids == {photo.face_id}
    assert photo.version_id
    assert photo.announced
    assert photo.quality is not None
    assert photo.quality["score"] > 0
    (entry,) = here.index.get(PARTITION, [uuid.UUID(photo.face_id)])
    assert (entry.booking_id, entry.subject_id, entry.booked_at) == (key.booking_id, "S-77", BOOKED)
    assert here.booking(key).state is BookingState.ENROLLED
    assert here.listed(BookingState.ENROLLED) == [key.booking_id]
    assert here.listed(BookingState.AWAITING_PHOTO) == []
    assert conforms(answers.booking(here.booking(key)), "Booking")
    assert here.wire.published == [
        (
            "PhotoEnrolled",
            {
                "agency": AGENCY,
                "collection": "bookings",
                "booking_id": key.booking_id,
                "photo_id": key.photo_id,
                "face_id": photo.face_id,
                "model": "sface-2021dec-int8bq",
            },
        )
    ]


def test_a_second_photo_of_the_person_is_found_before_strangers(here: Station) -> None:
    keys = {name: here.register(number=name)[0] for name in ("person_a_1", "person_b_1", "impostor_1")}
    for name, key in keys.items():
        here.put(key, portrait(name))
        here.arrive(key)
    (probe,) = here.register(number="probe")
    here.put(probe, portrait("person_a_2"))
    here.arrive(probe)
    template = here.index.get(PARTITION, [uuid.UUID(here.photo(probe).face_id)])[0].template
    nearest = here.index.search([PARTITION], template, 4).neighbours
    assert nearest[1].booking_id == keys["person_a_1"].booking_id
    assert nearest[1].score > 0.5 > nearest[2].score


def test_no_template_lies_in_the_table(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    here.arrive(key)
    assert not any("template" in item or any(isinstance(v, bytes) for v in item.values()) for item in here.items())


def test_the_same_event_twice_does_nothing_the_second_time(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    event = photo_batch(object_created(str(key)))
    assert here.invoke(event) == []
    before = here.items()
    here.wire.calls.clear()
    assert here.invoke(event) == []
    assert here.wire.calls == ["Query"]
    assert here.items() == before
    assert len(here.wire.published) == 1


def test_a_redelivery_without_a_sequencer_leaves_a_photo_that_stands_as_it_is(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    event = object_created(str(key))
    del event["detail"]["object"]["sequencer"]
    assert here.invoke(photo_batch(event)) == []
    before = here.photo(key)
    assert here.invoke(photo_batch(event)) == []
    assert here.photo(key) == before
    assert "index.upsert" not in here.wire.calls[here.wire.calls.index("PutEvents") :]
    assert len(here.wire.published) == 1


def test_an_older_hint_after_a_newer_one_changes_nothing(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    here.put(key, portrait("person_a_2"))
    here.arrive(key, sequencer="617F0829FF")
    before = here.photo(key)
    assert before.sha256 == hashlib.sha256(portrait("person_a_2")).hexdigest()
    here.wire.calls.clear()
    assert here.arrive(key, sequencer="617F0829") == []
    assert here.wire.calls == ["Query"]
    assert here.photo(key) == before


def test_a_template_lost_from_the_index_comes_back_with_the_next_hint(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    here.arrive(key)
    here.index.drop(PARTITION)
    assert here.arrive(key) == []
    assert here.count() == 1


def test_a_replaced_photo_has_its_new_face_in_the_index_and_not_its_old_one(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    here.arrive(key)
    old = here.photo(key)
    here.put(key, portrait("person_b_1"))
    here.arrive(key)
    new = here.photo(key)
    assert new.face_id != old.face_id
    assert new.version_id != old.version_id
    assert new.face_ids == {new.face_id}
    assert here.index.get(PARTITION, [uuid.UUID(old.face_id)]) == ()
    assert here.count() == 1
    assert [kind for kind, _ in here.wire.published] == ["PhotoEnrolled", "PhotoEnrolled"]


def test_a_photo_replaced_by_one_without_a_face_leaves_the_index(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    here.arrive(key)
    here.put(key, grey())
    here.arrive(key)
    photo = here.photo(key)
    assert (photo.state, photo.reason, photo.face_id, photo.face_ids) == (
        PhotoState.REJECTED,
        "NO_FACE",
        None,
        frozenset(),
    )
    assert here.count() == 0
    assert here.booking(key).state is BookingState.REJECTED


def test_a_template_of_another_model_is_made_again(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    event = photo_batch(object_created(str(key)))
    here.invoke(event)
    here.make_older(key)
    assert here.invoke(event) == []
    assert here.photo(key).model == "sface-2021dec-int8bq"
    assert here.wire.calls.count("index.upsert") == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (grey, "NO_FACE"),
        (lambda: side_by_side(portrait("person_a_1"), portrait("person_b_1")), "SEVERAL_FACES"),
        (lambda: b"%PDF-1.7 no image at all", "IMAGE_FORMAT_UNSUPPORTED"),
        (lambda: portrait("person_a_1")[:2000], "IMAGE_UNREADABLE"),
        (lambda: b"", "IMAGE_UNREADABLE"),
        (lambda: bytes(15 * 1024 * 1024 + 1), "IMAGE_TOO_LARGE"),
    ],
)
def test_a_photo_whose_own_data_is_at_fault_is_rejected_with_a_word_and_a_sentence(
    here: Station, data: object, reason: str
) -> None:
    (key,) = here.register()
    here.put(key, data())  # type: ignore[operator]
    assert here.arrive(key) == []
    photo = here.photo(key)
    assert (photo.state, photo.reason, photo.announced) == (PhotoState.REJECTED, reason, True)
    assert photo.sentence
    assert photo.sentence.endswith(".")
    assert here.booking(key).state is BookingState.REJECTED
    assert here.count() == 0
    assert [(kind, detail["reason"]) for kind, detail in here.wire.published] == [("PhotoRejected", reason)]
    assert conforms(answers.booking(here.booking(key)), "Booking")
    here.wire.calls.clear()
    assert here.arrive(key) == []
    assert len(here.wire.published) == 1


def test_a_face_that_is_not_fit_is_rejected_with_what_was_measured(here: Station) -> None:
    blurred = Image.open(io.BytesIO(portrait("person_a_1"))).convert("RGB").filter(ImageFilter.GaussianBlur(9))
    (key,) = here.register()
    here.put(key, jpeg(blurred))
    here.arrive(key)
    photo = here.photo(key)
    assert photo.reason == "LOW_FACE_QUALITY"
    assert {reason["reason"] for reason in photo.reasons} <= {"LOW_SHARPNESS", "LOW_CONFIDENCE"}
    assert all(reason["measured"] < reason["threshold"] for reason in photo.reasons)
    assert photo.quality is not None
    assert conforms(answers.booking(here.booking(key)), "Booking")


def test_a_photo_other_than_the_announced_one_is_rejected(here: Station) -> None:
    (key,) = here.register(expected_sha256=hashlib.sha256(portrait("person_a_1")).hexdigest())
    here.put(key, portrait("person_b_1"))
    here.arrive(key)
    assert here.photo(key).reason == "CHECKSUM_MISMATCH"
    assert here.photo(key).face_ids == frozenset()
    here.put(key, portrait("person_a_1"))
    here.arrive(key)
    assert here.photo(key).state is PhotoState.ENROLLED


def test_a_photo_deleted_in_the_bucket_leaves_the_index_and_may_come_again(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    here.arrive(key)
    here.remove(key)
    assert here.depart(key) == []
    assert (here.photo(key).state, here.photo(key).face_ids) == (PhotoState.REMOVED, frozenset())
    assert here.count() == 0
    assert here.booking(key).state is BookingState.AWAITING_PHOTO
    assert here.depart(key) == []
    assert here.photo(key).state is PhotoState.REMOVED
    here.put(key, portrait("person_a_2"))
    here.arrive(key)
    assert (here.photo(key).state, here.count()) == (PhotoState.ENROLLED, 1)


def test_a_delete_that_arrives_before_its_put_ends_as_the_bucket_stands(here: Station) -> None:
    (key,) = here.register()
    assert here.depart(key, sequencer="617F02") == []
    assert here.photo(key).state is PhotoState.AWAITING_UPLOAD
    assert here.arrive(key, sequencer="617F01") == []
    assert here.photo(key).state is PhotoState.AWAITING_UPLOAD
    here.put(key, portrait("person_a_1"))
    assert here.depart(key, sequencer="617F03") == []
    assert here.photo(key).state is PhotoState.ENROLLED


def test_one_bad_photo_does_not_hold_up_its_booking(here: Station) -> None:
    good, bad = here.register(photos=2)
    here.put(good, portrait("person_a_1"))
    here.put(bad, grey())
    assert here.invoke(photo_batch(object_created(str(bad)), object_created(str(good)))) == []
    assert here.booking(good).state is BookingState.ENROLLED
    assert here.photo(bad).state is PhotoState.REJECTED
