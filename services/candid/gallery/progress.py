"""How far a photo's enrolment has come: one worker at a time a photo, and rows that never say more than is true.

A worker takes a lease on the photo's row; it ends after the invocation's own deadline, so a worker that is killed there
can't write once another holds the lease, and before the queue brings the message again. Not here: what is enrolled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from botocore.exceptions import ClientError

from candid import aws
from candid.aws import dependency, error_code
from candid.errors import DependencyUnavailable
from candid.gallery.booking import Booking, Photo, PhotoState, state_of
from candid.gallery.items import GONE, booking_pk, faces_item, photo_of, photo_sk
from candid.gallery.photos import PhotoKey
from candid.gallery.transaction import write_all
from candid.tables import cancelled_by, from_item, is_condition_failure, key, now, timestamp, to_item

LEASE_MARGIN_SECONDS: Final = 5.0
"""A lease outlives its worker's deadline by this, which also covers clocks that differ."""
_POLL_SECONDS: Final = 5.0
_ARRIVING: Final = frozenset({PhotoState.AWAITING_UPLOAD, PhotoState.REMOVED})


class PhotoBusy(DependencyUnavailable):
    """Another worker holds the photo; the queue brings the hint again."""


class LeaseLost(DependencyUnavailable):
    """The lease ran out and another worker took it."""


