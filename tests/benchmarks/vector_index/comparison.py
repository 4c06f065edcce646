"""One gallery in every contender: how fast it loads, how large it is, how much it finds, how long it takes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np
from tests.benchmarks.vector_index.contenders import Spec, opened, searching
from tests.benchmarks.vector_index.galleries import BOOKINGS, Gallery, Numbers
from tests.benchmarks.vector_index.measuring import Truth, pools, recall
from tests.benchmarks.vector_index.node import Machine, Made, running
from tests.benchmarks.vector_index.results import Results
from tests.opensearch import MAPPING

from candid.errors import DependencyUnavailable
from candid.gallery.index import Filter, VectorIndex

_MAPPED: Final = json.loads(MAPPING.read_text(encoding="utf-8"))["mappings"]
_GRAPH: Final = _MAPPED["properties"]["template"]["method"]["parameters"]
CHOSEN: Final = (int(_GRAPH["m"]), int(_GRAPH["ef_construction"]))
EF_SEARCH: Final = int(_MAPPED["_meta"]["candid"]["ef_search"])
"""These are the mapping's; FAISS's graph has the same."""
BOTH: Final = 100_000
"""At this size OpenSearch 2.19 is measured too, before anything is deleted."""
EFS: Final = (100, 200, 400, 800)
KS: Final = (20, 50, 100, 400)
CLIENTS: Final = (1, 4, 16)
_BULK: Final = 500
_WRITERS: Final = 2
_TURNS: Final = 30


def measure(results: Results, held: Gallery, data: Path, *, merge: bool) -> None:
    """All cells of one size that are not there yet. ``merge``: to one segment at the end, too."""
    size = len(held.templates)
    last = "merged" if merge else "deleted"
    if results.has(f"{size}/{last}/done"):
        return
    with ExitStack() as nodes:
        made = {
            major: Made(
                nodes.enter_context(running(data / f"opensearch-{major}-{size}", major, heap(size))),
                size,
                *CHOSEN,
                held.templates.shape[1],
            )
            for major in ((3, 2) if size == BOTH else (3,))
        }
        alone = _files(results, held, data) if not results.has(f"{size}/fresh/done") else {}
        for one in made.values():
            load(results, one, held, base(one))
            results.cell(f"{base(one)}/fresh/weight", one.weight)
        if not results.has(f"{size}/fresh/done"):
            specs = alone | _opensearch(made)
            results.cell(f"{size}/ef_search", lambda: EF_SEARCH)
            _state(results, held, f"{size}/fresh", specs, None, CLIENTS)
            _by_ef(results, held, made[3], f"{size}/fresh")
            _bare(results, held, made[3], f"{size}/fresh")
            for one in made.values():
                results.cell(f"{base(one)}/fresh/memory", one.machine.memory)
            results.cell(f"{size}/fresh/done", lambda: True)
        later = {3: made[3]}
        _deleted(results, held, later, data)
        if merge:
            results.cell(f"{base(made[3])}/merged/took", made[3].merge)
            results.cell(f"{base(made[3])}/merged/weight", made[3].weight)
            _state(results, held, f"{size}/merged", _opensearch(later), held.deleted(), (1, 4))
            _by_ef(results, held, made[3], f"{size}/merged")
            results.cell(f"{size}/merged/done", lambda: True)


def heap(size: int) -> str:
    """Java's heap for a gallery: what its merges need, which is little."""
    return "1g" if size <= BOTH else "2g" if size <= 300_000 else "4g"


def base(made: Made) -> str:
    """Where the cells of an index begin."""
    return f"{made.size}/OpenSearch {made.machine.major} m{made.m} e{made.ef_construction}"


def load(results: Results, made: Made, held: Gallery, name: str) -> None:
    """Enrol a gallery through Candid's own ``upsert``, and wait for the merges that follow."""
    if results.has(f"{name}/load"):
        if made.count() >= len(held.templates) * 0.79:
            return
        for state in ("load", "fresh", "deleted", "merged"):
            results.forget(f"{name}/{state}")

    def measured() -> dict[str, Any]:
        made.forget()
        made.create()
        taken, again = _write(opened(made.spec()), held)
        rate = round(len(held.templates) / taken)
        told = {"faces_per_second": rate, "seconds": round(taken, 1), "calls_made_again": again}
        return told | made.settle()

    results.cell(f"{name}/load", measured)


