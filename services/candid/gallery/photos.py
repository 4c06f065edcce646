"""A photo's place: its key in the bucket, its id, and the id of the face in it."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from candid.access.principal import AGENCY

COLLECTION: Final = re.compile(r"[a-zA-Z0-9_.\-]{1,255}")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_FACES: Final = UUID("6f1d0a52-6a0c-5a61-9b9e-2d2f6d1b8c11")
_PHOTOS: Final = UUID("c8a0a4f6-5a0e-5b3f-8f0b-0d6f2c6a9e57")


@dataclass(frozen=True, slots=True)
class PhotoKey:
    """Where a photo lies: ``<agency>/<collection>/<booking_id>/<photo_id>``. The ids are opaque, so keys tell nothing."""

    agency: str
    collection: str
    booking_id: str
    photo_id: str

    def __str__(self) -> str:
        return f"{self.agency}/{self.collection}/{self.booking_id}/{self.photo_id}"

    @property
    def booking_prefix(self) -> str:
        """What the keys of all photos of the booking begin with."""
        return f"{self.agency}/{self.collection}/{self.booking_id}/"

    @classmethod
    def parse(cls, key: str) -> PhotoKey | None:
        """The place that ``key`` names; None for a key of another form."""
        parts = key.split("/")
        if len(parts) != 4:
            return None
        agency, collection, booking_id, photo_id = parts
        if not (AGENCY.fullmatch(agency) and COLLECTION.fullmatch(collection)):
            return None
        if not (_UUID.fullmatch(booking_id) and _UUID.fullmatch(photo_id)):
            return None
        return cls(agency, collection, booking_id, photo_id)

    def face_id(self, sha256: str, place: int) -> UUID:
        """The id of a face: the same photo in its place is the same face, however often it arrives (UUIDv5).

        ``sha256`` is the photo's, hexadecimal; ``place`` is the face's index in it, 0 for the booking's one face. The photo's
        id is part of it, so that one row alone owns a face: else replacing one photo could take the face from another that
        has the same bytes. (That such a twin is not enrolled is ``enrolment``'s rule.)
        """
        return uuid.uuid5(_FACES, "\0".join((str(self), sha256, str(place))))


def photo_id(booking_id: str, sha256: str | None) -> str:
    """A photo's id: derived where its bytes' digest is known beforehand, so that asking twice is one photo; else random."""
    return str(uuid.uuid5(_PHOTOS, f"{booking_id}\0{sha256}")) if sha256 else str(uuid.uuid4())
