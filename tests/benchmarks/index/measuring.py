"""Recall against the truth, and how long searches take with so many clients at once."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tests.benchmarks.index.contenders import Search, Spec, searching
from tests.benchmarks.index.galleries import Numbers

from candid.gallery.index import Filter

K: Final = 100
"""So many neighbours are asked for, as Candid's search does for a list of twenty; recall is that of the first twenty."""
SECONDS: Final = 8.0
WARM: Final = 20
_PROCESSES: Final = 4
_SPAWN = multiprocessing.get_context("spawn")


def recall(
    search: Search, probes: NDArray[np.float32], truth: tuple[Numbers, NDArray[np.float64]], where: Filter | None = None
) -> dict[str, float]:
    """Recall@1 and recall@20: how many of the truly nearest are among the first; a face that ties with the last counts."""
    nearest, scores = truth
    wanted = min(20, nearest.shape[1])
    first = found = 0
    for row, probe in enumerate(probes):
        answer = search(probe, K, where)
        known = dict(zip(nearest[row].tolist(), scores[row].tolist(), strict=True))
        first += bool(answer) and known.get(answer[0], -2.0) >= scores[row, 0] - 1e-6
        found += sum(known.get(one, -2.0) >= scores[row, wanted - 1] - 1e-6 for one in answer[:wanted])
    return {"recall@1": round(first / len(probes), 4), "recall@20": round(min(1.0, found / (len(probes) * wanted)), 4)}


def times(spec: Spec, probes: NDArray[np.float32], clients: int, where: Filter | None = None) -> dict[str, Any]:
    """p50, p95 and p99 (ms) of a search and searches a second, with ``clients`` that search one after the other each.

    They are threads: of one process for one client and for faiss (which lets go of Python's lock), else of four processes, all on
    this machine, whose cores the index has to share with them.
    """
    processes = 1 if clients == 1 or str(spec["kind"]).startswith("faiss") else min(_PROCESSES, clients)
    each = clients // processes
    before = os.getloadavg()[0]
    barrier = _SPAWN.Barrier(processes)
    queue: Any = _SPAWN.Queue()
    workers = [_SPAWN.Process(target=_work, args=(spec, probes, each, where, barrier, queue)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    told = [queue.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join()
    taken = np.array([one for seconds, _ in told for one in seconds])
    return {
        "clients": clients,
        **{f"p{q}_ms": round(float(np.percentile(taken, q)) * 1000, 2) for q in (50, 95, 99)},
        "searches": len(taken),
        "searches_per_second": round(len(taken) / max(spent for _, spent in told), 1),
        "load_average": round(before, 1),
    }


def _work(
    spec: Spec, probes: NDArray[np.float32], threads: int, where: Filter | None, barrier: Any, queue: Any
) -> None:
    search = searching(spec)
    for probe in probes[:WARM]:
        search(probe, K, where)
    taken: list[float] = []
    barrier.wait(timeout=300)
    begin = time.perf_counter()

    def client(number: int) -> None:
        at = number * 37 + os.getpid() % 100
        while time.perf_counter() - begin < SECONDS:
            started = time.perf_counter()
            search(probes[at % len(probes)], K, where)
            taken.append(time.perf_counter() - started)
            at += 1

    running: Sequence[threading.Thread] = [threading.Thread(target=client, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    queue.put((taken, time.perf_counter() - begin))
