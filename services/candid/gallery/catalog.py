"""The gallery table: bookings and their photos, as records. Never a template: backups outlive a deletion.

Items share a booking's partition: ``BOOKING`` (the record), ``PHOTO#<id>`` (one a photo), ``CHANGE`` (work that the index and
the bucket still have to follow; the table's stream brings it to ``embed``). ``NUMBER`` items hold each booking number once.
Not here: how far a photo's enrolment has come (``progress``).
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from candid import aws
from candid.aws import dependency
from candid.correlation import correlation_id
from candid.errors import Conflict, DependencyUnavailable, NotFound
from candid.gallery.photos import PhotoKey
from candid.gallery.transaction import put_new, write_all
from candid.idempotency import Claim
from candid.listing import FIRST, LAST, Listing
from candid.tables import Item, cancelled_by, from_item, is_condition_failure, key, moment, now, timestamp, to_item

MAX_PHOTOS: Final = 8
"""Of one booking."""
FULL: Final = (
    f"The booking has {MAX_PHOTOS} photos already, which is the most that one may have. "
    "Leave this one out, or delete the booking and register it anew with the photos that it needs."
)
NO_SUCH_BOOKING: Final = (
    "There is no such booking, or it is not one that you may see. Look it up with GET /v1/bookings."
)
_BEING_DELETED: Final = "The booking is being deleted. Register it anew once it is gone, if it is still needed."


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


class BookingFull(Conflict):
    """The booking has as many photos as one may have."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a booking. ``reasons`` and ``quality`` are as the API shows them; ``face_ids`` are all ids that the index may
    hold for it, ``face_id`` the one that it should hold; ``sequencer`` is the newest hint that the record has followed;
    ``held_until`` is when the lease of the worker that has it ends (seconds since 1970); ``request_id`` is that of the request
    (or event) that announced it."""

    photo_id: str
    view: View
    state: PhotoState
    content_type: str | None = None
    expected_sha256: str | None = None
    sha256: str | None = None
    version_id: str | None = None
    model: str | None = None
    face_id: str | None = None
    face_ids: frozenset[str] = frozenset()
    reason: str | None = None
    sentence: str | None = None
    reasons: Sequence[Mapping[str, Any]] = ()
    quality: Mapping[str, Any] | None = None
    announced: bool = False
    sequencer: str | None = None
    updated_at: datetime | None = None
    held_until: float | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Booking:
    """An arrest's record. Number, subject and date are None for photos that were dropped without their fields."""

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

    def key_of(self, photo_id: str) -> PhotoKey:
        """Where the photo lies."""
        return PhotoKey(self.agency, self.collection, self.booking_id, photo_id)

    def photo(self, photo_id: str) -> Photo | None:
        """The photo with this id, if the booking has it."""
        return next((photo for photo in self.photos if photo.photo_id == photo_id), None)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing, newest first, without photos; ``next_key`` continues it."""

    bookings: tuple[Booking, ...]
    next_key: Item | None


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


def state_of(photos: Sequence[Photo]) -> BookingState:
    """A booking's state by its photos: searchable beats waiting beats rejected."""
    states = {photo.state for photo in photos}
    if PhotoState.ENROLLED in states:
        return BookingState.ENROLLED
    if PhotoState.RECEIVED in states:
        return BookingState.RECEIVED
    return BookingState.REJECTED if PhotoState.REJECTED in states else BookingState.AWAITING_PHOTO


