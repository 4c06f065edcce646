"""Events that Candid publishes, and how it reads those that it gets. Ids only: no name, number, subject or template.

Published on Candid's own bus with the source ``candid``; at least once, so a subscriber treats an event that it knows as
heard. Each has ``correlation_id``, by which the request or event that led to it is found in the logs. Read: S3's events as
EventBridge puts them into the queue, and records of the gallery table's stream (KEYS_ONLY). Not here: what is done about them
(``candid.gallery.enrolment``).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from candid import aws
from candid.aws import dependency
from candid.correlation import correlation_id
from candid.errors import CandidError, DependencyUnavailable

SOURCE: Final = "candid"


@dataclass(frozen=True, slots=True)
class PhotoEnrolled:
    """A photo's face can be searched. ``model`` is the id of the model that made its template."""

    detail_type: ClassVar[str] = "PhotoEnrolled"
    agency: str
    collection: str
    booking_id: str
    photo_id: str
    face_id: str
    model: str


@dataclass(frozen=True, slots=True)
class PhotoRejected:
    """A photo can't be enrolled; ``reason`` is the word in its record. A key of a form that is not Candid's names no
    agency, booking or photo: it has ``key_sha256`` alone (hexadecimal), since the key itself may tell who is on the photo."""

    detail_type: ClassVar[str] = "PhotoRejected"
    reason: str
    agency: str | None = None
    collection: str | None = None
    booking_id: str | None = None
    photo_id: str | None = None
    key_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class BookingErased:
    """A booking's templates, photos (every version) and record are gone, and that was checked."""

    detail_type: ClassVar[str] = "BookingErased"
    agency: str
    collection: str
    booking_id: str


Event = PhotoEnrolled | PhotoRejected | BookingErased


def publish(bus: str, event: Event) -> None:
    """Put ``event`` on the bus. Raises ``DependencyUnavailable`` when the bus does not take it."""
    detail = {**dataclasses.asdict(event), "correlation_id": correlation_id()}
    publish_again(bus, event.detail_type, {name: value for name, value in detail.items() if value is not None})


def publish_again(bus: str, detail_type: str, detail: Mapping[str, str]) -> None:
    """Put an event that was published before on the bus. Raises as ``publish``."""
    entry = {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": detail_type,
        "Detail": json.dumps(detail, separators=(",", ":")),
    }
    with dependency("the event bus"):
        answer = aws.eventbridge().put_events(Entries=[entry])  # type: ignore[list-item]
    # PutEvents answers 200 for entries that it refused.
    if answer["FailedEntryCount"]:
        raise DependencyUnavailable("The event bus did not take an event. Try again in a minute.")


class MalformedEvent(CandidError):
    """A message that is no event of a kind that Candid reads. The sentence holds nothing of the message."""


@dataclass(frozen=True, slots=True)
class ObjectHint:
    """Something happened to an object: look at it. ``sequencer`` orders the hints of one key (``is_newer``); ``event_id`` is the
    event's own."""

    bucket: str
    key: str
    sequencer: str | None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class ItemHint:
    """An item of the gallery table was written: look at it."""

    pk: str
    sk: str


class _Received(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Bucket(_Received):
    name: str


class _Object(_Received):
    # Unlike S3's own notifications, an event of EventBridge does not URL-encode the key.
    key: str = Field(min_length=1)
    sequencer: str | None = None


class _Detail(_Received):
    bucket: _Bucket
    object: _Object


class _StoreEvent(_Received):
    id: str | None = None
    source: str
    detail_type: str = Field(alias="detail-type")
    detail: _Detail


class _Text(_Received):
    S: str


class _Keys(_Received):
    pk: _Text
    sk: _Text


class _Change(_Received):
    Keys: _Keys


class _StreamRecord(_Received):
    dynamodb: _Change


_SEQUENCER: Final = re.compile(r"[0-9a-fA-F]{1,64}")
OBJECT_EVENTS: Final = frozenset({"Object Created", "Object Deleted"})


def object_hint(body: str) -> ObjectHint | None:
    """What an S3 event in a queue message hints at; None for an S3 event of another kind. Raises ``MalformedEvent``."""
    try:
        event = _StoreEvent.model_validate_json(body)
    except ValidationError:
        raise MalformedEvent("A message in the photos queue is no S3 event of EventBridge's form.") from None
    if event.source != "aws.s3" or event.detail_type not in OBJECT_EVENTS:
        return None
    stored = event.detail.object
    ordered = stored.sequencer is not None and _SEQUENCER.fullmatch(stored.sequencer) is not None
    # One of another form tells no order; the hint is as good without it.
    return ObjectHint(event.detail.bucket.name, stored.key, stored.sequencer if ordered else None, event.id)


def item_hint(record: Mapping[str, Any]) -> ItemHint:
    """Which item a record of the table's stream is about. Raises ``MalformedEvent``."""
    try:
        keys = _StreamRecord.model_validate(record).dynamodb.Keys
    except ValidationError:
        raise MalformedEvent("A record of the gallery table's stream has no keys.") from None
    return ItemHint(keys.pk.S, keys.sk.S)


def is_newer(sequencer: str, than: str) -> bool:
    """Whether one sequencer comes after another of the same key: as hexadecimal texts, the shorter padded with zeros on
    the right (S3 User Guide, "Event message structure")."""
    width = max(len(sequencer), len(than))
    return sequencer.lower().ljust(width, "0") > than.lower().ljust(width, "0")
