"""What a local Candid says, by every way on which it says something."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.stack import Stack


def logs(stack: Stack) -> dict[str, bytes]:
    """Of functions and processes; OpenSearch's own too."""
    home = stack.root / ".candid"
    paths = [*(home / "logs").iterdir(), *(home / "index").rglob("*.log"), *(home / "index").rglob("*_log.json")]
    found = {str(path.relative_to(home)): path.read_bytes() for path in paths}
    client = stack.aws("logs")
    for group in client.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        pages = client.get_paginator("filter_log_events").paginate(logGroupName=name)
        found[name] = "\n".join(event["message"] for page in pages for event in page["events"]).encode()
    return found


def metrics(stack: Stack) -> bytes:
    """Names and dimensions of all that CloudWatch was told."""
    return json.dumps(stack.aws("cloudwatch").list_metrics()["Metrics"], default=str).encode()


def tables(stack: Stack) -> bytes:
    """Every item of every table."""
    client = stack.aws("dynamodb")
    pages = [
        page["Items"]
        for table in client.list_tables()["TableNames"]
        for page in client.get_paginator("scan").paginate(TableName=table)
    ]
    return json.dumps(pages, default=lambda value: value.hex() if isinstance(value, bytes) else str(value)).encode()


def files(folder: Path) -> dict[str, bytes]:
    """All in a folder, such as that of temporary files."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def messages(stack: Stack, output: str) -> list[dict[str, Any]]:
    """What the queue of a stack's output holds, taken from it."""
    return _taken(stack, stack.told["outputs"][output])


@contextmanager
def bus(stack: Stack) -> Iterator[Callable[[], bytes]]:
    """What Candid's event bus has carried since, as often as it is asked."""
    events, sqs, name = stack.aws("events"), stack.aws("sqs"), f"heard-{uuid.uuid4().hex[:8]}"
    bus = stack.told["outputs"]["EventBusName"]
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps({"source": ["candid"]}))
    events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "heard", "Arn": arn}])
    carried: list[dict[str, Any]] = []

    def so_far() -> bytes:
        carried.extend(_taken(stack, queue))
        return json.dumps(carried).encode()

    try:
        yield so_far
    finally:
        events.remove_targets(Rule=name, EventBusName=bus, Ids=["heard"])
        events.delete_rule(Name=name, EventBusName=bus)
        sqs.delete_queue(QueueUrl=queue)


def _taken(stack: Stack, queue: str) -> list[dict[str, Any]]:
    sqs = stack.aws("sqs")
    found: list[dict[str, Any]] = []
    while some := sqs.receive_message(
        QueueUrl=queue,
        MaxNumberOfMessages=10,
        WaitTimeSeconds=0,
        MessageAttributeNames=["All"],
        AttributeNames=["All"],
    ).get("Messages"):
        found += some
        for one in some:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=one["ReceiptHandle"])
    return found
