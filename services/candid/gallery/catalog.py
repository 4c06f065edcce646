"""Reads and writes of the gallery table's bookings. Never a template: backups outlive a deletion.

Not here: how far a photo's enrolment has come (``progress``).
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from candid import aws
from candid.aws import dependency
from candid.correlation import correlation_id
from candid.errors import Conflict, DependencyUnavailable, NotFound
from candid.gallery.booking import GONE_STATES, MAX_PHOTOS, Booking, BookingState, Indexing, Photo
from candid.gallery.items import (
    GONE,
    booking_item,
    booking_of,
    booking_pk,
    image_pk,
    indexing_item,
    listed_at,
    number_pk,
    photo_item,
    photo_sk,
    rows,
)
from candid.gallery.transaction import put_new, remind, write_all
from candid.idempotency import Claim
from candid.listing import FIRST, LAST, Listing
from candid.tables import Item, cancelled_by, is_condition_failure, key, now, timestamp, to_item
from candid.together import at_once

FULL: Final = (
    f"The booking has {MAX_PHOTOS} photos already, which is the most that one may have. "
    "Leave this one out, or delete the booking and register it anew with the photos that it needs."
)
NO_SUCH_BOOKING: Final = (
    "There is no such booking, or it is not one that you may see. Look it up with GET /v1/bookings."
)
_BEING_DELETED: Final = "The booking is being deleted. Register it anew once it is gone, if it is still needed."


class BookingFull(Conflict):
    """The booking has as many photos as one may have."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing, newest first, without photos; ``next_key`` continues it."""

    bookings: tuple[Booking, ...]
    next_key: Item | None


class Catalog:
    """Reads and writes of booking records. Every method raises ``DependencyUnavailable`` when the table does not answer."""

    def __init__(self, table: str) -> None:
        self.table = table

    def register(self, booking: Booking, claim: Claim | None = None) -> None:
        """Write a new booking with its photos, all or nothing.

        Raises ``Conflict`` with ``booking_id`` when the agency's collection has that booking number (or that id) already.
        """
        writes: list[Any] = [put_new(self.table, booking_item(booking))]
        writes += [put_new(self.table, photo_item(booking, photo)) for photo in booking.photos]
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

    def register_image(self, booking: Booking) -> bool:
        """Write the record of a photo that comes by IndexFaces; False if there is one of the same bytes and ExternalImageId."""
        (photo,) = booking.photos
        writes: list[Any] = [
            put_new(self.table, booking_item(booking)),
            put_new(self.table, photo_item(booking, photo)),
            put_new(self.table, {"pk": image_pk(booking, photo), "sk": "IMAGE", "booking_id": booking.booking_id}),
        ]
        try:
            write_all(writes)
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise
            return False
        return True

    def find_image(self, booking: Booking) -> Booking | None:
        """The record of the image that ``booking`` would be one more of; None if there is none, or it is being deleted."""
        (photo,) = booking.photos
        with dependency("the gallery table"):
            told = aws.dynamodb().get_item(
                TableName=self.table, Key=key(image_pk(booking, photo), "IMAGE"), ConsistentRead=True
            )
        found = self.get(booking.agency, told["Item"]["booking_id"]["S"]) if "Item" in told else None
        return found if found is not None and found.state not in GONE_STATES else None

    def index_again(self, booking: Booking, indexing: Indexing) -> None:
        """Let an image's faces be enrolled by ``indexing``, those that were deleted too. Raises ``Conflict`` while it is
        deleted."""
        (photo,) = booking.photos
        pk = booking_pk(booking.agency, booking.booking_id)
        record = {
            "TableName": self.table,
            "Key": key(pk, "BOOKING"),
            "UpdateExpression": "SET indexing = :indexing ADD revision :one",
            "ConditionExpression": "attribute_exists(pk) AND NOT #state IN (:deleting, :erased)",
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": {**GONE, **to_item({":indexing": indexing_item(indexing), ":one": 1})},
        }
        row = {
            "TableName": self.table,
            "Key": key(pk, photo_sk(photo.photo_id)),
            "UpdateExpression": "REMOVE deleted",
            "ConditionExpression": "attribute_exists(pk)",
        }
        try:
            write_all([{"Update": record}, {"Update": row}])
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise
            raise Conflict(_BEING_DELETED) from None

    def delete_faces(self, booking: Booking, photo: Photo, faces: Collection[str]) -> None:
        """From now on no search returns these faces of a photo; the rest follows. Raises ``Conflict`` while the booking is
        deleted, and where its revision is not that of ``booking`` any more."""
        row = {
            "TableName": self.table,
            "Key": key(booking_pk(booking.agency, booking.booking_id), photo_sk(photo.photo_id)),
            "UpdateExpression": "ADD deleted :faces",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeValues": to_item({":faces": set(faces)}),
        }
        condition = "revision = :seen AND NOT #state IN (:deleting, :erased)"
        self._follow(booking, {}, condition, GONE | _seen(booking), {"Update": row})

    def get(self, agency: str, booking_id: str) -> Booking | None:
        """The booking with its photos as it stands now (a consistent read); erased ones too. None if there is none."""
        return booking_of(rows(self.table, agency, booking_id))

    def several(self, agency: str, booking_ids: Iterable[str]) -> dict[str, Booking | None]:
        """Bookings by their ids, each as ``get`` gives it."""
        ids = list(dict.fromkeys(booking_ids))
        return dict(zip(ids, at_once(lambda one: self.get(agency, one), ids), strict=True))

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
                write_all([{"Update": move}, put_new(self.table, photo_item(booking, photo))])
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
                        ":listed": listed_at(booked_at, booking.booking_id),
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
            stored["listed_at"] = listed_at(stored["booked_at"], booking.booking_id)
        self._follow(booking, stored, "attribute_exists(pk) AND NOT #state IN (:deleting, :erased)", GONE)

    def mark_deleting(self, booking: Booking, *, unmoved: bool = False) -> None:
        """The tombstone: from now on no search returns the booking, and the rest follows. Marking twice is one deletion.

        Raises ``Conflict`` where it is erased; with ``unmoved`` where its revision is not that of ``booking`` any more.
        """
        stored = {
            "state": BookingState.DELETING.value,
            "agency_state": f"{booking.agency}#{BookingState.DELETING}",
        }
        condition, values = "attribute_exists(pk) AND NOT #state = :erased", {":erased": GONE[":erased"]}
        if unmoved:
            condition, values = f"{condition} AND revision = :seen", values | _seen(booking)
        self._follow(booking, stored, condition, values)

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
        """As ``transaction.remind``."""
        remind(self.table, booking_pk(agency, booking_id))

    def _follow(
        self,
        booking: Booking,
        stored: Mapping[str, Any],
        condition: str,
        values: Mapping[str, Any],
        *also: Mapping[str, Any],
    ) -> None:
        pk = booking_pk(booking.agency, booking.booking_id)
        names = {f"#s{i}": name for i, name in enumerate(stored)}
        sets = ", ".join(f"{alias} = :s{i}" for i, alias in enumerate(names))
        update = {
            "TableName": self.table,
            "Key": key(pk, "BOOKING"),
            "UpdateExpression": f"SET {sets} ADD revision :one" if sets else "ADD revision :one",
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
            write_all([{"Update": update}, {"Put": {"TableName": self.table, "Item": to_item(note)}}, *also])
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise
            raise Conflict(_BEING_DELETED) from None


def _seen(booking: Booking) -> dict[str, Any]:
    return {":seen": {"N": str(booking.revision)}}
