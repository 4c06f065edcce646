"""Comparing table, indexes and bucket with each other, in both directions, and bringing together what differs.

Three walks: over the table (is each photo's face in every index that is written, with the record's labels, and each user's
template that of its faces; is the object the version that the row was made of; is work left open), over each index (does a row
own each face, a user each template of its kind), over the bucket (does a row know each object). What another worker is at, or
what is younger than ``GRACE``, is "under way" and no finding.

Repair never decides what is right: it asks enrolment to look again (``hints``), reminds the stream of a change, and deletes from
an index what no row owns. The last is safe because enrolment writes a face's id to its row before an index sees the face, and
the row is looked at again afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from candid import storage
from candid.gallery.booking import GONE_STATES, Booking, BookingState, Photo, PhotoState
from candid.gallery.collections import Collection, Collections
from candid.gallery.fusion import astray
from candid.gallery.hints import ROOM, Hints
from candid.gallery.index import Kind, Label, VectorIndex
from candid.gallery.indexes import Indexes
from candid.gallery.photos import PhotoKey
from candid.gallery.strays import Strays
from candid.gallery.upkeep.records import Records, absent, enrolled, is_held
from candid.gallery.upkeep.steps import Budget, Cursor, Step
from candid.gallery.users import User
from candid.tables import now
from candid.together import at_once

GRACE: Final = timedelta(hours=1)
"""Events may be late by this without anything being wrong."""

FACE_ABSENT: Final = "face-not-in-index"
FACE_UNOWNED: Final = "face-without-record"
USER_DIFFERS: Final = "user-not-of-its-faces"
PHOTO_DIFFERS: Final = "photo-differs"
WORK_OPEN: Final = "work-left-open"
CHANGE_OPEN: Final = "change-not-followed"
OBJECT_UNKNOWN: Final = "object-without-record"
OBJECT_LATE: Final = "object-of-erased-booking"

_SAMPLES: Final = 10
_LABELS: Final = 500
_PAUSE: Final = 1.0
_TABLE, _BUCKET, _INDEX = "table", "bucket", "index"


@dataclass(slots=True)
class _State:
    """Where the walks are, and what they found. ``findings`` has a count and some examples (opaque ids) a kind."""

    walk: str = _TABLE
    after: Any = None
    index: str = ""
    done: list[str] = field(default_factory=list)
    bookings: int = 0
    photos: int = 0
    objects: int = 0
    faces: dict[str, int] = field(default_factory=dict)
    under_way: int = 0
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: int = 0
    reminded: int = 0
    deleted: int = 0

    def found(self, kind: str, what: str) -> None:
        known = self.findings.setdefault(kind, {"count": 0, "examples": []})
        known["count"] += 1
        if len(known["examples"]) < _SAMPLES:
            known["examples"].append(what)

    def told(self, waiting: int) -> dict[str, Any]:
        shown = asdict(self)
        for hidden in ("after", "index", "done"):
            del shown[hidden]
        return {**shown, "waiting": waiting, "sound": not self.findings}


@dataclass(frozen=True, slots=True)
class Verification:
    """The use case over all three stores. ``step`` raises ``DependencyUnavailable``; the same step can be made again."""

    records: Records
    hints: Hints
    strays: Strays
    indexes: Indexes

    def step(self, cursor: Cursor | None, budget: Budget, *, repair: bool) -> Step:
        """Go on from ``cursor``; None begins. Tells what was looked at and found; the last step whether all is ``sound``."""
        state = _State(**cursor) if cursor else _State()
        while True:
            waiting = self.hints.waiting() if repair else 0
            if waiting >= ROOM:
                budget.wait(_PAUSE)
            elif state.walk == _TABLE:
                self._table(state, repair)
            elif state.walk == _BUCKET:
                self._bucket(state, repair)
            elif not self._index(state, repair):
                return Step(state.told(waiting))
            if not budget.left():
                return Step(state.told(waiting), asdict(state))

    # ---- table → index, table → bucket

    def _table(self, state: _State, repair: bool) -> None:
        page = self.records.page(state.after)
        bookings = page.bookings
        state.bookings += sum(one.state is not BookingState.ERASED for one in bookings)
        state.photos += sum(len(one.photos) for one in bookings)
        again: set[PhotoKey] = set()
        written = {one.engine.card.id: one.index for one in self.indexes.written()}
        for booking in bookings:
            if booking.change is not None or booking.state is BookingState.DELETING:
                self._open_change(state, booking, repair)
        for collection in page.collections:
            self._open_deletion(state, collection, repair)
        self._users(state, written, page.users, repair)
        settled = [one for one in bookings if one.state not in GONE_STATES and one.change is None]
        lying = at_once(lambda one: _lying(self.hints.bucket, one), settled)
        suspects = set(self._absent(written, settled))
        for booking, objects in zip(settled, lying, strict=True):
            for photo in booking.photos:
                key = booking.key_of(photo.photo_id)
                if is_held(photo):
                    state.under_way += 1
                elif _is_open(photo):
                    if _is_young(photo.updated_at):
                        state.under_way += 1
                    else:
                        state.found(WORK_OPEN, str(key))
                        again.add(key)
                elif (differs := _differs(photo, objects.get(str(key)))) is not None:
                    if _is_young(differs):
                        state.under_way += 1
                    else:
                        state.found(PHOTO_DIFFERS, str(key))
                        again.add(key)
        # A photo may have been replaced between the look at its row and the look at the index: what counts is a second look.
        for key in self._still_absent(written, suspects - again):
            state.found(FACE_ABSENT, str(key))
            again.add(key)
        self._ask(state, again, repair)
        state.after = page.after
        if page.after is None:
            state.walk = _BUCKET

    def _open_change(self, state: _State, booking: Booking, repair: bool) -> None:
        if _is_young(booking.changed_at):
            state.under_way += 1
            return
        state.found(CHANGE_OPEN, f"{booking.agency}/{booking.collection}/{booking.booking_id}")
        if repair:
            self.records.catalog.remind(booking.agency, booking.booking_id)
            state.reminded += 1

    def _open_deletion(self, state: _State, collection: Collection, repair: bool) -> None:
        if collection.change is None:
            return
        if _is_young(collection.changed_at):
            state.under_way += 1
            return
        state.found(CHANGE_OPEN, f"{collection.agency}/{collection.name}")
        if repair:
            Collections(self.records.catalog.table).remind(collection.agency, collection.name)
            state.reminded += 1

    def _users(self, state: _State, written: Mapping[str, VectorIndex], users: Sequence[User], repair: bool) -> None:
        open_ones = [user for user in users if user.revision != user.settled]
        unlike = {user.entry_id for index in written.values() for user in astray(index, users) if user not in open_ones}
        # As with faces: what counts is a second look, and a face that has gone since is no user's any more.
        again = self.records.users(
            [(one.agency, one.collection, one.user_id) for one in users if one.entry_id in unlike]
        )
        found = [(CHANGE_OPEN, user) for user in open_ones if not _is_young(user.changed_at)]
        state.under_way += len(open_ones) - len(found)
        still = {user.entry_id for index in written.values() for user in astray(index, again)}
        found += [(USER_DIFFERS, user) for user in again if user.entry_id in still and user.revision == user.settled]
        for kind, user in found:
            state.found(kind, f"{user.agency}/{user.collection}/{user.entry_id}")
            if repair:
                self.records.remind_of(user)
                state.reminded += 1

    def _absent(self, written: Mapping[str, VectorIndex], bookings: Iterable[Booking]) -> list[PhotoKey]:
        photos = [(booking, photo) for booking, photo in enrolled(bookings) if not is_held(photo)]
        return [key for index in written.values() for key in absent(index, photos)]

    def _still_absent(self, written: Mapping[str, VectorIndex], suspects: set[PhotoKey]) -> list[PhotoKey]:
        if not suspects:
            return []
        bookings = self.records.get({(key.agency, key.booking_id) for key in suspects})
        settled = [one for one in bookings if one.change is None]
        return sorted(suspects & set(self._absent(written, settled)), key=str)

    # ---- bucket → table

    def _bucket(self, state: _State, repair: bool) -> None:
        listed, after = storage.versions(self.hints.bucket, after=tuple(state.after) if state.after else None)
        parsed = {one.key: PhotoKey.parse(one.key) for one in listed}
        refs = {(key.agency, key.booking_id) for key in parsed.values() if key}
        bookings = {(one.agency, one.booking_id): one for one in self.records.get(sorted(refs))}
        again: set[PhotoKey | str] = set()
        for one in listed:
            state.objects += one.current and not one.deleted
            key = parsed[one.key]
            booking = bookings.get((key.agency, key.booking_id)) if key else None
            kind = ""
            if booking is not None and booking.state is BookingState.ERASED:
                kind = OBJECT_LATE
            elif one.current and not one.deleted and not self._is_known(one.key, key, booking):
                kind = OBJECT_UNKNOWN
            if not kind:
                continue
            if _is_young(one.stored_at):
                state.under_way += 1
                continue
            # A key of another form may itself tell who is on the photo.
            state.found(kind, str(key) if key else f"sha256 {sha256(one.key.encode()).hexdigest()}")
            again.add(key or one.key)
        self._ask(state, again, repair)
        state.after = after
        if after is None:
            state.walk = _INDEX

    def _is_known(self, text: str, key: PhotoKey | None, booking: Booking | None) -> bool:
        if key is None:
            return self.strays.knows_key(text)
        if booking is None:
            return False
        if booking.state in GONE_STATES:
            return True
        photo = booking.photo(key.photo_id) if booking.collection == key.collection else None
        if photo is None:
            return key in self.strays.of_booking(key.agency, key.booking_id)
        return photo.state not in {PhotoState.AWAITING_UPLOAD, PhotoState.REMOVED}

    # ---- index → table

    def _index(self, state: _State, repair: bool) -> bool:
        """Look at a page of an index; False when there is none left."""
        every = self.indexes.every()
        if state.index not in every:
            state.index = next((name for name in sorted(every) if name not in state.done), "")
            state.after = None
            if not state.index:
                return False
            state.faces[state.index] = 0
        index = every[state.index]
        page = index.scan(state.after, _LABELS)
        state.faces[state.index] += len(page.labels)
        for label in self._unowned(page.labels):
            state.found(
                FACE_UNOWNED, f"{state.index}: {label.partition.agency}/{label.partition.collection}/{label.id}"
            )
            if repair:
                index.delete(label.partition, [label.id])
                state.deleted += 1
                self._ask(state, self._owners(label), repair)
        state.after = page.after
        if page.after is None:
            state.done.append(state.index)
            state.index = ""
        return True

    def _unowned(self, labels: Sequence[Label]) -> list[Label]:
        faces = [one for one in labels if one.partition.kind is Kind.FACE]
        refs = {(one.partition.agency, one.booking_id) for one in faces}
        bookings = {(one.agency, one.booking_id): one for one in self.records.get(sorted(refs))}
        unowned = [one for one in faces if not _owns(bookings.get((one.partition.agency, one.booking_id)), one)]
        fused = [one for one in labels if one.partition.kind is Kind.USER]
        names = {(one.partition.agency, one.partition.collection, one.subject_id) for one in fused}
        users = {user.entry_id for user in self.records.users(sorted(names))}
        return unowned + [one for one in fused if str(one.id) not in users]

    def _owners(self, label: Label) -> set[PhotoKey]:
        """Photos that claimed a face while it was deleted: they are enrolled again."""
        return {
            booking.key_of(photo.photo_id)
            for booking in self.records.get([(label.partition.agency, label.booking_id)])
            for photo in booking.photos
            if _owns(booking, label) and str(label.id) in photo.face_ids
        }

    def _ask(self, state: _State, keys: Iterable[PhotoKey | str], repair: bool) -> None:
        if repair and (asked := sorted(keys, key=str)):
            self.hints.send(asked)
            state.asked += len(asked)


def _owns(booking: Booking | None, label: Label) -> bool:
    if booking is None or booking.state is BookingState.ERASED or booking.collection != label.partition.collection:
        return False
    return any(str(label.id) in photo.face_ids for photo in booking.photos)


def _lying(bucket: str, booking: Booking) -> dict[str, storage.Version]:
    """The newest entry of each key of the booking."""
    found: dict[str, storage.Version] = {}
    after: tuple[str, str] | None = None
    prefix = f"{booking.agency}/{booking.collection}/{booking.booking_id}/"
    while True:
        listed, after = storage.versions(bucket, prefix, after)
        found |= {one.key: one for one in listed if one.current}
        if after is None:
            return found


def _is_open(photo: Photo) -> bool:
    """Whether enrolment began something and did not end it."""
    if photo.state is PhotoState.RECEIVED or photo.late:
        return True
    if photo.state is PhotoState.ENROLLED:
        return not photo.announced or photo.face_ids != photo.stand or bool(photo.stand & photo.deleted)
    return bool(photo.face_ids) or (photo.state is PhotoState.REJECTED and not photo.announced)


def _differs(photo: Photo, lies: storage.Version | None) -> datetime | None:
    """Since when the bucket has something else than the row was made of; None where it has not."""
    if photo.state not in {PhotoState.ENROLLED, PhotoState.REJECTED}:
        return None
    if lies is None:
        return photo.updated_at or now() - 2 * GRACE
    if lies.deleted:
        return lies.stored_at
    # A photo that was too large to be read has no version in its row.
    if photo.sha256 is not None and lies.version_id != storage.plain_version(photo.version_id):
        return lies.stored_at
    return None


def _is_young(moment: datetime | None) -> bool:
    return moment is not None and now() - moment < GRACE
