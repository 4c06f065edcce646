"""What a worker's Python runs at its start in a test of faults (as ``sitecustomize``): it notes each write of a store and of the
index, and does to the worker what the environment says.

| variable | does |
|---|---|
| ``NOTED_WRITES`` | a file to which each write is added as it is done |
| ``KILL_AFTER`` | SIGKILL when so many writes are done; 0: before the first |
| ``KILL_CHANCE`` | SIGKILL before or after any call by this chance, of 1 |
| ``CLOCK_SECONDS`` | the clock is ahead by so much |
| ``LARGEST_FILE`` | the disk is full for files of so many bytes |
| ``BUSY_SECONDS`` | after so long a photo that another worker holds is to come again |
| ``LEAST_SECONDS`` | with less time left than this no photo is begun |
| ``ATTEMPT_SECONDS`` | with less time left than this nothing is asked of a store |
"""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Callable
from typing import Any

import time_machine

WRITES = {
    "UpdateItem",
    "PutItem",
    "DeleteItem",
    "TransactWriteItems",
    "PutEvents",
    "DeleteObject",
    "SendMessage",
    "PutObject",
}
INDEX_WRITES = ("upsert", "relabel", "delete")


def _told(name: str, default: float) -> float:
    return float(os.environ.get(name) or default)


if (ahead := _told("CLOCK_SECONDS", 0)) != 0:
    # Before anything else has taken hold of it. Monotonic time goes on as it was, as where a clock is set wrong.
    time_machine.travel(time.time() + ahead, tick=True).start()

import botocore.client  # noqa: E402

import embed.app  # noqa: E402
from candid import aws  # noqa: E402
from candid.gallery.exact.index import ExactIndex  # noqa: E402
from candid.gallery.opensearch.index import OpenSearchIndex  # noqa: E402

embed.app.BUSY_SECONDS = int(_told("BUSY_SECONDS", embed.app.BUSY_SECONDS))
embed.app.LEAST_SECONDS = _told("LEAST_SECONDS", embed.app.LEAST_SECONDS)
aws.ATTEMPT_SECONDS = _told("ATTEMPT_SECONDS", aws.ATTEMPT_SECONDS)
_noted = os.open(os.environ.get("NOTED_WRITES") or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_chance = _told("KILL_CHANCE", 0)
_after = int(_told("KILL_AFTER", -1))
_done = 0


def _perhaps_die(certainly: bool) -> None:
    if certainly or random.random() < _chance:  # noqa: S311
        os.kill(os.getpid(), signal.SIGKILL)


def _watched(name: str, writes: bool, call: Callable[[], Any]) -> Any:
    global _done
    _perhaps_die(writes and _done == _after)
    answer = call()
    if writes:
        _done += 1
        os.write(_noted, f"{name}\n".encode())
    _perhaps_die(writes and _done == _after)
    return answer


_call = botocore.client.BaseClient._make_api_call


def _called(client: Any, operation: str, parameters: Any) -> Any:
    return _watched(operation, operation in WRITES, lambda: _call(client, operation, parameters))


botocore.client.BaseClient._make_api_call = _called
for _kind in (ExactIndex, OpenSearchIndex):
    for _name in INDEX_WRITES:
        _method = getattr(_kind, _name)

        def _wrapped(self: Any, *args: Any, _name: str = _name, _method: Any = _method, **kwargs: Any) -> Any:
            return _watched(f"index.{_name}", True, lambda: _method(self, *args, **kwargs))

        setattr(_kind, _name, _wrapped)

if ahead:
    _handler = embed.app.handler

    def _in_its_own_time(event: Any, context: Any) -> Any:
        # Lambda's runtime tells the end by the machine's clock, which is the one that is wrong.
        context.deadline_ms += int(ahead * 1000)
        return _handler(event, context)

    embed.app.handler = _in_its_own_time

if (largest := int(_told("LARGEST_FILE", 0))) > 0:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
