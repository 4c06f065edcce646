"""Photos that lie where no enrolment is possible: a key of another form, another collection than the booking's, a ninth photo,
beside an image that came by IndexFaces.

Each gets a small record and one ``PhotoRejected`` event. A stray that names a booking is recorded in the booking's partition, so
that an erasure finds its object too. A key of another form may itself tell who is on the photo: its SHA-256 stands for it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from botocore.exceptions import ClientError

from candid import aws, events
from candid.aws import dependency
from candid.gallery.catalog import FULL
from candid.gallery.items import GONE, booking_pk, rows
from candid.gallery.photos import PhotoKey
from candid.gallery.progress import RecordMoved
from candid.gallery.transaction import put_new, write_all
from candid.tables import cancelled_by, is_condition_failure, key, now, timestamp, to_item

KEY_NOT_RECOGNISED: Final = "KEY_NOT_RECOGNISED"
COLLECTION_MISMATCH: Final = "COLLECTION_MISMATCH"
TOO_MANY_PHOTOS: Final = "TOO_MANY_PHOTOS"
INDEXED_IMAGE: Final = "INDEXED_IMAGE"
_SENTENCES: Final = {
    KEY_NOT_RECOGNISED: "The object's key is not <agency>/<collection>/<booking_id>/<photo_id> with lower-case UUIDs. "
    "Drop the photo under such a key.",
    COLLECTION_MISMATCH: "The photo lies under another collection than its booking. Drop it under the booking's own.",
    TOO_MANY_PHOTOS: FULL,
    INDEXED_IMAGE: "The photo lies where an image of IndexFaces does, which is one alone. Drop it under a booking's own key.",
}
_UNKNOWN_KEPT_SECONDS: Final = 90 * 24 * 3600
_ANNOUNCED: Final = "SET announced = :yes"


@dataclass(frozen=True, slots=True)
class Strays:
    """Records of strays in the gallery table, and their events."""

    table: str
    bus: str

    def unknown_key(self, text: str) -> None:
        """Record a key of another form, once, and say so once. The record goes after ninety days."""
        digest = sha256(text.encode()).hexdigest()
        place = key(f"STRAY#{digest}", "STRAY")
        item = {
            "pk": f"STRAY#{digest}",
            "sk": "STRAY",
            **_about(KEY_NOT_RECOGNISED),
            "expires_at": int(time.time()) + _UNKNOWN_KEPT_SECONDS,
        }
        try:
            with dependency("the gallery table"):
                aws.dynamodb().put_item(
                    TableName=self.table, Item=to_item(item), ConditionExpression="attribute_not_exists(pk)"
                )
        except ClientError as error:
            if not is_condition_failure(error):
                raise
        self._announce(place, events.PhotoRejected(KEY_NOT_RECOGNISED, key_sha256=digest))

    def knows_key(self, text: str) -> bool:
        """Whether a key of another form is recorded."""
        digest = sha256(text.encode()).hexdigest()
        with dependency("the gallery table"):
            told = aws.dynamodb().get_item(
                TableName=self.table, Key=key(f"STRAY#{digest}", "STRAY"), ConsistentRead=True
            )
        return "Item" in told

    def photo(self, where: PhotoKey, reason: str) -> None:
        """Record a photo that its booking can't take, once, and say so once. Raises ``RecordMoved`` if the booking is deleted
        meanwhile: its erasure would not find a record written later."""
        pk = booking_pk(where.agency, where.booking_id)
        item = {
            "pk": pk,
            "sk": _sort_key(where),
            "collection": where.collection,
            "photo_id": where.photo_id,
            **_about(reason),
        }
        check = {
            "TableName": self.table,
            "Key": key(pk, "BOOKING"),
            "ConditionExpression": "attribute_exists(pk) AND NOT #state IN (:deleting, :erased)",
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": GONE,
        }
        try:
            write_all([{"ConditionCheck": check}, put_new(self.table, item)])
        except ClientError as error:
            failed = cancelled_by(error)
            if not any(failed):
                raise
            if failed[0]:
                raise RecordMoved from None
        self._announce(
            key(pk, _sort_key(where)),
            events.PhotoRejected(reason, where.agency, where.collection, where.booking_id, where.photo_id),
        )

    def of_booking(self, agency: str, booking_id: str) -> Sequence[PhotoKey]:
        """Where the booking's strays lie."""
        found = rows(self.table, agency, booking_id, "STRAY#")
        return [PhotoKey(agency, item["collection"], booking_id, item["photo_id"]) for item in found]

    def forget(self, where: PhotoKey) -> None:
        """The object is gone; its record goes too."""
        with dependency("the gallery table"):
            aws.dynamodb().delete_item(
                TableName=self.table, Key=key(booking_pk(where.agency, where.booking_id), _sort_key(where))
            )

    def _announce(self, place: Any, event: events.PhotoRejected) -> None:
        with dependency("the gallery table"):
            item = aws.dynamodb().get_item(TableName=self.table, Key=place, ConsistentRead=True).get("Item")
        if item is None or "announced" in item:
            return
        events.publish(self.bus, event)
        try:
            with dependency("the gallery table"):
                aws.dynamodb().update_item(
                    TableName=self.table,
                    Key=place,
                    UpdateExpression=_ANNOUNCED,
                    ConditionExpression="attribute_exists(pk)",
                    ExpressionAttributeValues={":yes": {"BOOL": True}},
                )
        except ClientError as error:
            if not is_condition_failure(error):
                raise


def _sort_key(where: PhotoKey) -> str:
    return f"STRAY#{where.collection}#{where.photo_id}"


def _about(reason: str) -> dict[str, str]:
    return {"reason": reason, "sentence": _SENTENCES[reason], "at": timestamp(now())}