class Catalog:
    """Reads and writes of booking records. Every method raises ``DependencyUnavailable`` when the table does not answer."""

    def __init__(self, table: str) -> None:
        self.table = table

    def register(self, booking: Booking, claim: Claim | None = None) -> None:
        """Write a new booking with its photos, all or nothing.

        Raises ``Conflict`` with ``booking_id`` when the agency's collection has that booking number (or that id) already.
        """
        writes: list[Any] = [put_new(self.table, _booking_item(booking))]
        writes += [put_new(self.table, _photo_item(booking, photo)) for photo in booking.photos]
        if booking.booking_number is not None:
            number = {
                "pk": number_pk(booking.agency, booking.collection, booking.booking_number),
                "sk": "NUMBER",
                "booking_id": booking.booking_id,
            }
            writes.append(put_new(self.table, number))
        if claim is not None:
            writes.append(claim.write(self.table, booking.booking_id))
        try:
            write_all(writes)
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise
            holder = booking.booking_number and self.find_number(
                booking.agency, booking.collection, booking.booking_number
            )
            raise Conflict(
                "A booking with this number is there already. Use its booking_id to add a photo.",
                booking_id=holder or booking.booking_id,
            ) from None

    def get(self, agency: str, booking_id: str) -> Booking | None:
        """The booking with its photos as it stands now (a consistent read); erased ones too. None if there is none."""
        return booking_of(rows(self.table, agency, booking_id))

    def expect(self, agency: str, booking_id: str) -> Booking:
        """The booking, or ``NotFound`` for one that is not there, erased, or another agency's."""
        booking = self.get(agency, booking_id)
        if booking is None or booking.state is BookingState.ERASED:
            raise NotFound(NO_SUCH_BOOKING)
        return booking

    def find_number(self, agency: str, collection: str, booking_number: str) -> str | None:
        """The id of the booking that holds this number; None if none does."""
        with dependency("the gallery table"):
            answer = aws.dynamodb().get_item(
                TableName=self.table,
                Key=key(number_pk(agency, collection, booking_number), "NUMBER"),
                ConsistentRead=True,
            )
        return answer["Item"]["booking_id"]["S"] if "Item" in answer else None

    def add_photo(self, booking: Booking, photo: Photo) -> None:
        """Add a photo to a booking. Does nothing if the booking has it. Raises ``BookingFull``; ``Conflict`` while the booking
        is deleted."""
        current: Booking | None = booking
        for _ in range(MAX_PHOTOS):
            if current is None or current.state in GONE_STATES:
                break
            if current.photo(photo.photo_id):
                return
            if len(current.photos) >= MAX_PHOTOS:
                raise BookingFull(FULL)
            # The record's revision moves with each photo, so that two at once can't both be the eighth.
            move = {
                "TableName": self.table,
                "Key": key(booking_pk(booking.agency, booking.booking_id), "BOOKING"),
                "UpdateExpression": "ADD revision :one",
                "ConditionExpression": "revision = :seen AND NOT #state IN (:deleting, :erased)",
                "ExpressionAttributeNames": {"#state": "state"},
                "ExpressionAttributeValues": {**GONE, ":one": {"N": "1"}, ":seen": {"N": str(current.revision)}},
            }
            try:
                write_all([{"Update": move}, put_new(self.table, _photo_item(booking, photo))])
                return
            except ClientError as error:
                if not any(cancelled_by(error)):
                    raise
            current = self.get(booking.agency, booking.booking_id)
        else:
            raise DependencyUnavailable("Others are changing the same booking now. Try again in a minute.")
        raise Conflict(_BEING_DELETED)

    def complete(self, booking: Booking) -> Booking | None:
        """Give a record without a number the number, subject, date and fields in ``booking``; None if another booking has
        that number. The record as it stands then; one that got a number or was deleted meanwhile stays as it is."""
        if booking.booking_number is None or booking.booked_at is None:
            raise ValueError("a booking to complete has a number and a date")
        booked_at = timestamp(booking.booked_at)
        put_number = put_new(
            self.table,
            {
                "pk": number_pk(booking.agency, booking.collection, booking.booking_number),
                "sk": "NUMBER",
                "booking_id": booking.booking_id,
            },
        )
        for _ in range(MAX_PHOTOS):
            update = {
                "TableName": self.table,
                "Key": key(booking_pk(booking.agency, booking.booking_id), "BOOKING"),
                "UpdateExpression": "SET booking_number = :number, subject_id = :subject, booked_at = :at, "
                "listed_at = :listed, #fields = :fields ADD revision :one",
                "ConditionExpression": "revision = :seen AND attribute_not_exists(booking_number) "
                "AND NOT #state IN (:deleting, :erased)",
                "ExpressionAttributeNames": {"#state": "state", "#fields": "fields"},
                "ExpressionAttributeValues": GONE
                | to_item(
                    {
                        ":number": booking.booking_number,
                        ":subject": booking.subject_id,
                        ":at": booked_at,
                        ":listed": _listed_at(booked_at, booking.booking_id),
                        ":fields": dict(booking.fields),
                        ":one": 1,
                        ":seen": booking.revision,
                    }
                ),
            }
            try:
                write_all([{"Update": update}, put_number])
                return replace(booking, revision=booking.revision + 1)
            except ClientError as error:
                failed = cancelled_by(error)
                if not any(failed):
                    raise
            current = self.get(booking.agency, booking.booking_id)
            if current is None or current.booking_number or current.state in GONE_STATES:
                return current or booking
            if not failed[0]:
                return None
            booking = replace(booking, revision=current.revision, photos=current.photos, state=current.state)
        raise DependencyUnavailable("Others are changing the same booking now. Try again in a minute.")

    def change(self, booking: Booking, changes: Mapping[str, Any]) -> None:
        """Set members of the record and note that the index has to follow. Raises ``Conflict`` while it is deleted."""
        stored = dict(changes)
        if "booked_at" in stored:
            stored["booked_at"] = timestamp(stored["booked_at"])
            stored["listed_at"] = _listed_at(stored["booked_at"], booking.booking_id)
        self._follow(booking, stored, "attribute_exists(pk) AND NOT #state IN (:deleting, :erased)", GONE)

    def mark_deleting(self, booking: Booking) -> None:
        """The tombstone: from now on no search returns the booking, and the rest follows. Marking twice is one deletion."""
        stored = {
            "state": BookingState.DELETING.value,
            "agency_state": f"{booking.agency}#{BookingState.DELETING}",
        }
        self._follow(booking, stored, "attribute_exists(pk) AND NOT #state = :erased", {":erased": GONE[":erased"]})

    def list(
        self,
        agency: str,
        *,
        state: BookingState | None = None,
        collection: str | None = None,
        booked_from: datetime | None = None,
        booked_before: datetime | None = None,
        limit: int = 50,
        start: Item | None = None,
    ) -> Page:
        """The agency's bookings, newest first by date booked."""
        items, next_key = Listing(
            table=self.table,
            index="by-agency-state" if state else "by-agency",
            hash_name="agency_state" if state else "agency_key",
            hash_value=f"{agency}#{state}" if state else agency,
            range_name="listed_at",
            low=timestamp(booked_from) if booked_from else FIRST,
            high=timestamp(booked_before) if booked_before else LAST,
            equals={"collection": collection} if collection else {},
        ).page(limit, start)
        return Page(tuple(booking for item in items if (booking := booking_of([item]))), next_key)

    def forget_change(self, booking: Booking) -> None:
        """The change has been followed; keep the note if a later change has replaced it."""
        with dependency("the gallery table"):
            try:
                aws.dynamodb().delete_item(
                    TableName=self.table,
                    Key=key(booking_pk(booking.agency, booking.booking_id), "CHANGE"),
                    ConditionExpression="attribute_not_exists(pk) OR nonce = :nonce",
                    ExpressionAttributeValues={":nonce": {"S": booking.change or ""}},
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise

    def remind(self, agency: str, booking_id: str) -> None:
        """Write the note of a change again, so that the table's stream brings it once more; nothing where it is gone."""
        with dependency("the gallery table"):
            try:
                aws.dynamodb().update_item(
                    TableName=self.table,
                    Key=key(booking_pk(agency, booking_id), "CHANGE"),
                    UpdateExpression="SET reminded_at = :now",
                    ConditionExpression="attribute_exists(pk)",
                    ExpressionAttributeValues={":now": {"S": timestamp(now())}},
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise

    def _follow(self, booking: Booking, stored: Mapping[str, Any], condition: str, values: Mapping[str, Any]) -> None:
        pk = booking_pk(booking.agency, booking.booking_id)
        names = {f"#s{i}": name for i, name in enumerate(stored)}
        sets = ", ".join(f"{alias} = :s{i}" for i, alias in enumerate(names))
        update = {
            "TableName": self.table,
            "Key": key(pk, "BOOKING"),
            "UpdateExpression": f"SET {sets} ADD revision :one",
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {**names, "#state": "state"},
            "ExpressionAttributeValues": {
                **values,
                ":one": {"N": "1"},
                **to_item({f":s{i}": value for i, value in enumerate(stored.values())}),
            },
        }
        note = {"pk": pk, "sk": "CHANGE", "nonce": str(uuid.uuid4()), "at": timestamp(now())}
        note |= {"request_id": requested} if (requested := correlation_id()) else {}
        try:
            write_all([{"Update": update}, {"Put": {"TableName": self.table, "Item": to_item(note)}}])
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise
            raise Conflict(_BEING_DELETED) from None


GONE: Final[dict[str, Any]] = {
    ":deleting": {"S": BookingState.DELETING.value},
    ":erased": {"S": BookingState.ERASED.value},
}


def number_pk(agency: str, collection: str, booking_number: str) -> str:
    return f"N#{agency}#{collection}#{booking_number}"


def _listed_at(booked_at: str, booking_id: str) -> str:
    return f"{booked_at}#{booking_id}"


def _booking_item(booking: Booking) -> Item:
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
        "revision": booking.revision,
        "agency_key": booking.agency,
        "agency_state": f"{booking.agency}#{booking.state}",
        "listed_at": _listed_at(booked_at or timestamp(booking.created_at), booking.booking_id),
    }


def _photo_item(booking: Booking, photo: Photo) -> Item:
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
        face_id=item.get("face_id"),
        face_ids=frozenset(item.get("face_ids", ())),
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
