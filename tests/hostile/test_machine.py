"""Photos come, are replaced and removed, bookings corrected and deleted; their events come late, twice, in any order, or to a
worker that is killed at any of its calls, that finds the photo in another's hand or whose clock is wrong; and there are searches
meanwhile. Whatever happened: once each event has been followed, table, index and bucket hold what a model of ten lines holds, a
search finds it, and stored searches show what they showed, with the photos that were compared unless their booking is deleted.
On either index.
"""

from __future__ import annotations

import base64
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
from candid.gallery.booking import BookingState, PhotoState
from candid.gallery.exact.index import ExactIndex
from candid.gallery.index import Partition
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.photos import PhotoKey
from candid.gallery.search import GallerySearch
from candid.gallery.thresholds import Threshold
from casework import app as casework_app
from search import app as search_app
from tests import opensearch
from tests.conftest import MEASURED
from tests.contract.events import change_batch, object_created, object_deleted, photo_batch
from tests.gateway import Caller
from tests.hostile.size import tries
from tests.integration.embedding import AGENCY, METADATA, Killed, Wire, grey
from tests.integration.operating import deployment
from tests.portraits import engine, portrait

pytestmark = pytest.mark.slow

HERE: Final = Partition(AGENCY, "bookings")
FACES: Final = ("person_a_1", "person_b_1", "impostor_1")
NOBODY: Final = "nobody"
CASE: Final = {"number": "2026-CR-1", "purpose": "criminal_investigation", "legal_basis": "ORS 133.000"}
LEASE_SECONDS: Final = 60.0
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
        self.bytes_of: dict[tuple[str, str], bytes] = {}
        """By key and version."""
        self.subjects: dict[str, str] = {}
        self.deleted: set[str] = set()

    def of(self, face: str) -> set[PhotoKey]:
        """The photos that show a face and whose bookings are there."""
        return {key for key, shown in self.photos.items() if shown == face and key.booking_id not in self.deleted}


class Machine(RuleBasedStateMachine):
    """One deployment, whose events are delivered by hand."""

    major: int | None = None
    """The index's: None for the embedded one, else OpenSearch of this version."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.made = self.stack.enter_context(deployment(Path(folder), self.major))
        self.here = self.made.station
        self.here.clock.real = False
        _wire(self.stack.enter_context(pytest.MonkeyPatch.context()), self.here.wire)
        self.model = Model()
        search_app.work.cache_clear()
        casework_app.work.cache_clear()
        self.case_id = ask(casework_app, "POST", "/v1/cases", CASE)["case_id"]
        self.answers: dict[str, dict[str, Any]] = {}
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

    @rule(face=st.sampled_from(FACES))
    def search(self, face: str) -> None:
        """Whatever is in the index just then."""
        probe = base64.b64encode(portrait(face)).decode()
        body = {"case_id": self.case_id, "probe_source": "other_still", "probe": probe, "per_subject": False}
        self._refresh()
        answer = ask(search_app, "POST", "/v1/searches", body)
        shown = {one["booking_id"] for result in answer["results"] for one in result["candidates"]}
        assert not shown & self.model.deleted
        self.answers[answer["search_id"]] = answer
        DONE["searched"] += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Any event that waits, in whatever order."""
        self._deliver_any(data)

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

    @precondition(lambda self: self.model.photos)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        """Another worker takes a photo in hand and is killed there: nobody else has it until the lease is over, and then its
        event comes again."""
        key = data.draw(st.sampled_from(list(self.model.photos)))
        booking = self.here.catalog.get(AGENCY, key.booking_id)
        if photo := booking and booking.photo(key.photo_id):
            until = self.here.clock() + LEASE_SECONDS
            if self.here.work.enrolment.progress.take(key, photo, str(uuid.uuid4()), until):
                self.waiting.append(photo_batch(object_created(str(key))))
                DONE["held"] += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), ahead=st.sampled_from([-600.0, 600.0]))
    def deliver_where_the_clock_is_wrong(self, data: st.DataObject, ahead: float) -> None:
        """To a worker that is ten minutes ahead of the others or behind."""
        self.here.clock.moment += ahead
        self._deliver_any(data)
        self.here.clock.moment -= ahead
        DONE["wrong clocks"] += 1

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
        data = photo_of(face) + f"#{next(self.numbers)}".encode()
        self.model.bytes_of[str(key), self.here.put(key, data, self.fields.get(key))] = data
        self.model.photos[key] = face
        self.waiting.append(photo_batch(object_created(str(key))))

    def _deliver_any(self, data: st.DataObject) -> None:
        self._deliver(self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1))))

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
        self._refresh()
        search = GallerySearch(self.made.index, self.here.catalog)
        cut = Threshold(0.99, None, None, None, "")
        found = search.find([HERE], template_of(face), threshold=lambda _: cut, most=50, per_subject=False)
        return {one.booking.key_of(one.photo.photo_id): str(one.booking.subject_id) for one in found.candidates}

    def _compare(self) -> None:
        model, here = self.model, self.here
        for face in FACES:
            assert self._found(face) == {key: model.subjects[key.booking_id] for key in model.of(face)}
        assert self.made.index.count(HERE) == sum(len(model.of(face)) for face in FACES)
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
            labels = [entry.subject_id for entry in self.made.index.get(HERE, faces)]
            assert labels == [model.subjects[key.booking_id]] * len(faces)
        for search_id, answer in self.answers.items():
            self._compare_stored(answer, ask(casework_app, "GET", f"/v1/searches/{search_id}"))

    def _compare_stored(self, answer: dict[str, Any], shown: dict[str, Any]) -> None:
        """What is shown again is what was answered, and each photo is the one that was compared, or gone with its booking."""
        assert _candidates(shown) == _candidates(answer)
        for one in _candidates(shown):
            version = (
                "/".join(one[name] for name in ("agency", "collection", "booking_id", "photo_id")),
                one["photo_version"],
            )
            gone = one["booking_id"] in self.model.deleted
            assert self.here.version(*version) == (None if gone else self.model.bytes_of[version])

    def _refresh(self) -> None:
        """Let what was written to OpenSearch be found, which otherwise takes it half a second."""
        if isinstance(self.made.index, OpenSearchIndex):
            self.made.index.client.indices.refresh(index=f"{self.made.prefix}_*")


