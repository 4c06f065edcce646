"""The index function beside the embed function, over moto's AWS and a real index of either kind: an operator's hands."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from candid import aws
from candid.gallery.index import Entry, Partition, VectorIndex
from candid.gallery.indexes import Indexes
from candid.gallery.photos import PhotoKey
from candid.gallery.upkeep import filling
from embed import wiring as embed_wiring
from index import app as index_app
from index import wiring as index_wiring
from tests import opensearch
from tests.contract.events import photo_batch
from tests.gateway import Context
from tests.integration.aws import PHOTOS_QUEUE_URL
from tests.integration.embedding import AGENCY, Station, station
from tests.portraits import portrait

HERE = Partition(AGENCY, "bookings")
PORTRAITS = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2")


@dataclass
class Deployment:
    """An embed function, an index function, and what stands behind them. ``context`` gives a step no time: it does one thing."""

    station: Station
    indexes: Indexes
    prefix: str = ""
    context: Context = field(default_factory=lambda: Context(remaining_ms=10_000))

    def step(self, operation: str, **asked: Any) -> dict[str, Any]:
        """The function's answer to one invocation."""
        return index_app.handler({"operation": operation, **asked}, self.context)  # type: ignore[arg-type]

    def carry_out(self, operation: str, *, drain: bool = True, **asked: Any) -> dict[str, Any]:
        """All steps, with the queue worked off between them, as embed does it."""
        answer = self.step(operation, **asked)
        deadline = time.monotonic() + 120
        while not answer.get("done", True):
            assert time.monotonic() < deadline, answer
            if drain:
                self.drain()
            time.sleep(0.05)
            answer = self.step(operation, **(asked | {"cursor": answer["cursor"]}))
        return answer

    def refusal(self, operation: str, **asked: Any) -> Mapping[str, Any]:
        """The problem that a step is answered with."""
        problem: Mapping[str, Any] = self.step(operation, **asked)["problem"]
        return problem

    def drain(self, *, work: bool = True) -> int:
        """Let embed work off the photos queue, or nobody; how many messages there were."""
        number = 0
        while messages := aws.sqs().receive_message(QueueUrl=PHOTOS_QUEUE_URL, MaxNumberOfMessages=10).get("Messages"):
            if work:
                assert self.station.invoke(photo_batch(*(one["Body"] for one in messages))) == []
            for one in messages:
                aws.sqs().delete_message(QueueUrl=PHOTOS_QUEUE_URL, ReceiptHandle=one["ReceiptHandle"])
            number += len(messages)
        return number

    def enrol(self, *names: str) -> list[PhotoKey]:
        """A booking with a photo for each portrait, enrolled."""
        keys = []
        for name in names:
            (key,) = self.station.register(number=f"2026-{len(self.station.items()):06d}")
            self.station.put(key, portrait(name))
            assert self.station.arrive(key) == []
            keys.append(key)
        return keys

    @property
    def index(self) -> VectorIndex:
        """What searches look at."""
        return self.indexes.serving().index

    def entry(self, key: PhotoKey) -> Entry:
        """The face of a photo as the serving index has it."""
        (found,) = self.index.get(HERE, [self.face(key)])
        return found

    def face(self, key: PhotoKey) -> Any:
        """The id of a photo's face."""
        return uuid.UUID(str(self.station.photo(key).face_id))

    def finds(self, key: PhotoKey) -> bool:
        """Whether a search with the photo's own template finds its face first."""
        time.sleep(0.6)
        entry = self.entry(key)
        nearest = self.index.search([HERE], entry.template, 5).neighbours
        return bool(nearest) and nearest[0].id == entry.id and np.isclose(nearest[0].score, 1.0, atol=1e-4)


@contextmanager
def deployment(folder: Path, major: int | None) -> Iterator[Deployment]:
    """A fresh one on OpenSearch of this version, or on an embedded file."""
    with station(folder) as here, pytest.MonkeyPatch.context() as patch:
        here.clock.real = True
        prefix = ""
        if major is None:
            patch.setenv("EMBEDDED_INDEX_PATH", str(folder / "embedded"))
        else:
            address = opensearch.url(major)
            prefix = opensearch.lifecycle(address).names.prefix
            patch.setenv("OPENSEARCH_ENDPOINT", address)
            patch.setenv("OPENSEARCH_PREFIX", prefix)
        patch.setattr(filling, "_BETWEEN", (0.1, 0.2, 0.3, 0.4))
        patch.setenv("MODEL", "sface")
        for cached in (index_wiring.work, index_wiring.indexes, embed_wiring.work):
            cached.cache_clear()
        if major is not None:
            index_app.handler({"operation": "create"}, Context(remaining_ms=10_000))  # type: ignore[arg-type]
        indexes = index_wiring.indexes()
        told = embed_wiring.read_settings(os.environ)
        work = embed_wiring.wire(told, indexes, here.work.enrolment.progress)
        patch.setattr("embed.app.work", lambda: work)
        here.work = work
        made = Deployment(here, indexes, prefix)
        try:
            yield made
        finally:
            if major is None:
                for one in indexes.every().values():
                    one.close()
            else:
                opensearch.lifecycle(opensearch.url(major)).client.indices.delete(index=f"{prefix}_*")
            for cached in (index_wiring.work, index_wiring.indexes, embed_wiring.work):
                cached.cache_clear()
