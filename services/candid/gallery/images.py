"""Photos that come by IndexFaces: a record of their own each, and the photo in the bucket, whose event enrols the faces.

The same bytes under the same ExternalImageId are one record, however often they come. Not here: which faces are taken
(``faces.filters``) or how they are enrolled (``enrolment``)."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from candid import storage
from candid.errors import Conflict, DependencyUnavailable, NotFound
from candid.faces import filters
from candid.gallery.booking import Booking, BookingState, Indexing, Photo, PhotoState, View
from candid.gallery.catalog import Catalog
from candid.gallery.collections import NO_SUCH_COLLECTION, Collection, Collections, CollectionState
from candid.gallery.photos import photo_id
from candid.tables import now

_LENIENCE: Final = {filters.NONE: 0, filters.LOW: 1, "AUTO": 2, "MEDIUM": 2, filters.HIGH: 3}
_TURNS: Final = 5
_SETTLED: Final = frozenset({PhotoState.ENROLLED, PhotoState.REJECTED})


@dataclass(frozen=True, slots=True)
class Images:
    """The use case over one gallery table and one photos bucket."""

    catalog: Catalog
    collections: Collections
    bucket: str
    clock: Callable[[], float] = field(default=time.monotonic)
    sleep: Callable[[float], None] = field(default=time.sleep)

    def take(
        self, collection: Collection, data: bytes, content_type: str, indexing: Indexing, places: Sequence[int]
    ) -> Booking:
        """Keep a photo whose faces are to be enrolled by ``indexing``, those at ``places`` among them; its record, with the one
        photo.

        Of one that is there already faces are enrolled that an earlier call left out or somebody deleted; none that it took
        goes. Raises ``NotFound`` where the collection was deleted meanwhile, ``Conflict`` while the photo is;
        ``DependencyUnavailable``."""
        digest = sha256(data).hexdigest()
        for _ in range(_TURNS):
            booking_id = str(uuid.uuid4())
            photo = Photo(
                photo_id(booking_id, digest),
                View.OTHER,
                PhotoState.AWAITING_UPLOAD,
                content_type=content_type,
                expected_sha256=digest,
            )
            new = Booking(
                agency=collection.agency,
                collection=collection.name,
                booking_id=booking_id,
                booking_number=None,
                subject_id=None,
                booked_at=None,
                state=BookingState.AWAITING_PHOTO,
                created_at=now(),
                photos=(photo,),
                indexing=indexing,
            )
            found = self.catalog.find_image(new)
            if found is not None:
                return self._again(collection, found, data, content_type, indexing, places)
            if self.catalog.register_image(new):
                self._put(collection, new, data, content_type)
                return new
            # Another call with the same photo was quicker, or the one that was deleted is not gone yet.
            self.sleep(0.2)
        raise DependencyUnavailable("The same photo is being deleted from the collection. Try again in a minute.")

    def wait(self, booking: Booking, faces: Iterable[str], seconds: float) -> None:
        """Wait until the event has enrolled these faces, or for ``seconds``: then it does so later."""
        end = self.clock() + seconds
        pause = 0.05
        while self.clock() < end:
            current = self.catalog.get(booking.agency, booking.booking_id)
            if current is None:
                return
            photo = current.photos[0] if current.photos else None
            if photo is None or (photo.state in _SETTLED and photo.announced and photo.stand >= set(faces)):
                return
            self.sleep(pause)
            pause = min(0.5, pause * 1.5)

    def _again(
        self,
        collection: Collection,
        found: Booking,
        data: bytes,
        content_type: str,
        indexing: Indexing,
        places: Sequence[int],
    ) -> Booking:
        photo = found.photos[0]
        wanted = _both(found.indexing or indexing, indexing)
        if wanted != found.indexing or photo.deleted:
            self.catalog.index_again(found, wanted)
        elif photo.state is PhotoState.ENROLLED and photo.stand >= set(face_ids(found, places)):
            return found
        # A new version: its event looks at the record as it is now. So does that of a call that ended before it had put one.
        self._put(collection, found, data, content_type)
        return found

    def _put(self, collection: Collection, booking: Booking, data: bytes, content_type: str) -> None:
        storage.put(self.bucket, str(booking.key_of(booking.photos[0].photo_id)), data, content_type)
        self.expect_still(collection, booking)

    def expect_still(self, collection: Collection, booking: Booking) -> None:
        """Raises ``NotFound`` where ``collection`` is not there any more, also if there is one of its name: the deletion may have
        come before the record was written, and not have seen it."""
        current = self.collections.get(collection.agency, collection.name)
        if current is None or current.state is CollectionState.DELETING or current.created_at != collection.created_at:
            with contextlib.suppress(Conflict):
                self.catalog.mark_deleting(booking)
            raise NotFound(NO_SUCH_COLLECTION)


def face_ids(booking: Booking, places: Sequence[int]) -> list[str]:
    """The ids of an image's faces by their places, the largest face's being 0: they follow from the photo."""
    photo = booking.photos[0]
    key = booking.key_of(photo.photo_id)
    return [str(key.face_id(str(photo.expected_sha256), place)) for place in places]


def _both(one: Indexing, other: Indexing) -> Indexing:
    """What takes all that either takes."""
    lenient = min(one, other, key=lambda it: _LENIENCE[it.quality_filter])
    most = None if None in {one.max_faces, other.max_faces} else max(one.max_faces or 0, other.max_faces or 0)
    return Indexing(one.external_image_id, most, lenient.quality_filter)
