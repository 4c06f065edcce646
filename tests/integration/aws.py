"""The stores of the template, made in moto's in-process AWS: tables with their keys and indexes, buckets, the event bus."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from moto import mock_aws

from candid import aws
from candid.gallery.dead_letters.letters import Way

REGION = "us-east-1"
GALLERY_TABLE = "candid-gallery"
CASEWORK_TABLE = "candid-casework"
LIMITS_TABLE = "candid-limits"
PHOTOS_BUCKET = "candid-photos"
PROBES_BUCKET = "candid-probes"
EVENT_BUS = "candid-events"
REKOGNITION_ENDPOINT = "https://rekognition.candid.test"
PHOTOS_QUEUE = "candid-photos"
_QUEUES = f"https://sqs.{REGION}.amazonaws.com/123456789012/"
PHOTOS_QUEUE_URL = _QUEUES + PHOTOS_QUEUE
DEAD_LETTERS = {
    Way.PHOTOS: f"{_QUEUES}candid-photos-dead-letters",
    Way.PHOTO_EVENTS: f"{_QUEUES}candid-photos-rule-dead-letters",
    Way.CHANGES: f"{_QUEUES}candid-changes-dead-letters",
    Way.EVENTS: f"{_QUEUES}candid-events-dead-letters",
}

_INDEXES = {
    GALLERY_TABLE: {"by-agency": ("agency_key", "listed_at"), "by-agency-state": ("agency_state", "listed_at")},
    CASEWORK_TABLE: {
        "by-agency": ("agency_kind", "at"),
        "by-officer": ("agency_officer", "at"),
        "by-case": ("agency_case", "at"),
    },
    LIMITS_TABLE: {},
}


@contextmanager
def stores() -> Iterator[None]:
    """All stores, empty, for the length of a ``with``; Candid's own clients go to them."""
    saved = dict(os.environ)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "POWERTOOLS_TRACE_DISABLED": "true",
        "GALLERY_TABLE": GALLERY_TABLE,
        "CASEWORK_TABLE": CASEWORK_TABLE,
        "LIMITS_TABLE": LIMITS_TABLE,
        **dict.fromkeys(("USER_FACES_PER_HOUR", "AGENCY_FACES_PER_HOUR"), "1000000"),
        **dict.fromkeys(("USER_RECORDS_PER_HOUR", "AGENCY_RECORDS_PER_HOUR"), "1000000"),
        "PHOTOS_BUCKET": PHOTOS_BUCKET,
        "PROBES_BUCKET": PROBES_BUCKET,
        "EVENT_BUS": EVENT_BUS,
        "PHOTOS_QUEUE_URL": PHOTOS_QUEUE_URL,
        "PHOTOS_RECEIVES": "5",
        "PHOTOS_DEAD_LETTERS_URL": DEAD_LETTERS[Way.PHOTOS],
        "PHOTO_EVENTS_DEAD_LETTERS_URL": DEAD_LETTERS[Way.PHOTO_EVENTS],
        "CHANGES_DEAD_LETTERS_URL": DEAD_LETTERS[Way.CHANGES],
        "EVENTS_DEAD_LETTERS_URL": DEAD_LETTERS[Way.EVENTS],
        "AWS_REGION": REGION,
        "REKOGNITION_ENDPOINT": REKOGNITION_ENDPOINT,
    }
    os.environ.pop("AWS_ENDPOINT_URL", None)
    _own_clients()
    with mock_aws():
        for table in _INDEXES:
            create_table(table)
        for bucket in (PHOTOS_BUCKET, PROBES_BUCKET):
            aws.s3().create_bucket(Bucket=bucket)
            aws.s3().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        aws.eventbridge().create_event_bus(Name=EVENT_BUS)
        aws.sqs().create_queue(QueueName=PHOTOS_QUEUE, Attributes={"VisibilityTimeout": "360"})
        for url in DEAD_LETTERS.values():
            aws.sqs().create_queue(QueueName=url.rpartition("/")[2])
        key = aws.kms().create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
        os.environ["CREDENTIALS_KEY_ID"] = key["KeyMetadata"]["KeyId"]
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(saved)


@cache
def _own_clients() -> None:
    """Drop clients that another test made for another AWS. Ours serve every test: moto answers them while it is on."""
    for client in (aws.s3, aws.dynamodb, aws.eventbridge, aws.sqs, aws.kms):
        client.cache_clear()


def create_table(name: str) -> None:
    """A table with the template's keys and indexes."""
    indexes = _INDEXES[name]
    secondary: list[Any] = [
        {
            "IndexName": index,
            "KeySchema": [
                {"AttributeName": hash_key, "KeyType": "HASH"},
                {"AttributeName": range_key, "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
        for index, (hash_key, range_key) in indexes.items()
    ]
    attributes = {"pk", "sk"} | {attribute for keys in indexes.values() for attribute in keys}
    aws.dynamodb().create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": a, "AttributeType": "S"} for a in sorted(attributes)],
        **({"GlobalSecondaryIndexes": secondary} if secondary else {}),
    )
