"""A ``VectorIndex`` on one generation in OpenSearch.

Up to ``exact_limit`` templates (after the filter) are compared one by one inside OpenSearch, and recall is 1; beyond it the graph
is walked, and the answer says so. An answer is whole or none: a shard that fails or is late makes the search fail.
Not here: which generation serves (``generations``), and making, moving or purging indexes (``lifecycle``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from opensearchpy import OpenSearch

from candid.errors import DependencyUnavailable
from candid.gallery.index import (
    MAX_K,
    Entry,
    Filter,
    Label,
    Nearest,
    Neighbour,
    NotAllWritten,
    Partition,
    Scanned,
    Template,
    checked_k,
    checked_template,
    microseconds,
)
from candid.gallery.opensearch import documents, queries
from candid.gallery.opensearch.bulk import SHARD_SECONDS, Report, send
from candid.gallery.opensearch.client import PartAway, partial, refusal, the_index
from candid.gallery.opensearch.layout import Generation, Layouts
from candid.gallery.opensearch.names import document_id, partition_key

_CONFLICTS: Final = 5
_PAUSE: Final = 0.2
_MANY: Final = 1000


@dataclass(frozen=True, slots=True)
class OpenSearchIndex:
    """Templates of one model in one generation; see ``VectorIndex`` for the calls. Safe for several threads.

    ``exactly`` overrides the choice between exact search and the graph; only benchmarks and tests set it.
    """

    client: OpenSearch
    layouts: Layouts
    name: str
    size: int
    exactly: bool | None = None

    @property
    def dimension(self) -> int:
        return self.size

    def upsert(self, entries: Sequence[Entry]) -> None:
        checked = {(one.partition, one.id): self._checked(one) for one in entries}
        if not checked:
            return
        generation = self._now()
        actions = [
            _index_action(index, entry, self.name)
            for entry in checked.values()
            for index in generation.written(entry.partition)
        ]
        ids = {document_id(*key): key[1] for key in checked}
        _expect_all(send(self.client, actions), ids)

    def relabel(self, partition: Partition, ids: Sequence[UUID], *, subject_id: str, booked_at: datetime) -> int:
        microseconds(booked_at)
        generation = self._now()
        counted: dict[str, set[str]] = {}
        for index in generation.written(partition):
            counted[index] = self._relabel(index, partition, ids, subject_id, booked_at)
        return len(set.union(*counted.values()))

    def delete(self, partition: Partition, ids: Sequence[UUID]) -> int:
        named = {document_id(partition, one): one for one in ids}
        if not named:
            return 0
        actions = [
            {"_op_type": "delete", "_index": index, "_id": document} | _routing(self.name, index, partition)
            for index in self._now().holding(partition)
            for document in named
        ]
        reports = list(send(self.client, actions, refresh=True))
        _expect_all(reports, named)
        return len({report.id for report in reports if report.result == "deleted"})

    def drop(self, partition: Partition) -> int:
        gone: int = 0
        for index in self._now().holding(partition):
            while True:
                with the_index():
                    self.client.indices.refresh(index=index)
                    told = self.client.delete_by_query(
                        index=index,
                        body={"query": queries.lies_in([partition], None), "max_docs": 10 * _MANY},
                        params={"conflicts": "proceed", "refresh": "true"}
                        | ({"routing": partition_key(partition)} if index == self.name else {}),
                        request_timeout=60,
                    )
                if told["failures"] or told["timed_out"]:
                    raise DependencyUnavailable("Not everything of a collection is erased yet. Try again in a minute.")
                gone += int(told["deleted"])
                if not told["total"]:
                    break
        return gone

    def get(self, partition: Partition, ids: Sequence[UUID]) -> tuple[Entry, ...]:
        index = self._now().home(partition)
        found: dict[UUID, Entry] = {}
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _MANY):
            for told in self._read(index, partition, wanted[start : start + _MANY]):
                one = _entry(told)
                found[one.id] = one
        return tuple(found[one] for one in ids if one in found)

    def search(self, partitions: Sequence[Partition], probe: Template, k: int, where: Filter | None = None) -> Nearest:
        vector = checked_template(probe, self.size)
        wanted = checked_k(k)
        asked = list(dict.fromkeys(partitions))
        queries.lies_in(asked, where)
        if not asked:
            return Nearest((), 0, exact=True)
        generation = self.layouts.recent().generation(self.name)
        homes: dict[str, list[Partition]] = {}
        for partition in asked:
            homes.setdefault(generation.home(partition), []).append(partition)
        inside = {index: queries.lies_in(here, where) for index, here in homes.items()}
        counted = self._ask(homes, {index: queries.counting(inside[index]) for index in homes})
        numbers = {index: int(told["hits"]["total"]["value"]) for index, told in counted.items()}
        searched = sum(numbers.values())
        exact = searched <= generation.exact_limit if self.exactly is None else self.exactly
        bodies = {
            index: queries.exact(vector, min(wanted, count), inside[index])
            if exact
            else queries.approximate(vector, min(wanted, count), inside[index], generation.ef_search)
            for index, count in numbers.items()
            if count
        }
        found: list[Neighbour] = []
        for told in self._ask(homes, bodies).values():
            found += [
                documents.neighbour(hit["_source"], queries.cosine(float(hit["_score"])))
                for hit in told["hits"]["hits"]
            ]
        found.sort(key=lambda one: one.score, reverse=True)
        return Nearest(tuple(found[:wanted]), searched, exact=exact)

    def count(self, partition: Partition) -> int:
        index = self._now().home(partition)
        told = self._ask({index: [partition]}, {index: queries.counting(queries.lies_in([partition], None))})
        return int(told[index]["hits"]["total"]["value"])

    def members(self, partition: Partition, after: UUID | None, limit: int) -> tuple[Label, ...]:
        body = queries.listing(queries.lies_in([partition], None), after, checked_k(limit))
        index = self._now().home(partition)
        told = self._ask({index: [partition]}, {index: body})
        return tuple(documents.label(hit["_source"]) for hit in told[index]["hits"]["hits"])

    def scan(self, after: str | None, limit: int) -> Scanned:
        wanted = checked_k(limit)
        generation = self._now()
        body: dict[str, Any] = {
            "size": min(wanted, MAX_K),
            "_source": list(documents.LABELS),
            "sort": [{"partition": "asc"}, {"face_id": "asc"}],
            "track_total_hits": False,
        }
        if after:
            body["search_after"] = after.split("/")
        indexes = ",".join([self.name, *(own.name for own in generation.searched_own())])
        with the_index():
            if not after:
                # What is there when a listing begins is in it, however young it is.
                self.client.indices.refresh(index=indexes)
            told = self.client.search(index=indexes, body=body, params={"allow_partial_search_results": "false"})
        hits = _whole(told)["hits"]["hits"]
        labels = {(hit["_source"]["face_id"], *hit["sort"]): documents.label(hit["_source"]) for hit in hits}
        return Scanned(tuple(labels.values()), "/".join(hits[-1]["sort"]) if len(hits) == wanted else None)

    def close(self) -> None:
        """Nothing of this generation's own: the client is the process's."""

    def _now(self) -> Generation:
        return self.layouts.fresh().generation(self.name)

    def _checked(self, entry: Entry) -> Entry:
        microseconds(entry.booked_at)
        return replace(entry, template=checked_template(entry.template, self.size))

    def _ask(self, homes: dict[str, list[Partition]], bodies: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """One search an index, sent together."""
        if not bodies:
            return {}
        lines: list[dict[str, Any]] = []
        for index, body in bodies.items():
            header: dict[str, Any] = {"index": index, "allow_partial_search_results": False}
            if index == self.name:
                header["routing"] = ",".join(partition_key(one) for one in homes[index])
            lines += [header, body]
        with the_index():
            told = self.client.msearch(body=lines)
        answers = {}
        for index, answer in zip(bodies, told["responses"], strict=True):
            if "error" in answer:
                raise _search_failure(answer)
            answers[index] = _whole(answer)
        return answers

    def _read(self, index: str, partition: Partition, ids: Sequence[UUID]) -> list[dict[str, Any]]:
        """The documents of ``ids`` that exist with their templates, as they are at this moment (searches may see them later)."""
        if not ids:
            return []
        asked = [
            {"_id": document_id(partition, one), "_source": True, "stored_fields": [documents.TEMPLATE]}
            | _routing(self.name, index, partition)
            for one in ids
        ]
        with the_index():
            told = self.client.mget(index=index, body={"docs": asked})
        for answer in told["docs"]:
            if "error" in answer:
                raise refusal(503, str(answer["error"].get("type", "")))
        return [answer for answer in told["docs"] if answer["found"]]

    def _read_to_write(self, index: str, partition: Partition, ids: list[UUID]) -> list[dict[str, Any]]:
        """As ``_read``, but a shard that only starts is waited for, as OpenSearch waits with a write: an own index is written to
        from the moment that it is there."""
        end = time.monotonic() + SHARD_SECONDS
        while True:
            try:
                return self._read(index, partition, ids)
            except PartAway:
                if time.monotonic() > end:
                    raise
                time.sleep(_PAUSE)

    def _relabel(
        self, index: str, partition: Partition, ids: Sequence[UUID], subject_id: str, booked_at: datetime
    ) -> set[str]:
        """Write the documents again with other labels, each only if nobody wrote it meanwhile; the ids of those there were."""
        left = list(dict.fromkeys(ids))
        changed: set[str] = set()
        for _ in range(_CONFLICTS):
            actions = []
            for told in self._read_to_write(index, partition, left):
                entry = replace(_entry(told), subject_id=subject_id, booked_at=booked_at)
                seen = {"if_seq_no": told["_seq_no"], "if_primary_term": told["_primary_term"]}
                actions.append(_index_action(index, entry, self.name) | seen)
            named = {action["_id"]: UUID(action["_source"]["face_id"]) for action in actions}
            reports = list(send(self.client, actions, refresh=True))
            _expect_all([report for report in reports if report.status != 409], named)
            changed |= {report.id for report in reports if report.done}
            left = [named[report.id] for report in reports if report.status == 409]
            if not left:
                return changed
        raise DependencyUnavailable("Others are changing the same faces now. Try again in a minute.")


def _index_action(index: str, entry: Entry, generation: str) -> dict[str, Any]:
    return {
        "_op_type": "index",
        "_index": index,
        "_id": document_id(entry.partition, entry.id),
        "_source": documents.document(entry),
    } | _routing(generation, index, entry.partition)


def _routing(generation: str, index: str, partition: Partition) -> dict[str, str]:
    """The shared index is routed, so that a small collection lies in one shard; an own one is not, so that no shard is hot."""
    return {"routing": partition_key(partition)} if index == generation else {}


def _entry(told: dict[str, Any]) -> Entry:
    return documents.entry(told["_source"], told["fields"][documents.TEMPLATE])


def _whole(answer: dict[str, Any]) -> dict[str, Any]:
    shards = answer["_shards"]
    if answer["timed_out"] or shards["failed"] or shards["successful"] < shards["total"]:
        raise partial()
    return answer


def _search_failure(answer: dict[str, Any]) -> DependencyUnavailable:
    word = str(answer["error"].get("type", ""))
    if word == "search_phase_execution_exception":
        causes = answer["error"].get("root_cause") or [{}]
        word = str(causes[0].get("type", ""))
        if not causes[0] or answer["status"] == 503:
            return partial()
    return refusal(answer["status"], word)


def _expect_all(reports: Iterable[Report], ids: dict[str, UUID]) -> None:
    """Raise what keeps a document from being as it was asked to be; ``NotAllWritten`` names every one."""
    failed = [report for report in reports if not report.done]
    if failed:
        # The first is the reason for most; it also says what is to be done.
        reason = refusal(failed[0].status, failed[0].error)
        raise NotAllWritten(str(reason), {ids[report.id]: report.error for report in failed})
