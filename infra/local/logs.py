"""``make logs``: what the functions said, oldest first, and what troubled OpenSearch, where the index is in a node of ours.

Functions of the image write files, the others to the local AWS's logs.
"""

from __future__ import annotations

import re
import time
from typing import Final

from infra.local import running
from infra.local.aws import client
from infra.local.places import FACE_FUNCTIONS, STACK, Places
from infra.local.problems import LocalError

_LINES: Final = 200
_TROUBLE: Final = re.compile(
    r"\[[^]]+\]\[(WARN |ERROR)\]\[o\.(?!o\.(g\.DanglingIndicesState|c\.r\.a\.AllocationService))"
)
"""A line of OpenSearch's own, without what it and Java say at each start."""


def show(places: Places, minutes: int = 60) -> int:
    """Print the last lines of every function. Raises ``LocalError`` where nothing runs."""
    told = running.described(places)
    if told is None:
        raise LocalError("Nothing of Candid's is running here, so there are no functions' logs to ask for.")
    for name in FACE_FUNCTIONS:
        path = places.logs / f"{STACK}-{name}.log"
        if path.exists():
            _print(name, path.read_text(errors="replace").splitlines())
    logs = client(told["aws_endpoint_url"], "logs")
    for group in logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{STACK}-")["logGroups"]:
        name = group["logGroupName"].rpartition("-")[2]
        if name not in FACE_FUNCTIONS:
            since = int((time.time() - minutes * 60) * 1000)
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"], startTime=since
            )
            _print(name, [event["message"].rstrip() for page in pages for event in page["events"]])
    gallery = running.recorded(places)
    if gallery and gallery.opensearch:
        said = (gallery.places.index / "opensearch.log").read_text(errors="replace").splitlines()
        _print("opensearch", [line for line in said if _TROUBLE.match(line)])
    return 0


def _print(name: str, lines: list[str]) -> None:
    for line in lines[-_LINES:]:
        # Lambda's own lines about each invocation; and metrics, which are figures for CloudWatch.
        if line and not line.startswith(("START ", "END ", '{"_aws"')):
            print(f"{name:<11} {line}")
