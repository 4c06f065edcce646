"""Corrections and deletions of a record: what index and bucket make of them, and what happens when they meet an enrolment."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from candid import storage
from candid.gallery.booking import BookingState, PhotoState
from candid.gallery.index import Partition
from candid.gallery.photos import PhotoKey
from tests.integration.embedding import AGENCY, METADATA, Station, station
from tests.portraits import portrait

PARTITION = Partition(AGENCY, "bookings")
LATER = datetime(2026, 4, 2, 8, 30, tzinfo=UTC)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path) as one:
        yield one


def enrolled(here: Station, *names: str) -> list[PhotoKey]:
    keys = here.register(photos=len(names))
    for key, name in zip(keys, names, strict=True):
        here.put(key, portrait(name))
        assert here.arrive(key) == []
    return keys


def labels(here: Station, key: PhotoKey) -> tuple[str, datetime]:
    (entry,) = here.index.get(PARTITION, [uuid.UUID(here.photo(key).face_id)])
    return entry.subject_id, entry.booked_at


def notes(here: Station) -> list[Any]:
    return [item for item in here.items() if item["sk"] == "CHANGE"]


def test_a_correction_reaches_every_face_of_the_booking(here: Station) -> None:
    keys = enrolled(here, "person_a_1", "person_a_2")
    here.catalog.change(here.booking(keys[0]), {"subject_id": "S-78", "booked_at": LATER})
    assert here.follow(keys[0]) == []
    assert [labels(here, key) for key in keys] == [("S-78", LATER)] * 2
    assert notes(here) == []


def test_a_correction_followed_twice_is_one_correction(here: Station) -> None:
    (key,) = enrolled(here, "person_a_1")
    here.catalog.change(here.booking(key), {"subject_id": "S-78"})
    assert here.follow(key) == []
    here.wire.calls.clear()
    assert here.follow(key) == []
    assert here.wire.calls == ["Query"]


def test_a_correction_whose_note_was_lost_reaches_the_index_with_the_next_event_of_the_photo(here: Station) -> None:
    (key,) = enrolled(here, "person_a_1")
    here.catalog.change(here.booking(key), {"subject_id": "S-99", "booked_at": LATER})
    assert labels(here, key)[0] == "S-77"
    assert here.arrive(key) == []
    assert labels(here, key) == ("S-99", LATER)


def test_a_note_that_a_later_correction_replaced_is_kept_for_that_one(here: Station) -> None:
    (key,) = enrolled(here, "person_a_1")
    here.catalog.change(here.booking(key), {"subject_id": "S-78"})
    here.wire.hooks["DeleteItem"] = lambda: here.catalog.change(here.booking(key), {"subject_id": "S-79"})
    assert here.follow(key) == []
    assert len(notes(here)) == 1
    assert here.follow(key) == []
    assert labels(here, key)[0] == "S-79"
    assert notes(here) == []


@pytest.mark.parametrize("moment", ["index.upsert", "TransactWriteItems", "GetObject", "UpdateItem"])
def test_a_correction_during_an_enrolment_is_in_the_index_afterwards(here: Station, moment: str) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))

    def correct() -> None:
        here.catalog.change(here.booking(key), {"subject_id": "S-78", "booked_at": LATER})
        # The stream may bring the note before the enrolment is done: it then waits for the photo and comes again.
        here.follow(key)

    here.wire.hooks[moment] = correct
    here.arrive(key)
    here.follow(key)
    here.arrive(key)
    assert here.photo(key).state is PhotoState.ENROLLED
    assert labels(here, key) == ("S-78", LATER)


def test_a_deletion_reaches_index_bucket_and_table_and_leaves_a_record_without_a_person(here: Station) -> None:
    keys = enrolled(here, "person_a_1", "person_a_2")
    here.put(keys[0], portrait("person_b_1"))
    here.remove(keys[1])
    here.catalog.mark_deleting(here.booking(keys[0]))
    assert here.follow(keys[0]) == []
    assert here.count() == 0
    assert here.versions() == 0
    (stub,) = here.items()
    assert set(stub) == {
        "pk", "sk", "agency", "collection", "booking_id", "state", "created_at", "erased_at", "expires_at"
    }  # fmt: skip
    assert stub["state"] == "erased"
    assert "2026-000123" not in json.dumps(here.items())
    assert all(here.listed(state) == [] for state in BookingState)
    assert here.catalog.list(AGENCY).bookings == ()
    assert here.wire.published[-1] == (
        "BookingErased",
        {"agency": AGENCY, "collection": "bookings", "booking_id": keys[0].booking_id},
    )


def test_the_number_of_an_erased_booking_is_free_again(here: Station) -> None:
    (key,) = enrolled(here, "person_a_1")
    here.catalog.mark_deleting(here.booking(key))
    here.follow(key)
    assert here.catalog.find_number(AGENCY, "bookings", "2026-000123") is None
    here.register(number="2026-000123")


def test_a_deletion_followed_twice_is_one_erasure(here: Station) -> None:
    (key,) = enrolled(here, "person_a_1")
    here.catalog.mark_deleting(here.booking(key))
    assert here.follow(key) == []
    assert here.follow(key) == []
    assert [kind for kind, _ in here.wire.published].count("BookingErased") == 1


def test_a_late_copy_of_an_erased_photo_is_erased_and_never_enrolled(here: Station) -> None:
    (key,) = enrolled(here, "person_a_1")
    here.catalog.mark_deleting(here.booking(key))
    here.follow(key)
    other = PhotoKey(key.agency, "archive", key.booking_id, str(uuid.uuid4()))
    for late in (key, other):
        here.put(late, portrait("person_a_1"), METADATA)
        assert here.arrive(late) == []
    assert here.versions() == 0
    assert (here.count(), here.count("archive")) == (0, 0)
    assert here.booking(key).state is BookingState.ERASED


@pytest.mark.parametrize(
    "moment", ["Query", "UpdateItem", "GetObject", "index.upsert", "TransactWriteItems", "PutEvents"]
)
def test_a_deletion_during_an_enrolment_erases_what_was_being_enrolled(here: Station, moment: str) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    here.wire.hooks[moment] = lambda: here.catalog.mark_deleting(here.booking(key))
    assert here.arrive(key) == []
    assert here.follow(key) == []
    assert here.count() == 0
    assert here.versions() == 0
    assert [item["sk"] for item in here.items()] == ["BOOKING"]
    assert here.booking(key).state is BookingState.ERASED


def test_an_erasure_waits_for_a_worker_that_holds_a_photo(here: Station) -> None:
    (key,) = enrolled(here, "person_a_1")
    here.put(key, portrait("person_b_1"))
    seen: list[int] = []

    def delete_meanwhile() -> None:
        here.catalog.mark_deleting(here.booking(key))
        seen.append(len(here.follow(key)))
        seen.append(here.count())

    here.wire.hooks["index.upsert"] = delete_meanwhile
    assert here.arrive(key) == []
    assert seen == [1, 1]
    assert here.clock.slept >= 5
    assert here.count() == 0
    assert here.booking(key).state is BookingState.ERASED


def test_a_booking_whose_objects_stay_is_not_called_erased(here: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = enrolled(here, "person_a_1")
    here.catalog.mark_deleting(here.booking(key))
    with monkeypatch.context() as patch:
        patch.setattr(storage, "erase", lambda *_: 0)
        assert len(here.follow(key)) == 1
    assert here.booking(key).state is BookingState.DELETING
    assert here.wire.published[-1][0] == "PhotoEnrolled"
    assert here.follow(key) == []
    assert here.booking(key).state is BookingState.ERASED
