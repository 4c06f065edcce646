"""Events as the bucket and the table's stream send them, delivered in the background to the embed function itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import botocore.client
import pytest

from candid import aws
from embed import app
from tests.contract.events import change_batch, object_created, photo_batch
from tests.gateway import Context
from tests.integration.aws import GALLERY_TABLE, PHOTOS_BUCKET


@contextmanager
def delivering() -> Iterator[None]:
    """Deliver what happens for the length of a ``with``, each event once, in no hurry."""
    over = threading.Event()
    failed: list[BaseException] = []
    seen: set[tuple[str, str]] = set()

    def deliver() -> None:
        try:
            while not over.wait(0.01):
                for event in [*_photos(seen), *_changes(seen)]:
                    app.handler(event, Context(remaining_ms=60_000))  # type: ignore[arg-type]
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=deliver, daemon=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", _one_at_a_time())
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
    assert not failed, failed


def _one_at_a_time() -> Any:
    """moto's stores are not for several threads at once."""
    call, lock = botocore.client.BaseClient._make_api_call, threading.RLock()

    def called(client: Any, operation: str, parameters: Any) -> Any:
        if client.meta.service_model.service_name == "rekognition":
            # A client's call, in which the function makes calls of its own and waits for others.
            return call(client, operation, parameters)
        with lock:
            return call(client, operation, parameters)

    return called


def _photos(seen: set[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    for version in aws.s3().list_object_versions(Bucket=PHOTOS_BUCKET).get("Versions", []):
        mark = version["Key"], version["VersionId"]
        if mark not in seen:
            seen.add(mark)
            yield photo_batch(json.dumps(object_created(version["Key"])))


def _changes(seen: set[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    items = aws.dynamodb().scan(
        TableName=GALLERY_TABLE, FilterExpression="sk = :sk", ExpressionAttributeValues={":sk": {"S": "CHANGE"}}
    )["Items"]
    for item in items:
        mark = item["pk"]["S"], json.dumps(item, sort_keys=True)
        if mark not in seen:
            seen.add(mark)
            event = change_batch("", "")
            event["Records"][0]["dynamodb"]["Keys"]["pk"] = item["pk"]
            yield event
