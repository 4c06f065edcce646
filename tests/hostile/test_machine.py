"""Photos come, are replaced and removed, bookings corrected and deleted; their events come late, twice, in any order, or to a
worker that is killed at any of its calls. Whatever happened: once each event has been followed, table, index and bucket hold what
a model of ten lines holds, and a search finds it.
"""

from __future__ import annotations

import itertools
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from candid.faces.image import decode
from candid.faces.selection import booking_face
from candid.gallery.catalog import BookingState, PhotoState
from candid.gallery.index import Partition
from candid.gallery.photos import PhotoKey
from candid.gallery.search import GallerySearch
from candid.gallery.thresholds import Threshold
from tests.conftest import MEASURED
from tests.contract.events import change_batch, object_created, object_deleted, photo_batch
from tests.hostile.size import tries
from tests.integration.embedding import AGENCY, METADATA, Killed, grey, station
from tests.portraits import engine, portrait

pytestmark = pytest.mark.slow

HERE: Final = Partition(AGENCY, "bookings")
FACES: Final = ("person_a_1", "person_b_1", "impostor_1")
NOBODY: Final = "nobody"
DONE: Counter[str] = Counter()
"""What all machines did."""


@cache
def photo_of(face: str) -> bytes:
    return grey() if face == NOBODY else portrait(face)


@cache
def template_of(face: str) -> np.ndarray:
    image = decode(portrait(face))
    return engine().templates(image, [booking_face(image, engine().detect(image))])[0]


class Model:
    """What there should be once all events have been followed."""

    def __init__(self) -> None:
        self.photos: dict[PhotoKey, str | None] = {}
        self.subjects: dict[str, str] = {}
        self.deleted: set[str] = set()

    def of(self, face: str) -> set[PhotoKey]:
        """The photos that show a face and whose bookings are there."""
        return {key for key, shown in self.photos.items() if shown == face and key.booking_id not in self.deleted}


