"""Bookings and their photos, as records. What the gallery table holds of them: ``items``; reads and writes: ``catalog``."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from candid.gallery.photos import PhotoKey

MAX_PHOTOS: Final = 8
"""Of one booking."""


class View(enum.StrEnum):
    """What a booking photo shows (ANSI/NIST-ITL Type-10 calls it the subject's pose)."""

    FRONTAL = "frontal"
    LEFT_PROFILE = "left_profile"
    RIGHT_PROFILE = "right_profile"
    OTHER = "other"


class Disposition(enum.StrEnum):
    """How a booking ended."""

    PENDING = "pending"
    NOT_CHARGED = "not_charged"
    DISMISSED = "dismissed"
    ACQUITTED = "acquitted"
    CONVICTED = "convicted"
    EXPUNGED = "expunged"


class BookingState(enum.StrEnum):
    """Where a booking stands, which follows from its photos. ERASED leaves a record without a person in it."""

    AWAITING_PHOTO = "awaiting_photo"
    RECEIVED = "received"
    ENROLLED = "enrolled"
    REJECTED = "rejected"
    DELETING = "deleting"
    ERASED = "erased"


GONE_STATES: Final = frozenset({BookingState.DELETING, BookingState.ERASED})


class PhotoState(enum.StrEnum):
    """Where a photo stands. REMOVED: it was enrolled or rejected, and somebody deleted the object."""

    AWAITING_UPLOAD = "awaiting_upload"
    RECEIVED = "received"
    ENROLLED = "enrolled"
    REJECTED = "rejected"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Face:
    """A face of a photo that can be searched. ``box`` is left, top, width and height as shares of the upright photo's width and
    height (a face that the frame cuts may lie beyond 0 and 1), ``confidence`` the detector's, 0 to 1; None where an earlier
    Candid did not keep them."""

    face_id: str
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Indexing:
    """How a photo is enrolled that is no booking's but came by IndexFaces: each face of it that passes ``quality_filter``, at
    most ``max_faces`` of them (None: all), the largest first."""

    external_image_id: str | None = None
    max_faces: int | None = None
    quality_filter: str = "AUTO"


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a booking. ``reasons`` and ``quality`` are as the API shows them; ``face_ids`` are all ids that the index may
    hold for it, ``faces`` those that it should hold; ``deleted`` are ids of faces that somebody deleted, so that they are not
    enrolled again; ``late`` are ids of faces that a worker wrote or erased after its lease was over, so that the index may hold
    them or not, whatever the rest says; ``sequencer`` is the newest hint that the record has followed; ``held_until`` is when the
    lease of the worker that has it ends (seconds since 1970); ``request_id`` is that of the request (or event) that announced
    it."""

    photo_id: str
    view: View
    state: PhotoState
    content_type: str | None = None
    expected_sha256: str | None = None
    sha256: str | None = None
    version_id: str | None = None
    model: str | None = None
    faces: tuple[Face, ...] = ()
    face_ids: frozenset[str] = frozenset()
    deleted: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    reason: str | None = None
    sentence: str | None = None
    reasons: Sequence[Mapping[str, Any]] = ()
    quality: Mapping[str, Any] | None = None
    announced: bool = False
    sequencer: str | None = None
    updated_at: datetime | None = None
    held_until: float | None = None
    request_id: str | None = None

    @property
    def face_id(self) -> str | None:
        """The id of its face, of several the largest's; None where it has none that can be searched."""
        return self.faces[0].face_id if self.faces else None

    @property
    def stand(self) -> frozenset[str]:
        """The ids of the faces that the index should hold."""
        return frozenset(face.face_id for face in self.faces)


@dataclass(frozen=True, slots=True)
class Booking:
    """An arrest's record. Number, subject and date are None for photos that were dropped without their fields, and for one that
    came by IndexFaces, which has ``indexing`` instead."""

    agency: str
    collection: str
    booking_id: str
    booking_number: str | None
    subject_id: str | None
    booked_at: datetime | None
    state: BookingState
    created_at: datetime
    disposition: Disposition = Disposition.PENDING
    fields: Mapping[str, str] = field(default_factory=dict)
    photos: tuple[Photo, ...] = ()
    revision: int = 0
    change: str | None = None
    changed_at: datetime | None = None
    change_request_id: str | None = None
    indexing: Indexing | None = None

    @property
    def labels(self) -> tuple[str, datetime] | None:
        """Subject and date as the index has them beside a template; None for a record that is not complete. Of a photo that
        came by IndexFaces nobody knows the subject, and its date is when it came."""
        if self.indexing is not None:
            return self.booking_id, self.created_at
        if self.subject_id is None or self.booked_at is None:
            return None
        return self.subject_id, self.booked_at

    def key_of(self, photo_id: str) -> PhotoKey:
        """Where the photo lies."""
        return PhotoKey(self.agency, self.collection, self.booking_id, photo_id)

    def photo(self, photo_id: str) -> Photo | None:
        """The photo with this id, if the booking has it."""
        return next((photo for photo in self.photos if photo.photo_id == photo_id), None)


def state_of(photos: Sequence[Photo]) -> BookingState:
    """A booking's state by its photos: searchable beats waiting beats rejected."""
    states = {photo.state for photo in photos}
    if PhotoState.ENROLLED in states:
        return BookingState.ENROLLED
    if PhotoState.RECEIVED in states:
        return BookingState.RECEIVED
    return BookingState.REJECTED if PhotoState.REJECTED in states else BookingState.AWAITING_PHOTO
