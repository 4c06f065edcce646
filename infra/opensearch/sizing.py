"""What an OpenSearch domain for a gallery of a given size takes and costs: memory, disk, shards, nodes, price a month. On paper.

``python -m infra.opensearch.sizing`` prints the section of README.md; a test holds the two together. Every figure says where it
is from. Not here: what was measured (tests/benchmarks), which comes before any of this where it exists.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

GALLERIES: Final = (100_000, 300_000, 1_000_000, 10_000_000, 30_000_000, 100_000_000)
DIMENSIONS: Final = {128: "SFace", 512: "Facenet512, ArcFace"}
M: Final = 48
"""Neighbours a node of the graph has, as in mapping.json."""
COPIES: Final = 2
GENERATIONS: Final = 2
"""A model change fills a second index beside the first (candid index reembed), and both are on disk until one is dropped."""
ZONES: Final = 3
HOURS: Final = 730

GRAPH_OVERHEAD: Final = 1.1
"""Memory of faiss's HNSW: 1.1 · (bytes of the vector + 8 m) (OpenSearch documentation, k-NN index, memory estimation)."""
LUCENE_GRAPH_BYTES: Final = 160
"""Of a face in Lucene's graph with m 48, which packs the ids of neighbours: 110 to 149 measured at 100,000 and 300,000 faces."""
LABEL_BYTES: Final = 75
"""Of a face beside its vectors: seven keywords and two numbers, inverted and as columns; measured 60 to 75."""
RECOVERY_BYTES_PER_DIMENSION: Final = 10
"""``_recovery_source`` keeps the document's JSON until a merge behind its leases: 10 characters a number, measured."""
OVERHEAD_OF_LINUX: Final = 0.05
OVERHEAD_OF_SERVICE: Final = 0.20
"""Shares of a disk that hold no index (Amazon OpenSearch Service, Calculating storage requirements)."""
SHARD_BYTES: Final = 30 * 2**30
"""For searches AWS recommends shards of 10 to 30 GiB (Choosing the number of shards)."""
SHARD_FACES: Final = 2_500_000
"""Merging 240,000 faces with m 48 to one segment took 20 minutes of one thread; a shard of 2.5 million takes at least ten times
as long."""
CPUS_PER_SHARD: Final = 1.5
"""AWS's first guess (Choosing the number of shards); a search asks one copy of each shard."""
CPUS_OF_A_GRAPH: Final = 2
"""Of a node that merges graphs: a merge takes one for minutes to hours, and searches need another."""
HEAP_GIB: Final = 32
"""OpenSearch's heap is half of the memory, at most 32 GiB (Amazon OpenSearch Service, Choosing instance types)."""
PAGE_CACHE: Final = 0.8
"""Of what the heap leaves; the rest is the operating system's and the service's. Lucene's graphs and vectors lie there."""
CIRCUIT_BREAKER: Final = 0.5
"""Of what the heap leaves: the limit of faiss's memory (knn.memory.circuit_breaker.limit)."""
GP3_GIB_MONTH: Final = 0.122
PRICES_OF: Final = "2026-10-05"
"""When a public toolkit for OpenSearch read all prices here from AWS's price list (offer file AmazonES); another public tool,
without a date, has the same for instances."""
MANAGERS_FROM: Final = 10_000_000
MANAGER: Final = "m7g.large.search"
LEAST_DISK_GIB: Final = 20
MOST_NODES: Final = 12
"""A larger instance costs as much as two of half its size, and a search waits for the slowest of those it asks."""
_WIDTH: Final = 128


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance type of Amazon OpenSearch Service; ``dollars`` an hour on demand in us-east-1."""

    name: str
    cpus: int
    memory_gib: int
    dollars: float

    @property
    def beside_heap_gib(self) -> float:
        """Memory that the heap leaves."""
        return self.memory_gib - min(self.memory_gib / 2, HEAP_GIB)


INSTANCES: Final = (
    Instance("r7g.medium.search", 1, 8, 0.089),
    Instance("r7g.large.search", 2, 16, 0.178),
    Instance("r7g.xlarge.search", 4, 32, 0.356),
    Instance("r7g.2xlarge.search", 8, 64, 0.711),
    Instance("r7g.4xlarge.search", 16, 128, 1.422),
    Instance("r7g.8xlarge.search", 32, 256, 2.845),
)
MANAGER_DOLLARS: Final = 0.135


class Method(Enum):
    """How templates are searched: the engine, bits a number of a vector in memory, and how many candidates are looked at again
    in full for one that is wanted (0: none)."""

    EXACT = ("Lucene, exact", 32, 0)
    LUCENE = ("Lucene, fp32", 32, 0)
    FP16 = ("faiss, fp16", 16, 0)
    ON_DISK = ("faiss, on_disk 8×", 4, 2)

    def __init__(self, title: str, bits: int, oversample: int) -> None:
        self.title, self.bits, self.oversample = title, bits, oversample

    @property
    def is_faiss(self) -> bool:
        """Whether its memory is faiss's own, and not the page cache."""
        return self in {Method.FP16, Method.ON_DISK}


