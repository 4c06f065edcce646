"""One readable line a step, with the seconds it took. Needs the standard library alone, so that the set-up can use it too."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_WIDTH: Final = 62


class Step:
    """The step under way. What is put into ``note`` stands beside the seconds."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.note = ""

    def line(self, seconds: float) -> str:
        """The line as it stands."""
        note = f"  {self.note}" if self.note else ""
        return f"  {self.label} {'.' * max(3, _WIDTH - len(self.label))} {seconds:6.1f} s{note}"


@contextmanager
def step(label: str) -> Iterator[Step]:
    """Show that ``label`` is going on and how long it took: on a terminal counting, elsewhere once at its end."""
    current = Step(label)
    started = time.monotonic()
    done = threading.Event()
    counting = threading.Thread(target=_count, args=(current, started, done), daemon=True)
    if sys.stdout.isatty():
        counting.start()
    outcome = "failed"
    try:
        yield current
        outcome = ""
    finally:
        done.set()
        if counting.is_alive():
            counting.join()
        current.note = " ".join(word for word in (current.note, outcome) if word)
        start = "\r\x1b[K" if sys.stdout.isatty() else ""
        print(f"{start}{current.line(time.monotonic() - started)}", flush=True)


def _count(current: Step, started: float, done: threading.Event) -> None:
    while True:
        print(f"\r\x1b[K{current.line(time.monotonic() - started)}", end="", flush=True)
        if done.wait(0.2):
            return
