"""Which booking and photo an object's key stands for: known, dropped just now, erased long ago, or none that can be enrolled.

Not here: what is on the photo (``enrolment``).
"""

from __future__ import annotations

from dataclasses import dataclass

from candid import storage
from candid.errors import Conflict
from candid.gallery import strays
from candid.gallery.adoption import Adoption
from candid.gallery.booking import GONE_STATES, Booking, Photo
from candid.gallery.catalog import BookingFull, Catalog
from candid.gallery.erasure import Erasure
from candid.gallery.outcome import Kind, Outcome
from candid.gallery.photos import PhotoKey
from candid.gallery.progress import RecordMoved
from candid.gallery.strays import Strays


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The use case over bucket and table."""

    catalog: Catalog
    adoption: Adoption
    erasure: Erasure
    strays: Strays
    bucket: str

    def find(self, key: PhotoKey, until: float) -> tuple[Booking, Photo] | Outcome | None:
        """The booking and the photo, made if they were dropped; an outcome if there is nothing to enrol; None to look again."""
        booking = self.catalog.get(key.agency, key.booking_id)
        if booking is not None and booking.state in GONE_STATES:
            self.erasure.erase(key.agency, key.booking_id, until)
            self.erasure.erase_late_copy(key)
            return Outcome(Kind.ERASED)
        photo = booking.photo(key.photo_id) if booking and booking.collection == key.collection else None
        if booking is not None and photo is not None:
            return booking, photo
        metadata = storage.read_metadata(self.bucket, str(key))
        if metadata is None:
            if booking is not None:
                self.strays.forget(key)
            return Outcome(Kind.NOTHING)
        if booking is None:
            self.adoption.adopt_booking(key, metadata)
        elif booking.collection != key.collection:
            return self._stray(key, strays.COLLECTION_MISMATCH)
        elif booking.indexing is not None:
            return self._stray(key, strays.INDEXED_IMAGE)
        else:
            try:
                self.adoption.adopt_photo(booking, key, metadata)
            except BookingFull:
                return self._stray(key, strays.TOO_MANY_PHOTOS)
            except Conflict:
                return None
        booking = self.catalog.get(key.agency, key.booking_id)
        photo = booking.photo(key.photo_id) if booking and booking.collection == key.collection else None
        return (booking, photo) if booking and photo else None

    def _stray(self, key: PhotoKey, reason: str) -> Outcome | None:
        try:
            self.strays.photo(key, reason)
        except RecordMoved:
            return None
        return Outcome(Kind.REJECTED, reason)
