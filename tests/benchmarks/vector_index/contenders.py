"""What is compared: each a way to search one gallery, told by a plain dict so that other processes can open it as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from tests.benchmarks.vector_index.galleries import BOOKINGS, DAY

from candid.gallery.exact.index import ExactIndex
from candid.gallery.index import Filter, VectorIndex
from candid.gallery.opensearch import queries
from candid.gallery.opensearch.client import connect
from candid.gallery.opensearch.documents import LABELS
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.opensearch.layout import Layout, Layouts
from candid.gallery.opensearch.names import Names
from candid.settings import OpenSearchSettings

Spec = Mapping[str, Any]
Search = Callable[[NDArray[np.float32], int, Filter | None], list[int]]
"""The numbers of the ``k`` nearest faces, best first."""

PROCESSES = {"embedded", "opensearch", "bare"}
"""Kinds whose clients are processes; faiss's are threads of one, since it lets go of Python's lock."""


@dataclass(slots=True)
class _Tuned(Layouts):
    """Layouts that say another ef_search than the mapping does."""

    ef_search: int = 0

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
    if spec["kind"] == "bare":
        return _bare(spec)
    if str(spec["kind"]).startswith("FAISS"):
        return _faiss(spec)
    index = opened(spec)

    def search(probe: NDArray[np.float32], k: int, where: Filter | None) -> list[int]:
        return [one.id.int for one in index.search([BOOKINGS], probe, k, where).neighbours]

    return search


def _bare(spec: Spec) -> Search:
    """One request to OpenSearch and no more: no count before it, no filter by collection. With ``columns`` labels are read from
    doc values, where each field has a column, instead of from the documents as they were stored."""
    index = opened(spec)
    assert isinstance(index, OpenSearchIndex)
    generation = index.layouts.recent().generation(index.name)
    every: dict[str, Any] = {"match_all": {}}

    def search(probe: NDArray[np.float32], k: int, where: Filter | None) -> list[int]:
        if where is not None:
            raise ValueError("the bare search has no filter")
        if spec["exactly"]:
            body = queries.exact(probe, k, every)
        else:
            body = queries.approximate(probe, k, every, generation.ef_search)
            del body["query"]["knn"][queries.TEMPLATE]["filter"]
        if spec.get("columns"):
            body |= {"_source": False, "stored_fields": "_none_", "docvalue_fields": list(LABELS)}
        hits = index.client.search(index=index.name, body=body)["hits"]["hits"]
        if spec.get("columns"):
            return [UUID(hit["fields"]["face_id"][0]).int for hit in hits]
        return [UUID(hit["_source"]["face_id"]).int for hit in hits]

    return search


def _faiss(spec: Spec) -> Search:
    """FAISS knows no dates: whoever filters compares them, one a face, and gives a bitmap."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.read_index(spec["path"])
    booked = np.arange(index.ntotal, dtype=np.int64)
    graph = spec["kind"] == "FAISS HNSW"

    def search(probe: NDArray[np.float32], k: int, where: Filter | None) -> list[int]:
        selector = None
        if where is not None:
            left = (booked >= _minutes(where.booked_from)) & (booked < _minutes(where.booked_before))
            selector = faiss.IDSelectorBitmap(np.packbits(left, bitorder="little"))
        told = faiss.SearchParameters(sel=selector)
        if graph:
            told = faiss.SearchParametersHNSW(sel=selector, efSearch=spec["ef_search"])
        _, found = index.search(probe[None], k, params=told)
        return list(found[0][found[0] >= 0].tolist())

    return search


def _minutes(moment: Any) -> int:
    """The number of the face that was booked then."""
    return int((moment - DAY) / timedelta(minutes=1))
