"""Events as AWS documents them, for tests: S3's through EventBridge and SQS, and a table's stream with keys alone.

S3 User Guide, "EventBridge event message structure"; Lambda Developer Guide, "Using Lambda with Amazon SQS" and "Process
DynamoDB records". moto's own S3 events have other members, so none of these is taken from it.
"""

from __future__ import annotations

import itertools
import json
import uuid
from typing import Any

from candid.gallery.items import booking_pk

_counter = itertools.count(1)


def next_sequencer() -> str:
    """Greater than all before it, also as a text that is padded on the right."""
    return f"617F0829{next(_counter):010X}"


def object_created(
    key: str,
    *,
    bucket: str = "candid-photos",
    version_id: str | None = "3sL4kqtJlcpXroDTDmJ",
    sequencer: str | None = None,
) -> dict[str, Any]:
    """Object Created by PutObject."""
    return _event("Object Created", key, bucket, version_id, sequencer)


def object_deleted(
    key: str,
    *,
    bucket: str = "candid-photos",
    version_id: str | None = "1QW9g1Z99LUNbvaaYVpW9xDlOLU.qxgF",
    sequencer: str | None = None,
    deletion_type: str = "Delete Marker Created",
    reason: str = "DeleteObject",
) -> dict[str, Any]:
    """Object Deleted, by a request or by a lifecycle rule."""
    event = _event("Object Deleted", key, bucket, version_id, sequencer)
    event["detail"] |= {"reason": reason, "deletion-type": deletion_type}
    for name in ("size", "etag"):
        del event["detail"]["object"][name]
    if reason == "Lifecycle Expiration":
        event["detail"]["requester"] = "s3.amazonaws.com"
        del event["detail"]["source-ip-address"]
    return event


def photo_batch(*events: dict[str, Any] | str) -> dict[str, Any]:
    """What Lambda is invoked with for messages of the photos queue."""
    return {"Records": [_message(event if isinstance(event, str) else json.dumps(event)) for event in events]}


def change_batch(agency: str, booking_id: str, sk: str = "CHANGE", event_name: str = "INSERT") -> dict[str, Any]:
    """What Lambda is invoked with for a record of the gallery table's stream (KEYS_ONLY)."""
    return {
        "Records": [
            {
                "eventID": uuid.uuid4().hex,
                "eventName": event_name,
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "us-east-1",
                "dynamodb": {
                    "ApproximateCreationDateTime": 1479499740,
                    "Keys": {"pk": {"S": booking_pk(agency, booking_id)}, "sk": {"S": sk}},
                    "SequenceNumber": f"{400000000000000499660 + next(_counter)}",
                    "SizeBytes": 41,
                    "StreamViewType": "KEYS_ONLY",
                },
                "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/candid-gallery/stream/2026-01-01T00:00:00.000",
            }
        ]
    }


def _event(kind: str, key: str, bucket: str, version_id: str | None, sequencer: str | None) -> dict[str, Any]:
    stored: dict[str, Any] = {"key": key, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184"}
    if version_id is not None:
        stored["version-id"] = version_id
    stored["sequencer"] = sequencer or next_sequencer()
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-03-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": stored,
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "192.0.2.4",
            "reason": "PutObject",
        },
    }


def _message(body: str) -> dict[str, Any]:
    return {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1545082649183",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1545082649185",
        },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:candid-photos",
        "awsRegion": "us-east-1",
    }
