"""Recall against the truth, and how long searches take with so many clients at once, contender beside contender."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tests.benchmarks.vector_index.contenders import PROCESSES, Search, Spec, searching
from tests.benchmarks.vector_index.galleries import Numbers
from tests.benchmarks.vector_index.results import load_average

from candid.errors import DependencyUnavailable
from candid.gallery.index import Filter

K: Final = 100
"""So many neighbours are asked for: Candid's search asks for four times the list that it makes, and for 50 at least."""
ROUNDS: Final = 4
SECONDS: Final = 2.0
"""Of one contender's turn in a round."""
_WARM: Final = 20
_PROCESSES: Final = 4
_SPAWN = multiprocessing.get_context("spawn")

Truth = tuple[Numbers, NDArray[np.float64]]
"""(probes, n) the truly nearest faces, and their scores in float64, each row descending."""


def recall(
    search: Search,
    probes: NDArray[np.float32],
    truth: Truth,
    where: Filter | None = None,
    *,
    k: int = K,
    mates: Numbers | None = None,
) -> dict[str, Any]:
    """Recall@1 and recall@20: how many of the truly nearest are among the first; a face that ties with the last counts.

    ``mates_lost``: of the probes whose mate (``mates``, of the first probes) truly is among the nearest, those whose mate the
    answer's first 20 lack.
    """
    nearest, scores = truth
    wanted = min(20, nearest.shape[1])
    first = found = lost = 0
    for row, probe in enumerate(probes):
        answer = search(probe, k, where)
        known = dict(zip(nearest[row].tolist(), scores[row].tolist(), strict=True))
        first += bool(answer) and known.get(answer[0], -2.0) >= scores[row, 0] - 1e-6
        found += sum(known.get(one, -2.0) >= scores[row, wanted - 1] - 1e-6 for one in answer[:wanted])
        if mates is not None and row < len(mates):
            lost += int(mates[row]) in known and int(mates[row]) not in answer[:wanted]
    told: dict[str, Any] = {
        "recall@1": round(first / len(probes), 4),
        "recall@20": round(min(1.0, found / (len(probes) * wanted)), 4),
    }
    return told if mates is None else told | {"mates_lost": lost}


