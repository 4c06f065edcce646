"""A gallery whose events are delivered, and clients of Rekognition's API to it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from candid import aws
from candid.gallery.dissolution import Dissolution
from candid.gallery.index import Partition
from casework import app as casework_app
from embed import wiring
from ingest import app as ingest_app
from rekognition import app
from tests.gateway import Caller
from tests.integration.aws import PHOTOS_BUCKET
from tests.integration.delivering import delivering
from tests.integration.gallery import AGENCY, Gallery, gallery
from tests.rekognition import client

STRANGER = "lane-county"
ROLES = "investigator records"


@dataclass
class World:
    """A gallery whose events are delivered, and clients of it; each test has collections of its own."""

    gallery: Gallery
    cases: dict[str, str] = field(default_factory=dict)

    def credentials(self, agency: str = AGENCY, roles: str = ROLES) -> dict[str, Any]:
        """Of a case of the agency."""
        officer = Caller(casework_app.handler, agency, "det.lee", roles)
        if agency not in self.cases:
            body = {"number": "1", "purpose": "criminal_investigation", "legal_basis": "ORS 133.000"}
            self.cases[agency] = officer("POST", "/v1/cases", body).body["case_id"]
        path = f"/v1/cases/{self.cases[agency]}/credentials"
        told: dict[str, Any] = officer("POST", path, {"probe_source": "surveillance_still"}).body
        return told

    def client(self, agency: str = AGENCY, roles: str = ROLES) -> Any:
        """With credentials of a case of the agency."""
        return client(self.credentials(agency, roles), app.handler)

    def clerk(self, agency: str = AGENCY) -> Any:
        """With credentials for records."""
        answer = Caller(casework_app.handler, agency, "clerk.1", ROLES)("POST", "/v1/credentials", {})
        return client(answer.body, app.handler)

    def count(self, collection: str) -> int:
        """Templates that the index has."""
        return wiring.work().enrolment.indexes.serving().index.count(Partition(AGENCY, collection))

    def collection(self) -> str:
        """A new collection's name."""
        made = f"c-{uuid.uuid4().hex[:8]}"
        assert self.client().create_collection(CollectionId=made)["StatusCode"] == 200
        return made


@contextmanager
def rekognition_world(folder: Path) -> Iterator[World]:
    """An empty gallery for the length of a ``with``."""
    with gallery(folder) as made, pytest.MonkeyPatch.context() as patch:
        # The table's indexes are behind by nothing here.
        patch.setattr(wiring, "Dissolution", partial(Dissolution, settle=0.1))
        app.wired.cache_clear()
        ingest_app.work.cache_clear()
        with delivering():
            yield World(made)
        app.wired.cache_clear()
        ingest_app.work.cache_clear()


def index(one: Any, name: str, photo: bytes, external: str | None = None, **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = one.index_faces(
        CollectionId=name, Image={"Bytes": photo}, **({"ExternalImageId": external} if external else {}), **more
    )
    return told


def ids(told: dict[str, Any]) -> list[str]:
    return [one["Face"]["FaceId"] for one in told["FaceRecords"]]


def listed(one: Any, name: str, **more: Any) -> list[str]:
    return [face["FaceId"] for face in one.list_faces(CollectionId=name, **more)["Faces"]]


def eventually(look: Any) -> None:
    """Wait until ``look`` finds something."""
    end = time.monotonic() + 20
    while not look():
        assert time.monotonic() < end
        time.sleep(0.02)


def stored(name: str) -> list[str]:
    """Keys of what lies in the bucket of a collection, every version."""
    told = aws.s3().list_object_versions(Bucket=PHOTOS_BUCKET, Prefix=f"{AGENCY}/{name}/")
    return [each["Key"] for each in told.get("Versions", [])]