class RecordMoved(Exception):
    """The booking's record has changed since it was read: read it again and decide again."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write a photo's row and templates until ``until``. ``photo`` is the row as its holder knows it; ``touched``
    are the ids of faces that the holder has put into the index or taken out."""

    key: PhotoKey
    owner: str
    photo: Photo
    until: float
    touched: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Progress:
    """Writes of photo rows. Every method raises ``DependencyUnavailable`` when the table does not answer."""

    table: str
    clock: Callable[[], float] = field(default=time.time)
    sleep: Callable[[float], None] = field(default=time.sleep)

    def turns(self) -> Iterator[None]:
        """Turns at something that another may hold: at once, then after 50 ms, growing, until five seconds are over."""
        waited, pause = 0.0, 0.05
        yield
        while waited < _POLL_SECONDS:
            self.sleep(pause)
            waited += pause
            pause = min(pause * 1.5, 0.8)
            yield

    def take(
        self, place: PhotoKey, photo: Photo, owner: str, until: float, *, face_id: str | None = None, work: bool = True
    ) -> Lease | None:
        """Take the lease on ``photo`` until ``until`` (seconds since 1970); taking one's own again renews it.

        None where another holds it, or the row is no longer in the state that ``photo`` shows, or is gone. With ``work`` a
        photo that was not there before is shown as received. ``face_id``, where it is known already, joins ``face_ids``.
        """
        values: dict[str, Any] = {
            ":owner": owner,
            ":until": _whole(until + LEASE_MARGIN_SECONDS),
            ":now": _whole(self.clock()),
            ":seen": photo.state.value,
        }
        update = "SET lease_owner = :owner, lease_until = :until"
        if work and photo.state in _ARRIVING:
            values |= {":received": PhotoState.RECEIVED.value, ":at": timestamp(now())}
            update += ", #state = :received, updated_at = :at"
        if face_id:
            values[":ids"] = {face_id}
            update += " ADD face_ids :ids"
        try:
            with dependency("the gallery table"):
                answer = aws.dynamodb().update_item(
                    TableName=self.table,
                    Key=_row(place),
                    UpdateExpression=update,
                    ConditionExpression="attribute_exists(pk) AND #state = :seen AND "
                    "(attribute_not_exists(lease_owner) OR lease_owner = :owner OR lease_until < :now)",
                    ExpressionAttributeNames={"#state": "state"},
                    ExpressionAttributeValues=to_item(values),
                    ReturnValues="ALL_NEW",
                )
        except ClientError as error:
            if is_condition_failure(error) or error_code(error) == "TransactionConflictException":
                return None
            raise
        return Lease(place, owner, photo_of(from_item(answer["Attributes"])), until)

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[None]:
        """Give the lease back after a failure inside the ``with``. A kill can't do that: then the lease ends by itself."""
        try:
            yield
        except Exception:
            with suppress(DependencyUnavailable, ClientError):
                self.release(lease)
            raise

    def expect_time(self, lease: Lease) -> None:
        """Raise ``LeaseLost`` if the worker has outlived its deadline, where nobody killed it: the index knows no leases."""
        if self.clock() > lease.until:
            raise LeaseLost("The time for the photo is over.")

    def intend(self, lease: Lease, face_ids: Collection[str]) -> Lease:
        """Note faces' ids before the index sees them, so that the table knows every template there is. Raises ``LeaseLost``."""
        new = set(face_ids) - lease.photo.face_ids
        if not new:
            return lease
        self._update(lease, "ADD face_ids :ids", {":ids": new})
        return replace(lease, photo=replace(lease.photo, face_ids=lease.photo.face_ids | new))

    def note_late(self, place: PhotoKey, faces: Collection[str]) -> bool:
        """Note the faces that a worker has touched after its lease was over, for whoever has the photo next to put right; this
        takes no lease. False where the row is gone."""
        try:
            with aws.to_the_end(), dependency("the gallery table"):
                aws.dynamodb().update_item(
                    TableName=self.table,
                    Key=_row(place),
                    UpdateExpression="ADD late :faces",
                    ConditionExpression="attribute_exists(pk)",
                    ExpressionAttributeValues=to_item({":faces": set(faces)}),
                )
        except ClientError as error:
            if is_condition_failure(error):
                return False
            if error_code(error) == "TransactionConflictException":
                raise PhotoBusy("Others are changing the same photo now. Try again in a minute.") from None
            raise
        return True

    def commit(self, lease: Lease, booking: Booking, photo: Photo) -> None:
        """Write where the photo stands now, and the booking's state by its photos with it; the lease stays.

        Raises ``RecordMoved`` if the booking is not as in ``booking`` any more (a correction, a tombstone, another photo);
        ``LeaseLost``.
        """
        photos = [photo if one.photo_id == photo.photo_id else one for one in booking.photos]
        stands = {
            "state": photo.state.value,
            "sha256": photo.sha256,
            "version_id": photo.version_id,
            "model": photo.model,
            "faces": faces_item(photo.faces),
            # Of earlier Candids.
            "face_id": None,
            "face_ids": set(photo.face_ids) or None,
            "reason": photo.reason,
            "sentence": photo.sentence,
            "reasons": [dict(reason) for reason in photo.reasons] or None,
            "quality": photo.quality,
            "announced": photo.announced,
            "updated_at": timestamp(now()),
        }
        update, names, values = _assignment(stands)
        if lease.photo.late:
            # These alone: what another worker has noted since is not settled.
            update, values = f"{update} DELETE late :late", values | {":late": set(lease.photo.late)}
        row = {
            "TableName": self.table,
            "Key": _row(lease.key),
            "UpdateExpression": update,
            "ConditionExpression": "lease_owner = :owner",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": to_item(values | {":owner": lease.owner}),
        }
        try:
            write_all([{"Update": self._restate(booking, photos)}, {"Update": row}])
        except ClientError as error:
            failed = cancelled_by(error)
            if not any(failed):
                raise
            if failed[0]:
                raise RecordMoved from None
            raise LeaseLost("Another worker took the photo over.") from None

    def finish(self, lease: Lease, sequencer: str | None) -> None:
        """All is done and announced: note the newest hint that this covers, and give the lease back. Raises ``LeaseLost``."""
        stands = {"announced": True} | ({"sequencer": sequencer} if sequencer else {})
        update, names, values = _assignment(stands)
        self._update(lease, f"{update} REMOVE lease_owner, lease_until", values, names)

    def release(self, lease: Lease) -> bool:
        """Give the lease back, with the row as it is; False, and nothing else, if it is another's by now."""
        try:
            with aws.to_the_end():
                self._update(lease, "REMOVE lease_owner, lease_until", {})
        except LeaseLost:
            return False
        return True

    def show_state(self, booking: Booking) -> None:
        """Let the record show the state of its photos, where it does not; nothing if the record moves meanwhile."""
        if booking.state is state_of(booking.photos):
            return
        try:
            write_all([{"Update": self._restate(booking, booking.photos)}])
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise

    def _restate(self, booking: Booking, photos: Sequence[Photo]) -> Any:
        state = state_of(photos)
        return {
            "TableName": self.table,
            "Key": key(booking_pk(booking.agency, booking.booking_id), "BOOKING"),
            "UpdateExpression": "SET #state = :state, agency_state = :listed ADD revision :one",
            "ConditionExpression": "revision = :seen AND NOT #state IN (:deleting, :erased)",
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": {
                **GONE,
                ":state": {"S": state.value},
                ":listed": {"S": f"{booking.agency}#{state}"},
                ":one": {"N": "1"},
                ":seen": {"N": str(booking.revision)},
            },
        }

    def _update(self, lease: Lease, update: str, values: dict[str, Any], names: dict[str, str] | None = None) -> None:
        query: dict[str, Any] = {
            "TableName": self.table,
            "Key": _row(lease.key),
            "UpdateExpression": update,
            "ConditionExpression": "lease_owner = :owner",
            "ExpressionAttributeValues": to_item(values | {":owner": lease.owner}),
        }
        if names:
            query["ExpressionAttributeNames"] = names
        try:
            with dependency("the gallery table"):
                aws.dynamodb().update_item(**query)
        except ClientError as error:
            if is_condition_failure(error):
                raise LeaseLost("Another worker took the photo over.") from None
            if error_code(error) == "TransactionConflictException":
                raise PhotoBusy("Others are changing the same photo now. Try again in a minute.") from None
            raise


def _row(place: PhotoKey) -> Any:
    return key(booking_pk(place.agency, place.booking_id), photo_sk(place.photo_id))


def _whole(seconds: float) -> int:
    return int(seconds * 1000)


def _assignment(stands: dict[str, Any]) -> tuple[str, dict[str, str], dict[str, Any]]:
    """SET what is there and REMOVE what is None: expression, names, values."""
    names = {f"#m{i}": name for i, name in enumerate(stands)}
    values = {f":m{i}": value for i, value in enumerate(stands.values()) if value is not None}
    sets = ", ".join(f"{alias} = :{alias[1:]}" for alias in names if f":{alias[1:]}" in values)
    gone = ", ".join(alias for alias in names if f":{alias[1:]}" not in values)
    return f"SET {sets}" + (f" REMOVE {gone}" if gone else ""), names, values
