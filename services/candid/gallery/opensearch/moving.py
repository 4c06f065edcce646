"""Giving a large collection an index of its own, unrouted and of several shards, so that no shard is hot.

Templates are excluded from ``_source``, so OpenSearch's ``_reindex`` would lose them: the copy is made here, from the stored
field. In order, each step to be made again without harm:

1. the own index is made: from here on every write goes to both (the shared one first), and every deletion too;
2. after the longest write that began before (``SETTLE_SECONDS``): what the shared index has and the own one has not, or with
   other labels, is copied; what only the own one has is deleted; until a round finds nothing to do. A round reads the shared
   index's documents as they are at that moment, and writes only where the own one's has not changed since it was read;
3. the alias ``<generation>_own``: from here searches look at the own index, and writes go to it alone;
4. after the oldest search that looked at the shared one, the collection's documents there are deleted, twice, the second
   time for writes that began before the alias.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from opensearchpy import OpenSearch

from candid.errors import Conflict, DependencyUnavailable
from candid.gallery.index import Partition
from candid.gallery.opensearch import documents, queries
from candid.gallery.opensearch.bulk import send
from candid.gallery.opensearch.client import the_index
from candid.gallery.opensearch.layout import Generation
from candid.gallery.opensearch.lifecycle import Lifecycle, Size
from candid.gallery.opensearch.names import partition_key
from candid.gallery.upkeep.steps import Budget, Cursor, Step

SETTLE_SECONDS: Final = 45.0
"""Longer than any call of the index takes with its retries, and than a layout is remembered with a search behind it."""
_PAGE: Final = 200
_PAUSE: Final = 1.0
_EMPTIED: Final = 5_000
_EMPTYING_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class _State:
    """Where a move is."""

    stage: str = "settle"
    since: float = 0.0
    after: str = ""
    changed: int = 0
    copied: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Moving:
    """The use case over the serving generation. ``step`` raises ``DependencyUnavailable`` and ``Conflict``."""

    lifecycle: Lifecycle
    settle: float = SETTLE_SECONDS
    clock: Callable[[], float] = time.time

    def step(self, partition: Partition, size: Size, cursor: Cursor | None, budget: Budget) -> Step:
        """Go on from ``cursor``; None begins, or goes on where an earlier caller left. Tells how many documents were copied to
        the own index and removed from it."""
        state = _State(**cursor) if cursor else self._begin(partition, size)
        while state.stage != "done":
            generation = self._serving()
            if state.stage == "settle":
                state = self._waited(state, "copy", budget)
            elif state.stage == "copy":
                state = self._copy(generation, partition, state)
            elif state.stage == "remove":
                state = self._remove(generation, partition, state)
            elif state.stage == "alias":
                self.lifecycle.search_own(generation, partition)
                state = replace(state, stage="searches", since=self.clock())
            elif state.stage == "searches":
                state = self._waited(state, "first", budget)
            elif state.stage == "writes":
                state = self._waited(state, "last", budget)
            elif not self._empty(generation, partition):
                state = replace(state, stage="writes" if state.stage == "first" else "done", since=self.clock())
            if not budget.left() and state.stage != "done":
                return Step(self._told(state), asdict(state))
        return Step(self._told(state))

    def _begin(self, partition: Partition, size: Size) -> _State:
        generation = self._serving()
        own = generation.own.get(partition_key(partition))
        if own is not None and own.searched:
            return _State("first")
        if own is None:
            self.lifecycle.make_own(generation, partition, size)
        return _State(since=self.clock())

    def _serving(self) -> Generation:
        layout = self.lifecycle.layouts.fresh()
        if layout.standby is not None:
            raise Conflict("While an index stands by nothing is moved. Drop it first, or swap and drop the other.")
        return layout.the_serving()

    def _waited(self, state: _State, stage: str, budget: Budget) -> _State:
        if self.clock() - state.since < self.settle:
            budget.wait(_PAUSE)
            return state
        return replace(state, stage=stage)

    def _copy(self, generation: Generation, partition: Partition, state: _State) -> _State:
        ids, after = self._ids(generation.name, partition, state.after)
        wanted = self._read(generation.name, partition, ids)
        there = self._read(self._own(generation, partition), None, ids)
        actions = []
        for identity, found in wanted.items():
            known = there.get(identity)
            if known is not None and known["_source"] == found["_source"]:
                continue
            condition: dict[str, Any] = {"_op_type": "create"}
            if known is not None:
                condition = {
                    "_op_type": "index",
                    "if_seq_no": known["_seq_no"],
                    "if_primary_term": known["_primary_term"],
                }
            template = documents.entry(found["_source"], found["fields"][documents.TEMPLATE]).template
            source = found["_source"] | {documents.TEMPLATE: documents.numbers(template)}
            actions.append(condition | {"_index": self._own(generation, partition), "_id": identity, "_source": source})
        self._send(actions)
        state = replace(state, after=after, changed=state.changed + len(actions), copied=state.copied + len(actions))
        return state if after else replace(state, stage="remove")

    def _remove(self, generation: Generation, partition: Partition, state: _State) -> _State:
        own = self._own(generation, partition)
        ids, after = self._ids(own, partition, state.after)
        there, wanted = self._read(own, None, ids), self._read(generation.name, partition, ids)
        actions = [
            {
                "_op_type": "delete",
                "_index": own,
                "_id": identity,
                "if_seq_no": found["_seq_no"],
                "if_primary_term": found["_primary_term"],
            }
            for identity, found in there.items()
            if identity not in wanted
        ]
        self._send(actions)
        state = replace(state, after=after, changed=state.changed + len(actions), removed=state.removed + len(actions))
        if after:
            return state
        return replace(state, stage="copy" if state.changed else "alias", changed=0)

    def _ids(self, index: str, partition: Partition, after: str) -> tuple[list[str], str]:
        """Some documents' ids, and where the next ones begin; empty at the end."""
        body: dict[str, Any] = {
            "size": _PAGE,
            "_source": False,
            "query": queries.lies_in([partition], None),
            "sort": [{"face_id": "asc"}],
            "track_total_hits": False,
        }
        if after:
            body["search_after"] = [after]
        with the_index():
            if not after:
                self.client.indices.refresh(index=index)
            told = self.client.search(index=index, body=body, params={"allow_partial_search_results": "false"})
        hits = told["hits"]["hits"]
        return [hit["_id"] for hit in hits], str(hits[-1]["sort"][0]) if len(hits) == _PAGE else ""

    def _read(self, index: str, routed: Partition | None, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The documents that there are at this moment, with labels and template."""
        if not ids:
            return {}
        routing = {"routing": partition_key(routed)} if routed else {}
        asked = [{"_id": one, "_source": True, "stored_fields": [documents.TEMPLATE]} | routing for one in ids]
        with the_index():
            told = self.client.mget(index=index, body={"docs": asked})
        if any("error" in one for one in told["docs"]):
            raise DependencyUnavailable("A part of the index does not answer now. Try again in a minute.")
        return {one["_id"]: one for one in told["docs"] if one["found"]}

    def _send(self, actions: Sequence[dict[str, Any]]) -> None:
        # 409: somebody wrote or deleted it meanwhile, to both; the next round looks.
        if any(not one.done and one.status != 409 for one in send(self.client, actions)):
            raise DependencyUnavailable(
                "The index did not take every document. Give the same command again: it goes on from here."
            )

    def _empty(self, generation: Generation, partition: Partition) -> int:
        """Delete some of the collection's documents from the shared index, where nobody searches them any more; tells how many
        there were."""
        with the_index():
            self.client.indices.refresh(index=generation.name)
            told = self.client.delete_by_query(
                index=generation.name,
                body={"query": queries.lies_in([partition], None), "max_docs": _EMPTIED},
                params={"conflicts": "proceed", "refresh": "true", "routing": partition_key(partition)},
                request_timeout=_EMPTYING_SECONDS,
            )
        if told["failures"] or told["timed_out"]:
            raise DependencyUnavailable(
                "Not everything is moved yet. Give the same command again: it goes on from here."
            )
        return int(told["total"])

    @property
    def client(self) -> OpenSearch:
        return self.lifecycle.client

    def _own(self, generation: Generation, partition: Partition) -> str:
        try:
            return generation.own[partition_key(partition)].name
        except KeyError:
            raise Conflict("The index that the collection was moved to is gone. Begin again.") from None

    def _told(self, state: _State) -> dict[str, Any]:
        return {"stage": state.stage, "copied": state.copied, "removed": state.removed}