def _opensearch(made: Mapping[int, Made]) -> dict[str, Spec]:
    told: dict[str, Spec] = {}
    for major, one in made.items():
        told[f"OpenSearch {major} exact"] = one.spec(exactly=True)
        told[f"OpenSearch {major} graph"] = one.spec(exactly=False)
    return told


def _state(
    results: Results, held: Gallery, state: str, specs: Mapping[str, Spec], gone: Numbers | None, most: tuple[int, ...]
) -> None:
    """Recall of each contender, then their times side by side, with and without a filter that leaves a hundredth."""
    filters: dict[str, Filter | None] = {"": None, " 1%": held.percent()}
    for suffix, where in filters.items():
        truth: Truth | None = None
        for name, spec in specs.items():
            key = f"{state}/recall{suffix}/{name}"
            if not results.has(key):
                truth = truth or held.truth(20, without=gone, percent=where is not None)
                told = recall(searching(spec), held.probes, truth, where, mates=held.mates)
                results.cell(key, lambda told=told: told)
    wanted = [(suffix, clients) for suffix in filters for clients in most]
    if all(results.has(f"{state}/times{suffix}/{clients}") for suffix, clients in wanted):
        return
    with pools(specs, held.probes, max(most)) as those:
        results.cell(f"{state}/client_memory", lambda: dict(those.resident))
        for suffix, clients in wanted:
            results.cell(f"{state}/times{suffix}/{clients}", lambda s=suffix, c=clients: those.times(c, filters[s]))


def _by_ef(results: Results, held: Gallery, made: Made, state: str) -> None:
    """The graph at several ef_search, beside exact search; and at several k."""
    name = f"{base(made)}/{state.rpartition('/')[2]}"
    by_ef(results, held, made, name)
    specs = {f"k {k}": made.spec(exactly=False, k=k) for k in KS}
    truth: Truth | None = None
    for k in KS:
        if not results.has(f"{name}/k {k}/recall"):
            truth = truth or _truth(held, name)
            told = recall(searching(specs[f"k {k}"]), held.probes, truth, k=k, mates=held.mates)
            results.cell(f"{name}/k {k}/recall", lambda told=told: told)
    if not results.has(f"{name}/by k"):
        with pools(specs, held.probes, 1) as those:
            results.cell(f"{name}/by k", lambda: those.times(1))


def _truth(held: Gallery, state: str) -> Truth:
    return held.truth(20, without=None if state.endswith("/fresh") else held.deleted())


def by_ef(results: Results, held: Gallery, made: Made, name: str) -> None:
    """Recall and times of the graph by ef_search, the times beside exact search's."""
    specs = {"exact": made.spec(exactly=True)} | {f"ef {ef}": made.spec(exactly=False, ef_search=ef) for ef in EFS}
    truth: Truth | None = None
    for ef in EFS:
        key = f"{name}/ef {ef}/recall"
        if not results.has(key):
            truth = truth or _truth(held, name)
            told = recall(searching(specs[f"ef {ef}"]), held.probes, truth, mates=held.mates)
            results.cell(key, lambda told=told: told)
    if not results.has(f"{name}/by ef"):
        with pools(specs, held.probes, 1) as those:
            results.cell(f"{name}/by ef", lambda: those.times(1))


def _bare(results: Results, held: Gallery, made: Made, state: str) -> None:
    """What Candid's search adds to one request (a count before it, a filter by collection), and what reading labels costs."""
    specs = {
        "bare exact": made.spec(kind="bare", exactly=True),
        "bare exact, doc values": made.spec(kind="bare", exactly=True, columns=True),
        "OpenSearch 3 exact": made.spec(exactly=True),
        "bare graph": made.spec(kind="bare", exactly=False),
        "bare graph, doc values": made.spec(kind="bare", exactly=False, columns=True),
        "OpenSearch 3 graph": made.spec(exactly=False),
    }
    if not results.has(f"{state}/bare"):
        with pools(specs, held.probes, 1) as those:
            results.cell(f"{state}/bare", lambda: those.times(1))


