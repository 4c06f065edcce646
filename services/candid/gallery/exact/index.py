"""Exact search in an embedded file: the ``VectorIndex`` of a laptop, of tests, and of an agency without a server.

Every template of the partitions asked for is compared with the probe, so recall is 1 whatever was filtered or erased.
Not here: the file (``file``) and its tables (``store``). What a process remembers are decoded templates alone,
of the partitions that it has searched; ids and labels are read from the file for the k found.

A search first brings memory to the file's newest state by rereading the blocks that changed, and answers from that one
state: a slot that another process has meanwhile given to someone else can't lend them its score.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from candid.gallery.exact import store
from candid.gallery.exact.file import ExactFile
from candid.gallery.exact.slab import EMPTY, read_slab
from candid.gallery.index import (
    Entry,
    Filter,
    Label,
    Nearest,
    Neighbour,
    Partition,
    Scanned,
    Template,
    checked_k,
    checked_template,
    microseconds,
)

PATIENCE: Final = 10.0
"""Seconds for which a call waits for other processes before it raises ``DependencyUnavailable``."""

_SPARSE: Final = 4
"""A block of which a filter leaves less than one in so many rows is cheaper to gather than to multiply whole."""

_GROUP: Final = 128
"""Scores whose maximum is taken to find a floor under the best."""

_ALL_TIMES: Final = (EMPTY + 1, int(np.iinfo(np.int64).max))


@dataclass(slots=True)
class _Block:
    """One block of the file, decoded: ``booked`` (slots,) int64, ``templates`` (slots, dimension) float32, both writable."""

    change: int
    booked: NDArray[np.int64]
    templates: NDArray[np.float32]
    full: bool

    def wipe(self) -> None:
        self.templates.fill(0)
        self.booked.fill(EMPTY)


@dataclass(slots=True)
class _Part:
    """A partition in memory, as of ``change``."""

    change: int
    blocks: dict[int, _Block]


class ExactIndex:
    """Templates of one model in one SQLite file; see ``VectorIndex`` for the calls.

    Safe for several threads (they take turns), for several processes on one machine, and across a fork.
    """

    def __init__(self, path: Path | str, dimension: int, model_id: str, *, patience: float = PATIENCE) -> None:
        """Open the file, or make it (mode 0600) with its folder (0700). ``dimension`` is at least 1.

        Raises ``Conflict`` where the file holds another model or dimension, ``IndexDamaged`` where it is no index or can't be
        read, ``DependencyUnavailable`` where the disk refuses or other processes hold it for ``patience`` seconds."""
        if dimension < 1:
            raise ValueError("A template has at least one dimension.")
        self._dimension = dimension
        self._file = ExactFile(Path(path), store.SCHEMA, {"model": model_id, "dimension": dimension}, patience)
        self._parts: dict[int, _Part] = {}
        self._known: dict[Partition, tuple[int, int]] = {}
        self._change = -1
        self._opened = 0

    @property
    def dimension(self) -> int:
        return self._dimension

    def upsert(self, entries: Sequence[Entry]) -> None:
        checked = [self._checked(entry) for entry in entries]
        if not checked:
            return
        if self._file.write(lambda db: store.upsert(db, checked, self._dimension)):
            self._after_erasure()

    def relabel(self, partition: Partition, ids: Sequence[UUID], *, subject_id: str, booked_at: datetime) -> int:
        since_epoch = microseconds(booked_at)

        def change(db: sqlite3.Connection) -> int:
            part = store.part_of(db, partition)
            return 0 if part is None else store.relabel(db, part, ids, subject_id, since_epoch, self._dimension)

        return self._file.write(change)

    def delete(self, partition: Partition, ids: Sequence[UUID]) -> int:
        def erase(db: sqlite3.Connection) -> int:
            part = store.part_of(db, partition)
            return 0 if part is None else store.delete(db, part, ids, self._dimension)

        erased = self._file.write(erase)
        self._after_erasure()
        return erased

    def drop(self, partition: Partition) -> int:
        def erase(db: sqlite3.Connection) -> int:
            part = store.part_of(db, partition)
            return 0 if part is None else store.drop(db, part)

        erased = self._file.write(erase)
        self._after_erasure()
        return erased

    def get(self, partition: Partition, ids: Sequence[UUID]) -> tuple[Entry, ...]:
        def find(db: sqlite3.Connection) -> tuple[Entry, ...]:
            part = store.part_of(db, partition)
            found = {} if part is None else store.entries(db, partition, part, ids, self._dimension)
            return tuple(found[identity] for identity in ids if identity in found)

        return self._file.read(find)

    def search(self, partitions: Sequence[Partition], probe: Template, k: int, where: Filter | None = None) -> Nearest:
        vector = checked_template(probe, self._dimension)
        wanted = checked_k(k)
        times = _times(where)
        asked = list(dict.fromkeys(partitions))
        return self._file.read(lambda db: self._search(db, asked, vector, wanted, times))

    def count(self, partition: Partition) -> int:
        def held(db: sqlite3.Connection) -> int:
            part = store.part_of(db, partition)
            return 0 if part is None else store.count(db, part)

        return self._file.read(held)

    def members(self, partition: Partition, after: UUID | None, limit: int) -> tuple[Label, ...]:
        wanted = checked_k(limit)

        def listed(db: sqlite3.Connection) -> tuple[Label, ...]:
            part = store.part_of(db, partition)
            return () if part is None else store.members(db, part, after, wanted, self._dimension)

        return self._file.read(listed)

    def scan(self, after: str | None, limit: int) -> Scanned:
        wanted = checked_k(limit)
        return self._file.read(lambda db: store.scan(db, int(after) if after else -1, wanted, self._dimension))

    def check(self) -> None:
        """Compare all parts of the file with each other. Raises ``IndexDamaged``."""
        self._file.check()
        self._file.read(lambda db: store.check(db, self._dimension))

    def purge(self) -> None:
        """Cut the journal. Nothing else is left of what was deleted: every deletion overwrites it (``VectorIndex.delete``)."""
        self._after_erasure()

    def close(self) -> None:
        with self._file.lock:
            self._file.close()
            for part in list(self._parts):
                self._forget(part)

    def _after_erasure(self) -> None:
        """Also when nothing was found: the call that erased may have died before the journal was cut."""
        self._file.read(self._refresh)
        self._file.erase_journal()

    def _checked(self, entry: Entry) -> Entry:
        microseconds(entry.booked_at)
        return replace(entry, template=checked_template(entry.template, self._dimension))

    def _refresh(self, db: sqlite3.Connection) -> None:
        """Bring what is in memory to the file's state; erased templates are overwritten with zeros."""
        if self._opened != self._file.opened:
            for part in list(self._parts):
                self._forget(part)
            self._change, self._opened = -1, self._file.opened
        latest = store.latest_change(db)
        if latest == self._change:
            return
        self._known = store.partitions(db)
        changes = dict(self._known.values())
        for part, known in list(self._parts.items()):
            if part not in changes:
                self._forget(part)
            elif known.change != changes[part]:
                self._load(db, part, changes[part])
        self._change = latest

    def _load(self, db: sqlite3.Connection, part: int, change: int) -> _Part:
        loaded = self._parts.setdefault(part, _Part(-1, {}))
        current = store.block_changes(db, part)
        for gone in loaded.blocks.keys() - current.keys():
            loaded.blocks.pop(gone).wipe()
        for number, changed in current.items():
            block = loaded.blocks.get(number)
            if block is None or block.change != changed:
                booked, templates = read_slab(db, number, self._dimension)
                if block is None:
                    block = _Block(
                        changed, np.empty(booked.shape, np.int64), np.empty(templates.shape, np.float32), False
                    )
                    loaded.blocks[number] = block
                np.copyto(block.booked, booked)
                np.copyto(block.templates, templates)
                block.change = changed
                block.full = not np.any(booked == EMPTY)
        loaded.change = change
        return loaded

    def _forget(self, part: int) -> None:
        for block in self._parts.pop(part).blocks.values():
            block.wipe()

    def _search(
        self, db: sqlite3.Connection, asked: Sequence[Partition], probe: Template, k: int, times: tuple[int, int]
    ) -> Nearest:
        self._refresh(db)
        homes: list[Partition] = []
        numbers: list[int] = []
        blocks: list[_Block] = []
        for partition in asked:
            if partition not in self._known:
                continue
            part, change = self._known[partition]
            loaded = self._parts.get(part)
            # A load that failed half-way left its part behind, without a change.
            if loaded is None or loaded.change < 0:
                loaded = self._load(db, part, change)
            homes.extend([partition] * len(loaded.blocks))
            numbers.extend(loaded.blocks)
            blocks.extend(loaded.blocks.values())
        scores, searched = _scores(blocks, probe, times)
        best = _best(scores, min(k, searched))
        starts = np.cumsum([0, *(block.booked.size for block in blocks)])
        owners = np.searchsorted(starts, best, side="right") - 1
        places = [
            numbers[owner] << store.SLOT_BITS | slot
            for owner, slot in zip(owners.tolist(), (best - starts[owners]).tolist(), strict=True)
        ]
        labels = store.labels(db, places)
        return Nearest(
            tuple(
                Neighbour(identity, homes[owner], booking, subject, score)
                for owner, (identity, booking, subject), score in zip(
                    owners.tolist(),
                    (labels[place] for place in places),
                    np.clip(scores[best], -1.0, 1.0).tolist(),
                    strict=True,
                )
            ),
            searched,
            exact=True,
        )


