"""What the local AWS (ministack) keeps between two runs, and where its saved state needs mending before it is read again.

It writes objects of S3 to disk at once, everything else when it stops cleanly. ``RUNNING`` tells the two ends apart: it is there
while the emulator runs, so whoever finds it at a start knows that the last end was not a clean one.

Four things are saved that no longer hold after a restart (all but the third are ministack 1.5.33's):

- the place up to which a DynamoDB stream was read, though the stream itself begins again at nothing, so that as many changes
  as had been read before would never be delivered;
- messages that a function was working on, invisible until their time-out, though nobody is working on them any more;
- the leases on photos of functions that were ended at work: until one runs out, the photo's message would be given back;
- the port in the addresses of queues, by which functions and event sources know them: the next run may have another.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

RUNNING: Final = "running"
_PORT_OF_A_QUEUE: Final = re.compile(r"(?<=http://localhost:)\d+(?=/\d{12}/)")


def mark_running(state: Path) -> None:
    """Note that an emulator is about to write here."""
    state.mkdir(parents=True, exist_ok=True)
    (state / RUNNING).touch()


def mark_stopped(state: Path) -> None:
    """Note that it stopped cleanly: everything is saved."""
    (state / RUNNING).unlink(missing_ok=True)


def ended_uncleanly(state: Path) -> bool:
    """Whether the last emulator here was killed before it could save."""
    return (state / RUNNING).exists()


def is_saved(state: Path) -> bool:
    """Whether there is a state of an earlier clean stop."""
    return (state / "aws" / "cloudformation.json").exists()


def forget(*folders: Path) -> None:
    """Remove the folders."""
    for folder in folders:
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)


def mend(state: Path, port: int) -> None:
    """Make the saved state fit for a restart on ``port``."""
    for name in ("sqs.json", "lambda.json", "cloudformation.json"):
        _rewrite(state / "aws" / name, lambda text: _PORT_OF_A_QUEUE.sub(str(port), text))
    _edit(state / "aws" / "lambda.json", _begin_streams_anew)
    _edit(state / "aws" / "sqs.json", _return_messages)
    _edit(state / "aws" / "dynamodb.json", _end_leases)


def _begin_streams_anew(payload: dict[str, Any]) -> None:
    positions = payload.get("dynamodb_stream_positions")
    if isinstance(positions, dict) and "data" in positions:
        positions["data"] = {}


def _return_messages(payload: dict[str, Any]) -> None:
    for queue in payload.get("queues", {}).get("data", {}).values():
        for message in queue.get("messages", []):
            if message.get("receipt_handle"):
                message["receipt_handle"] = None
                message["visible_at"] = 0


def _end_leases(payload: dict[str, Any]) -> None:
    for table in payload.get("tables", {}).get("data", {}).values():
        for partition in table.get("items", {}).values():
            for item in partition.values():
                if "lease_until" in item:
                    item["lease_until"] = {"N": "0"}


def _edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    def edited(text: str) -> str:
        document = json.loads(text)
        change(document.get("payload", document))
        return json.dumps(document)

    _rewrite(path, edited)


def _rewrite(path: Path, change: Callable[[str], str]) -> None:
    if not path.exists():
        return
    part = path.with_name(f".{path.name}.part")
    part.write_text(change(path.read_text()))
    part.replace(path)
