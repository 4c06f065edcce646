"""An agency whose events a test delivers by hand, to workers to which it does what ``site.py`` can."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from candid.cli.api import Api
from candid.cli.problems import Refused
from candid.gallery.booking import PhotoState
from candid.gallery.items import booking_pk, photo_of
from candid.tables import from_item
from tests.contract.events import object_created, photo_batch
from tests.e2e.functions import Functions
from tests.e2e.stack import BOOKED_AT, Stack, portrait
from tests.e2e.test_photos import agency

SITE = Path(__file__).with_name("site.py").read_text()


@dataclass
class Scene:
    """One agency whose events are delivered by hand."""

    stack: Stack
    workers: Functions
    agency: str = field(default_factory=agency)

    @property
    def api(self) -> Api:
        return self.stack.api(self.agency)

    def booked(self, photo: bytes) -> tuple[str, dict[str, Any]]:
        """A booking whose photo has arrived; its id, and the event."""
        (item,) = self.api.register_bookings(
            [{"booking_number": uuid.uuid4().hex, "subject_id": "somebody", "booked_at": BOOKED_AT}]
        )
        assert item.booking is not None
        (one,) = item.booking.photos
        assert one.upload is not None
        self.api.client.upload(one.upload.url, one.upload.fields, photo)
        return item.booking.booking_id, self.arrived(item.booking.booking_id, one.photo_id)

    def enrolled(self, photo: bytes) -> tuple[str, str]:
        """A booking whose photo is enrolled."""
        booking_id, event = self.booked(photo)
        assert self.workers.invoke("embed", event) == {"batchItemFailures": []}
        (one,) = self.api.booking(booking_id).photos
        assert one.state == "enrolled"
        return booking_id, one.photo_id

    def arrived(self, booking_id: str, photo_id: str) -> dict[str, Any]:
        """The event of its photo."""
        key = f"{self.agency}/bookings/{booking_id}/{photo_id}"
        return photo_batch(object_created(key, bucket=self.stack.photos_bucket))


def own(name: str) -> bytes:
    """A portrait's bytes that no other photo has."""
    return portrait(f"{name}.jpg") + uuid.uuid4().bytes


def state(scene: Scene, booking_id: str) -> str:
    """Of a booking's one photo."""
    try:
        (one,) = scene.api.booking(booking_id).photos
    except Refused:
        return "gone"
    return str(one.state)


def unfinished(stack: Stack, agency: str) -> dict[str, str]:
    """What enrolment has begun of the agency's and not ended, by the item that tells. `candid index verify` calls what is as
    young as a test's photos "under way", and finds nothing wrong with it."""
    pages = stack.aws("dynamodb").get_paginator("scan").paginate(TableName=stack.told["outputs"]["GalleryTableName"])
    items = [from_item(item) for page in pages for item in page["Items"]]
    mine = [item for item in items if item["pk"].startswith(booking_pk(agency, ""))]
    assert mine
    told = {f"{item['pk']} {item['sk']}": _open(item) for item in mine}
    return {where: what for where, what in told.items() if what}


def _open(item: dict[str, Any]) -> str:
    if item["sk"] == "CHANGE":
        return "a change that nobody followed"
    if not item["sk"].startswith("PHOTO#"):
        return ""
    if "lease_owner" in item:
        return "a lease"
    photo = photo_of(item)
    if photo.state is PhotoState.RECEIVED:
        return "a photo that waits"
    if photo.state in {PhotoState.ENROLLED, PhotoState.REJECTED} and not photo.announced:
        return "a photo that was not announced"
    return "" if photo.face_ids == photo.stand and not photo.late else "other faces than the photo's"
