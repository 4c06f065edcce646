"""The node that is measured, and an index of a gallery in it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.opensearch.node import Node, start
from opensearchpy import OpenSearch
from tests.opensearch import MAPPING, free_port

from candid.faces.registry import ModelCard
from candid.gallery.opensearch.client import connect
from candid.gallery.opensearch.layout import Layouts
from candid.gallery.opensearch.lifecycle import Lifecycle
from candid.gallery.opensearch.names import Names
from candid.settings import OpenSearchSettings

_PATIENCE: Final = 7200
_GRAPH: Final = frozenset({"vec", "vex", "vem", "vemf"})
"""Lucene's files of vectors and graph."""


@dataclass(frozen=True)
class Machine:
    """A node whose data stay between runs."""

    node: Node
    major: int
    home: Path

    @property
    def client(self) -> OpenSearch:
        """A client for what a function would not ask."""
        return connect(OpenSearchSettings(opensearch_endpoint=self.node.url))

    def memory(self) -> dict[str, int]:
        """Bytes: what the process has in memory of its own (``anonymous``: the whole heap as far as Java ever touched it, and
        what Java needs beside it) and of mapped files (``mapped``: the page cache, which is shared and is given back under
        pressure), and how much of the heap was in use at this moment, rubbish included."""
        status = Path(f"/proc/{self.node.process.pid}/status").read_text()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in status.splitlines() if line.endswith("kB")}
        [one] = self.client.nodes.stats(metric="jvm")["nodes"].values()
        heap = one["jvm"]["mem"]
        return {
            "anonymous": sizes["RssAnon"],
            "mapped": sizes["RssFile"],
            "heap_used": int(heap["heap_used_in_bytes"]),
            "heap_size": int(heap["heap_committed_in_bytes"]),
        }


@contextmanager
def running(folder: Path, major: int, heap: str) -> Iterator[Machine]:
    """A node on what an earlier run left in ``folder``, stopped at the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    node = start(folder, free_port(), major, heap=heap)
    try:
        machine = Machine(node, major, folder)
        # After a kill it reads its log again, which takes a large index minutes.
        machine.client.cluster.health(wait_for_status="yellow", timeout="1800s", request_timeout=1800)
        yield machine
    finally:
        node.stop()


@dataclass(frozen=True)
class Made:
    """An index of ``size`` faces with its own m and ef_construction, and else the product's mapping."""

    machine: Machine
    size: int
    m: int
    ef_construction: int
    dimension: int

    @property
    def prefix(self) -> str:
        return f"bench-{self.size}-m{self.m}-e{self.ef_construction}"

    def spec(self, **more: Any) -> dict[str, Any]:
        """As ``contenders`` opens it."""
        node = self.machine.node
        base = {"kind": "opensearch", "url": node.url, "pid": node.process.pid}
        return base | {"prefix": self.prefix, "dimension": self.dimension} | more

    def create(self) -> None:
        """Make it, or find it."""
        mapping = json.loads(MAPPING.read_text(encoding="utf-8"))
        told = mapping["mappings"]["properties"]["template"]["method"]["parameters"]
        told |= {"m": self.m, "ef_construction": self.ef_construction}
        path = self.machine.home / f"{self.prefix}.json"
        path.write_text(json.dumps(mapping))
        names = Names(self.prefix)
        lifecycle = Lifecycle(self.machine.client, names, Layouts(self.machine.client, names), path)
        lifecycle.create("benchmark", ModelCard("benchmark", "", self.dimension, "", ""))

    def count(self) -> int:
        """Faces in it; 0 where it is not there."""
        client = self.machine.client
        if not client.indices.exists(index=f"{self.prefix}_*", params={"allow_no_indices": "false"}):
            return 0
        client.indices.refresh(index=f"{self.prefix}_*", request_timeout=600)
        return int(client.count(index=f"{self.prefix}_*")["count"])

    def forget(self) -> None:
        """Delete it. It waits for a merge that runs."""
        self.machine.client.indices.delete(
            index=f"{self.prefix}_*", params={"ignore_unavailable": "true"}, request_timeout=_PATIENCE
        )

    def settle(self, seconds: float = 1800) -> dict[str, Any]:
        """Wait until no merge runs; for how long, and whether one still did at the end."""
        begin = time.monotonic()
        while (merges := self._merges()) and time.monotonic() - begin < seconds:
            time.sleep(1)
        return {"merging_after_seconds": round(time.monotonic() - begin, 1), "still_merging": bool(merges)}

    def _merges(self) -> int:
        told = self.machine.client.indices.stats(index=f"{self.prefix}_*", metric="merge")
        return int(told["_all"]["total"]["merges"]["current"])

    def merge(self) -> dict[str, float]:
        """Merge to one segment."""
        begin = time.monotonic()
        self.machine.client.indices.forcemerge(
            index=f"{self.prefix}_*", params={"max_num_segments": "1"}, request_timeout=_PATIENCE
        )
        return {"seconds": round(time.monotonic() - begin, 1)}

    def weight(self) -> dict[str, Any]:
        """Bytes on disk, those of them that a search of the graph wants in memory (vectors and graph), and segments."""
        client = self.machine.client
        client.indices.flush(index=f"{self.prefix}_*", request_timeout=600)
        client.indices.refresh(index=f"{self.prefix}_*", request_timeout=600)
        told = client.indices.stats(
            index=f"{self.prefix}_*", metric="store,segments,docs", params={"include_segment_file_sizes": "true"}
        )["_all"]["primaries"]
        sizes = {name: int(one["size_in_bytes"]) for name, one in told["segments"]["file_sizes"].items()}
        return {
            "disk_bytes": int(told["store"]["size_in_bytes"]),
            "vectors_and_graph_bytes": sum(size for name, size in sizes.items() if name in _GRAPH),
            "files": sizes,
            "segments": int(told["segments"]["count"]),
            "deleted_documents": int(told["docs"]["deleted"]),
        }
