"""A gallery of real faces, enrolled by the embed function itself, for tests of what searches it."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from candid.gallery.catalog import Catalog
from candid.gallery.collections import Collections
from candid.gallery.intake import Intake, NewBooking, NewPhoto
from candid.gallery.photos import PhotoKey
from casework import app as casework_app
from embed import wiring
from search import app as search_app
from tests.gateway import Answer, Caller
from tests.integration.aws import GALLERY_TABLE, PHOTOS_BUCKET, stores
from tests.portraits import MODELS, engine, portrait

AGENCY = "washington-county"


@dataclass
class Gallery:
    """The stores, and two clients of one agency: its casework and its searches."""

    casework: Caller = field(default_factory=lambda: Caller(casework_app.handler, AGENCY, "det.lee", "investigator"))
    search: Caller = field(default_factory=lambda: Caller(search_app.handler, AGENCY, "det.lee", "investigator"))
    numbers: int = 0

    def enrol(
        self,
        name: str,
        subject: str,
        *,
        agency: str = AGENCY,
        collection: str = "bookings",
        booked_at: datetime = datetime(2026, 3, 1, tzinfo=UTC),
    ) -> str:
        """Put a portrait in as a booking photo and enrol it; the booking's id."""
        self.numbers += 1
        new = NewBooking(f"B{self.numbers}", subject, booked_at, collection, photos=[NewPhoto("image/jpeg")])
        booking, [expected] = Intake(Catalog(GALLERY_TABLE), Collections(GALLERY_TABLE), PHOTOS_BUCKET).register(
            agency, new
        )
        key = PhotoKey(agency, collection, booking.booking_id, expected.photo.photo_id)
        boto3.client("s3").put_object(Bucket=PHOTOS_BUCKET, Key=str(key), Body=portrait(name), ContentType="image/jpeg")
        outcome = wiring.work().enrolment.reconcile_photo(key, time.time() + 60)
        # Where events are delivered in the background, theirs may have been quicker.
        assert outcome.kind in {"enrolled", "unchanged"}, outcome
        return booking.booking_id

    def case(self, number: str = "2026-CR-1") -> str:
        """Open a case; its id."""
        body = {"number": number, "purpose": "criminal_investigation", "legal_basis": "ORS 133.000"}
        answer = self.casework("POST", "/v1/cases", body)
        assert answer.status == 201, answer
        return str(answer.body["case_id"])


@contextmanager
def gallery(folder: Path, **environment: str) -> Iterator[Gallery]:
    """An empty gallery for the length of a ``with``."""
    engine()
    made = (wiring.work, search_app.work, casework_app.work)
    with stores():
        os.environ |= {"CANDID_MODELS": str(MODELS), "EMBEDDED_INDEX_PATH": str(folder / "index"), **environment}
        for one in made:
            one.cache_clear()
        try:
            yield Gallery()
        finally:
            for one in made:
                one.cache_clear()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def request(case_id: str, name: str = "person_a_2", **members: Any) -> dict[str, Any]:
    return {"case_id": case_id, "probe_source": "surveillance_still", "probe": encoded(portrait(name))} | members


def search(made: Gallery, body: dict[str, Any], **members: Any) -> Answer:
    return made.search("POST", "/v1/searches", body | members)


def candidates(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 201, answer
    found: list[dict[str, Any]] = answer.body["results"][0]["candidates"]
    return found
