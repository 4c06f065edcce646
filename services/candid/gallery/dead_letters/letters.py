"""Dead letters: of which way they are, why they are there, what they are about.

Four ways put letters aside, and each says otherwise why: embed by message attributes of its own (``aside``), EventBridge by its
attributes (EventBridge User Guide, "Using dead-letter queues to process undelivered events"), Lambda by the body of its record
for a stream (Lambda Developer Guide, "Retaining discarded batches for a DynamoDB event source").
Not here: the queues themselves (``queues``), and what is done about a letter (``redriving``).
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from candid.events import SOURCE, MalformedEvent, object_hint
from candid.gallery.photos import PhotoKey
from candid.tables import timestamp


class Way(enum.StrEnum):
    """What a letter was on its way to."""

    PHOTOS = "photos"
    """A photo's event, to embed: embed failed at it five times."""
    PHOTO_EVENTS = "photo-events"
    """A photo's event, to the photos queue: EventBridge could not deliver it."""
    CHANGES = "changes"
    """A correction or deletion of a booking, from the table's stream to embed: embed failed at it for six hours."""
    EVENTS = "events"
    """An event of Candid's own, on its bus: EventBridge could not encrypt or decrypt it."""


REASON: Final = "Reason"
SENTENCE: Final = "Sentence"
"""Message attributes that embed gives a photo's event which it puts aside."""

_ENDED: Final = ("Ended", "Embed ended before it could say why: it was killed, or had no time left. See its log.")
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_NOT_OURS: Final = "Not an event of Candid's"


@dataclass(frozen=True, slots=True)
class Letter:
    """One message of a dead-letter queue. ``receipt`` is the handle of this receiving; ``sent_at`` when the message was first
    sent; ``body`` never leaves the function."""

    id: str
    way: Way
    receipt: str
    sent_at: datetime
    reason: str
    sentence: str
    body: str

    def about(self) -> dict[str, str]:
        """What it is about, by opaque ids; a key of a form that is not Candid's by its SHA-256."""
        if self.way in {Way.PHOTOS, Way.PHOTO_EVENTS}:
            return _about_photo(self.body)
        if self.way is Way.EVENTS:
            event = own_event(self.body)
            return {"event": event[0], **event[1]} if event else {"event": _NOT_OURS}
        return {}

    def as_json(self) -> dict[str, Any]:
        """As the function answers."""
        return {
            "id": self.id,
            "way": self.way.value,
            "sent_at": timestamp(self.sent_at),
            "reason": self.reason,
            "sentence": self.sentence,
            "about": self.about(),
        }


def letter(way: Way, message: Mapping[str, Any]) -> Letter:
    """The letter in a message as SQS's ReceiveMessage answers it, with all attributes."""
    told = {name: str(one.get("StringValue", "")) for name, one in message.get("MessageAttributes", {}).items()}
    body = str(message.get("Body", ""))
    sent = int(message.get("Attributes", {}).get("SentTimestamp", 0)) / 1000
    reason, sentence = _why(way, told, body)
    return Letter(
        str(message["MessageId"]),
        way,
        str(message["ReceiptHandle"]),
        datetime.fromtimestamp(sent, UTC),
        reason if _WORD.fullmatch(reason) else "Unknown",
        sentence[:500],
        body,
    )


def own_event(body: str) -> tuple[str, dict[str, str]] | None:
    """Type and detail of an event of Candid's own; None for anything else."""
    event = _object(body)
    detail = event.get("detail")
    kind = event.get("detail-type")
    if event.get("source") != SOURCE or not isinstance(kind, str) or not isinstance(detail, Mapping):
        return None
    return kind, {str(name): str(value) for name, value in detail.items()}


def _why(way: Way, told: Mapping[str, str], body: str) -> tuple[str, str]:
    if way is Way.PHOTOS:
        return (told[REASON], told.get(SENTENCE, "")) if told.get(REASON) else _ENDED
    if way is Way.CHANGES:
        record = _object(body)
        why = str(_object(record.get("requestContext")).get("condition", "")) or "Unknown"
        batch = _object(record.get("DDBStreamBatchInfo"))
        number = batch.get("batchSize")
        return why, (
            f"Lambda gave up on {number if isinstance(number, int) else 'some'} record(s) of the stream. "
            "The log of embed says why; which bookings they were of, the gallery table knows."
        )
    code = told.get("ERROR_CODE") or "Unknown"
    return code, f"EventBridge could not deliver the event ({_safe(told.get('ERROR_MESSAGE', ''))})."


def _safe(sentence: str) -> str:
    """AWS's own words, on one line; they name resources, and nothing of what an event holds."""
    return " ".join(sentence.split())[:300] or "it gave no reason"


def _about_photo(body: str) -> dict[str, str]:
    try:
        hint = object_hint(body)
    except MalformedEvent:
        hint = None
    if hint is None:
        return {"event": _NOT_OURS}
    place = PhotoKey.parse(hint.key)
    if place is None:
        return {"key_sha256": sha256(hint.key.encode()).hexdigest()}
    return {
        "agency": place.agency,
        "collection": place.collection,
        "booking_id": place.booking_id,
        "photo_id": place.photo_id,
    }


def _object(value: Any) -> Mapping[str, Any]:
    """A JSON object, or the text of one; anything else is an empty one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}
