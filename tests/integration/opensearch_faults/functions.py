"""The functions embed and search as they are deployed, over moto's AWS and an index behind a network that may fail.

Photos wait in a queue of moto's, and ``work_off`` does with it what Lambda's event source mapping does: what a batch reports as
failed stays in the queue, what it does not is deleted.
"""

from __future__ import annotations

import io
import json
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opensearchpy.exceptions import OpenSearchException

from candid import aws
from candid.faces.image import decode
from candid.gallery.booking import BookingState, PhotoState
from candid.gallery.index import Partition
from candid.gallery.indexes import Indexes, open_indexes
from candid.gallery.opensearch.lifecycle import Size
from candid.gallery.photos import PhotoKey
from casework import app as casework_app
from embed import wiring
from search import app as search_app
from tests import opensearch
from tests.contract.events import object_created, photo_batch
from tests.gateway import Answer, Caller
from tests.integration.aws import PHOTOS_QUEUE_URL
from tests.integration.embedding import AGENCY, Station, station
from tests.integration.gallery import request
from tests.integration.opensearch_faults.secrecy import LookOut, digits, look_out
from tests.portraits import engine, portrait

PARTITION = Partition(AGENCY, "bookings")
PORTRAITS = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2")
SUBJECT = "S-77"
NUMBER = "2026-000123"


