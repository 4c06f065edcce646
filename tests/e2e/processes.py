"""The processes of a local Candid, and what each is (Linux's /proc)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.stack import Stack

_KINDS = {"emulator": "local AWS", "opensearch": "OpenSearch", "faces": "faces server"}
_FUNCTION = "AWS_LAMBDA_FUNCTION_NAME="


def processes(stack: Stack) -> dict[int, str]:
    """Process ids, and what each is: a function's name with its id where it is a worker of one."""
    told = json.loads((stack.root / ".candid" / "processes.json").read_text())
    found: dict[int, str] = {}
    for kind, process in told["processes"].items():
        for pid in _family(int(process["pid"])):
            name = _function(pid)
            found[pid] = f"{name} ({pid})" if name else _KINDS[kind] + ("" if pid == process["pid"] else f" ({pid})")
    return found


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in text_of(task).split():
            yield from _family(int(child))


def _function(pid: int) -> str:
    variables = text_of(Path(f"/proc/{pid}/environ")).split("\0")
    return next((one.removeprefix(_FUNCTION) for one in variables if one.startswith(_FUNCTION)), "")


def text_of(path: Path) -> str:
    """A file of /proc; empty where its process is gone."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
