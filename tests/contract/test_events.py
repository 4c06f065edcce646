"""The shapes of events as AWS documents them, and those that Candid publishes."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from candid import events
from tests.contract.events import change_batch, object_created, object_deleted

KEY = "washington-county/bookings/0b0f4c1e-7a52-4f0e-9d8a-0f6f7c9f2b11/5d3d9a3e-1f5c-4f43-8a70-0f3a3b1f0c22"


def hint(event: dict[str, Any]) -> events.ObjectHint | None:
    return events.object_hint(json.dumps(event))


def test_an_object_created_event_names_bucket_key_sequencer_and_itself() -> None:
    event = object_created(KEY, bucket="photos", sequencer="617f08299329d189")
    assert hint(event) == events.ObjectHint("photos", KEY, "617f08299329d189", event["id"])


def test_an_event_reads_the_same_with_and_without_a_version_id() -> None:
    with_version = object_created(KEY, version_id="IYV3p45BT0ac8hjHg1houSdS1a", sequencer="617f08299329d189")
    without = object_created(KEY, version_id=None, sequencer="617f08299329d189") | {"id": with_version["id"]}
    assert hint(with_version) == hint(without)


@pytest.mark.parametrize("deletion", ["Permanently Deleted", "Delete Marker Created"])
@pytest.mark.parametrize("reason", ["DeleteObject", "Lifecycle Expiration"])
def test_an_object_deleted_event_is_a_hint_at_the_same_key(deletion: str, reason: str) -> None:
    found = hint(object_deleted(KEY, deletion_type=deletion, reason=reason))
    assert found is not None
    assert found.key == KEY


def test_a_key_is_taken_as_it_is_since_eventbridge_does_not_encode_it() -> None:
    found = hint(object_created("a%2Fb+c d/ä.jpg"))
    assert found is not None
    assert found.key == "a%2Fb+c d/ä.jpg"


@pytest.mark.parametrize("sequencer", [None, "", "not hexadecimal"])
def test_an_event_without_a_usable_sequencer_is_a_hint_too(sequencer: str | None) -> None:
    event = object_created(KEY)
    event["detail"]["object"] |= {"sequencer": sequencer}
    found = hint(event)
    assert found is not None
    assert found.sequencer is None


@pytest.mark.parametrize("kind", ["Object Restore Completed", "Object Tags Added", "Object ACL Updated"])
def test_s3_events_of_other_kinds_are_no_hint(kind: str) -> None:
    assert hint(object_created(KEY) | {"detail-type": kind}) is None


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        "[]",
        "{}",
        json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"}),
        json.dumps({"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "k"}}}]}),
        # Named, since it holds an id of its own each time, and processes share the tests by their names.
        pytest.param(json.dumps(object_created("")), id="no key"),
    ],
)
def test_a_message_of_another_form_is_malformed_and_is_not_quoted(body: str) -> None:
    with pytest.raises(events.MalformedEvent) as caught:
        events.object_hint(body)
    assert str(caught.value) == "A message in the photos queue is no S3 event of EventBridge's form."


def test_a_stream_record_with_keys_alone_names_the_item() -> None:
    record = change_batch("washington-county", "0b0f4c1e-7a52-4f0e-9d8a-0f6f7c9f2b11")["Records"][0]
    assert set(record["dynamodb"]) >= {"Keys", "SequenceNumber", "StreamViewType"}
    assert events.item_hint(record) == events.ItemHint(
        "B#washington-county#0b0f4c1e-7a52-4f0e-9d8a-0f6f7c9f2b11", "CHANGE"
    )


def test_a_stream_record_without_keys_is_malformed() -> None:
    with pytest.raises(events.MalformedEvent):
        events.item_hint({"eventName": "INSERT", "dynamodb": {"SequenceNumber": "1"}})


def test_sequencers_are_compared_as_s3_says_shorter_ones_padded_on_the_right() -> None:
    assert events.is_newer("0055AED6DCD90281E6", "0055AED6DCD90281E5")
    assert events.is_newer("0055aed6dcd90281e5", "0055AED6DCD9")
    assert not events.is_newer("0055AED6DCD9", "0055AED6DCD900")
    assert not events.is_newer("0055aed6", "0055AED6")


def test_published_events_hold_ids_and_reason_words_alone() -> None:
    members = {
        kind.detail_type: {field.name for field in dataclasses.fields(kind)}
        for kind in (events.PhotoEnrolled, events.PhotoRejected, events.BookingErased)
    }
    assert members == {
        "PhotoEnrolled": {"agency", "collection", "booking_id", "photo_id", "face_id", "model"},
        "PhotoRejected": {"reason", "agency", "collection", "booking_id", "photo_id", "key_sha256"},
        "BookingErased": {"agency", "collection", "booking_id"},
    }
