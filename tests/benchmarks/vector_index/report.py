"""The cells as tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tests.benchmarks.vector_index.plot import COLOURS, Cells

_MB: Final = 1e6
_HEAD: Final = """# The vector index, measured

Made by `python -m tests.benchmarks.vector_index` from the JSON beside it. SFace's templates (128 numbers): the first photos of
real people of LFW among synthetic ones whose scores are distributed as real ones'; 500 real probes, half of people who are in
the gallery by another photo and half of people who are in none. 100 neighbours are asked for; recall is that of the first 20
against scores in float64; *mates lost* are mated probes whose mate truly is among the nearest 20 and is not in the answer's.
Contenders search in turns of seconds, so that what else the machine does falls on all alike.

**Two cores; others worked on them while some galleries were measured** (the load average is beside each table; a measurement
alone makes one to four): times are this machine's at that moment. *Ratio* is p50 by that of the row that has 1.0, the median of
rounds. *Cores* is the time of both cores that one search took, in client and node, which others' work moves least (merges that
run in the node are in it). A client is a process (up to four, of four threads each where there are sixteen clients) that talks
HTTP to OpenSearch on the same cores or holds the embedded index in memory; FAISS's clients are threads of one process.
OpenSearch is searched by Candid's own code: it counts what it is about to search, then asks for neighbours with their labels.
"""


def render(cells: Cells) -> str:
    """All tables of which there are cells."""
    parts = [_HEAD]
    for size in sorted({int(found[1]) for key in cells if (found := re.match(r"(\d+)/", key))}):
        for state in ("fresh", "deleted", "merged"):
            parts += _state(cells, size, state)
    parts += _indexes(cells)
    parts += _tuning(cells)
    parts += _bare(cells)
    parts += _deepface(cells)
    return "\n".join(parts) + "\n"


def _state(cells: Cells, size: int, state: str) -> Iterator[str]:
    times = {
        (suffix, clients): cells[key]["contenders"]
        for suffix in ("", " 1%")
        for clients in (1, 4, 16)
        if (key := f"{size}/{state}/times{suffix}/{clients}") in cells
    }
    if ("", 1) not in times:
        return
    said = {"fresh": "as loaded", "deleted": "after a fifth was deleted", "merged": "after that, merged to one segment"}
    loads = [
        cells[f"{size}/{state}/times/{clients}"]["load_average"] for clients in (1, 4, 16) if ("", clients) in times
    ]
    yield f"\n## {size:,} faces, {said[state]}\n"
    between = f"{min(map(min, loads))} to {max(map(max, loads))}"
    yield f"Graphs at ef_search {cells.get(f'{size}/ef_search')}; load average {between}.\n"
    counts = [clients for clients in (4, 16) if ("", clients) in times]
    head = ["", "recall@1", "recall@20", "mates lost", "p50 / p95 / p99, ms", "ratio", "cores, ms"]
    head += [f"{clients} clients: p50 / p95 / p99, ms; a second" for clients in counts]
    head += ["1% filter: recall@20", "p50, ms"] + [f"{clients} clients: p50, ms" for clients in counts]
    rows = []
    for name, one in _ordered(times["", 1]):
        recall = cells.get(f"{size}/{state}/recall/{name}", {})
        filtered = cells.get(f"{size}/{state}/recall 1%/{name}", {})
        row = [name, recall.get("recall@1"), recall.get("recall@20"), recall.get("mates_lost"), _times(one)]
        row += [one["p50_ratio"], one["cpu_ms"]]
        for clients in counts:
            told = times["", clients][name]
            row.append(f"{_times(told)}; {told['searches_per_second']:,.0f}")
        row.append(filtered.get("recall@20"))
        row += [times.get((" 1%", clients), {}).get(name, {}).get("p50_ms") for clients in (1, *counts)]
        rows.append(row)
    yield _table(head, rows)


def _indexes(cells: Cells) -> Iterator[str]:
    """What each index took to load and takes up."""
    rows = []
    for key, told in _sorted(cells, r"(\d+)/([^/]+)/load"):
        size, name = key
        state = cells.get(f"{size}/{name}/fresh/weight", {})
        memory = cells.get(f"{size}/{name}/fresh/memory", {})
        client = cells.get(f"{size}/fresh/client_memory", {}).get(name)
        disk = state.get("disk_bytes") or told.get("disk_bytes")
        rows.append([
            f"{int(size):,}", name, f"{told['faces_per_second']:,}", told.get("merging_after_seconds"),
            told["load_average"], _mb(disk), _mb(state.get("vectors_and_graph_bytes")), state.get("segments"),
            f"{_mb(memory['anonymous'])} + {_mb(memory['mapped'])}" if memory else _mb(client),
        ])  # fmt: skip
    if not rows:
        return
    yield "\n## Loading and size\n"
    yield (
        "OpenSearch is loaded by Candid's own `upsert`, 500 faces a call, two callers, on the same two cores; FAISS HNSW is "
        "built by two threads. *Memory* of OpenSearch is what its process had of its own (the heap that Java was given and has "
        "touched, and what Java needs beside it) + mapped files; what a search of the graph needs in the page cache is "
        "*vectors and graph*. Of the others it is by how much a client's process grew.\n"
    )
    head = ["faces", "index", "faces a second", "merging after, s", "load average", "disk, MB", "vectors and graph, MB"]
    yield _table([*head, "segments", "memory, MB"], rows)
    changed = [
        [f"{int(size):,}", name, what, told["seconds"], _mb(weight["disk_bytes"]), weight["segments"],
         weight["deleted_documents"]]
        for what in ("deleted", "merged")
        for (size, name), told in _sorted(cells, rf"(\d+)/([^/]+)/{what}/took")
        if (weight := cells.get(f"{size}/{name}/{what}/weight"))
    ]  # fmt: skip
    if changed:
        yield "\nA fifth deleted, and then merged to one segment:\n"
        yield _table(["faces", "index", "", "took, s", "disk, MB", "segments", "deleted documents"], changed)


def _tuning(cells: Cells) -> Iterator[str]:
    rows = []
    for (size, name, state), told in _sorted(cells, r"(\d+)/OpenSearch 3 (m\d+ e\d+)/(\w+)/by ef"):
        base = f"{size}/OpenSearch 3 {name}"
        weight = cells.get(f"{base}/{state}/weight", {})
        for ef, one in _ordered(told["contenders"]):
            recall = cells.get(f"{base}/{state}/{ef}/recall", {"recall@1": 1.0, "recall@20": 1.0, "mates_lost": 0})
            row = [f"{int(size):,}", name, state, weight.get("segments"), ef, recall["recall@1"], recall["recall@20"]]
            rows.append([*row, recall["mates_lost"], one["p50_ms"], one["p95_ms"], one["p50_ratio"], one["cpu_ms"]])
    if not rows:
        return
    yield "\n## m, ef_construction, ef_search\n\n*Ratio* is to exact search of the same index in the same rounds.\n"
    head = ["faces", "m, ef_construction", "", "segments", "ef_search", "recall@1", "recall@20", "mates lost"]
    yield _table([*head, "p50, ms", "p95, ms", "ratio", "cores, ms"], rows)
    rows = []
    for (size, name, state), told in _sorted(cells, r"(\d+)/(OpenSearch 3 m\d+ e\d+)/(\w+)/by k"):
        for k, one in _ordered(told["contenders"]):
            recall = cells[f"{size}/{name}/{state}/{k}/recall"]["recall@20"]
            rows.append([f"{int(size):,}", state, k, recall, one["p50_ms"], one["p50_ratio"], one["cpu_ms"]])
    if rows:
        yield "\n## k\n"
        yield _table(["faces", "", "k", "recall@20", "p50, ms", "ratio", "cores, ms"], rows)


def _bare(cells: Cells) -> Iterator[str]:
    rows = [
        [f"{int(size):,}", name, one["p50_ms"], one["p95_ms"], one["p50_ratio"], one["cpu_ms"]]
        for (size,), told in _sorted(cells, r"(\d+)/fresh/bare")
        for name, one in _ordered(told["contenders"])
    ]
    if rows:
        yield "\n## One bare request, and Candid's search\n"
        yield (
            "*Bare* is one request, without the count before it and the filter by collection; *doc values* reads labels from "
            "columns instead of the stored documents.\n"
        )
        yield _table(["faces", "", "p50, ms", "p95, ms", "ratio", "cores, ms"], rows)


def _deepface(cells: Cells) -> Iterator[str]:
    for (photos,), told in _sorted(cells, r"(\d+) photos/DeepFace\.find"):
        right = told["rank_1_of_faces_found"]
        yield f"\n## `DeepFace.find` among {photos} photos\n"
        yield (
            f"SFace and YuNet on the same photos of LFW, {told['probes']} probes, from a photo to a list of people, in one "
            f"process; load average {told['load_average'][0]} to {told['load_average'][1]}. DeepFace's file of embeddings was "
            f"there (it took {told['build_seconds']} s); a call reads it, looks at every file in the folder (unless told not "
            f"to refresh), detects, embeds and compares. By default it takes {told['find_to_candid']} times Candid's whole "
            f"search in process; less its own `represent`, {told['find_less_represent_to_candids_index']} times the embedded "
            f"index. Rank-1 of the same probes: {right['DeepFace.find']:.1%} beside {right['Candid in process']:.1%} (DeepFace "
            "aligns otherwise).\n"
        )
        rows = [[name, one["p50_ms"], one["p95_ms"]] for name, one in told["contenders"].items()]
        yield _table(["", "p50, ms", "p95, ms"], rows)


def _sorted(cells: Cells, pattern: str) -> list[tuple[tuple[str, ...], Any]]:
    """The cells whose whole key fits, by their groups: numbers as numbers."""
    found = [(match.groups(), told) for key, told in cells.items() if (match := re.fullmatch(pattern, key))]
    return sorted(found, key=lambda one: [(int(part), "") if part.isdigit() else (0, part) for part in one[0]])


def _ordered(contenders: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """As the plot has them; parameters by their numbers."""
    places = {name: place for place, name in enumerate(COLOURS)}

    def place(name: str) -> tuple[int, int, str]:
        number = re.fullmatch(r"(?:ef|k) (\d+)", name)
        return places.get(name, 0), int(number[1]) if number else 0, name

    return sorted(contenders.items(), key=lambda one: place(one[0]))


def _times(one: Mapping[str, Any]) -> str:
    failed = f" ({one['failed']} of {one['searches']} failed)" if "failed" in one else ""
    return f"{one['p50_ms']} / {one['p95_ms']} / {one['p99_ms']}{failed}"


def _mb(size: float | None) -> str | None:
    return None if size is None else f"{size / _MB:,.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join("" if one is None else str(one) for one in line) + " |" for line in lines)
