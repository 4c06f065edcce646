"""What is compared: each a way to search one gallery, told by a plain dict so that other processes can open it as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.benchmarks.index.galleries import BOOKINGS

from candid.gallery.exact.index import ExactIndex
from candid.gallery.index import Filter, VectorIndex
from candid.gallery.opensearch.client import connect
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.opensearch.layout import Layout, Layouts
from candid.gallery.opensearch.names import Names
from candid.settings import OpenSearchSettings

Spec = Mapping[str, Any]
Search = Callable[[NDArray[np.float32], int, Filter | None], list[int]]
"""The numbers of the ``k`` nearest faces, best first."""


@dataclass(slots=True)
class _Tuned(Layouts):
    """Layouts that say another ef_search than the mapping does."""

    ef_search: int = 0
    _told: Layout | None = field(default=None)

    def recent(self) -> Layout:
        layout = Layouts.recent(self)
        if not self.ef_search:
            return layout
        generations = {name: replace(one, ef_search=self.ef_search) for name, one in layout.generations.items()}
        return replace(layout, generations=generations)


def opened(spec: Spec) -> VectorIndex:
    """The index that a spec of Candid's own names."""
    if spec["kind"] == "embedded":
        return ExactIndex(Path(spec["path"]), spec["dimension"], "benchmark")
    client = connect(OpenSearchSettings(opensearch_endpoint=spec["url"]))
    layouts = _Tuned(client, Names(spec["prefix"]), ef_search=spec.get("ef_search", 0))
    name = layouts.fresh().the_serving().name
    return OpenSearchIndex(client, layouts, name, spec["dimension"], spec.get("exactly"))


def searching(spec: Spec) -> Search:
    """The search that a spec names."""
    if spec["kind"] in {"embedded", "opensearch"}:
        index = opened(spec)

        def search(probe: NDArray[np.float32], k: int, where: Filter | None) -> list[int]:
            return [one.id.int for one in index.search([BOOKINGS], probe, k, where).neighbours]

        return search
    return _faiss(spec)


def _faiss(spec: Spec) -> Search:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.read_index(spec["path"])
    numbers = np.load(spec["numbers"]) if spec.get("numbers") else None
    if spec["kind"] == "faiss HNSW":
        index.hnsw.efSearch = spec["ef_search"]

    def search(probe: NDArray[np.float32], k: int, where: Filter | None) -> list[int]:
        if where is not None:
            raise ValueError("faiss is compared without a filter")
        _, found = index.search(probe[None], k)
        rows = found[0][found[0] >= 0]
        return (numbers[rows] if numbers is not None else rows).tolist()  # type: ignore[no-any-return]

    return search
