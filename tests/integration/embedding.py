"""The embed function over moto's AWS, the real model and the real exact index: what its tests say in a line or two.

``Wire`` stands between Candid and its stores: it counts every call to AWS and to the index, and can kill the worker before any
one of them, as an out-of-memory kill would (no handler of exceptions runs). Only tests reach it.
"""

from __future__ import annotations

import io
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from candid import aws
from candid.gallery.booking import Booking, BookingState, Photo, PhotoState, View
from candid.gallery.catalog import Catalog
from candid.gallery.exact.index import ExactIndex
from candid.gallery.index import Partition
from candid.gallery.indexes import ModelIndex, OneIndex
from candid.gallery.items import booking_pk, photo_sk
from candid.gallery.photos import PhotoKey
from candid.gallery.progress import Progress
from candid.tables import from_item, now
from candid.tables import key as row_key
from embed import app, wiring
from tests.contract.events import change_batch, object_created, object_deleted, photo_batch
from tests.gateway import Context
from tests.integration.aws import EVENT_BUS, GALLERY_TABLE, PHOTOS_BUCKET, stores
from tests.portraits import MODELS, engine

AGENCY = "washington-county"
BOOKED = datetime(2026, 3, 1, 18, 0, tzinfo=UTC)
METADATA = {"booking-number": "2026-000123", "subject-id": "S-77", "booked-at": "2026-03-01T10:00:00-08:00"}


class Killed(BaseException):
    """The worker is gone: nothing after this line runs in it."""


class Wire:
    """Every call to a store passes here, one at a time."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.followed: list[str | None] = []
        """The ``correlation_id`` of each that was published, which tells of the way there and not of what was said."""
        self.kill_before: int | None = None
        self.hooks: dict[str, Any] = {}
        self.lock = threading.RLock()

    def __call__(self, name: str, call: Any, *args: Any, **kwargs: Any) -> Any:
        if name in self.hooks:
            self.hooks.pop(name)()
        with self.lock:
            if self.kill_before is not None and len(self.calls) >= self.kill_before:
                raise Killed
            self.calls.append(name)
            answer = call(*args, **kwargs)
        if name == "PutEvents":
            for entry in args[-1]["Entries"]:
                assert (entry["Source"], entry["EventBusName"]) == ("candid", EVENT_BUS)
                detail = json.loads(entry["Detail"])
                self.followed.append(detail.pop("correlation_id", None))
                self.published.append((entry["DetailType"], detail))
        return answer


class WiredIndex:
    """The index behind the wire."""

    def __init__(self, index: ExactIndex, wire: Wire) -> None:
        self.inner, self._wire = index, wire

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.inner, name)
        if not callable(member):
            return member
        return lambda *args, **kwargs: self._wire(f"index.{name}", member, *args, **kwargs)


@dataclass
class Clock:
    """Time that moves when told, or when somebody sleeps; or, once it is ``real``, by itself."""

    moment: float = 1_790_000_000.0
    slept: float = 0.0
    real: bool = False

    def __call__(self) -> float:
        return time.time() if self.real else self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += seconds
        self.slept += seconds
        if self.real:
            time.sleep(seconds)


@dataclass
class Station:
    """One deployment of the embed function, and hands on its stores."""

    wire: Wire
    clock: Clock
    index: ExactIndex
    catalog: Catalog
    work: wiring.Work
    log: io.StringIO
    context: Context = field(default_factory=lambda: Context(remaining_ms=60_000))

    def invoke(self, event: dict[str, Any]) -> list[str]:
        """The function's answer: the ids of the items that are to come again."""
        answer = app.handler(event, self.context)  # type: ignore[arg-type]
        return [item["itemIdentifier"] for item in answer["batchItemFailures"]]

    def arrive(self, key: PhotoKey | str, **members: Any) -> list[str]:
        """An Object Created event for the key."""
        return self.invoke(photo_batch(object_created(str(key), **members)))

    def depart(self, key: PhotoKey | str, **members: Any) -> list[str]:
        """An Object Deleted event for the key."""
        return self.invoke(photo_batch(object_deleted(str(key), **members)))

    def follow(self, key: PhotoKey) -> list[str]:
        """The stream's record of the booking's CHANGE note."""
        return self.invoke(change_batch(key.agency, key.booking_id))

    def register(self, *, number: str = "2026-000123", photos: int = 1, **members: Any) -> list[PhotoKey]:
        """A booking as the API registers it; where its photos will lie."""
        booking_id = str(uuid.uuid4())
        booking = Booking(
            agency=AGENCY,
            collection="bookings",
            booking_id=booking_id,
            booking_number=number,
            subject_id="S-77",
            booked_at=BOOKED,
            state=BookingState.AWAITING_PHOTO,
            created_at=now(),
            photos=tuple(
                Photo(str(uuid.uuid4()), View.FRONTAL, PhotoState.AWAITING_UPLOAD, "image/jpeg", **members)
                for _ in range(photos)
            ),
        )
        self.catalog.register(booking)
        return [booking.key_of(photo.photo_id) for photo in booking.photos]

    def put(self, key: PhotoKey | str, data: bytes, metadata: Mapping[str, str] | None = None) -> str:
        """Store bytes under a key; the version's id. No event."""
        stored = aws.s3().put_object(Bucket=PHOTOS_BUCKET, Key=str(key), Body=data, Metadata=dict(metadata or {}))
        return str(stored["VersionId"])

    def version(self, key: str, version_id: str) -> bytes | None:
        """The bytes of a version; None where it is gone."""
        try:
            found: bytes = aws.s3().get_object(Bucket=PHOTOS_BUCKET, Key=key, VersionId=version_id)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"NoSuchVersion", "NoSuchKey"}:
                raise
            return None
        return found

    def remove(self, key: PhotoKey) -> None:
        """Delete the object (a delete marker); no event."""
        aws.s3().delete_object(Bucket=PHOTOS_BUCKET, Key=str(key))

    def booking(self, key: PhotoKey) -> Booking:
        """The record as it stands."""
        found = self.catalog.get(key.agency, key.booking_id)
        assert found is not None
        return found

    def photo(self, key: PhotoKey) -> Photo:
        """The photo as it stands."""
        found = self.booking(key).photo(key.photo_id)
        assert found is not None
        return found

    def items(self, key: PhotoKey | None = None) -> list[dict[str, Any]]:
        """All items of the table, or of a booking's partition, as they are stored."""
        pages = aws.dynamodb().get_paginator("scan").paginate(TableName=GALLERY_TABLE)
        found = [from_item(item) for page in pages for item in page["Items"]]
        return [item for item in found if key is None or key.booking_id in item["pk"]]

    def count(self, collection: str = "bookings") -> int:
        """Templates in the index."""
        return self.index.count(Partition(AGENCY, collection))

    def versions(self, prefix: str = "") -> int:
        """Object versions and delete markers in the bucket."""
        listed = aws.s3().list_object_versions(Bucket=PHOTOS_BUCKET, Prefix=prefix)
        return len([*listed.get("Versions", []), *listed.get("DeleteMarkers", [])])

    def listed(self, state: BookingState) -> list[str]:
        """Booking ids that a listing by state shows."""
        return [booking.booking_id for booking in self.catalog.list(AGENCY, state=state).bookings]

    def make_older(self, key: PhotoKey) -> None:
        """Let the photo's row say that a model of another id made its template."""
        aws.dynamodb().update_item(
            TableName=GALLERY_TABLE,
            Key=row_key(booking_pk(key.agency, key.booking_id), photo_sk(key.photo_id)),
            UpdateExpression="SET model = :older",
            ExpressionAttributeValues={":older": {"S": "sface-older"}},
        )

    def lease_ends(self) -> None:
        """Let so much time pass that every lease has ended."""
        self.clock.moment += 120


