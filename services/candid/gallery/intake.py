"""Taking bookings in: register, add a photo, correct, delete, list. What the ingest edge calls.

Not here: what happens when a photo arrives (``enrolment``). Every function is bound to one agency, the caller's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from candid import storage
from candid.errors import Conflict
from candid.gallery.booking import MAX_PHOTOS, Booking, BookingState, Photo, PhotoState, View
from candid.gallery.catalog import FULL, Catalog
from candid.gallery.collections import DEFAULT_COLLECTION, Collections
from candid.gallery.dissolution import take_back_unless_kept
from candid.gallery.photos import photo_id
from candid.idempotency import Claim
from candid.storage import UploadLink
from candid.tables import now

_OPEN: Final = frozenset({PhotoState.AWAITING_UPLOAD, PhotoState.REMOVED})


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """A photo that will be uploaded. ``sha256`` (hexadecimal), if known, makes asking twice one photo and is checked."""

    content_type: str
    view: View = View.FRONTAL
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class NewBooking:
    """What an agency says of a booking. ``booked_at`` is timezone-aware."""

    booking_number: str
    subject_id: str
    booked_at: datetime
    collection: str = DEFAULT_COLLECTION
    fields: Mapping[str, str] = field(default_factory=dict)
    photos: Sequence[NewPhoto] = (NewPhoto("image/jpeg"),)


@dataclass(frozen=True, slots=True)
class Expected:
    """A photo that a booking has, and the link to upload it by; no link where it has arrived."""

    photo: Photo
    upload: UploadLink | None


@dataclass(frozen=True, slots=True)
class Intake:
    """The use cases over one gallery table and one photos bucket."""

    catalog: Catalog
    collections: Collections
    bucket: str
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def register(
        self, agency: str, new: NewBooking, claim: Claim | None = None
    ) -> tuple[Booking, tuple[Expected, ...]]:
        """Register a booking and give a link for each photo. The same claim again is the same booking, with fresh links.

        Raises ``Conflict`` with ``booking_id`` for a number that the agency's collection has; while the collection is deleted.
        """
        if claim and (earlier := claim.earlier_result(self.catalog.table)):
            return self._registered(self.catalog.expect(agency, earlier))
        if (agency, new.collection) not in self._seen:
            self.collections.ensure(agency, new.collection)
            self._seen.add((agency, new.collection))
        booking_id = str(uuid.uuid4())
        by_id = {photo.photo_id: photo for photo in (_photo(booking_id, wanted) for wanted in new.photos)}
        booking = Booking(
            agency=agency,
            collection=new.collection,
            booking_id=booking_id,
            booking_number=new.booking_number,
            subject_id=new.subject_id,
            booked_at=new.booked_at.astimezone(UTC),
            state=BookingState.AWAITING_PHOTO,
            created_at=now(),
            fields=new.fields,
            photos=tuple(by_id.values()),
        )
        try:
            self.catalog.register(booking, claim)
        except Conflict:
            # The same request may have won the race for its own claim a moment ago.
            if claim and (earlier := claim.earlier_result(self.catalog.table)):
                return self._registered(self.catalog.expect(agency, earlier))
            raise
        return self._registered(booking)

    def add_photo(self, agency: str, booking_id: str, wanted: NewPhoto) -> Expected:
        """A link for one more photo, or for one that has not arrived; no link for one that has.

        Raises ``NotFound``; ``Conflict`` when the booking is full or being deleted, or its collection is.
        """
        booking = self.catalog.expect(agency, booking_id)
        # A registration that failed in its last step has left a booking whose collection may not be there.
        take_back_unless_kept(self.catalog, self.collections, booking)
        photo = _photo(booking_id, wanted)
        there = booking.photo(photo.photo_id)
        if there is None:
            if booking.indexing is not None:
                raise Conflict("The record is of one photo, which came by IndexFaces. Register a booking for others.")
            if len(booking.photos) >= MAX_PHOTOS:
                raise Conflict(FULL)
            self.catalog.add_photo(booking, photo)
            there = photo
        return self._expected(booking, there)

    def change(self, agency: str, booking_id: str, changes: Mapping[str, Any]) -> Booking:
        """Correct members of the record (subject_id, booked_at, disposition, fields). The index follows within seconds.

        Raises ``NotFound``; ``Conflict`` while the booking is deleted.
        """
        self.catalog.change(self.catalog.expect(agency, booking_id), changes)
        return self.catalog.expect(agency, booking_id)

    def delete(self, agency: str, booking_id: str) -> Booking:
        """Begin the deletion: no search returns the booking any more, and photos and templates go within seconds.

        Deleting again is the same deletion. Raises ``NotFound``.
        """
        booking = self.catalog.expect(agency, booking_id)
        self.catalog.mark_deleting(booking)
        return replace(booking, state=BookingState.DELETING)

    def _registered(self, booking: Booking) -> tuple[Booking, tuple[Expected, ...]]:
        take_back_unless_kept(self.catalog, self.collections, booking)
        return booking, tuple(self._expected(booking, photo) for photo in booking.photos)

    def _expected(self, booking: Booking, photo: Photo) -> Expected:
        if photo.state not in _OPEN or photo.content_type is None:
            return Expected(photo, None)
        return Expected(
            photo, storage.upload_link(self.bucket, str(booking.key_of(photo.photo_id)), photo.content_type)
        )


def _photo(booking_id: str, wanted: NewPhoto) -> Photo:
    return Photo(
        photo_id=photo_id(booking_id, wanted.sha256),
        view=wanted.view,
        state=PhotoState.AWAITING_UPLOAD,
        content_type=wanted.content_type,
        expected_sha256=wanted.sha256,
    )
