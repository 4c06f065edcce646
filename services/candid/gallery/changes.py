"""Letting index and bucket follow what a clerk did to a record: a correction, or a deletion.

The record and a CHANGE note were written in one transaction; the table's stream brings the note here, as often as it takes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from candid import correlation
from candid.gallery.booking import GONE_STATES, BookingState
from candid.gallery.catalog import Catalog
from candid.gallery.enrolment import Enrolment
from candid.gallery.erasure import Erasure
from candid.gallery.index import Partition
from candid.gallery.indexes import Indexes
from candid.gallery.outcome import Kind, Outcome
from candid.gallery.photos import PhotoKey
from candid.gallery.progress import PhotoBusy, Progress


@dataclass(frozen=True, slots=True)
class Changes:
    """The use case over table, index and bucket."""

    catalog: Catalog
    progress: Progress
    erasure: Erasure
    enrolment: Enrolment
    indexes: Indexes

    def follow(self, agency: str, booking_id: str, until: float) -> Outcome:
        """Let index and bucket follow a correction or a deletion of the record. Raises as ``reconcile_key``."""
        booking = self.catalog.get(agency, booking_id)
        if booking is None or (booking.change is None and booking.state is not BookingState.DELETING):
            return Outcome(Kind.NOTHING)
        correlation.follow(booking.change_request_id)
        if booking.state in GONE_STATES:
            self.erasure.erase(agency, booking_id, until)
            return Outcome(Kind.ERASED)
        for photo in booking.photos:
            if photo.deleted & photo.face_ids:
                self.enrolment.reconcile_photo(booking.key_of(photo.photo_id), until)
            elif photo.face_ids and not self._relabel(booking.key_of(photo.photo_id), until):
                return self.follow(agency, booking_id, until)
        self.catalog.forget_change(booking)
        return Outcome(Kind.FOLLOWED)

    def _relabel(self, key: PhotoKey, until: float) -> bool:
        """Write the record's labels to the photo's faces, under its lease; False if the booking was deleted meanwhile."""
        owner = str(uuid.uuid4())
        for _ in self.progress.turns():
            booking = self.catalog.get(key.agency, key.booking_id)
            if booking is None or booking.state in GONE_STATES:
                return False
            photo = booking.photo(key.photo_id)
            lease = photo and self.progress.take(key, photo, owner, until, work=False)
            if not lease:
                continue
            with self.progress.holding(lease):
                # Read again: nobody else writes this photo's labels from here on.
                booking = self.catalog.get(key.agency, key.booking_id)
                if booking is not None and booking.labels is not None:
                    subject_id, booked_at = booking.labels
                    for one in self.indexes.written():
                        one.index.relabel(
                            Partition(key.agency, key.collection),
                            [uuid.UUID(face) for face in sorted(lease.photo.face_ids)],
                            subject_id=subject_id,
                            booked_at=booked_at,
                        )
                # Had the lease been another's by then, these labels could have overwritten newer ones.
                if self.progress.release(lease):
                    return True
        raise PhotoBusy("Another worker holds the photo.")