class Pools:
    """Processes that have contenders open, and search in turns: a round is one turn of each, so that what else the machine does
    falls on all alike."""

    def __init__(self, specs: Mapping[str, Spec], probes: NDArray[np.float32], most: int) -> None:
        self._workers: dict[str, list[tuple[Any, Connection]]] = {}
        self._nodes = {name: int(spec["pid"]) for name, spec in specs.items() if "pid" in spec}
        self.resident: dict[str, int] = {}
        for name, spec in specs.items():
            count = min(_PROCESSES, most) if spec["kind"] in PROCESSES else 1
            for number in range(count):
                here, there = _SPAWN.Pipe()
                process = _SPAWN.Process(target=_work, args=(spec, probes, number, there), daemon=True)
                process.start()
                self._workers.setdefault(name, []).append((process, here))
            # One contender opens at a time, and says by how much its process has grown.
            self.resident[name] = max(_received(process, here) for process, here in self._workers[name])

    def times(
        self, clients: int, where: Filter | None = None, *, only: Sequence[str] = (), seconds: float = SECONDS
    ) -> dict[str, Any]:
        """For each contender p50, p95 and p99 (ms) of a search, and searches a second, with ``clients`` that search one after
        the other each; ``p50_ratio`` to the first contender's p50, the median over the rounds; and ``cpu_ms``, the time that
        all cores spent on a search, in the client and in the node, which others' work on the machine moves least. A search that
        the index does not answer in time is counted as ``failed``, and its time with the others'."""
        names = list(only or self._workers)
        taken: dict[str, list[float]] = {name: [] for name in names}
        spent: dict[str, float] = dict.fromkeys(names, 0.0)
        medians: dict[str, list[float]] = {name: [] for name in names}
        cpu: dict[str, float] = dict.fromkeys(names, 0.0)
        failed: dict[str, int] = dict.fromkeys(names, 0)
        before = load_average()
        for turn in range(ROUNDS):
            for name in names if turn % 2 == 0 else reversed(names):
                workers = self._workers[name][: min(clients, len(self._workers[name]))]
                node = _cpu_of(self._nodes.get(name))
                for _, pipe in workers:
                    pipe.send((clients // len(workers), where, seconds))
                answers = [_received(process, pipe) for process, pipe in workers]
                cpu[name] += _cpu_of(self._nodes.get(name)) - node + sum(answer.cpu for answer in answers)
                failed[name] += sum(answer.failed for answer in answers)
                turn_taken = [one for answer in answers for one in answer.taken]
                taken[name] += turn_taken
                medians[name].append(float(np.median(turn_taken)))
                spent[name] += max(answer.spent for answer in answers)
        told: dict[str, Any] = {"clients": clients, "load_average": [before, load_average()], "contenders": {}}
        for name in names:
            ratios = [one / first for one, first in zip(medians[name], medians[names[0]], strict=True)]
            told["contenders"][name] = {
                **{f"p{q}_ms": round(float(np.percentile(taken[name], q)) * 1000, 2) for q in (50, 95, 99)},
                "searches": len(taken[name]),
                **({"failed": failed[name]} if failed[name] else {}),
                "searches_per_second": round(len(taken[name]) / spent[name], 1),
                "cpu_ms": round(cpu[name] / len(taken[name]) * 1000, 2),
                "p50_ratio": round(float(np.median(ratios)), 2),
            }
        return told

    def close(self) -> None:
        """End the processes."""
        for workers in self._workers.values():
            for process, pipe in workers:
                pipe.close()
                process.join(timeout=20)


@contextmanager
def pools(specs: Mapping[str, Spec], probes: NDArray[np.float32], most: int) -> Iterator[Pools]:
    """``Pools`` that end with the block."""
    made = Pools(specs, probes, most)
    try:
        yield made
    finally:
        made.close()


def _received(process: Any, pipe: Connection) -> Any:
    while not pipe.poll(5):
        if not process.is_alive():
            raise RuntimeError("A contender's process has ended.")
    return pipe.recv()


def _work(spec: Spec, probes: NDArray[np.float32], number: int, pipe: Connection) -> None:
    before = _resident()
    search = searching(spec)
    k = int(spec.get("k", K))
    for probe in probes[:_WARM]:
        search(probe, k, None)
    pipe.send(_resident() - before)
    at = number * 61
    while True:
        try:
            threads, where, seconds = pipe.recv()
        except EOFError:
            return
        with suppress(DependencyUnavailable):
            search(probes[at % len(probes)], k, where)
        pipe.send(_turn(lambda probe, where=where: search(probe, k, where), probes, at, threads, seconds))
        at += 7


@dataclass(frozen=True, slots=True)
class _Turn:
    """Seconds of each search; of all, by the clock and by this process's share of the cores; and how many searches failed."""

    taken: list[float]
    spent: float
    cpu: float
    failed: int


def _turn(
    search: Callable[[NDArray[np.float32]], object], probes: NDArray[np.float32], at: int, threads: int, seconds: float
) -> _Turn:
    taken: list[float] = []
    failed: list[int] = []
    cpu = time.process_time()
    begin = time.perf_counter()

    def client(place: int) -> None:
        while True:
            started = time.perf_counter()
            if started - begin >= seconds:
                return
            try:
                search(probes[place % len(probes)])
            except DependencyUnavailable:
                failed.append(place)
            taken.append(time.perf_counter() - started)
            place += 1

    running = [threading.Thread(target=client, args=(at + 37 * one,)) for one in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return _Turn(taken, time.perf_counter() - begin, time.process_time() - cpu, len(failed))


def _cpu_of(pid: int | None) -> float:
    """Seconds that a process has had of the cores; 0 where there is none."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident() -> int:
    """Bytes of this process in memory now."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024
