"""Walking over all records of the gallery table, of every agency, and comparing their photos with an index."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from candid.gallery.booking import GONE_STATES, Booking, Photo, PhotoState
from candid.gallery.catalog import Catalog
from candid.gallery.collections import Collection, Collections, collection_ref
from candid.gallery.index import Partition, VectorIndex
from candid.gallery.items import booking_ref
from candid.gallery.photos import PhotoKey
from candid.gallery.upkeep.pages import partitions_with
from candid.gallery.users import User, Users, user_ref
from candid.together import at_once


@dataclass(frozen=True, slots=True)
class Page:
    """Some bookings, collections and users, in no order, and where the next page begins; None at the end."""

    bookings: list[Booking]
    collections: list[Collection]
    users: list[User]
    after: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Records:
    """The gallery table, read consistently. Every method raises ``DependencyUnavailable``."""

    catalog: Catalog

    def page(self, after: Mapping[str, str] | None) -> Page:
        """The page that begins at ``after``; None begins. Each record is as it was after its page was read; one that is written
        for the first time during the walk may be left out."""
        found, last = partitions_with(self.catalog.table, ("BOOKING", "COLLECTION", "USER"), after)
        bookings = self.get(ref for pk in found if (ref := booking_ref(pk)))
        known = Collections(self.catalog.table)
        collections = at_once(lambda ref: known.get(*ref), [ref for pk in found if (ref := collection_ref(pk))])
        users = self.users(user for pk in found if (user := user_ref(pk)))
        return Page(bookings, [one for one in collections if one is not None], users, last)

    def get(self, refs: Iterable[tuple[str, str]]) -> list[Booking]:
        """The bookings of these agencies and ids that exist, as they are now."""
        found = at_once(lambda ref: self.catalog.get(*ref), list(refs))
        return [booking for booking in found if booking is not None]

    def users(self, refs: Iterable[tuple[str, str, str]]) -> list[User]:
        """The users of these agencies, collections and ids that exist, as they are now."""
        known = Users(self.catalog.table)
        found = at_once(lambda ref: known.get(*ref), list(refs))
        return [user for user in found if user is not None]

    def remind_of(self, user: User) -> None:
        """Let the table's stream bring the user once more."""
        Users(self.catalog.table).remind(user.agency, user.collection, user.user_id)


def enrolled(bookings: Iterable[Booking]) -> Iterator[tuple[Booking, Photo]]:
    """The photos whose faces an index is to hold."""
    for booking in bookings:
        if booking.state not in GONE_STATES:
            for photo in booking.photos:
                if photo.state is PhotoState.ENROLLED and photo.faces:
                    yield booking, photo


def is_held(photo: Photo, now: float | None = None) -> bool:
    """Whether a worker is at the photo: then its row and the indexes may differ, and it will make them agree."""
    return photo.held_until is not None and photo.held_until > (time.time() if now is None else now)


def absent(index: VectorIndex, photos: Iterable[tuple[Booking, Photo]]) -> list[PhotoKey]:
    """Those of the enrolled ``photos`` whose face ``index`` does not hold, or not with the record's labels."""
    by_partition: dict[Partition, list[tuple[Booking, Photo]]] = {}
    for booking, photo in photos:
        by_partition.setdefault(Partition(booking.agency, booking.collection), []).append((booking, photo))
    found: list[PhotoKey] = []
    for partition, here in by_partition.items():
        wanted = [UUID(face.face_id) for _, photo in here for face in photo.faces]
        held = {entry.id: entry for entry in index.get(partition, wanted)}
        for booking, photo in here:
            labels = (booking.booking_id, *(booking.labels or ()))
            entries = [held.get(UUID(face.face_id)) for face in photo.faces]
            if any(one is None or (one.booking_id, one.subject_id, one.booked_at) != labels for one in entries):
                found.append(booking.key_of(photo.photo_id))
    return found
