"""What there is under a prefix, for an operator: health, indexes, what each is for, how full it is."""

from __future__ import annotations

from typing import Any, Final

from opensearchpy import OpenSearch

from candid.gallery.opensearch.client import the_index
from candid.gallery.opensearch.layout import Generation, Layout, Layouts

_LARGEST: Final = 5


def survey(client: OpenSearch, layouts: Layouts) -> dict[str, Any]:
    """Version and health (green, yellow, red; red where none serves), each generation with its role (serving, standby, retired),
    templates, deleted documents that are still in segments, and bytes (all copies); the largest collections of the serving one.

    Raises ``DependencyUnavailable``.
    """
    layout = layouts.fresh()
    with the_index():
        version = str(client.info()["version"]["number"])
        health, stats = "red", {}
        if layout.generations:
            health = str(client.cluster.health(index=layouts.names.every, params={"filter_path": "status"})["status"])
            told = client.indices.stats(index=layouts.names.every, metric="docs,store")
            stats = told.get("indices", {})
    return {
        "version": version,
        "health": health,
        "indexes": [_generation(one, layout, stats) for one in layout.generations.values()],
        "largest": _largest(client, layout),
    }


def _generation(one: Generation, layout: Layout, stats: dict[str, Any]) -> dict[str, Any]:
    role = "serving" if one.name == layout.serving else "standby" if one.name == layout.standby else "retired"
    own = [
        {
            "index": its.name,
            "agency": its.partition.agency,
            "collection": its.partition.collection,
            "kind": its.partition.kind.value,
            "state": "searched" if its.searched else "being filled",
            "shards": its.shards,
            **_numbers(stats.get(its.name, {})),
        }
        for its in one.own.values()
    ]
    return {
        "index": one.name,
        "role": role,
        "model": one.model,
        "dimension": one.dimension,
        "exact_limit": one.exact_limit,
        "ef_search": one.ef_search,
        "shards": one.shards,
        **_numbers(stats.get(one.name, {})),
        "own": own,
    }


def _numbers(stats: dict[str, Any]) -> dict[str, int]:
    primaries, total = stats.get("primaries", {}), stats.get("total", {})
    return {
        "templates": int(primaries.get("docs", {}).get("count", 0)),
        "deleted": int(total.get("docs", {}).get("deleted", 0)),
        "bytes": int(total.get("store", {}).get("size_in_bytes", 0)),
    }


def _largest(client: OpenSearch, layout: Layout) -> list[dict[str, Any]]:
    serving = layout.generations.get(layout.serving or "")
    if serving is None:
        return []
    terms = [{"field": "agency"}, {"field": "collection"}, {"field": "kind"}]
    body = {"size": 0, "aggs": {"largest": {"multi_terms": {"terms": terms, "size": _LARGEST}}}}
    with the_index():
        told = client.search(index=",".join([serving.name, *(one.name for one in serving.searched_own())]), body=body)
    return [
        {
            "agency": one["key"][0],
            "collection": one["key"][1],
            "kind": one["key"][2],
            "templates": int(one["doc_count"]),
        }
        for one in told["aggregations"]["largest"]["buckets"]
    ]
