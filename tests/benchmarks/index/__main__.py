"""The benchmark of the vector index, side by side in one run.

    python -m tests.benchmarks.index [--sizes 10000,100000,300000,1000000] [--out FILE] [--only PART,…]

Each cell is written as soon as it is measured, and what is there is not measured again: the run can be stopped and goes on.
Absolute times are this machine's at that moment (its load average is beside them); the ratios travel better. Not a test.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
from tests.benchmarks.index.contenders import opened, searching  # noqa: E402
from tests.benchmarks.index.galleries import BOOKINGS, Gallery, gallery, real  # noqa: E402
from tests.benchmarks.index.measuring import recall, times  # noqa: E402
from tests.benchmarks.index.opensearch_node import BULK, Machine, Made  # noqa: E402

from candid.errors import DependencyUnavailable  # noqa: E402
from candid.gallery.index import VectorIndex  # noqa: E402

ROOT: Final = Path(__file__).parents[3]
BUILD: Final = ROOT / ".build" / "benchmarks"
RESULTS: Final = ROOT / "tests" / "benchmarks" / "results" / "index.json"
CHOSEN: Final = (48, 256)
TUNED: Final = {100_000: [(16, 128), (32, 256), (64, 256)], 300_000: [(16, 128), (32, 256)]}
EFS: Final = (100, 200, 400, 800)
MERGED: Final = 300_000
"""Beyond this no gallery is merged to one segment: it would take one thread an hour."""


class Results:
    """Cells by a key such as ``300000/OpenSearch 3 m48 e256/fresh/exact/recall``, in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: dict[str, Any] = (
            json.loads(path.read_text()) if path.is_file() else {"machine": _machine(), "cells": {}}
        )

    def cell(self, key: str, measure: Callable[[], Any]) -> Any:
        """What is there under ``key``, or what ``measure`` gives."""
        cells = self.told["cells"]
        if key not in cells:
            begin = time.monotonic()
            cells[key] = measure()
            self.path.write_text(json.dumps(self.told, indent=1, sort_keys=True) + "\n")
            print(
                f"{time.strftime('%H:%M:%S')} {key}: {json.dumps(cells[key])} ({time.monotonic() - begin:.0f} s)",
                flush=True,
            )
        return cells[key]

    def has(self, key: str) -> bool:
        return key in self.told["cells"]


