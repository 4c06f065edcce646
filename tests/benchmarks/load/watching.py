"""The memory of every process of a local Candid, read from /proc while searches go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.load.figures import Memory
from tests.e2e.processes import processes, text_of
from tests.e2e.stack import Stack

_LASTING = ("candid-search", "candid-embed", "candid-index", "faces server")
"""What runs as long as the stack does; the local AWS ends workers of the others when it likes."""


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

    def ended(self) -> list[str]:
        """Workers and servers of Candid's that were there and are no more."""
        here = processes(self._stack)
        return [one.name for pid, one in self.memory.items() if pid not in here and one.name.startswith(_LASTING)]

    def _sample(self) -> None:
        while not self._over.wait(self._every):
            for pid, name in processes(self._stack).items():
                if (size := _resident(pid)) is not None:
                    one = self.memory.setdefault(pid, Memory(name))
                    one.searches.append(self._done())
                    one.megabytes.append(size)


def _resident(pid: int) -> float | None:
    for line in text_of(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return None