def ask(app: Any, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """What an investigator is answered."""
    answer = Caller(app.handler, AGENCY, "det.lee", "investigator")(method, path, body)
    assert answer.status in {200, 201}, answer
    return dict(answer.body)


def _candidates(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """All of a search, without their links, which are made anew."""
    found = [candidate for result in answer["results"] for candidate in result["candidates"]]
    return [{name: value for name, value in one.items() if not name.startswith("photo_url")} for one in found]


def _wire(patch: pytest.MonkeyPatch, through: Wire) -> None:
    """Let writes of either index pass the wire."""
    for kind in (ExactIndex, OpenSearchIndex):
        for name in ("upsert", "relabel", "delete"):
            method = getattr(kind, name)

            def passing(self: Any, *args: Any, _name: str = name, _method: Any = method, **kwargs: Any) -> Any:
                return through(f"index.{_name}", _method, self, *args, **kwargs)

            patch.setattr(kind, name, passing)


@pytest.mark.parametrize("major", [pytest.param(None, id="embedded"), *opensearch.MAJORS[-tries(1, 2) :]])
def test_whatever_happens_on_the_way_table_index_and_bucket_end_as_the_model(
    major: int | None, record_property: Callable[[str, str], None]
) -> None:
    DONE.clear()
    run_state_machine_as_test(
        type("Machine", (Machine,), {"major": major}),
        settings=settings(
            max_examples=tries(12, 1_500) if major is None else tries(6, 150),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            database=None,
        ),
    )
    where = f"OpenSearch {major}" if major else "the embedded index"
    record_property(
        MEASURED,
        f"Events in any order, {where}: {DONE['delivered']:,} delivered, {DONE['delivered again']:,} of them again, "
        f"{DONE['killed']:,} workers killed at a call, {DONE['held']:,} photos in another's hand, "
        f"{DONE['wrong clocks']:,} clocks ten minutes off, {DONE['searched']:,} searches; "
        f"{DONE['compared']:,} comparisons with the model: nothing lost, nothing doubled.",
    )
