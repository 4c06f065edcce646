"""Forcing deleted documents out of the segments, and proving that they are out.

A deleted document stays in its segment's files until a merge leaves it out, and a merge keeps it as long as a replica might ask
for the operation: until every retention lease of the shard has passed it, which OpenSearch looks at each thirty seconds. The log
of operations (translog) holds it until a flush. So: flush, wait for the leases, merge what has deletions, flush, and count.
Not here: snapshots. What they hold outlives a purge (README, "Deploying to AWS").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from opensearchpy import OpenSearch

from candid.gallery.opensearch.client import the_index
from candid.gallery.opensearch.layout import Layout, Layouts
from candid.gallery.upkeep.steps import Budget, Cursor, Step

_PAUSE: Final = 2.0
_ROUNDS: Final = 3
_SECONDS: Final = 60
_STATS: Final = "docs,store,translog,merge,segments"
_STATS_SHOWN: Final = (
    "indices.*.shards.*.docs,indices.*.shards.*.retention_leases,indices.*.shards.*.seq_no,"
    "indices.*.shards.*.translog,indices.*.shards.*.merges.current,indices.*.shards.*.store,indices.*.shards.*.routing"
)


@dataclass(slots=True)
class _State:
    """Where a purge is. ``targets``: the operation a shard had come to when it began, which its leases must pass."""

    left: list[str]
    stage: str = "flush"
    rounds: int = 0
    targets: dict[str, int] = field(default_factory=dict)
    before: dict[str, dict[str, int]] = field(default_factory=dict)
    after: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Purging:
    """The use case over every index of one prefix. ``step`` raises ``DependencyUnavailable``; it can be made again."""

    client: OpenSearch
    layouts: Layouts

    def step(self, cursor: Cursor | None, budget: Budget) -> Step:
        """Go on from ``cursor``; None begins. Tells the deleted documents, bytes and logged operations of each index ``before``
        and ``after`` (all copies), and with the last step whether nothing deleted is left: ``purged``."""
        state = _State(**cursor) if cursor else _State(_all(self.layouts.fresh()))
        while state.left:
            self._advance(state, state.left[0], budget)
            if not budget.left():
                return Step(_told(state), asdict(state))
        return Step(_told(state) | {"purged": all(one["deleted"] == 0 for one in state.after.values())})

    def _advance(self, state: _State, index: str, budget: Budget) -> None:
        if state.stage == "flush":
            self._flush(index)
            shards = self._shards(index)
            state.before.setdefault(index, _sums(shards))
            state.targets = {place: int(one["seq_no"]["max_seq_no"]) for place, one in shards.items()}
            state.stage = "leases" if _sums(shards)["deleted"] else "count"
        elif state.stage == "leases":
            if _passed(self._shards(index), state.targets):
                self._merge(index)
                state.stage = "merge"
            else:
                budget.wait(_PAUSE)
        elif state.stage == "merge":
            shards = self._shards(index)
            if any(int(one["merges"]["current"]) for one in shards.values()):
                budget.wait(_PAUSE)
            else:
                state.stage = "count"
        else:
            self._flush(index)
            state.after[index] = _sums(self._shards(index))
            state.rounds += 1
            # What was deleted meanwhile is tried for again, but not for ever: deletions may go on.
            again = state.after[index]["deleted"] > 0 and state.rounds < _ROUNDS
            if not again:
                state.left.pop(0)
                state.rounds = 0
            state.stage = "flush"

    def _flush(self, index: str) -> None:
        with the_index():
            self.client.indices.flush(
                index=index, params={"force": "true", "wait_if_ongoing": "true"}, request_timeout=_SECONDS
            )
            self.client.indices.refresh(index=index, request_timeout=_SECONDS)

    def _merge(self, index: str) -> None:
        with the_index():
            self.client.indices.forcemerge(
                index=index, params={"only_expunge_deletes": "true", "wait_for_completion": "false"}
            )

    def _shards(self, index: str) -> Mapping[str, Mapping[str, Any]]:
        """Every copy of every shard that is there, by shard, node and role."""
        with the_index():
            told = self.client.indices.stats(
                index=index, metric=_STATS, params={"level": "shards", "filter_path": _STATS_SHOWN}
            )
        return {
            f"{number}/{one['routing']['node']}": one
            for number, copies in told["indices"][index]["shards"].items()
            for one in copies
            if one["routing"]["state"] == "STARTED"
        }


def _all(layout: Layout) -> list[str]:
    return sorted(
        name for one in layout.generations.values() for name in (one.name, *(own.name for own in one.own.values()))
    )


def _passed(shards: Mapping[str, Mapping[str, Any]], targets: Mapping[str, int]) -> bool:
    """Whether every lease of every copy lies behind what the shard had come to."""
    return all(
        int(lease["retaining_seq_no"]) > targets.get(place, -1)
        for place, one in shards.items()
        for lease in one["retention_leases"]["leases"]
    )


def _sums(shards: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    return {
        "deleted": sum(int(one["docs"]["deleted"]) for one in shards.values()),
        "bytes": sum(int(one["store"]["size_in_bytes"]) for one in shards.values()),
        "logged": sum(int(one["translog"]["operations"]) for one in shards.values()),
    }


def _told(state: _State) -> dict[str, Any]:
    return {
        "before": state.before,
        "after": state.after,
        "stage": state.stage if state.left else "",
        "left": list(state.left),
    }
