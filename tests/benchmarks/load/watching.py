"""The memory of every process of a local Candid, read from /proc while searches go on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.load.figures import Memory
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


class Watch:
    """Samples every few seconds; ``done`` tells how many searches had been answered."""

    def __init__(self, stack: Stack, done: Callable[[], int], every: float = 2.0) -> None:
        self.memory: dict[int, Memory] = {}
        self._stack, self._done, self._every = stack, done, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(self._every):
            for pid, name in processes(self._stack).items():
                if (size := _resident(pid)) is not None:
                    one = self.memory.setdefault(pid, Memory(name))
                    one.searches.append(self._done())
                    one.megabytes.append(size)


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _text(task).split():
            yield from _family(int(child))


def _function(pid: int) -> str:
    variables = _text(Path(f"/proc/{pid}/environ")).split("\0")
    return next((one.removeprefix(_FUNCTION) for one in variables if one.startswith(_FUNCTION)), "")


def _resident(pid: int) -> float | None:
    for line in _text(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
