"""Photos that were dropped straight into the bucket: their fields come as object metadata, their agency from the key alone.

``booking-number``, ``subject-id`` and ``booked-at`` make a booking; ``view`` says what the photo shows; any other name is a
field of the agency's own. A drop without usable metadata still gets a record (a booking without a number), so that its photo
is rejected where a clerk can see it, and a better drop under the same key completes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from candid.errors import Conflict, DependencyUnavailable
from candid.gallery.booking import Booking, BookingState, Photo, PhotoState, View
from candid.gallery.catalog import Catalog
from candid.gallery.collections import Collections
from candid.gallery.dissolution import take_back_unless_kept
from candid.gallery.fields import BookedAt, Fields, Label
from candid.gallery.outcome import Rejection
from candid.gallery.photos import PhotoKey
from candid.tables import now

MISSING: Final = "METADATA_MISSING"
INVALID: Final = "METADATA_INVALID"
MISMATCH: Final = "METADATA_MISMATCH"
NUMBER_TAKEN: Final = "BOOKING_NUMBER_TAKEN"
REASONS: Final = frozenset({MISSING, INVALID, MISMATCH, NUMBER_TAKEN})
"""Rejections that rest on the booking's record as well as on the photo, and can end when the record changes."""

_OWN: Final = ("booking-number", "subject-id", "booked-at", "view")


@dataclass(frozen=True, slots=True)
class DropFields:
    """What a drop's metadata says of its booking. ``booked_at`` is timezone-aware."""

    booking_number: str
    subject_id: str
    booked_at: datetime
    view: View
    fields: Mapping[str, str]


class _Drop(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    booking_number: Label = Field(alias="booking-number")
    subject_id: Label = Field(alias="subject-id")
    booked_at: BookedAt = Field(alias="booked-at")
    view: View = View.FRONTAL
    fields: Fields


def read_fields(metadata: Mapping[str, str]) -> DropFields | Rejection:
    """The metadata as a booking's members, bounded as the API's are, or what is wrong with it. Never holds what was sent."""
    try:
        told = {name: _decoded(value) for name, value in metadata.items()}
    except (HeaderParseError, LookupError, UnicodeError):
        return Rejection(INVALID, "The photo's metadata is in no encoding that can be read. Drop it again with UTF-8.")
    own: dict[str, Any] = {name: told[name] for name in _OWN if told.get(name)}
    own["fields"] = {name: value for name, value in told.items() if name not in _OWN}
    missing = [name for name in _OWN[:3] if name not in own]
    if missing:
        return Rejection(
            MISSING, f"The photo was dropped without {_listed(missing)}. Drop it again with that as object metadata."
        )
    try:
        drop = _Drop.model_validate(own)
    except ValidationError as error:
        place = str(error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"][0])
        return Rejection(INVALID, _SENTENCES.get(place, _SENTENCES["fields"]))
    return DropFields(drop.booking_number, drop.subject_id, drop.booked_at, drop.view, drop.fields)


_LABEL: Final = "must be 1 to 128 printable characters. Drop the photo again with it as object metadata."
_SENTENCES: Final = {
    "booking-number": f"booking-number {_LABEL}",
    "subject-id": f"subject-id {_LABEL}",
    "booked-at": "booked-at must be a date and time with an offset, between 1900 and tomorrow, such as "
    "2026-03-01T10:00:00-08:00. Drop the photo again with it as object metadata.",
    "view": f"view must be {', '.join(View)}. Drop the photo again with one of these, or without it.",
    "fields": "The agency's own metadata must be at most 32 names of a-z, 0-9, _ and -, with texts of at most 1,024 "
    "characters. Drop the photo again with fewer or shorter ones.",
}


@dataclass(frozen=True, slots=True)
class Adoption:
    """Records for dropped photos, made or completed from their metadata."""

    catalog: Catalog
    collections: Collections

    def adopt_booking(self, key: PhotoKey, metadata: Mapping[str, str]) -> None:
        """Make the record of a booking that has none, with this photo. Does nothing if another worker just did."""
        try:
            self.collections.ensure(key.agency, key.collection)
        except Conflict as error:
            # What was dropped into a collection that is being deleted waits until that is done.
            raise DependencyUnavailable(str(error)) from None
        told = read_fields(metadata)
        view = told.view if isinstance(told, DropFields) else View.FRONTAL
        photo = Photo(key.photo_id, view, PhotoState.AWAITING_UPLOAD)
        bare = Booking(
            agency=key.agency,
            collection=key.collection,
            booking_id=key.booking_id,
            booking_number=None,
            subject_id=None,
            booked_at=None,
            state=BookingState.AWAITING_PHOTO,
            created_at=now(),
            photos=(photo,),
        )
        if isinstance(told, DropFields):
            try:
                self.catalog.register(_named(bare, told))
                self._still(bare)
                return
            except Conflict:
                pass  # The number is another booking's, or another worker has made this one; the next line tells.
        try:
            self.catalog.register(bare)
        except Conflict:
            return
        self._still(bare)

    def _still(self, booking: Booking) -> None:
        try:
            take_back_unless_kept(self.catalog, self.collections, booking)
        except Conflict as error:
            raise DependencyUnavailable(str(error)) from None

    def adopt_photo(self, booking: Booking, key: PhotoKey, metadata: Mapping[str, str]) -> None:
        """Add the photo to its booking. Raises ``BookingFull``; ``Conflict`` while the booking is deleted."""
        try:
            view = View(metadata.get("view", View.FRONTAL))
        except ValueError:
            view = View.OTHER
        self.catalog.add_photo(booking, Photo(key.photo_id, view, PhotoState.AWAITING_UPLOAD))

    def complete(self, booking: Booking, metadata: Mapping[str, str]) -> Booking | Rejection:
        """The booking with number, subject and date, from its record or else from the photo's metadata.

        A number is never changed: metadata that names another one contradicts the key, and the photo is not enrolled.
        """
        if booking.booking_number is None or booking.subject_id is None or booking.booked_at is None:
            told = read_fields(metadata)
            if isinstance(told, Rejection):
                return told
            completed = self.catalog.complete(_named(booking, told))
            if completed is None:
                return Rejection(
                    NUMBER_TAKEN,
                    "Another booking of this collection has the photo's booking number. "
                    "Drop the photo under that booking's key, or again with its own number.",
                )
            return completed
        number = metadata.get("booking-number")
        if number is not None and not _names(number, booking.booking_number):
            return Rejection(
                MISMATCH,
                "The photo's metadata names another booking number than the booking that its key names. "
                "Drop the photo under the key of its own booking.",
            )
        return booking


def _named(booking: Booking, told: DropFields) -> Booking:
    return Booking(
        agency=booking.agency,
        collection=booking.collection,
        booking_id=booking.booking_id,
        booking_number=told.booking_number,
        # What a clerk has corrected since stands.
        subject_id=booking.subject_id or told.subject_id,
        booked_at=booking.booked_at or told.booked_at,
        state=booking.state,
        created_at=booking.created_at,
        disposition=booking.disposition,
        fields=booking.fields or told.fields,
        photos=booking.photos,
        revision=booking.revision,
        change=booking.change,
    )


def _decoded(value: str) -> str:
    """S3 hands out metadata that is not ASCII as RFC 2047 words."""
    return str(make_header(decode_header(value))) if "=?" in value else value


def _names(value: str, number: str) -> bool:
    try:
        return _decoded(value) == number
    except (HeaderParseError, LookupError, UnicodeError):
        return False


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
