"""A worker killed before any one of its calls, two workers on one photo, and a hundred duplicates.

Each scenario runs once whole, which counts its calls; then once for every call, killed just before it, and delivered again
after the lease has ended. What must hold right after the kill, and how it must stand in the end, is said once for all.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from candid.gallery.booking import BookingState, PhotoState
from candid.gallery.index import Partition
from candid.gallery.photos import PhotoKey
from tests.contract.events import change_batch, object_created, object_deleted, photo_batch
from tests.integration.embedding import AGENCY, METADATA, Killed, Station, grey, station
from tests.portraits import portrait

pytestmark = pytest.mark.slow

PARTITION = Partition(AGENCY, "bookings")


def enrol(here: Station) -> tuple[PhotoKey, dict[str, Any]]:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    return key, photo_batch(object_created(str(key)))


def drop(here: Station) -> tuple[PhotoKey, dict[str, Any]]:
    key = PhotoKey(AGENCY, "bookings", str(uuid.uuid4()), str(uuid.uuid4()))
    here.put(key, portrait("person_a_1"), METADATA)
    return key, photo_batch(object_created(str(key)))


def drop_again(here: Station) -> tuple[PhotoKey, dict[str, Any]]:
    key = PhotoKey(AGENCY, "bookings", str(uuid.uuid4()), str(uuid.uuid4()))
    here.put(key, portrait("person_a_1"))
    assert here.arrive(key) == []
    here.put(key, portrait("person_a_1"), METADATA)
    return key, photo_batch(object_created(str(key)))


def enrolled(here: Station) -> PhotoKey:
    key, event = enrol(here)
    assert here.invoke(event) == []
    return key


def replace_photo(here: Station) -> tuple[PhotoKey, dict[str, Any]]:
    key = enrolled(here)
    here.put(key, portrait("person_b_1"))
    return key, photo_batch(object_created(str(key)))


def embed_again(here: Station) -> tuple[PhotoKey, dict[str, Any]]:
    key, event = enrol(here)
    assert here.invoke(event) == []
    here.make_older(key)
    return key, event


def refuse(here: Station) -> tuple[PhotoKey, dict[str, Any]]:
    (key,) = here.register()
    here.put(key, grey())
    return key, photo_batch(object_created(str(key)))


def replace_by_nothing(here: Station) -> tuple[PhotoKey, dict[str, Any]]:
    key = enrolled(here)
    here.put(key, grey())
    return key, photo_batch(object_created(str(key)))


def remove(here: Station) -> tuple[PhotoKey, dict[str, Any]]:
    key = enrolled(here)
    here.remove(key)
    return key, photo_batch(object_deleted(str(key)))


def correct(here: Station) -> tuple[PhotoKey, dict[str, Any]]:
    key = enrolled(here)
    here.catalog.change(here.booking(key), {"subject_id": "S-78"})
    return key, change_batch(key.agency, key.booking_id)


def erase(here: Station) -> tuple[PhotoKey, dict[str, Any]]:
    key = enrolled(here)
    here.put(key, portrait("person_a_2"))
    astray = replace(key, collection="archive")
    here.put(astray, portrait("person_a_1"))
    assert here.arrive(astray) == []
    here.catalog.mark_deleting(here.booking(key))
    return key, change_batch(key.agency, key.booking_id)


def turn_away(here: Station) -> tuple[PhotoKey, dict[str, Any]]:
    (key,) = here.register()
    astray = replace(key, collection="archive")
    here.put(astray, portrait("person_a_1"))
    return key, photo_batch(object_created(str(astray)))


@dataclass(frozen=True)
class Scenario:
    """How it begins, how it must end (photo's state, booking's state, templates), what is announced last."""

    begin: Callable[[Station], tuple[PhotoKey, dict[str, Any]]]
    photo: PhotoState | None
    booking: BookingState
    templates: int
    announced: str | None


SCENARIOS = {
    "enrol": Scenario(enrol, PhotoState.ENROLLED, BookingState.ENROLLED, 1, "PhotoEnrolled"),
    "drop": Scenario(drop, PhotoState.ENROLLED, BookingState.ENROLLED, 1, "PhotoEnrolled"),
    "drop_again": Scenario(drop_again, PhotoState.ENROLLED, BookingState.ENROLLED, 1, "PhotoEnrolled"),
    "replace": Scenario(replace_photo, PhotoState.ENROLLED, BookingState.ENROLLED, 1, "PhotoEnrolled"),
    "embed_again": Scenario(embed_again, PhotoState.ENROLLED, BookingState.ENROLLED, 1, "PhotoEnrolled"),
    "refuse": Scenario(refuse, PhotoState.REJECTED, BookingState.REJECTED, 0, "PhotoRejected"),
    "replace_by_nothing": Scenario(replace_by_nothing, PhotoState.REJECTED, BookingState.REJECTED, 0, "PhotoRejected"),
    "remove": Scenario(remove, PhotoState.REMOVED, BookingState.AWAITING_PHOTO, 0, None),
    "correct": Scenario(correct, PhotoState.ENROLLED, BookingState.ENROLLED, 1, None),
    "erase": Scenario(erase, None, BookingState.ERASED, 0, "BookingErased"),
    "turn_away": Scenario(turn_away, PhotoState.AWAITING_UPLOAD, BookingState.AWAITING_PHOTO, 0, "PhotoRejected"),
}


def ends_well(here: Station, key: PhotoKey, scenario: Scenario, announced_before: int) -> None:
    booking = here.booking(key)
    photo = booking.photo(key.photo_id)
    assert booking.state is scenario.booking
    assert (photo.state if photo else None) is scenario.photo
    assert here.count() == scenario.templates
    assert here.count("archive") == 0
    assert here.listed(scenario.booking) == ([] if scenario.booking is BookingState.ERASED else [key.booking_id])
    assert not [item for item in here.items() if "lease_owner" in item or item["sk"] == "CHANGE"]
    if photo and photo.state is PhotoState.ENROLLED:
        (entry,) = here.index.get(PARTITION, [uuid.UUID(photo.face_id)])
        assert (entry.subject_id, entry.booked_at) == (booking.subject_id, booking.booked_at)
        assert photo.face_ids == {photo.face_id}
    elif photo:
        assert photo.face_ids == frozenset()
    if scenario.booking is BookingState.ERASED:
        assert here.versions() == 0
        assert len(here.items()) == 1
    announced = [kind for kind, _ in here.wire.published[announced_before:]]
    assert set(announced) == ({scenario.announced} if scenario.announced else set())


def every_template_is_known_to_the_table(here: Station, key: PhotoKey) -> None:
    booking = here.catalog.get(key.agency, key.booking_id)
    known = {uuid.UUID(one) for photo in (booking.photos if booking else ()) for one in photo.face_ids}
    assert here.count() == len(here.index.get(PARTITION, sorted(known)))


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_worker_killed_before_any_of_its_calls_is_healed_by_the_next_delivery(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    step, steps = 0, 1
    while step <= steps:
        folder = tmp_path / str(step)
        with station(folder) as here:
            key, event = scenario.begin(here)
            announced = len(here.wire.published)
            here.wire.calls.clear()
            if step == 0:  # Nobody is killed: this run counts the calls.
                assert here.invoke(event) == []
                steps = len(here.wire.calls)
            else:
                here.wire.kill_before = step - 1
                with pytest.raises(Killed):
                    here.invoke(event)
                here.wire.kill_before = None
                every_template_is_known_to_the_table(here, key)
                here.lease_ends()
                assert here.invoke(event) == []
            ends_well(here, key, scenario, announced)
        step += 1
    assert steps >= 4


@pytest.mark.parametrize("name", ["enrol", "replace", "replace_by_nothing"])
def test_a_photo_whose_worker_was_killed_can_be_erased_with_all_its_templates(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    for step in range(1, 7):
        with station(tmp_path / str(step)) as here:
            key, event = scenario.begin(here)
            here.wire.calls.clear()
            here.wire.kill_before = step
            with pytest.raises(Killed):
                here.invoke(event)
            here.wire.kill_before = None
            here.lease_ends()
            here.catalog.mark_deleting(here.booking(key))
            assert here.follow(key) == []
            assert here.count() == 0
            assert here.versions() == 0
            assert here.invoke(event) == []
            assert here.booking(key).state is BookingState.ERASED


def test_a_worker_that_finds_the_photo_held_waits_and_then_gives_it_back(tmp_path: Path) -> None:
    with station(tmp_path) as here:
        key, event = enrol(here)
        late = photo_batch(object_created(str(key)))
        given_back: list[str] = []
        here.wire.hooks["index.upsert"] = lambda: given_back.extend(here.invoke(late))
        assert here.invoke(event) == []
        assert len(given_back) == 1
        assert 5 <= here.clock.slept < 7
        assert here.invoke(late) == []
        assert here.photo(key).state is PhotoState.ENROLLED
        assert len(here.wire.published) == 1


def test_a_worker_that_outlived_its_lease_writes_nothing_any_more(tmp_path: Path) -> None:
    with station(tmp_path) as here:
        key, event = enrol(here)

        def much_later() -> None:
            here.lease_ends()
            here.put(key, portrait("person_b_1"))
            assert here.arrive(key) == []

        here.wire.hooks["UpdateItem"] = lambda: here.wire.hooks.update({"UpdateItem": much_later})
        assert len(here.invoke(event)) == 1
        photo = here.photo(key)
        assert photo.face_ids == {photo.face_id}
        assert here.count() == 1
        every_template_is_known_to_the_table(here, key)


@contextmanager
def ten_minutes_ahead(here: Station) -> Iterator[None]:
    """What another worker does whose clock is wrong: to it every lease has ended."""
    here.clock.moment += 600
    try:
        yield
    finally:
        here.clock.moment -= 600


def test_a_face_that_is_written_after_its_booking_was_erased_goes_again(tmp_path: Path) -> None:
    with station(tmp_path) as here:
        key, event = enrol(here)

        def erased_by_another() -> None:
            with ten_minutes_ahead(here):
                here.catalog.mark_deleting(here.booking(key))
                assert here.follow(key) == []
            assert here.booking(key).state is BookingState.ERASED

        here.wire.hooks["index.upsert"] = erased_by_another
        assert here.invoke(event) == []
        assert here.count() == 0


@pytest.mark.parametrize("other", ["person_b_1", "no face", "the same"])
def test_a_face_that_is_written_after_its_photo_was_replaced_goes_again(other: str, tmp_path: Path) -> None:
    with station(tmp_path) as here:
        key, event = enrol(here)

        def replaced_by_another() -> None:
            with ten_minutes_ahead(here):
                if other != "the same":
                    here.put(key, grey() if other == "no face" else portrait(other))
                assert here.arrive(key) == []

        here.wire.hooks["index.upsert"] = replaced_by_another
        assert here.invoke(event) == []
        every_template_is_known_to_the_table(here, key)
        photo = here.photo(key)
        assert photo.state is (PhotoState.REJECTED if other == "no face" else PhotoState.ENROLLED)
        assert here.count() == (other != "no face")
        assert photo.face_ids == {photo.face_id} - {None}
        assert not [item for item in here.items() if "lease_owner" in item]


@pytest.mark.parametrize("late", ["written", "taken out"])
def test_what_a_late_worker_did_is_put_right_also_when_another_holds_the_photo_for_long(
    late: str, tmp_path: Path
) -> None:
    with station(tmp_path) as here:
        key = enrolled(here)
        here.put(key, portrait("person_b_1"))
        event = photo_batch(object_created(str(key)))

        def made_another_and_held() -> None:
            with ten_minutes_ahead(here):
                here.put(key, portrait("impostor_1" if late == "written" else "person_a_1"))
                assert here.arrive(key) == []
                # And once more, by a worker that is killed while it has the photo.
                here.wire.hooks["index.get"] = _die
                with pytest.raises(Killed):
                    here.arrive(key)
                here.wire.hooks.clear()

        here.wire.hooks[{"written": "index.upsert", "taken out": "index.delete"}[late]] = made_another_and_held
        assert len(here.invoke(event)) == 1, "held"
        assert here.photo(key).late, "what `candid index verify` calls open"
        here.clock.moment += 600
        here.lease_ends()
        assert here.invoke(event) == []
        photo = here.photo(key)
        assert (photo.face_ids, photo.late) == ({photo.face_id}, frozenset())
        assert here.count() == 1
        every_template_is_known_to_the_table(here, key)


def _die() -> None:
    raise Killed


@pytest.mark.parametrize("removed", [False, True])
def test_a_face_that_is_taken_out_after_it_became_the_photos_again_is_put_back(removed: bool, tmp_path: Path) -> None:
    with station(tmp_path) as here:
        key = enrolled(here)
        if removed:
            here.remove(key)
        else:
            here.put(key, portrait("person_b_1"))

        def made_the_first_again() -> None:
            with ten_minutes_ahead(here):
                here.put(key, portrait("person_a_1"))
                assert here.arrive(key) == []

        here.wire.hooks["index.delete"] = made_the_first_again
        assert (here.depart(key) if removed else here.arrive(key)) == []
        photo = here.photo(key)
        assert photo.face_ids == {photo.face_id}
        assert here.count() == 1
        every_template_is_known_to_the_table(here, key)


def test_labels_that_are_written_late_do_not_overwrite_newer_ones(tmp_path: Path) -> None:
    with station(tmp_path) as here:
        key = enrolled(here)
        here.catalog.change(here.booking(key), {"subject_id": "S-78"})

        def corrected_again() -> None:
            with ten_minutes_ahead(here):
                here.catalog.change(here.booking(key), {"subject_id": "S-79"})
                assert here.follow(key) == []

        here.wire.hooks["index.relabel"] = corrected_again
        assert here.follow(key) == []
        (entry,) = here.index.get(PARTITION, [uuid.UUID(here.photo(key).face_id)])
        assert entry.subject_id == "S-79"


def test_a_hundred_duplicates_on_four_workers_are_one_enrolment(tmp_path: Path) -> None:
    with station(tmp_path) as here:
        key, _ = enrol(here)
        event = object_created(str(key))
        here.clock.real = True
        start = threading.Barrier(4)

        def worker(_: int) -> list[list[str]]:
            start.wait()
            return [here.invoke(photo_batch(*[event] * 5)) for _ in range(5)]

        with ThreadPoolExecutor(4) as pool:
            answers = [failed for batches in pool.map(worker, range(4)) for failed in batches]
        assert [failed for failed in answers if failed] == []
        assert here.count() == 1
        assert here.photo(key).state is PhotoState.ENROLLED
        assert len(here.wire.published) == 1
        assert here.wire.calls.count("index.upsert") == 1


def test_eight_photos_of_one_booking_at_once_are_eight_enrolments(tmp_path: Path) -> None:
    with station(tmp_path) as here:
        keys = here.register(photos=8)
        names = ["person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2", "person_a_1"]
        for key, name in zip(keys, names, strict=False):
            here.put(key, portrait(name))
        here.put(keys[7], grey())
        here.clock.real = True
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(here.arrive, keys)) == [[]] * 8, here.log.getvalue()
        booking = here.booking(keys[0])
        assert booking.state is BookingState.ENROLLED
        assert sorted(photo.reason or "" for photo in booking.photos) == [*[""] * 6, "DUPLICATE_PHOTO", "NO_FACE"]
        assert here.count() == 6
        assert {one for photo in booking.photos for one in photo.face_ids} == {p.face_id for p in booking.photos} - {
            None
        }
