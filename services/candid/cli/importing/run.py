"""An import from its first row to its last photo: one reader, some workers, one waiter, and what stops them.

Memory has a bound whatever the number of rows: the reader is a few batches ahead at most, a worker holds one photo, the waiter
at most ``waiting.MOST_PENDING`` ids.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from candid.cli.api import Api
from candid.cli.client import until
from candid.cli.importing.grouping import Group, grouped
from candid.cli.importing.rows import BadRow, Source
from candid.cli.importing.tally import Tally
from candid.cli.importing.uploading import Uploader
from candid.cli.importing.waiting import Pending, Waiter
from candid.cli.problems import Stopped
from candid.errors import CandidError

LARGEST_BATCH: Final = 50


def default_workers() -> int:
    """Enough to hide the network's delay, few enough that a laptop's own functions keep a core: 4 a core, 16 at most."""
    return min(16, 4 * (os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class Plan:
    """How to import. ``patience``: seconds without any photo settling after which waiting ends."""

    workers: int
    wait: bool
    patience: float


class Import:
    """One run. ``start`` returns at once; ``done`` says whether it has ended; ``stop`` ends it early."""

    def __init__(self, api: Api, source: Source, tally: Tally, plan: Plan, stop: threading.Event) -> None:
        self._source = source
        self._tally = tally
        self._plan = plan
        self._stop = stop
        self._batches: queue.Queue[list[Group] | None] = queue.Queue(maxsize=plan.workers)
        self._waiter = Waiter(api, tally, stop, patience=plan.patience) if plan.wait else None
        self._uploader = Uploader(api, tally, stop, self._arrived, until(stop.wait))
        self._failure: CandidError | None = None
        self._unforeseen: BaseException | None = None
        self._threads: list[threading.Thread] = []
        self._workers_left = plan.workers
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin."""
        jobs: list[Callable[[], None]] = [self._read, *([self._work] * self._plan.workers)]
        if self._waiter:
            jobs.append(self._waiter.run)
        self._threads = [
            threading.Thread(target=self._guarded, args=(job,), name=f"candid-{at}", daemon=True)
            for at, job in enumerate(jobs)
        ]
        for thread in self._threads:
            thread.start()

    def done(self) -> bool:
        """Whether everything has ended."""
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self, seconds: float = 10.0) -> None:
        """End soon: photos on their way are finished, no other is begun."""
        self._stop.set()
        if self._waiter:
            self._waiter.wake()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def finish(self) -> CandidError | None:
        """What stopped the run, if something did; notes how many photos still wait."""
        if self._waiter:
            self._tally.waiting(self._waiter.left())
        if self._unforeseen is not None:
            raise self._unforeseen
        return self._failure

    def _read(self) -> None:
        size = max(1, min(LARGEST_BATCH, -(-self._tally.now().total // (2 * self._plan.workers))))
        batch: list[Group] = []
        for row in grouped(self._source.rows()):
            if self._stop.is_set():
                break
            if isinstance(row, BadRow):
                self._tally.bad_row(row.where, row.sentence)
                continue
            batch.append(row)
            if len(batch) == size:
                self._hand_over(batch)
                batch = []
        if batch:
            self._hand_over(batch)
        for _ in range(self._plan.workers):
            self._hand_over(None)

    def _hand_over(self, batch: list[Group] | None) -> None:
        while not self._stop.is_set():
            try:
                self._batches.put(batch, timeout=0.2)
                return
            except queue.Full:
                continue

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    batch = self._batches.get(timeout=0.2)
                except queue.Empty:
                    continue
                if batch is None:
                    return
                self._uploader.take(batch)
        finally:
            with self._lock:
                self._workers_left -= 1
                last = self._workers_left == 0
            if last and self._waiter:
                self._waiter.close()

    def _arrived(self, photo: Pending) -> None:
        if self._waiter:
            self._waiter.add(photo)

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Stopped:
            pass
        except CandidError as error:
            self._end(error, None)
        except BaseException as error:
            self._end(None, error)

    def _end(self, failure: CandidError | None, unforeseen: BaseException | None) -> None:
        with self._lock:
            if not self._stop.is_set():
                self._failure, self._unforeseen = failure, unforeseen
        self._stop.set()
        if self._waiter:
            self._waiter.wake()