@dataclass(frozen=True, slots=True)
class Plan:
    """A domain for ``faces`` templates of ``dimension`` numbers."""

    faces: int
    dimension: int
    method: Method
    instance: Instance
    nodes: int
    shards: int

    @property
    def memory_bytes(self) -> float:
        """Of one copy."""
        if not self.method.is_faiss:
            return self.faces * (4 * self.dimension + LUCENE_GRAPH_BYTES)
        return self.faces * GRAPH_OVERHEAD * (self.dimension * self.method.bits / 8 + 8 * M)

    @property
    def index_bytes(self) -> float:
        """Of one copy on disk, before any merge."""
        return self.faces * bytes_on_disk(self.dimension)

    @property
    def disk_gib(self) -> int:
        """Of each node, in steps of 10 GiB: for all copies of two generations."""
        held = self.index_bytes * COPIES * GENERATIONS / (1 - OVERHEAD_OF_LINUX) / (1 - OVERHEAD_OF_SERVICE)
        return max(LEAST_DISK_GIB, 10 * math.ceil(held / self.nodes / 2**30 / 10))

    @property
    def managers(self) -> int:
        """Dedicated cluster managers: none where the data nodes can do it themselves."""
        return 3 if self.faces >= MANAGERS_FROM else 0

    @property
    def dollars(self) -> float:
        """A month: nodes, managers, disks."""
        hourly = self.nodes * self.instance.dollars + self.managers * MANAGER_DOLLARS
        return HOURS * hourly + self.nodes * self.disk_gib * GP3_GIB_MONTH

    def fits(self) -> bool:
        """Whether memory and processors suffice."""
        share = CIRCUIT_BREAKER if self.method.is_faiss else PAGE_CACHE
        room = self.nodes * self.instance.beside_heap_gib * 2**30 * share
        cpus = self.instance.cpus
        merges = self.method is Method.EXACT or cpus >= CPUS_OF_A_GRAPH
        return merges and room >= self.memory_bytes * COPIES and self.nodes * cpus >= CPUS_PER_SHARD * self.shards


def bytes_on_disk(dimension: int) -> float:
    """Of one face in one copy as loaded: a vector for the graph, one to be read back, the one that OpenSearch 2.19 keeps as a
    column too, the document's JSON, the graph, labels."""
    return (3 * 4 + RECOVERY_BYTES_PER_DIMENSION) * dimension + LUCENE_GRAPH_BYTES + LABEL_BYTES


def method_for(faces: int) -> Method:
    """Exact up to the limit in mapping.json; the Lucene graph up to ten million (its documentation's limit); then faiss, whose
    vectors shrink."""
    if faces <= 300_000:
        return Method.EXACT
    if faces <= 10_000_000:
        return Method.LUCENE
    return Method.FP16 if faces <= 30_000_000 else Method.ON_DISK


def shards_for(faces: int, dimension: int) -> int:
    """One while it bears it; else a multiple of the zones, so that every node gets as many."""
    needed = max(math.ceil(faces * bytes_on_disk(dimension) / SHARD_BYTES), math.ceil(faces / SHARD_FACES))
    return 1 if needed == 1 else ZONES * math.ceil(needed / ZONES)


def plan(faces: int, dimension: int) -> Plan:
    """The cheapest domain of one instance type, as many nodes in each of three zones, that bears this gallery."""
    method, shards = method_for(faces), shards_for(faces, dimension)
    candidates = (
        Plan(faces, dimension, method, instance, nodes, shards)
        for instance in INSTANCES
        for nodes in range(ZONES, MOST_NODES + 1, ZONES)
    )
    return min((one for one in candidates if one.fits()), key=lambda one: (round(one.dollars, -1), one.nodes))


def plans() -> Sequence[Plan]:
    """All of the table, by dimension and size."""
    return [plan(faces, dimension) for dimension in DIMENSIONS for faces in GALLERIES]


