"""Erasing a booking: index, users' templates, then every object version, then check all, then the record. The tombstone came
first.

Each step can be done again, and the booking's CHANGE note goes last: a kill anywhere heals when the stream, or any late event
of one of its photos, comes again. What stays for ninety days is a record without a person in it, so that a late copy of a photo
finds its booking erased and is erased too, instead of being enrolled as new.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from candid import events, storage
from candid.errors import DependencyUnavailable
from candid.gallery.booking import Booking, BookingState
from candid.gallery.catalog import Catalog
from candid.gallery.fusion import Fusion
from candid.gallery.index import Partition
from candid.gallery.indexes import Indexes
from candid.gallery.items import booking_pk, image_pk, number_pk, photo_sk
from candid.gallery.photos import PhotoKey
from candid.gallery.progress import Lease, PhotoBusy, Progress
from candid.gallery.strays import Strays
from candid.gallery.transaction import write_all
from candid.tables import cancelled_by, key, now, timestamp, to_item

STUB_KEPT_SECONDS: Final = 90 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Erasure:
    """The use case over all three stores."""

    catalog: Catalog
    progress: Progress
    strays: Strays
    indexes: Indexes
    fusion: Fusion
    bucket: str
    bus: str

    def erase(self, agency: str, booking_id: str, until: float) -> None:
        """Carry a tombstoned booking's deletion to its end; ``until`` is the worker's deadline (seconds since 1970).

        Raises ``PhotoBusy`` while another worker holds one of its photos, ``DependencyUnavailable`` when something stays.
        """
        held: list[Lease] = []
        try:
            booking = self._hold(agency, booking_id, until, held)
            if booking is not None and booking.state is BookingState.DELETING:
                self._erase(booking, held[0].owner if held else "", until)
        except Exception:
            for lease in held:
                with suppress(DependencyUnavailable, ClientError):
                    self.progress.release(lease)
            raise
        booking = self.catalog.get(agency, booking_id)
        # The note is still there: the event may not have gone out.
        if booking is not None and booking.state is BookingState.ERASED and booking.change:
            events.publish(self.bus, events.BookingErased(agency, booking.collection, booking_id))
            self.catalog.forget_change(booking)

    def erase_late_copy(self, where: PhotoKey) -> None:
        """What reached the bucket after its booking's erasure goes as well."""
        storage.erase(self.bucket, where.booking_prefix)

    def _hold(self, agency: str, booking_id: str, until: float, held: list[Lease]) -> Booking | None:
        """The booking as it stands once no other worker holds any of its photos."""
        owner = str(uuid.uuid4())
        for _ in self.progress.turns():
            booking = self.catalog.get(agency, booking_id)
            if booking is None or booking.state is not BookingState.DELETING:
                return booking
            # All workers take a booking's photos in one order, so no two hold what the other waits for.
            for photo in booking.photos:
                lease = self.progress.take(booking.key_of(photo.photo_id), photo, owner, until, work=False)
                if lease is None:
                    break
                held.append(lease)
            else:
                return self.catalog.get(agency, booking_id)
        raise PhotoBusy("Another worker holds a photo of the booking.")

    def _erase(self, booking: Booking, owner: str, until: float) -> None:
        partition, users = Partition(booking.agency, booking.collection), self.fusion.users
        place = booking.agency, booking.collection
        ids = [uuid.UUID(face) for photo in booking.photos for face in sorted(photo.face_ids | photo.late)]
        strays = self.strays.of_booking(booking.agency, booking.booking_id)
        prefixes = {f"{booking.agency}/{booking.collection}/{booking.booking_id}/"}
        prefixes |= {stray.booking_prefix for stray in strays}
        if ids:
            known_as = users.let_go(*place, map(str, ids))
            self.indexes.erase(partition, ids)
            # What was fused of these faces is as much of theirs.
            for user_id in sorted(known_as):
                self.fusion.make(*place, user_id, until)
        for prefix in sorted(prefixes):
            storage.erase(self.bucket, prefix)
        left = bool(ids) and (self.indexes.holds(partition, ids) or bool(users.owners(*place, map(str, ids))))
        if left or not all(storage.is_empty(self.bucket, prefix) for prefix in sorted(prefixes)):
            raise DependencyUnavailable("Not everything of a booking is erased yet. Try again in a minute.")
        for stray in strays:
            self.strays.forget(stray)
        self._replace_record(booking, owner)

    def _replace_record(self, booking: Booking, owner: str) -> None:
        pk = booking_pk(booking.agency, booking.booking_id)
        stub = {
            "pk": pk,
            "sk": "BOOKING",
            "agency": booking.agency,
            "collection": booking.collection,
            "booking_id": booking.booking_id,
            "state": BookingState.ERASED.value,
            "created_at": timestamp(booking.created_at),
            "erased_at": timestamp(now()),
            "expires_at": int(time.time()) + STUB_KEPT_SECONDS,
        }
        table = self.catalog.table
        writes: list[Any] = [
            {
                "Put": {
                    "TableName": table,
                    "Item": to_item(stub),
                    "ConditionExpression": "#state = :deleting",
                    "ExpressionAttributeNames": {"#state": "state"},
                    "ExpressionAttributeValues": {":deleting": {"S": BookingState.DELETING.value}},
                }
            }
        ]
        writes += [self._delete(key(pk, photo_sk(p.photo_id)), "lease_owner = :it", owner) for p in booking.photos]
        if booking.booking_number is not None:
            number = key(number_pk(booking.agency, booking.collection, booking.booking_number), "NUMBER")
            writes.append(self._delete(number, "attribute_not_exists(pk) OR booking_id = :it", booking.booking_id))
        if booking.indexing is not None:
            for photo in booking.photos:
                image = key(image_pk(booking, photo), "IMAGE")
                writes.append(self._delete(image, "attribute_not_exists(pk) OR booking_id = :it", booking.booking_id))
        try:
            write_all(writes)
        except ClientError as error:
            failed: Sequence[bool] = cancelled_by(error)
            if not any(failed):
                raise
            raise PhotoBusy("Another worker took a photo of the booking over.") from None

    def _delete(self, item: Any, condition: str, value: str) -> Any:
        return {
            "Delete": {
                "TableName": self.catalog.table,
                "Key": item,
                "ConditionExpression": condition,
                "ExpressionAttributeValues": {":it": {"S": value}},
            }
        }