def _deleted(results: Results, held: Gallery, made: Mapping[int, Made], data: Path) -> None:
    """After a fifth of the faces was deleted."""
    size = len(held.templates)
    if results.has(f"{size}/deleted/done"):
        return
    gone = held.deleted()
    for one in made.values():
        if not results.has(f"{base(one)}/deleted/weight"):
            results.cell(f"{base(one)}/deleted/took", lambda one=one: _delete(opened(one.spec()), gone) | one.settle())
            results.cell(f"{base(one)}/deleted/weight", one.weight)
    path = _embedded(data, size)
    embedded = {"kind": "embedded", "path": str(path), "dimension": held.templates.shape[1]}
    specs = _opensearch(made)
    if path.is_file():
        if not results.has(f"{size}/embedded/deleted/took"):
            results.cell(f"{size}/embedded/deleted/took", lambda: _delete(opened(embedded), gone))
        specs["embedded"] = embedded
    _state(results, held, f"{size}/deleted", specs, gone, (1, 4))
    _by_ef(results, held, made[3], f"{size}/deleted")
    results.cell(f"{size}/deleted/done", lambda: True)
    path.unlink(missing_ok=True)


def _write(index: VectorIndex, held: Gallery) -> tuple[float, int]:
    """Enrol a gallery by the index's own ``upsert``, two writers at a time; seconds, and how many calls were made again
    because the index was too busy, as the photos queue does."""
    begin = time.monotonic()
    parts = iter(range(0, len(held.templates), _BULK))
    lock = threading.Lock()
    failures: list[BaseException] = []
    again: list[int] = []

    def writer() -> None:
        try:
            while True:
                with lock:
                    part = next(parts, None)
                if part is None or failures:
                    return
                _patiently(lambda part=part: index.upsert(held.entries(part, part + _BULK)), again)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=writer) for _ in range(_WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.monotonic() - begin, len(again)


def _delete(index: VectorIndex, gone: Numbers) -> dict[str, Any]:
    begin = time.monotonic()
    again: list[int] = []
    for first in range(0, len(gone), 1000):
        ids = [UUID(int=number) for number in gone[first : first + 1000].tolist()]
        _patiently(lambda ids=ids: index.delete(BOOKINGS, ids), again)
    return {"seconds": round(time.monotonic() - begin, 1), "calls_made_again": len(again)}


def _patiently(call: Callable[[], object], again: list[int]) -> None:
    for turn in range(_TURNS):
        try:
            call()
            return
        except DependencyUnavailable:
            again.append(turn)
            if turn == _TURNS - 1:
                raise
            time.sleep(min(30, 2 * turn + 1))


def _embedded(data: Path, size: int) -> Path:
    return data / f"embedded-{size}.sqlite"


def _files(results: Results, held: Gallery, data: Path) -> dict[str, Spec]:
    """The contenders that are files: made where they are not there."""
    size, dimension = held.templates.shape
    path = _embedded(data, size)
    embedded = {"kind": "embedded", "path": str(path), "dimension": dimension}

    def load_embedded() -> dict[str, Any]:
        index = opened(embedded)
        taken, _ = _write(index, held)
        index.close()
        return {"faces_per_second": round(size / taken), "disk_bytes": path.stat().st_size}

    specs: dict[str, Spec] = {"FAISS flat": {}, "embedded": embedded, "FAISS HNSW": {}}
    if not path.is_file():
        results.forget(f"{size}/embedded")
    results.cell(f"{size}/embedded/load", load_embedded)
    for kind in ("FAISS flat", "FAISS HNSW"):
        place = data / f"{kind.lower().replace(' ', '-')}-{size}.index"
        if not place.is_file():
            results.forget(f"{size}/{kind}")
        results.cell(f"{size}/{kind}/load", lambda kind=kind, place=place: _load_faiss(kind, held.templates, place))
        specs[kind] = {"kind": kind, "path": str(place), "ef_search": EF_SEARCH}
    return specs


def _load_faiss(kind: str, templates: np.ndarray, path: Path) -> dict[str, Any]:
    """Two threads, as the machine has cores."""
    import faiss

    index = faiss.IndexFlatIP(templates.shape[1])
    if kind == "FAISS HNSW":
        index = faiss.IndexHNSWFlat(templates.shape[1], CHOSEN[0], faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = CHOSEN[1]
    faiss.omp_set_num_threads(2)
    begin = time.monotonic()
    index.add(templates)
    taken = time.monotonic() - begin
    faiss.omp_set_num_threads(1)
    faiss.write_index(index, str(path))
    return {"faces_per_second": round(len(templates) / taken), "disk_bytes": path.stat().st_size}


__all__ = ["CHOSEN", "Machine", "base", "by_ef", "heap", "load", "measure"]