@contextmanager
def station(folder: Path) -> Iterator[Station]:
    """A fresh deployment; the index lies in ``folder``."""
    wire, clock, face_engine = Wire(), Clock(), engine()
    with stores(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANDID_MODELS", str(MODELS))
        index = ExactIndex(folder / "index.sqlite", face_engine.card.dimension, face_engine.card.id)
        told = wiring.read_settings(os.environ)
        progress = Progress(GALLERY_TABLE, clock, clock.sleep)
        indexes = OneIndex(ModelIndex(face_engine, WiredIndex(index, wire)))  # type: ignore[arg-type]
        work = wiring.wire(told, indexes, progress)
        patch.setattr(app, "work", lambda: work)
        patch.setattr(app, "now", clock)
        log = io.StringIO()
        patch.setattr(app.logger.registered_handler, "stream", log)
        here = Station(wire, clock, index, Catalog(GALLERY_TABLE), work, log)
        call = botocore.client.BaseClient._make_api_call

        def wired(client: Any, operation: str, parameters: Any) -> Any:
            return wire(operation, call, client, operation, parameters)

        patch.setattr(botocore.client.BaseClient, "_make_api_call", wired)
        try:
            yield here
            assert not wire.hooks, f"never reached: {sorted(wire.hooks)}"
        finally:
            index.close()


def jpeg(image: Image.Image) -> bytes:
    """An image as a JPEG."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92)
    return out.getvalue()


def grey() -> bytes:
    """A photo of nothing."""
    return jpeg(Image.new("RGB", (320, 320), (128, 128, 128)))


def side_by_side(*photos: bytes) -> bytes:
    """Portraits in one picture, equally large."""
    images = [Image.open(io.BytesIO(photo)).convert("RGB").resize((300, 300)) for photo in photos]
    montage = Image.new("RGB", (300 * len(images), 300))
    for place, image in enumerate(images):
        montage.paste(image, (300 * place, 0))
    return jpeg(montage)
