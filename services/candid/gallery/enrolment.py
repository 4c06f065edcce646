"""Enrolment: make index and table conform to what the bucket holds now. What the embed edge calls.

A hint (an S3 event, a change note) never says what is so; it says where to look. The order of the writes of one photo:

1. lease, then intent: a face's id is in the row's ``face_ids`` before the index sees the face, so the table knows every template
   there is, and an erasure by ids is complete after a kill at any point;
2. the new face into the index: from here a search finds it, which is true, since the photo is in the bucket;
3. stale faces out of the index (photo replaced, refused or removed), and out of what users' templates are fused of: before the
   table stops naming them, since an erasure looks for what the table names;
4. the row and the booking's state in one transaction, on the lease and on the booking's revision: a correction or a tombstone
   since step 1 fails it, and the labels are written again, or the booking is erased;
5. the event, which says what the table says already;
6. the row is announced, covers the hint's sequencer, and the lease goes back.

Leases go by clocks, and the index knows none: a worker that another, whose clock is ahead, took for dead can write a face, or
erase one, when that one is done. It learns it at step 4, and notes in the row what it touched (``Photo.late``), which whoever
has the lease next puts right: it does, unless another is quicker.

A kill between any two leaves a row that is not announced and a lease that ends; the next delivery does what is left. Of a photo
that stands as it should (same bytes, version and model, its face in the index) only 5 and 6 are done, if they are open.

``sequencer``: since the current state is read after the hint arrived, an older hint does no harm; it is skipped only where an
announced row covers a newer or the same one, because whoever wrote that row read the bucket after that hint, and S3 reads its
own writes. That tells order where the bucket gives no version ids, and makes a hundred duplicates a hundred reads.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Final

from botocore.exceptions import ClientError

from candid import correlation, events, storage
from candid.errors import DependencyUnavailable, ImageTooLarge
from candid.gallery import adoption, strays
from candid.gallery.adoption import Adoption
from candid.gallery.arrivals import Arrivals
from candid.gallery.booking import GONE_STATES, Booking, Face, Photo, PhotoState
from candid.gallery.booking_face import BookingFace, read_face, read_faces
from candid.gallery.catalog import Catalog
from candid.gallery.fusion import Fusion
from candid.gallery.index import Entry, Partition
from candid.gallery.indexes import Indexes, ModelIndex
from candid.gallery.outcome import Kind, Outcome, Rejection, Stopwatch
from candid.gallery.photos import PhotoKey
from candid.gallery.progress import Lease, LeaseLost, PhotoBusy, Progress, RecordMoved
from candid.gallery.strays import Strays
from candid.storage import StoredObject

DUPLICATE_PHOTO: Final = "DUPLICATE_PHOTO"
FACE_DELETED: Final = "FACE_DELETED"
_PASSING: Final = adoption.REASONS | {DUPLICATE_PHOTO, FACE_DELETED}
"""Rejections for what the booking's record holds, which can change while the photo does not."""
_MOST_MOVES: Final = 20
_KINDS: Final = {
    PhotoState.ENROLLED: Kind.ENROLLED,
    PhotoState.REJECTED: Kind.REJECTED,
    PhotoState.REMOVED: Kind.REMOVED,
}


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The use cases over bucket, index, table and bus."""

    catalog: Catalog
    progress: Progress
    arrivals: Arrivals
    adoption: Adoption
    strays: Strays
    indexes: Indexes
    fusion: Fusion
    bucket: str
    bus: str

    def reconcile_key(self, text: str, until: float, sequencer: str | None = None) -> Outcome:
        """Make everything conform to what lies under a key of any form; ``until`` is the worker's deadline (seconds since
        1970). Raises ``DependencyUnavailable`` and ``ModelUnavailable``: then the hint is to come again."""
        key = PhotoKey.parse(text)
        if key is not None:
            return self.reconcile_photo(key, until, sequencer)
        # Asked by HEAD: such a key may be a name, and its object nothing that has to be read.
        if storage.read_metadata(self.bucket, text) is None:
            return Outcome(Kind.NOTHING)
        self.strays.unknown_key(text)
        return Outcome(Kind.REJECTED, strays.KEY_NOT_RECOGNISED)

    def reconcile_photo(self, key: PhotoKey, until: float, sequencer: str | None = None) -> Outcome:
        """Make index and table conform to the current version of the photo under ``key``. Raises as ``reconcile_key``.

        What a worker did to the index after its lease was over it notes in the row, for whoever has the photo next. Where it is
        killed before it can, or the table does not answer then, ``candid index verify`` finds the template that is missing or
        that no row names.
        """
        watch = Stopwatch()
        owner = str(uuid.uuid4())
        late: set[str] = set()
        for _ in self.progress.turns():
            with watch.part("table"):
                found = self.arrivals.find(key, until)
                if isinstance(found, Outcome):
                    self._take_out(key, late, until)
                    return replace(found, milliseconds=watch.milliseconds)
                if found is None:
                    continue
                booking, photo = found
                correlation.follow(photo.request_id)
                if self._covers(photo, sequencer):
                    return Outcome(Kind.UNCHANGED, milliseconds=watch.milliseconds)
                expected = str(key.face_id(photo.expected_sha256, 0)) if photo.expected_sha256 else None
                lease = self.progress.take(key, photo, owner, until, face_id=expected)
            if lease is None:
                continue
            try:
                with suppress(RecordMoved), self._holding(lease):
                    kind, stands = self._conform(booking, lease, watch)
                    with watch.part("announce"):
                        self._announce(key, stands)
                        self.progress.finish(lease, _newest(sequencer, lease.photo.sequencer))
                    return Outcome(kind, stands.reason, watch.milliseconds)
            except LeaseLost:
                if not lease.touched:
                    raise
                if not self.progress.note_late(key, lease.touched):
                    # The booking is erased, and nothing is ever enrolled for it again.
                    self._take_out(key, lease.touched, until)
            late |= lease.touched
        raise PhotoBusy("Another worker holds the photo.")

    def _covers(self, photo: Photo, sequencer: str | None) -> bool:
        return (
            sequencer is not None
            and photo.sequencer is not None
            and not events.is_newer(sequencer, photo.sequencer)
            and photo.announced
            and not photo.late
            and (photo.model == self.indexes.serving().engine.card.id or photo.state is PhotoState.REMOVED)
        )

    @contextmanager
    def _holding(self, lease: Lease) -> Iterator[None]:
        """Hold the lease; after a failure give it back, and let the record show that the photo waits."""
        try:
            with self.progress.holding(lease):
                yield
        except Exception:
            with suppress(DependencyUnavailable, ClientError):
                booking = self.catalog.get(lease.key.agency, lease.key.booking_id)
                if booking is not None and booking.state not in GONE_STATES:
                    self.progress.show_state(booking)
            raise

    def _conform(self, booking: Booking, lease: Lease, watch: Stopwatch) -> tuple[Kind, Photo]:
        """Steps 1 to 4 under the lease: what was done, and the photo as the row has it then. Raises ``RecordMoved`` when the
        booking was tombstoned meanwhile."""
        key, photo = lease.key, lease.photo
        with watch.part("index"):
            written = self.indexes.written()
        model = written[0].engine.card.id
        blank = replace(
            photo,
            faces=(),
            face_ids=frozenset(),
            reason=None,
            sentence=None,
            reasons=(),
            quality=None,
            announced=False,
        )
        try:
            with watch.part("read"):
                stored = storage.read_current(self.bucket, str(key))
        except ImageTooLarge as refusal:
            if photo.state is PhotoState.REJECTED and photo.sha256 is None and not photo.face_ids | photo.late:
                return Kind.UNCHANGED, photo
            unread = replace(blank, sha256=None, version_id=None, model=model)
            return self._settle(booking, lease, unread, Rejection.of(refusal), written, watch)
        if stored is None:
            state = PhotoState.REMOVED if photo.sha256 is not None else PhotoState.AWAITING_UPLOAD
            return self._write(booking, lease, replace(blank, state=state), (), written, watch)
        digest = sha256(stored.data).hexdigest()
        if self._stands(booking, photo, stored, digest, written, watch):
            return Kind.UNCHANGED, photo
        blank = replace(blank, sha256=digest, version_id=stored.version_id, model=model)
        with watch.part("table"):
            completed = self._judge_record(booking, photo, stored, digest)
        if isinstance(completed, Rejection):
            return self._settle(booking, lease, blank, completed, written, watch)
        return self._settle(completed, lease, blank, _read(completed, written, stored.data, watch), written, watch)

    def _stands(
        self,
        booking: Booking,
        photo: Photo,
        stored: StoredObject,
        digest: str,
        written: Sequence[ModelIndex],
        watch: Stopwatch,
    ) -> bool:
        """Whether row and indexes are as this object makes them; an open announcement aside."""
        if photo.late:
            return False
        if (photo.sha256, photo.version_id, photo.model) != (
            digest,
            stored.version_id,
            written[0].engine.card.id,
        ):
            return False
        if photo.state is PhotoState.REJECTED:
            return photo.reason not in _PASSING and not photo.face_ids
        if photo.state is not PhotoState.ENROLLED or not photo.faces or photo.face_ids != photo.stand:
            return False
        if photo.stand & photo.deleted:
            return False
        with watch.part("index"):
            place = Partition(booking.agency, booking.collection), _ids(photo.stand)
            held = [entry for one in written for entry in one.index.get(*place)]
        # Labels too: a correction whose note was lost would otherwise never reach the index.
        return len(held) == len(written) * len(photo.faces) and all(
            (entry.subject_id, entry.booked_at) == booking.labels for entry in held
        )

    def _judge_record(self, booking: Booking, photo: Photo, stored: StoredObject, digest: str) -> Booking | Rejection:
        if photo.expected_sha256 is not None and photo.expected_sha256 != digest:
            return Rejection(
                "CHECKSUM_MISMATCH",
                "The photo that arrived is not the one that was announced: its SHA-256 differs. Upload it again.",
            )
        completed = booking if booking.indexing else self.adoption.complete(booking, stored.metadata)
        if isinstance(completed, Booking) and completed.state in GONE_STATES:
            raise RecordMoved
        return completed

    def _settle(
        self,
        booking: Booking,
        lease: Lease,
        photo: Photo,
        verdict: Sequence[BookingFace] | Rejection,
        written: Sequence[ModelIndex],
        watch: Stopwatch,
    ) -> tuple[Kind, Photo]:
        if not isinstance(verdict, Rejection):
            verdict = [one for one in verdict if _face_id(lease.key, photo, one) not in photo.deleted] or Rejection(
                FACE_DELETED,
                "Its face was deleted, and is not enrolled again. Upload another photo, or delete the booking.",
            )
        if not isinstance(verdict, Rejection) and _has_twin(booking, photo):
            verdict = Rejection(
                DUPLICATE_PHOTO,
                "The booking has this very photo already, and one is enough. Upload another if you meant another.",
            )
        if isinstance(verdict, Rejection):
            refused = replace(
                photo,
                state=PhotoState.REJECTED,
                reason=verdict.reason,
                sentence=verdict.sentence,
                reasons=verdict.reasons,
                quality=verdict.quality,
            )
            return self._write(booking, lease, refused, (), written, watch)
        faces = tuple(Face(_face_id(lease.key, photo, one), one.box, one.confidence) for one in verdict)
        enrolled = replace(
            photo,
            state=PhotoState.ENROLLED,
            faces=faces,
            face_ids=frozenset(one.face_id for one in faces),
            quality=verdict[0].quality,
        )
        with watch.part("table"):
            lease = self.progress.intend(lease, enrolled.face_ids)
        return self._write(booking, lease, enrolled, verdict, written, watch)

    def _write(
        self,
        booking: Booking,
        lease: Lease,
        photo: Photo,
        faces: Sequence[BookingFace],
        written: Sequence[ModelIndex],
        watch: Stopwatch,
    ) -> tuple[Kind, Photo]:
        """Steps 2 to 4; again from 2 where the record has moved, so that the labels in the index are those of the record."""
        partition = Partition(booking.agency, booking.collection)
        stale = _ids((lease.photo.face_ids | lease.photo.late) - photo.face_ids)
        known = (lease.photo.stand, lease.photo.model) == (photo.stand, photo.model)
        labels: tuple[str, datetime] | None = None
        for _ in range(_MOST_MOVES):
            if booking.state in GONE_STATES:
                # Its erasure may have been here already, and nothing is ever enrolled for it again.
                self._take_out(lease.key, lease.touched, lease.until)
                raise RecordMoved
            with watch.part("index"):
                self.progress.expect_time(lease)
                if faces and labels != booking.labels:
                    for one in written:
                        entries = _entries(booking, partition, photo, faces, one.engine.card.id)
                        # The same photo and model give the same templates. While another index is filled, the one that serves
                        # would otherwise be written anew, and hold every template a second time until it merges.
                        if not known or one.index.get(partition, [entry.id for entry in entries]) != entries:
                            lease.touched.update(photo.stand)
                            one.index.upsert(entries)
                    labels = booking.labels
                    if again := lease.photo.stand & photo.stand:
                        self._remind_of(lease.key, again)
                if stale:
                    lease.touched.update(map(str, stale))
                    self._take_out(lease.key, map(str, stale), lease.until)
                    stale = []
            with watch.part("table"):
                try:
                    self.progress.commit(lease, booking, photo)
                    return _KINDS.get(photo.state, Kind.NOTHING), photo
                except RecordMoved:
                    moved = self.catalog.get(booking.agency, booking.booking_id)
            if moved is None:
                self._take_out(lease.key, lease.touched, lease.until)
                raise RecordMoved
            if moved.indexing != booking.indexing:
                # What is wanted of the photo is another thing now: it is judged anew.
                raise RecordMoved
            booking = moved
            if faces and _has_twin(booking, photo):
                bare = replace(photo, faces=(), face_ids=frozenset())
                return self._settle(booking, lease, bare, faces, written, watch)
        raise PhotoBusy("Others are changing the same booking now. Try again in a minute.")

    def _take_out(self, key: PhotoKey, faces: Iterable[str], until: float) -> None:
        if ids := _ids(faces):
            place = key.agency, key.collection
            known_as = self.fusion.users.let_go(*place, map(str, ids))
            self.indexes.erase(Partition(*place), ids)
            for user_id in sorted(known_as):
                self.fusion.make(*place, user_id, until, mine=key.photo_id)

    def _remind_of(self, key: PhotoKey, faces: Iterable[str]) -> None:
        """Faces that were lost from the index are there again: so are they to be in the templates of their users."""
        owners = self.fusion.users.owners(key.agency, key.collection, faces).values()
        for user_id in sorted({owner.user_id for owner in owners}):
            self.fusion.users.remind(key.agency, key.collection, user_id)

    def _announce(self, key: PhotoKey, photo: Photo) -> None:
        if photo.announced:
            return
        place = (key.agency, key.collection, key.booking_id, key.photo_id)
        if photo.state is PhotoState.ENROLLED:
            events.publish(self.bus, events.PhotoEnrolled(*place, str(photo.face_id), str(photo.model)))
        elif photo.state is PhotoState.REJECTED:
            events.publish(self.bus, events.PhotoRejected(str(photo.reason), *place))


def _read(
    booking: Booking, written: Sequence[ModelIndex], data: bytes, watch: Stopwatch
) -> Sequence[BookingFace] | Rejection:
    engines = [one.engine for one in written]
    if booking.indexing is not None:
        return read_faces(engines, data, booking.indexing, watch)
    face = read_face(engines, data, watch)
    return face if isinstance(face, Rejection) else (face,)


def _face_id(key: PhotoKey, photo: Photo, face: BookingFace) -> str:
    return str(key.face_id(str(photo.sha256), face.place))


def _entries(
    booking: Booking, partition: Partition, photo: Photo, faces: Sequence[BookingFace], model: str
) -> tuple[Entry, ...]:
    if booking.labels is None:
        raise ValueError("a booking whose photo is enrolled has a subject and a date")
    subject_id, booked_at = booking.labels
    return tuple(
        Entry(
            id=uuid.UUID(named.face_id),
            partition=partition,
            booking_id=booking.booking_id,
            subject_id=subject_id,
            booked_at=booked_at,
            template=face.templates[model],
        )
        for named, face in zip(photo.faces, faces, strict=True)
    )


def _ids(faces: Iterable[str]) -> list[uuid.UUID]:
    return [uuid.UUID(one) for one in sorted(faces)]


def _has_twin(booking: Booking, photo: Photo) -> bool:
    """Whether another photo of the booking has the same bytes and is enrolled: the same photo twice is one face."""
    return any(
        one.photo_id != photo.photo_id and one.state is PhotoState.ENROLLED and one.sha256 == photo.sha256
        for one in booking.photos
    )


def _newest(sequencer: str | None, known: str | None) -> str | None:
    if sequencer is None or known is None:
        return sequencer or known
    return sequencer if events.is_newer(sequencer, known) else known
