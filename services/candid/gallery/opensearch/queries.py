"""What is asked of OpenSearch for a search, and what its scores mean. Never ``min_score``: the cut is made in our code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from candid.gallery.index import Filter, Partition, Template, microseconds
from candid.gallery.opensearch.documents import LABELS, TEMPLATE, numbers
from candid.gallery.opensearch.names import partition_key

SPACE: Final = "innerproduct"
"""Of unit vectors it is the cosine, and in exact search it takes 60% of ``cosinesimil``'s time."""

_SOURCE: Final = list(LABELS)


def lies_in(partitions: Sequence[Partition], where: Filter | None) -> dict[str, Any]:
    """A filter for the documents of ``partitions`` that ``where`` leaves."""
    clauses: list[dict[str, Any]] = [{"terms": {"partition": [partition_key(one) for one in partitions]}}]
    bounds: dict[str, int] = {}
    if where is not None and where.booked_from is not None:
        bounds["gte"] = microseconds(where.booked_from)
    if where is not None and where.booked_before is not None:
        bounds["lt"] = microseconds(where.booked_before)
    if bounds:
        clauses.append({"range": {"booked_us": bounds}})
    return {"bool": {"filter": clauses}}


def counting(inside: dict[str, Any]) -> dict[str, Any]:
    """Count what is ``inside``, and nothing else."""
    return {"size": 0, "query": inside, "track_total_hits": True}


def listing(inside: dict[str, Any], after: UUID | None, limit: int) -> dict[str, Any]:
    """Labels of what is ``inside`` in the order of their ids, from behind ``after``."""
    body: dict[str, Any] = {
        "size": limit,
        "query": inside,
        "_source": _SOURCE,
        "sort": [{"face_id": "asc"}],
        "track_total_hits": False,
    }
    return body | ({"search_after": [str(after)]} if after else {})


def exact(probe: Template, k: int, inside: dict[str, Any]) -> dict[str, Any]:
    """Compare the probe with every document ``inside``."""
    script = {
        "lang": "knn",
        "source": "knn_score",
        "params": {"field": TEMPLATE, "query_value": numbers(probe), "space_type": SPACE},
    }
    return _search({"script_score": {"query": inside, "script": script}}, k)


def approximate(probe: Template, k: int, inside: dict[str, Any], ef_search: int) -> dict[str, Any]:
    """Walk the graph. ``ef_search`` is said aloud: before 3.5 the Lucene engine took k for it."""
    told = {
        "vector": numbers(probe),
        "k": k,
        "method_parameters": {"ef_search": max(ef_search, k)},
        "filter": inside,
    }
    return _search({"knn": {TEMPLATE: told}}, k)


def cosine(score: float) -> float:
    """The dot product that OpenSearch made ``score`` of (1 + ip for ip ≥ 0, else 1 ÷ (1 - ip)), cut to -1..1."""
    product = score - 1.0 if score >= 1.0 else 1.0 - 1.0 / score
    return min(1.0, max(-1.0, product))


def _search(query: dict[str, Any], k: int) -> dict[str, Any]:
    return {"size": k, "query": query, "_source": _SOURCE, "track_total_hits": True, "track_scores": True}