class Machine(RuleBasedStateMachine):
    """One deployment, whose events are delivered by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.here = self.stack.enter_context(station(Path(folder)))
        self.model = Model()
        self.numbers = itertools.count(1)
        self.fields: dict[PhotoKey, dict[str, str]] = {}
        """Of bookings that were dropped, as each of their objects has them."""
        self.waiting: list[dict[str, Any]] = []
        self.followed: list[dict[str, Any]] = []

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.stack.close()

    @rule()
    def register(self) -> None:
        number = next(self.numbers)
        keys = self.here.register(number=f"N{number}", photos=1 + number % 2)
        self.model.photos |= dict.fromkeys(keys)
        self.model.subjects[keys[0].booking_id] = "S-77"

    @precondition(lambda self: self.model.photos)
    @rule(data=st.data(), face=st.sampled_from([*FACES, NOBODY]))
    def put(self, data: st.DataObject, face: str) -> None:
        self._put(data.draw(st.sampled_from(list(self.model.photos))), face)

    @rule(face=st.sampled_from(FACES))
    def drop(self, face: str) -> None:
        """Into the bucket, unannounced."""
        key = PhotoKey(AGENCY, "bookings", str(uuid.uuid4()), str(uuid.uuid4()))
        subject = f"S-{next(self.numbers)}"
        self.fields[key] = METADATA | {"booking-number": f"D{subject}", "subject-id": subject}
        self.model.subjects[key.booking_id] = subject
        self._put(key, face)

    @precondition(lambda self: any(self.model.photos.values()))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from([key for key, face in self.model.photos.items() if face]))
        self.here.remove(key)
        self.model.photos[key] = None
        self.waiting.append(photo_batch(object_deleted(str(key))))

    @precondition(lambda self: self._known())
    @rule(data=st.data())
    def correct(self, data: st.DataObject) -> None:
        booking_id = data.draw(st.sampled_from(self._known()))
        subject = f"S-{next(self.numbers)}"
        booking = self.here.catalog.get(AGENCY, booking_id)
        assert booking is not None
        self.here.catalog.change(booking, {"subject_id": subject})
        self.model.subjects[booking_id] = subject
        self.waiting.append(change_batch(AGENCY, booking_id))

    @precondition(lambda self: self._known())
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        booking_id = data.draw(st.sampled_from(self._known()))
        booking = self.here.catalog.get(AGENCY, booking_id)
        assert booking is not None
        self.here.catalog.mark_deleting(booking)
        self.model.deleted.add(booking_id)
        self.waiting.append(change_batch(AGENCY, booking_id))
        assert booking_id not in {key.booking_id for face in FACES for key in self._found(face)}

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Any event that waits, in whatever order."""
        self._deliver(self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1))))

    @precondition(lambda self: self.followed)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        DONE["delivered again"] += 1
        self._deliver(data.draw(st.sampled_from(self.followed)))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), calls=st.integers(0, 15))
    def kill(self, data: st.DataObject, calls: int) -> None:
        """The worker, before one of its calls; the event comes again later."""
        event = data.draw(st.sampled_from(self.waiting))
        wire = self.here.wire
        wire.kill_before = len(wire.calls) + calls
        try:
            self._deliver(event)
        except Killed:
            DONE["killed"] += 1
            self.here.lease_ends()
        finally:
            wire.kill_before = None

    @precondition(lambda self: len(self.waiting) > 4)
    @rule()
    def settle(self) -> None:
        """Follow every event, and compare."""
        for _ in range(10):
            events, self.waiting = self.waiting, []
            for event in events:
                self._deliver(event)
            if not self.waiting:
                break
            self.here.lease_ends()
        assert not self.waiting
        self._compare()
        DONE["compared"] += 1

    def _put(self, key: PhotoKey, face: str) -> None:
        # Bytes of its own, so that no photo is another's twin.
        self.here.put(key, photo_of(face) + f"#{next(self.numbers)}".encode(), self.fields.get(key))
        self.model.photos[key] = face
        self.waiting.append(photo_batch(object_created(str(key))))

    def _deliver(self, event: dict[str, Any]) -> None:
        DONE["delivered"] += 1
        if self.here.invoke(event):
            self.waiting.append(event)
        else:
            self.followed.append(event)

    def _known(self) -> list[str]:
        """Bookings that have a record and are not deleted."""
        known = (one for one in self.model.subjects if one not in self.model.deleted)
        return [one for one in known if self.here.catalog.get(AGENCY, one)]

    def _found(self, face: str) -> dict[PhotoKey, str]:
        """What a search for the face finds, and whose it is."""
        search = GallerySearch(self.here.index, self.here.catalog)
        cut = Threshold(0.99, None, None, None, "")
        found = search.find([HERE], template_of(face), threshold=lambda _: cut, most=50, per_subject=False)
        return {one.booking.key_of(one.photo.photo_id): str(one.booking.subject_id) for one in found.candidates}

    def _compare(self) -> None:
        model, here = self.model, self.here
        for face in FACES:
            assert self._found(face) == {key: model.subjects[key.booking_id] for key in model.of(face)}
        assert here.count() == sum(len(model.of(face)) for face in FACES)
        for key, face in model.photos.items():
            booking = here.catalog.get(AGENCY, key.booking_id)
            if key.booking_id in model.deleted:
                assert booking is None or (booking.state, booking.photos) == (BookingState.ERASED, ())
                assert here.versions(key.booking_prefix) == 0
                continue
            # What was dropped and taken away again before anybody looked has left nothing.
            assert booking or (face is None and key in self.fields)
            photo = booking.photo(key.photo_id) if booking else None
            state = photo.state if photo else None
            if face is None:
                assert state in {None, PhotoState.AWAITING_UPLOAD, PhotoState.REMOVED}
            else:
                assert state is (PhotoState.REJECTED if face == NOBODY else PhotoState.ENROLLED)
            faces = [uuid.UUID(one) for one in (photo.face_ids if photo else ())]
            assert len(faces) == (face in FACES)
            labels = [entry.subject_id for entry in here.index.get(HERE, faces)]
            assert labels == [model.subjects[key.booking_id]] * len(faces)


def test_whatever_happens_on_the_way_table_index_and_bucket_end_as_the_model(
    record_property: Callable[[str, str], None],
) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=tries(12, 1_500),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            database=None,
        ),
    )
    record_property(
        MEASURED,
        f"Events in any order: {DONE['delivered']:,} delivered, {DONE['delivered again']:,} of them again, {DONE['killed']:,} "
        f"workers killed at a call; {DONE['compared']:,} comparisons with the model: nothing lost, nothing doubled.",
    )