def main() -> None:
    """Measure what is not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000,300000,1000000")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--only", default="opensearch,opensearch2,embedded,faiss,tune")
    parser.add_argument(
        "--merge-up-to", type=int, default=MERGED, help="faces of a gallery that is merged to one segment"
    )
    asked = parser.parse_args()
    results = Results(asked.out)
    known = real(BUILD / "lfw.npz")
    only = set(asked.only.split(","))
    for size in (int(one) for one in asked.sizes.split(",")):
        held = gallery(size, known)
        BUILD.mkdir(parents=True, exist_ok=True)
        if "embedded" in only:
            _embedded(results, held)
        if "faiss" in only:
            _faiss(results, held)
        if "opensearch" in only:
            _with_node(3, lambda machine, held=held: _opensearch(results, machine, held, asked.merge_up_to))
        if "opensearch2" in only and size <= 100_000:
            _with_node(2, lambda machine, held=held: _opensearch(results, machine, held, 0))
        if "tune" in only:
            for m, ef_construction in TUNED.get(size, []):
                _with_node(3, lambda machine, held=held, m=m, e=ef_construction: _tune(results, machine, held, m, e))


def _with_node(major: int, work: Callable[[Machine], None]) -> None:
    machine = Machine.start(BUILD, major)
    try:
        work(machine)
    finally:
        machine.node.stop()


def _opensearch(results: Results, machine: Machine, held: Gallery, merge_up_to: int) -> None:
    size = len(held.templates)
    m, ef_construction = CHOSEN
    made = Made(machine, size, m, ef_construction, held.templates.shape[1])
    base = f"{size}/OpenSearch {machine.major} m{m} e{ef_construction}"
    if results.has(f"{base}/done"):
        return
    _load(results, made, held, base)
    _measure(results, made, held, f"{base}/fresh", None)
    gone = held.deleted()
    if not results.has(f"{base}/deleted/weight"):
        _delete(opened(made.spec()), gone)
    _measure(results, made, held, f"{base}/deleted", gone)
    if size <= merge_up_to:
        results.cell(f"{base}/merged/seconds", made.merge)
        _measure(results, made, held, f"{base}/merged", gone)
        results.cell(f"{base}/done", lambda: True)
        made.forget()


def _load(results: Results, made: Made, held: Gallery, base: str) -> None:
    if results.has(f"{base}/load") and made.count() >= len(held.templates) * 0.7:
        return

    def load() -> dict[str, Any]:
        made.create()
        # A load that was cut off goes on a little before where it was; its rate is that of what was still to do.
        begin = max(0, made.count() // BULK - 20) * BULK
        taken, again = _write(opened(made.spec()), held, begin)
        waited = made.settle()
        return {
            "faces": len(held.templates) - begin,
            "faces_per_second": round((len(held.templates) - begin) / taken),
            "seconds": round(taken, 1),
            "refused_and_sent_again": again,
            "merging_after_seconds": waited,
            "load_average": round(os.getloadavg()[0], 1),
        }

    results.told["cells"].pop(f"{base}/load", None)
    results.cell(f"{base}/load", load)


def _write(index: VectorIndex, held: Gallery, first: int = 0) -> tuple[float, int]:
    """Enrol a gallery from ``first`` on by the index's own ``upsert``, two writers at a time; seconds, and how many calls it did
    not take and were made again, as the photos queue does."""
    begin = time.monotonic()
    parts = iter(range(first, len(held.templates), BULK))
    lock = threading.Lock()
    failures: list[BaseException] = []
    again: list[int] = []

    def patiently(part: int) -> None:
        for turn in range(30):
            try:
                return index.upsert(held.entries(part, part + BULK))
            except DependencyUnavailable:
                again.append(part)
                time.sleep(min(30, 2 * turn + 1))
        raise RuntimeError("the index takes nothing any more")

    def writer() -> None:
        try:
            while True:
                with lock:
                    part = next(parts, None)
                if part is None:
                    return
                patiently(part)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=writer) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.monotonic() - begin, len(again)


def _delete(index: VectorIndex, gone: np.ndarray) -> None:
    for begin in range(0, len(gone), 1000):
        ids = [UUID(int=number) for number in gone[begin : begin + 1000].tolist()]
        for turn in range(30):
            try:
                index.delete(BOOKINGS, ids)
                break
            except DependencyUnavailable:
                time.sleep(min(30, 2 * turn + 1))
        else:
            raise RuntimeError("the index deletes nothing any more")


def _measure(results: Results, made: Made, held: Gallery, base: str, without: Any) -> None:
    results.cell(f"{base}/weight", made.weight)
    truths = {percent: held.truth(20, without=without, percent=percent) for percent in (False, True)}
    fresh = base.endswith("/fresh")
    for exactly, way in ((True, "exact"), (False, "graph")):
        spec = made.spec(exactly=exactly)
        for percent, where in ((False, None), (True, held.percent())):
            name = f"{base}/{way}{' 1%' if percent else ''}"
            results.cell(
                f"{name}/recall", lambda s=spec, w=where, p=percent: recall(searching(s), held.probes, truths[p], w)
            )
            for clients in (1, 4, 16) if fresh else (1,):
                results.cell(f"{name}/{clients}", lambda s=spec, c=clients, w=where: times(s, held.probes, c, w))
    if fresh:
        results.cell(f"{base}/memory", made.machine.memory)
        _by_ef(results, made, held, base, truths[False])


def _by_ef(results: Results, made: Made, held: Gallery, base: str, truth: Any) -> None:
    for ef_search in EFS:
        spec = made.spec(exactly=False, ef_search=ef_search)
        results.cell(f"{base}/ef {ef_search}/recall", lambda s=spec: recall(searching(s), held.probes, truth))
        results.cell(f"{base}/ef {ef_search}/1", lambda s=spec: times(s, held.probes, 1))


def _tune(results: Results, machine: Machine, held: Gallery, m: int, ef_construction: int) -> None:
    size = len(held.templates)
    made = Made(machine, size, m, ef_construction, held.templates.shape[1])
    base = f"{size}/OpenSearch {machine.major} m{m} e{ef_construction}"
    if results.has(f"{base}/fresh/ef {EFS[-1]}/1"):
        return
    _load(results, made, held, base)
    results.cell(f"{base}/fresh/weight", made.weight)
    _by_ef(results, made, held, f"{base}/fresh", held.truth(20))
    made.forget()


def _embedded(results: Results, held: Gallery) -> None:
    size = len(held.templates)
    base = f"{size}/embedded"
    path = BUILD / f"embedded-{size}.sqlite"
    spec = {"kind": "embedded", "path": str(path), "dimension": held.templates.shape[1]}

    def load() -> dict[str, Any]:
        path.unlink(missing_ok=True)
        index = opened(spec)
        taken, _ = _write(index, held)
        index.close()
        return {
            "faces_per_second": round(size / taken),
            "disk_bytes": path.stat().st_size,
            "load_average": round(os.getloadavg()[0], 1),
        }

    if not path.is_file():
        results.told["cells"].pop(f"{base}/load", None)
    results.cell(f"{base}/load", load)
    for percent, where in ((False, None), (True, held.percent())):
        name = f"{base}/exact{' 1%' if percent else ''}"
        truth = held.truth(20, percent=percent)
        results.cell(f"{name}/recall", lambda w=where, t=truth: recall(searching(spec), held.probes, t, w))
        for clients in (1, 4, 16):
            results.cell(f"{name}/{clients}", lambda c=clients, w=where: times(spec, held.probes, c, w))
    if not results.has(f"{base}/deleted/exact/1"):
        index = opened(spec)
        gone = held.deleted()
        begin = time.monotonic()
        _delete(index, gone)
        results.cell(f"{base}/deleted/seconds", lambda: round(time.monotonic() - begin, 1))
        index.close()
        truth = held.truth(20, without=gone)
        results.cell(f"{base}/deleted/exact/recall", lambda: recall(searching(spec), held.probes, truth))
        results.cell(f"{base}/deleted/exact/1", lambda: times(spec, held.probes, 1))
    path.unlink(missing_ok=True)


def _faiss(results: Results, held: Gallery) -> None:
    import faiss

    size, dimension = held.templates.shape
    truth = held.truth(20)
    for kind in ("faiss flat", "faiss HNSW"):
        base = f"{size}/{kind}"
        if results.has(f"{base}/16"):
            continue
        path = BUILD / f"{kind.replace(' ', '-')}-{size}.index"

        def load(kind: str = kind, path: Path = path) -> dict[str, Any]:
            index = faiss.IndexFlatIP(dimension)
            if kind == "faiss HNSW":
                index = faiss.IndexHNSWFlat(dimension, CHOSEN[0], faiss.METRIC_INNER_PRODUCT)
                index.hnsw.efConstruction = CHOSEN[1]
            faiss.omp_set_num_threads(2)
            begin = time.monotonic()
            index.add(held.templates)
            taken = time.monotonic() - begin
            faiss.write_index(index, str(path))
            return {
                "faces_per_second": round(size / taken),
                "disk_bytes": path.stat().st_size,
                "load_average": round(os.getloadavg()[0], 1),
            }

        if not path.is_file():
            results.told["cells"].pop(f"{base}/load", None)
        results.cell(f"{base}/load", load)
        spec = {"kind": kind, "path": str(path), "ef_search": 400}
        results.cell(f"{base}/recall", lambda s=spec: recall(searching(s), held.probes, truth))
        for clients in (1, 4, 16):
            results.cell(f"{base}/{clients}", lambda s=spec, c=clients: times(s, held.probes, c))
        path.unlink(missing_ok=True)


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "numpy": np.__version__,
        "command": " ".join(["python -m tests.benchmarks.index", *sys.argv[1:]]),
    }


if __name__ == "__main__":
    main()
