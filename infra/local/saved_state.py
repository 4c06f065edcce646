"""What the local AWS (ministack) keeps between two runs, and where its saved state needs mending before it is read again.

It writes objects of S3 to disk at once, everything else when it stops cleanly. ``RUNNING`` tells the two ends apart: it is there
while the emulator runs, so whoever finds it at a start knows that the last end was not a clean one.

Three things are saved that no longer hold after a restart (the first two are ministack 1.5.33's):

- the place up to which a DynamoDB stream was read, though the stream itself begins again at nothing, so that as many changes
  as had been read before would never be delivered;
- messages that a function was working on, invisible until their time-out, though nobody is working on them any more;
- the leases on photos of functions that were ended at work: until one runs out, the photo's message would be given back.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

RUNNING: Final = "running"


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


def mend(state: Path) -> None:
    """Make the saved state fit for a restart."""
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


def _edit(path: Path, change: Any) -> None:
    if not path.exists():
        return
    document = json.loads(path.read_text())
    change(document.get("payload", document))
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(document))
    part.replace(path)
