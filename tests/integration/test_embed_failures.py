"""What the embed function does when a message, a store or its own set-up is wrong: nothing is lost, nothing is told."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from candid import aws
from candid.errors import ModelUnavailable
from candid.gallery.booking import BookingState, PhotoState
from candid.gallery.index import Partition
from candid.gallery.photos import PhotoKey
from candid.gallery.progress import LEASE_MARGIN_SECONDS
from embed import app, wiring
from tests.contract.events import change_batch, object_created, photo_batch
from tests.integration.aws import PHOTOS_QUEUE_URL
from tests.integration.embedding import AGENCY, Station, grey, station
from tests.portraits import portrait
from tests.template.system import function, properties

PARTITION = Partition(AGENCY, "bookings")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path) as one:
        yield one


def test_a_key_of_another_form_is_recorded_by_its_digest_once_and_not_tried_again(here: Station) -> None:
    key = "washington-county/john-smith.jpg"
    here.put(key, portrait("person_a_1"))
    assert here.arrive(key) == []
    assert here.arrive(key) == []
    digest = hashlib.sha256(key.encode()).hexdigest()
    (item,) = here.items()
    assert (item["pk"], item["reason"]) == (f"STRAY#{digest}", "KEY_NOT_RECOGNISED")
    assert "smith" not in json.dumps(item)
    assert here.wire.published == [("PhotoRejected", {"reason": "KEY_NOT_RECOGNISED", "key_sha256": digest})]


def test_an_event_of_another_bucket_is_ignored(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    assert here.arrive(key, bucket="somebody-elses") == []
    assert here.photo(key).state is PhotoState.AWAITING_UPLOAD


def test_a_malformed_message_comes_again_alone_and_is_not_logged(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    batch = photo_batch("Smith, John; not json", object_created(str(key)))
    assert here.invoke(batch) == [batch["Records"][0]["messageId"]]
    assert here.photo(key).state is PhotoState.ENROLLED
    assert "MalformedEvent" in here.log.getvalue()
    assert "Smith" not in here.log.getvalue()


def test_a_store_that_is_down_fails_the_item_and_rejects_nothing(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))

    def down() -> None:
        raise EndpointConnectionError(endpoint_url="https://s3")

    here.wire.hooks["GetObject"] = down
    assert len(here.arrive(key)) == 1
    assert here.photo(key).state is PhotoState.RECEIVED
    assert here.listed(BookingState.RECEIVED) == [key.booking_id]
    assert here.arrive(key) == []
    assert here.photo(key).state is PhotoState.ENROLLED


def test_a_model_that_is_missing_fails_the_item_and_rejects_nothing(
    here: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: object) -> None:
        raise ModelUnavailable("The weights are not there.")

    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    with monkeypatch.context() as patch:
        patch.setattr(type(here.work.enrolment.indexes.engine()), "load", missing)
        assert len(here.arrive(key)) == 1
    assert here.photo(key).state is PhotoState.RECEIVED
    assert here.arrive(key) == []
    assert here.photo(key).state is PhotoState.ENROLLED


def test_a_bus_that_refuses_an_entry_leaves_the_photo_to_be_announced(
    here: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    event = photo_batch(object_created(str(key)))
    with monkeypatch.context() as patch:
        patch.setattr(aws.eventbridge(), "put_events", lambda **_: {"FailedEntryCount": 1, "Entries": [{}]})
        assert len(here.invoke(event)) == 1
    assert (here.photo(key).state, here.photo(key).announced) == (PhotoState.ENROLLED, False)
    here.wire.calls.clear()
    assert here.invoke(event) == []
    assert here.photo(key).announced
    assert "index.upsert" not in here.wire.calls
    assert len(here.wire.published) == 1


def test_a_batch_that_runs_out_of_time_gives_its_rest_back(here: Station) -> None:
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    here.context.remaining_ms = 5_000
    assert len(here.arrive(key)) == 1
    assert here.photo(key).state is PhotoState.AWAITING_UPLOAD


@pytest.mark.parametrize("why", ["no time is left", "another worker holds it"])
def test_a_photo_that_nothing_is_wrong_with_need_not_wait_for_the_queues_visibility(
    here: Station, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    (key,) = here.register()
    aws.sqs().send_message(QueueUrl=PHOTOS_QUEUE_URL, MessageBody=json.dumps(object_created(str(key))))
    [message] = aws.sqs().receive_message(QueueUrl=PHOTOS_QUEUE_URL)["Messages"]
    event = photo_batch(message["Body"])
    event["Records"][0]["receiptHandle"] = message["ReceiptHandle"]
    if why == "no time is left":
        here.context.remaining_ms = 5_000
        monkeypatch.setattr(app, "SOON_SECONDS", 0)
    else:
        assert here.work.enrolment.progress.take(key, here.photo(key), "another", here.clock() + 60)
        monkeypatch.setattr(app, "BUSY_SECONDS", 0)
    assert "Messages" not in aws.sqs().receive_message(QueueUrl=PHOTOS_QUEUE_URL)
    assert len(here.invoke(event)) == 1
    assert len(aws.sqs().receive_message(QueueUrl=PHOTOS_QUEUE_URL)["Messages"]) == 1


def test_a_photo_that_another_holds_comes_again_when_that_lease_is_over() -> None:
    lease = function("embed")["Timeout"] + LEASE_MARGIN_SECONDS
    assert lease < app.BUSY_SECONDS < properties("PhotosQueue")["VisibilityTimeout"]


def test_the_function_wires_itself_from_its_environment(
    here: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDDED_INDEX_PATH", str(tmp_path / "own"))
    wiring.work.cache_clear()
    monkeypatch.setattr(app, "work", wiring.work)
    monkeypatch.setattr(app, "now", time.time)
    (key,) = here.register()
    here.put(key, portrait("person_a_1"))
    assert here.arrive(key) == []
    assert here.photo(key).state is PhotoState.ENROLLED
    assert wiring.work().enrolment.indexes.serving().index.count(PARTITION) == 1
    wiring.work().enrolment.indexes.serving().index.close()
    wiring.work.cache_clear()


def test_a_function_without_its_environment_gives_every_item_back_and_says_what_is_missing(
    here: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVENT_BUS")
    wiring.work.cache_clear()
    monkeypatch.setattr(app, "work", wiring.work)
    assert len(here.arrive("a/b/c/d")) == 1
    assert "EVENT_BUS is not set" in here.log.getvalue()


def test_records_of_the_stream_other_than_changes_are_ignored(here: Station) -> None:
    (key,) = here.register()
    assert here.invoke(change_batch(key.agency, key.booking_id, sk="BOOKING")) == []
    assert here.follow(key) == []
    assert here.follow(PhotoKey(AGENCY, "bookings", str(uuid.uuid4()), str(uuid.uuid4()))) == []


def test_nothing_that_tells_who_it_is_reaches_log_or_metric(here: Station, capsys: pytest.CaptureFixture[str]) -> None:
    (key,) = here.register(number="2026-SECRET")
    here.put(key, portrait("person_a_1"), {"name": "Smith"})
    here.arrive(key)
    here.put("washington-county/smith.jpg", grey())
    here.arrive("washington-county/smith.jpg")
    out = here.log.getvalue() + capsys.readouterr().out
    assert key.photo_id in out
    assert "EnrolEmbedMilliseconds" in out
    for secret in ("SECRET", "S-77", "Smith", "smith.jpg", str(here.photo(key).sha256)):
        assert secret not in out