def _times(where: Filter | None) -> tuple[int, int]:
    """The half-open range of booked_at that a filter leaves; EMPTY is below every one."""
    first, end = _ALL_TIMES
    if where is not None and where.booked_from is not None:
        first = microseconds(where.booked_from)
    if where is not None and where.booked_before is not None:
        end = microseconds(where.booked_before)
    return first, end


def _scores(blocks: Sequence[_Block], probe: Template, times: tuple[int, int]) -> tuple[NDArray[np.float32], int]:
    """The dot product of ``probe`` with every slot of ``blocks`` in their order, −inf where the slot is free or ``times`` leave
    it out; and how many are left."""
    scores = np.empty(sum(block.booked.size for block in blocks), np.float32)
    searched = 0
    end = 0
    for block in blocks:
        slots = block.booked.size
        here = scores[end : end + slots]
        end += slots
        if block.full and times == _ALL_TIMES:
            np.dot(block.templates, probe, out=here)
            searched += slots
            continue
        left = (block.booked >= times[0]) & (block.booked < times[1])
        count = int(np.count_nonzero(left))
        searched += count
        if count * _SPARSE < slots:
            here.fill(-np.inf)
            rows = np.flatnonzero(left)
            here[rows] = block.templates[rows] @ probe
        else:
            np.dot(block.templates, probe, out=here)
            here[~left] = -np.inf
    return scores, searched


def _best(scores: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Where the ``k`` highest ``scores`` are, in descending order; of equal ones the earlier place first. ``k`` is at most the
    number of scores that are not −inf."""
    # Only what may be among them is selected from: a selection among all is slower, and far slower among many equal −inf.
    rows = np.flatnonzero(scores >= _floor(scores, k))
    if k < rows.size:
        rows = rows[np.argpartition(scores[rows], rows.size - k)[rows.size - k :]] if k else rows[:0]
    return rows[np.lexsort((rows, -scores[rows]))]


def _floor(scores: NDArray[np.float32], k: int) -> np.float32:
    """A finite number that at least ``k`` scores reach: the k-th highest of the maxima of groups, where there are enough."""
    lowest = np.finfo(np.float32).min
    groups = scores.size // _GROUP
    if not 0 < k <= groups:
        return lowest
    maxima = scores[: groups * _GROUP].reshape(groups, _GROUP).max(axis=1)
    return max(lowest, np.partition(maxima, groups - k)[groups - k])
