"""The gallery table's items of a booking: keys, and records written as items and read back.

Items share a booking's partition: ``BOOKING`` (the record), ``PHOTO#<id>`` (one a photo), ``CHANGE`` (work that the index and
the bucket still have to follow; the table's stream brings it to ``embed``). ``NUMBER`` items hold each booking number once.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from candid import aws
from candid.aws import dependency
from candid.correlation import correlation_id
from candid.gallery.booking import Booking, BookingState, Disposition, Face, Indexing, Photo, PhotoState, View
from candid.tables import Item, from_item, moment, now, timestamp

GONE: Final[dict[str, Any]] = {
    ":deleting": {"S": BookingState.DELETING.value},
    ":erased": {"S": BookingState.ERASED.value},
}


def rows(table: str, agency: str, booking_id: str, beginning: str = "") -> list[Item]:
    """Items of a booking's partition as they stand now (a consistent read): all, or those whose sort keys have this beginning."""
    narrowed = {":beginning": {"S": beginning}} if beginning else {}
    pages = (
        aws.dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=table,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk" + (" AND begins_with(sk, :beginning)" if beginning else ""),
            ExpressionAttributeValues={":pk": {"S": booking_pk(agency, booking_id)}, **narrowed},
        )
    )
    with dependency("the gallery table"):
        return [from_item(item) for page in pages for item in page["Items"]]


def booking_pk(agency: str, booking_id: str) -> str:
    """The partition of a booking's items."""
    return f"B#{agency}#{booking_id}"


def booking_ref(pk: str) -> tuple[str, str] | None:
    """The agency and the booking id whose partition ``pk`` is; None for another partition."""
    parts = pk.split("#")
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "B" else None


def photo_sk(photo_id: str) -> str:
    """The sort key of a photo's item."""
    return f"PHOTO#{photo_id}"


def number_pk(agency: str, collection: str, booking_number: str) -> str:
    return f"N#{agency}#{collection}#{booking_number}"


def image_pk(booking: Booking, photo: Photo) -> str:
    """The partition of the item that knows an image of IndexFaces again: the same bytes under the same ExternalImageId."""
    external = (booking.indexing and booking.indexing.external_image_id) or ""
    mark = sha256(f"{external}\0{photo.expected_sha256}".encode()).hexdigest()
    return f"IMAGE#{booking.agency}#{booking.collection}#{mark}"


def listed_at(booked_at: str, booking_id: str) -> str:
    return f"{booked_at}#{booking_id}"


def booking_item(booking: Booking) -> Item:
    booked_at = timestamp(booking.booked_at) if booking.booked_at else None
    return {
        "pk": booking_pk(booking.agency, booking.booking_id),
        "sk": "BOOKING",
        "agency": booking.agency,
        "collection": booking.collection,
        "booking_id": booking.booking_id,
        "booking_number": booking.booking_number,
        "subject_id": booking.subject_id,
        "booked_at": booked_at,
        "state": booking.state.value,
        "created_at": timestamp(booking.created_at),
        "disposition": booking.disposition.value,
        "fields": dict(booking.fields),
        "indexing": indexing_item(booking.indexing),
        "revision": booking.revision,
        "agency_key": booking.agency,
        "agency_state": f"{booking.agency}#{booking.state}",
        "listed_at": listed_at(booked_at or timestamp(booking.created_at), booking.booking_id),
    }


def photo_item(booking: Booking, photo: Photo) -> Item:
    return {
        "pk": booking_pk(booking.agency, booking.booking_id),
        "sk": photo_sk(photo.photo_id),
        "photo_id": photo.photo_id,
        "view": photo.view.value,
        "state": photo.state.value,
        "content_type": photo.content_type,
        "expected_sha256": photo.expected_sha256,
        "updated_at": timestamp(now()),
        "request_id": correlation_id(),
    }


def booking_of(items: Sequence[Item]) -> Booking | None:
    """The booking that a partition's items make up; None without a ``BOOKING`` item."""
    record = next((item for item in items if item["sk"] == "BOOKING"), None)
    if record is None:
        return None
    note = next((item for item in items if item["sk"] == "CHANGE"), None)
    photos = sorted((photo_of(item) for item in items if item["sk"].startswith("PHOTO#")), key=lambda p: p.photo_id)
    return Booking(
        agency=record["agency"],
        collection=record["collection"],
        booking_id=record["booking_id"],
        booking_number=record.get("booking_number"),
        subject_id=record.get("subject_id"),
        booked_at=moment(record["booked_at"]) if "booked_at" in record else None,
        state=BookingState(record["state"]),
        created_at=moment(record["created_at"]),
        disposition=Disposition(record.get("disposition", "pending")),
        fields=record.get("fields", {}),
        photos=tuple(photos),
        revision=record.get("revision", 0),
        change=note["nonce"] if note else None,
        changed_at=moment(note["at"]) if note else None,
        change_request_id=note.get("request_id") if note else None,
        indexing=_indexing_of(record.get("indexing")),
    )


def photo_of(item: Item) -> Photo:
    """The photo that an item holds."""
    return Photo(
        photo_id=item["photo_id"],
        view=View(item["view"]),
        state=PhotoState(item["state"]),
        content_type=item.get("content_type"),
        expected_sha256=item.get("expected_sha256"),
        sha256=item.get("sha256"),
        version_id=item.get("version_id"),
        model=item.get("model"),
        faces=_faces_of(item),
        face_ids=frozenset(item.get("face_ids", ())),
        deleted=frozenset(item.get("deleted", ())),
        late=frozenset(item.get("late", ())),
        reason=item.get("reason"),
        sentence=item.get("sentence"),
        reasons=item.get("reasons", ()),
        quality=item.get("quality"),
        announced=item.get("announced", False),
        sequencer=item.get("sequencer"),
        updated_at=moment(item["updated_at"]) if "updated_at" in item else None,
        held_until=item["lease_until"] / 1000 if "lease_until" in item else None,
        request_id=item.get("request_id"),
    )


def faces_item(faces: Sequence[Face]) -> list[Item] | None:
    """A photo's faces as its item holds them."""
    return [
        {
            "face_id": face.face_id,
            **({} if face.box is None else {"box": list(face.box)}),
            **({} if face.confidence is None else {"confidence": face.confidence}),
        }
        for face in faces
    ] or None


def _faces_of(item: Item) -> tuple[Face, ...]:
    if "faces" not in item:
        # As an earlier Candid wrote it.
        return (Face(item["face_id"]),) if "face_id" in item else ()
    return tuple(
        Face(
            one["face_id"],
            tuple(float(side) for side in one["box"]) if "box" in one else None,  # type: ignore[arg-type]
            float(one["confidence"]) if "confidence" in one else None,
        )
        for one in item["faces"]
    )


def indexing_item(indexing: Indexing | None) -> Item | None:
    """How an image is indexed, as its record holds it."""
    if indexing is None:
        return None
    told = {
        "external_image_id": indexing.external_image_id,
        "max_faces": indexing.max_faces,
        "quality_filter": indexing.quality_filter,
    }
    return {name: value for name, value in told.items() if value is not None}


def _indexing_of(item: Item | None) -> Indexing | None:
    if item is None:
        return None
    return Indexing(item.get("external_image_id"), item.get("max_faces"), item["quality_filter"])