@dataclass
class Functions:
    """Both functions, and all that they said."""

    station: Station
    indexes: Indexes
    heard: LookOut
    output: io.StringIO
    case_id: str = ""

    def upload(self, name: str) -> PhotoKey:
        """A booking whose photo lies in the bucket, and the message that says so in the queue."""
        (key,) = self.station.register(number=f"{NUMBER}-{uuid.uuid4()}")
        self.station.put(key, portrait(name))
        aws.sqs().send_message(QueueUrl=PHOTOS_QUEUE_URL, MessageBody=json.dumps(object_created(str(key))))
        return key

    def enrol(self, name: str) -> PhotoKey:
        """A booking whose photo is enrolled."""
        key = self.upload(name)
        assert self.work_off() == 0
        assert self.station.photo(key).state is PhotoState.ENROLLED
        return key

    def work_off(self) -> int:
        """Hand the waiting messages to embed, once; how many are in the queue after it, to come again."""
        told = aws.sqs().receive_message(QueueUrl=PHOTOS_QUEUE_URL, MaxNumberOfMessages=10).get("Messages", [])
        batch = photo_batch(*(one["Body"] for one in told))
        receipts = {
            record["messageId"]: one["ReceiptHandle"] for record, one in zip(batch["Records"], told, strict=True)
        }
        with redirect_stdout(self.output):
            failed = self.station.invoke(batch) if told else []
        for message, receipt in receipts.items():
            if message in failed:  # Its visibility time-out, which here is over at once.
                aws.sqs().change_message_visibility(
                    QueueUrl=PHOTOS_QUEUE_URL, ReceiptHandle=receipt, VisibilityTimeout=0
                )
            else:
                aws.sqs().delete_message(QueueUrl=PHOTOS_QUEUE_URL, ReceiptHandle=receipt)
        asked = aws.sqs().get_queue_attributes(
            QueueUrl=PHOTOS_QUEUE_URL, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(asked["Attributes"]["ApproximateNumberOfMessages"])

    def search(self, name: str = "person_a_2") -> Answer:
        """POST /v1/searches with a portrait as the probe."""
        caller = Caller(search_app.handler, AGENCY, "det.lee", "investigator")
        with redirect_stdout(self.output):
            return caller("POST", "/v1/searches", request(self.case_id, name))

    def candidates(self, name: str = "person_a_2") -> list[str]:
        """The bookings that a search finds, a second after the last write."""
        time.sleep(1)
        answer = self.search(name)
        assert answer.status == 201, answer
        return [one["booking_id"] for one in answer.body["results"][0]["candidates"]]

    def try_later(self, sentence: str, within: float) -> None:
        """A search is answered 503 with Retry-After and ``sentence``, in time."""
        started = time.monotonic()
        answer = self.search()
        took = time.monotonic() - started
        assert answer.status == 503, answer
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.body["type"] == "urn:candid:problem:dependency-unavailable"
        assert sentence in answer.body["detail"], answer.body["detail"]
        assert took < within, f"took {took:.1f} s"

    def waits_truthfully(self, key: PhotoKey) -> None:
        """Of a photo that could not be enrolled nothing is told that is not so: not rejected, not enrolled, held by nobody."""
        photo, booking = self.station.photo(key), self.station.booking(key)
        assert photo.state is PhotoState.RECEIVED
        assert booking.state is BookingState.RECEIVED
        assert (photo.face_id, photo.reason, photo.sentence, photo.announced) == (None, None, None, False)
        assert not [item for item in self.station.items(key) if "lease_owner" in item]
        assert not [kind for kind, told in self.station.wire.published if told.get("booking_id") == key.booking_id]

    def is_enrolled(self, key: PhotoKey) -> None:
        """Table, index and bus say so, once."""
        photo = self.station.photo(key)
        assert photo.state is PhotoState.ENROLLED
        assert photo.face_ids == {photo.face_id}
        assert len(self.indexes.serving().index.get(PARTITION, [uuid.UUID(photo.face_id)])) == 1
        told = [kind for kind, told in self.station.wire.published if told.get("booking_id") == key.booking_id]
        assert told == ["PhotoEnrolled"]

    def face(self, key: PhotoKey) -> uuid.UUID:
        """The id of an enrolled photo's face."""
        return uuid.UUID(self.station.photo(key).face_id)

    def last_failures(self) -> list[dict[str, Any]]:
        """What embed logged of its failures."""
        lines = [json.loads(line) for line in self.station.log.getvalue().splitlines()]
        return [line for line in lines if line["level"] == "ERROR"]


@contextmanager
def functions(folder: Path, url: str, **environment: str) -> Iterator[Functions]:
    """A fresh deployment on a new index at ``url``; ``environment`` wins over what a laptop would have. Fails the test if
    either function logged, measured or answered with a template, a subject or a booking's number."""
    made = (wiring.work, search_app.work, casework_app.work)
    with look_out(logging.INFO) as heard, station(folder) as here, pytest.MonkeyPatch.context() as patch:
        here.clock.real = True
        here.context.remaining_ms = 60_000
        lifecycle = opensearch.lifecycle(url)
        lifecycle.create("sface", engine().card, Size(1, 0))
        patch.setenv("OPENSEARCH_ENDPOINT", url)
        patch.setenv("OPENSEARCH_PREFIX", lifecycle.names.prefix)
        for name, value in environment.items():
            patch.setenv(name, value)
        output = io.StringIO()
        patch.setattr(search_app.edge.logger.registered_handler, "stream", output)
        for one in made:
            one.cache_clear()
        told = wiring.read_settings(os.environ)
        indexes = open_indexes(told)
        work = wiring.wire(told, indexes, here.work.enrolment.progress)
        patch.setattr("embed.app.work", lambda: work)
        both = Functions(here, indexes, heard, output)
        both.case_id = Caller(casework_app.handler, AGENCY, "det.lee", "investigator")(
            "POST",
            "/v1/cases",
            {"number": "2026-CR-1", "purpose": "criminal_investigation", "legal_basis": "ORS 133.000"},
        ).body["case_id"]
        try:
            yield both
            heard.hear(output.getvalue() + here.log.getvalue())
            templates = [_template(name) for name in PORTRAITS]
            heard.assert_silent_about({SUBJECT, NUMBER} | {one for each in templates for one in each})
        finally:
            with suppress(OpenSearchException):  # A node that a failed test left down.
                lifecycle.client.indices.delete(index=lifecycle.names.every)
            for one in made:
                one.cache_clear()


def _template(name: str) -> set[str]:
    pixels = decode(portrait(name))
    [face] = engine().detect(pixels)
    return digits(engine().templates(pixels, [face])[0])