def table() -> str:
    """The table in Markdown."""
    heads = (
        "faces",
        "numbers",
        "method",
        "memory, one copy",
        "index, one copy",
        "shards × copies",
        "nodes",
        "disk a node",
    )
    lines = [f"| {' | '.join(heads)} | managers | $ a month |", "|---:|---:|---|---:|---:|---:|---|---:|---:|---:|"]
    for one in plans():
        cells = (
            f"{one.faces:,}",
            f"{one.dimension}",
            one.method.title,
            _size(one.memory_bytes),
            _size(one.index_bytes),
            f"{one.shards} × {COPIES}",
            f"{one.nodes} × {one.instance.name.removesuffix('.search')}",
            f"{one.disk_gib} GiB",
            f"{one.managers or '–'}",
            f"{one.dollars:,.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def notes() -> str:
    """Where the figures are from, and the settings for each method, in Markdown."""
    fp16 = '`"engine": "faiss"`, `"encoder": {"name": "sq", "parameters": {"type": "fp16"}}`'
    on_disk = '`"mode": "on_disk", "compression_level": "8x"`'
    prices = ", ".join(f"{one.name.removesuffix('.search')} ${one.dollars}" for one in INSTANCES)
    text = f"""
        **Memory** of one copy. Lucene: the vector and {LUCENE_GRAPH_BYTES} bytes of graph a face (149 measured at 300,000
        faces, m = {M}), in the page cache, reckoned as {PAGE_CACHE:.0%} of what the heap leaves. faiss: {GRAPH_OVERHEAD} ·
        (bytes of the vector + 8 m) (OpenSearch documentation, k-NN index, *memory estimation*), in memory of its own, at
        most {CIRCUIT_BREAKER:.0%} of that (`knn.memory.circuit_breaker.limit`). The heap is half of a node's memory, at
        most {HEAP_GIB} GiB. By faiss's formula a graph at 128 numbers (8 m = {8 * M} bytes) weighs more than an fp16 vector
        (256): shrinking vectors further saves little.

        **Disk**: {bytes_on_disk(128):,.0f} bytes a face at 128 numbers, {bytes_on_disk(512):,.0f} at 512: what OpenSearch
        2.19 has as loaded (2,984 measured at 100,000 faces; 3.2 has 2,131 to 2,482), before a merge drops the document's
        JSON. {COPIES} copies, {GENERATIONS} generations during `candid index reembed`, and AWS's overheads
        ({OVERHEAD_OF_LINUX:.0%} Linux, {OVERHEAD_OF_SERVICE:.0%} service: *Calculating storage requirements*).

        **Shards**: at most 30 GiB (AWS, *Choosing the number of shards*) and {SHARD_FACES / 1e6} million faces, since
        merging a graph is one thread's work (20 minutes for 240,000 faces, measured). A collection lies in one shard of the
        index that collections share, however many it has: give one above {SHARD_FACES / 1e6} million an index of its own
        (`candid index own --shards …`) before it is loaded. **Processors**: at least {CPUS_PER_SHARD} a
        shard (AWS, the same page), and {CPUS_OF_A_GRAPH} a node where there are graphs to merge. **Nodes**: at most
        {MOST_NODES}, equally many in {ZONES} zones; from {MANAGERS_FROM / 1e6:.0f} million faces on three managers of their
        own ({MANAGER}). That bears the gallery and a few searches a second; for more, add copies and nodes by what you
        measure.

        **Prices**: us-east-1, on demand, {HOURS} hours a month: {prices}, m7g.large ${MANAGER_DOLLARS} an hour, gp3
        ${GP3_GIB_MONTH} a GiB and month: AWS's price list (offer file AmazonES) of {PRICES_OF}, as a public toolkit copied
        it. We could not look at AWS's own pages: check all of them at aws.amazon.com/opensearch-service/pricing.

        **Settings.** *Lucene, exact*: as deployed; the graph is there and is not walked up to `exact_limit`. *Lucene,
        fp32*: as deployed (m {M}, ef_construction 256, ef_search 800), with the shards of the table for the collections
        together. *faiss, fp16*: {fp16} in the mapping's method. *faiss, on_disk 8×*
        (4 bits a number): {on_disk} in the mapping, `rescore` with `oversample_factor` {Method.ON_DISK.oversample} from the
        full vectors on disk (OpenSearch documentation, *Disk-based vector search*).

        **The faiss rows are a plan.** Candid makes Lucene indexes, which OpenSearch recommends up to ten million; neither
        recall nor speed of the others was measured by us, and 4 bits a number may be too few for 128 of them. Recall is a
        matter of justice here: measure on a domain before anybody relies on it. Models of 512 numbers were not measured
        either; their rows are the same arithmetic.
        """
    filler = textwrap.TextWrapper(_WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
    return "\n".join(filler.fill(f"* {' '.join(note.split())}") for note in text.strip().split("\n\n"))


def render() -> str:
    """The section of README.md, without its heading."""
    return f"{table()}\n\n{notes()}\n"


def _size(value: float) -> str:
    return (
        f"{value / 1e9:,.0f} GB"
        if value >= 10e9
        else f"{value / 1e9:.2g} GB"
        if value >= 1e9
        else f"{value / 1e6:,.0f} MB"
    )


if __name__ == "__main__":
    print(render(), end="")
