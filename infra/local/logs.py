"""``make logs``: what the functions said, oldest first. Those that see faces write files, the others to the local AWS's logs."""

from __future__ import annotations

import time
from typing import Final

from infra.local import running
from infra.local.aws import client
from infra.local.places import FACE_FUNCTIONS, STACK, Places
from infra.local.problems import LocalError

_LINES: Final = 200


def show(places: Places, minutes: int = 60) -> int:
    """Print the last lines of every function. Raises ``LocalError`` where nothing runs."""
    if running.described(places) is None:
        raise LocalError("Nothing of Candid's is running here, so there are no functions' logs to ask for.")
    for name in FACE_FUNCTIONS:
        path = places.logs / f"{STACK}-{name}.log"
        if path.exists():
            _print(name, path.read_text(errors="replace").splitlines())
    logs = client(places.aws_url, "logs")
    for group in logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{STACK}-")["logGroups"]:
        name = group["logGroupName"].rpartition("-")[2]
        if name not in FACE_FUNCTIONS:
            since = int((time.time() - minutes * 60) * 1000)
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"], startTime=since
            )
            _print(name, [event["message"].rstrip() for page in pages for event in page["events"]])
    return 0


def _print(name: str, lines: list[str]) -> None:
    for line in lines[-_LINES:]:
        # Lambda's own lines about each invocation; and metrics, which are figures for CloudWatch.
        if line and not line.startswith(("START ", "END ", '{"_aws"')):
            print(f"{name:<11} {line}")
