"""The node that is measured, and an index of a gallery in it."""

from __future__ import annotations

import json
import time
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

BULK: Final = 500
HEAP: Final = {2: "2g", 3: "4g"}


@dataclass
class Machine:
    """A node whose data stay between runs."""

    node: Node
    major: int
    home: Path

    @classmethod
    def start(cls, folder: Path, major: int) -> Machine:
        """Start it on what an earlier run left in ``folder``."""
        home = folder / f"opensearch-{major}"
        home.mkdir(parents=True, exist_ok=True)
        return cls(start(home, free_port(), major, heap=HEAP[major]), major, home)

    @property
    def client(self) -> OpenSearch:
        """A client for what a function would not ask."""
        return connect(OpenSearchSettings(opensearch_endpoint=self.node.url))

    def memory(self) -> dict[str, int]:
        """Bytes: the process's resident memory (mapped files that are in the page cache included), and the heap in use."""
        status = Path(f"/proc/{self.node.process.pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024
        told = self.client.nodes.stats(metric="jvm")
        [one] = told["nodes"].values()
        return {"resident": resident, "heap_used": int(one["jvm"]["mem"]["heap_used_in_bytes"])}


@dataclass
class Made:
    """An index of ``size`` faces with its own m and ef_construction."""

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
        base = {"kind": "opensearch", "url": self.machine.node.url, "prefix": self.prefix, "dimension": self.dimension}
        return base | more

    def lifecycle(self) -> Lifecycle:
        """With a mapping of this m and ef_construction."""
        mapping = json.loads(MAPPING.read_text(encoding="utf-8"))
        told = mapping["mappings"]["properties"]["template"]["method"]["parameters"]
        told |= {"m": self.m, "ef_construction": self.ef_construction}
        path = self.machine.home / f"{self.prefix}.json"
        path.write_text(json.dumps(mapping))
        names = Names(self.prefix)
        return Lifecycle(self.machine.client, names, Layouts(self.machine.client, names), path)

    def create(self) -> str:
        """Make it, or find it; its name."""
        generation, _ = self.lifecycle().create("benchmark", ModelCard("benchmark", "", self.dimension, "", ""))
        return generation.name

    def count(self) -> int:
        """Faces in it; 0 where it is not there."""
        client = self.machine.client
        if not client.indices.exists(index=f"{self.prefix}_*", params={"allow_no_indices": "false"}):
            return 0
        # After a restart it first reads its log of operations, however long that takes.
        client.cluster.health(
            index=f"{self.prefix}_*", params={"wait_for_status": "yellow", "timeout": "1200s"}, request_timeout=1300
        )
        client.indices.refresh(index=f"{self.prefix}_*", request_timeout=900)
        return int(client.count(index=f"{self.prefix}_*", request_timeout=60)["count"])

    def forget(self) -> None:
        """Delete it."""
        self.machine.client.indices.delete(index=f"{self.prefix}_*", params={"ignore_unavailable": "true"})

    def settle(self, seconds: float = 1200) -> float:
        """Wait until no merge runs; for how long."""
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            told = self.machine.client.indices.stats(index=f"{self.prefix}_*", metric="merge")
            if not told["_all"]["total"]["merges"]["current"]:
                break
            time.sleep(2)
        return round(time.monotonic() - begin, 1)

    def merge(self) -> float:
        """Merge to one segment; seconds."""
        begin = time.monotonic()
        self.machine.client.indices.forcemerge(
            index=f"{self.prefix}_*", params={"max_num_segments": "1"}, request_timeout=3600
        )
        return round(time.monotonic() - begin, 1)

    def weight(self) -> dict[str, Any]:
        """Bytes on disk, those of them that a search of the graph wants in memory (vectors and graph), and segments."""
        self.machine.client.indices.flush(index=f"{self.prefix}_*", request_timeout=600)
        self.machine.client.indices.refresh(index=f"{self.prefix}_*", request_timeout=600)
        told = self.machine.client.indices.stats(
            index=f"{self.prefix}_*", metric="store,segments,docs", params={"include_segment_file_sizes": "true"}
        )["_all"]["primaries"]
        sizes = {name: int(one["size_in_bytes"]) for name, one in told["segments"]["file_sizes"].items()}
        graph = sum(size for name, size in sizes.items() if name in {"vec", "vex", "vem"})
        return {
            "disk_bytes": int(told["store"]["size_in_bytes"]),
            "vectors_and_graph_bytes": graph,
            "files": sizes,
            "segments": int(told["segments"]["count"]),
            "deleted_documents": int(told["docs"]["deleted"]),
        }
