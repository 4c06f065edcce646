"""The tables of exact search: where a template lies in the file, and how it is written, found and erased there.

Not here: locks, transactions, failures (``file``); memory and scores (``exact``). Every function runs inside a
transaction that its caller has begun.

A partition has blocks, a block has slots, a slot holds one template (``slab``). A place is
``block << SLOT_BITS | slot``. A block goes when its last template does; a free slot is taken by the next template of its
partition.

Whatever is written is sealed (``seal``).

Templates never leave a slab. Ids and labels lie in rows, which SQLite zeroes when they go; but when it rebalances a tree it
can leave a copy of one in the gap of a page until that page is written again (one of 23,000 erased, in a measured churn).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final
from uuid import UUID

import numpy as np

from candid.gallery.exact import seal
from candid.gallery.exact.file import damaged
from candid.gallery.exact.slab import EMPTY, FREE, Slab, blank_slab, encoded_time, read_slab
from candid.gallery.index import Entry, Kind, Label, Partition, Scanned, microseconds, moment

SLOT_BITS: Final = 16

_SLAB_BYTES: Final = 256 * 1024
"""Of templates in a full-grown block: what another process reads again when one of them has changed."""
_FIRST_SLOTS: Final = 8
"""A small collection (or one user's) should not take a large block."""
_ONE_QUERY: Final = 500

SCHEMA: Final = (
    # AUTOINCREMENT: a number is never given twice, so a process that remembers one can't take a new thing for it.
    "CREATE TABLE part (part INTEGER PRIMARY KEY AUTOINCREMENT, agency TEXT NOT NULL, collection TEXT NOT NULL,"
    " kind TEXT NOT NULL, change INTEGER NOT NULL, seal INTEGER NOT NULL, UNIQUE (agency, collection, kind))",
    "CREATE TABLE block (block INTEGER PRIMARY KEY AUTOINCREMENT, part INTEGER NOT NULL, slots INTEGER NOT NULL,"
    " used INTEGER NOT NULL, change INTEGER NOT NULL, seal INTEGER NOT NULL)",
    "CREATE INDEX block_of_part ON block (part)",
    "CREATE TABLE slab (block INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE TABLE entry (place INTEGER PRIMARY KEY, part INTEGER NOT NULL, id BLOB NOT NULL, booking_id TEXT NOT NULL,"
    " subject_id TEXT NOT NULL, seal INTEGER NOT NULL, UNIQUE (part, id))",
    "CREATE TABLE changes (latest INTEGER NOT NULL, seal INTEGER NOT NULL)",
    f"INSERT INTO changes VALUES (0, {seal.of([(0,)], [])})",  # noqa: S608  # nosec B608 - two numbers
)

Known = tuple[UUID, str, str]
"""id, booking_id, subject_id."""


def latest_change(db: sqlite3.Connection) -> int:
    """The number of the last change to the whole file."""
    row = db.execute("SELECT latest FROM changes").fetchone()
    if row is None:
        raise damaged()
    return int(row[0])


def partitions(db: sqlite3.Connection) -> dict[Partition, tuple[int, int]]:
    """The number of each partition, and the last change to it. Raises ``IndexDamaged`` where one is missing or another."""
    seal.check_file(db)
    rows = db.execute("SELECT agency, collection, kind, part, change FROM part").fetchall()
    return {
        Partition(agency, collection, Kind(kind)): (part, change) for agency, collection, kind, part, change in rows
    }


def block_changes(db: sqlite3.Connection, part: int) -> dict[int, int]:
    """The last change to each block of a partition, in the blocks' order. Raises ``IndexDamaged`` where one is missing or
    another."""
    seal.check_part(db, part)
    return dict(db.execute("SELECT block, change FROM block WHERE part = ? ORDER BY block", (part,)).fetchall())


def part_of(db: sqlite3.Connection, partition: Partition) -> int | None:
    """The number of a partition, or None where nothing was ever written to it or it was dropped.

    Raises ``IndexDamaged`` where the file's partitions or the blocks of this one are not as they were sealed: every call but a
    search begins here, and one that wrote would seal the damage as if it were right."""
    seal.check_file(db)
    row = db.execute(
        "SELECT part FROM part WHERE agency = ? AND collection = ? AND kind = ?",
        (partition.agency, partition.collection, partition.kind.value),
    ).fetchone()
    if row is None:
        return None
    seal.check_part(db, row[0])
    return int(row[0])


def count(db: sqlite3.Connection, part: int) -> int:
    """How many templates a partition holds."""
    return int(db.execute("SELECT coalesce(sum(used), 0) FROM block WHERE part = ?", (part,)).fetchone()[0])


def labels(db: sqlite3.Connection, places: Sequence[int]) -> dict[int, Known]:
    """What is stored beside the templates at ``places``. Raises ``IndexDamaged`` where one has nothing beside it, or something
    else than it was given."""
    rows = db.execute(
        "SELECT entry.seal, place, part, entry.id, booking_id, subject_id FROM json_each(?) CROSS JOIN entry ON place = value",
        (json.dumps(places),),
    ).fetchall()
    if len(rows) != len(places):
        raise damaged()
    for held, *values in rows:
        seal.expect(held, seal.of(*values))
    return {place: (UUID(bytes=identity), booking, subject) for _, place, _, identity, booking, subject in rows}


def entries(
    db: sqlite3.Connection, partition: Partition, part: int, ids: Sequence[UUID], dimension: int
) -> dict[UUID, Entry]:
    """The entries of ``ids`` that exist."""
    places = _places(db, part, ids)
    known = labels(db, list(places.values()))
    found: dict[UUID, Entry] = {}
    for block, slots, here in _by_block(db, places.values()):
        with Slab(db, block, slots, dimension) as slab:
            for slot in here:
                identity, booking, subject = known[block << SLOT_BITS | slot]
                booked_at, template = slab.read(slot)
                if booked_at == EMPTY:
                    raise damaged()
                found[identity] = Entry(identity, partition, booking, subject, moment(booked_at), template)
    return found


def scan(db: sqlite3.Connection, after: int, limit: int, dimension: int) -> Scanned:
    """Labels in the order of their places, which never change, from behind the place ``after``."""
    rows = db.execute("SELECT place, part FROM entry WHERE place > ? ORDER BY place LIMIT ?", (after, limit)).fetchall()
    return Scanned(_whole_labels(db, rows, dimension), str(rows[-1][0]) if len(rows) == limit else None)


def members(db: sqlite3.Connection, part: int, after: UUID | None, limit: int, dimension: int) -> tuple[Label, ...]:
    """Labels of a partition in the order of their ids, from behind ``after``."""
    rows = db.execute(
        "SELECT place, part FROM entry WHERE part = ? AND id > ? ORDER BY id LIMIT ?",
        (part, after.bytes if after else b"", limit),
    ).fetchall()
    return _whole_labels(db, rows, dimension)


def _whole_labels(db: sqlite3.Connection, rows: Sequence[tuple[int, int]], dimension: int) -> tuple[Label, ...]:
    """The labels of entries by place and partition, in their order."""
    known = labels(db, [place for place, _ in rows])
    where = {part: partition for partition, (part, _) in partitions(db).items()}
    booked: dict[int, int] = {}
    for block, slots, here in _by_block(db, known):
        with Slab(db, block, slots, dimension) as slab:
            times = slab.booked()
        booked.update((block << SLOT_BITS | slot, int(times[slot])) for slot in here)
    return tuple(
        Label(identity, where[part], booking, subject, moment(booked[place]))
        for place, part in rows
        for identity, booking, subject in [known[place]]
    )


def upsert(db: sqlite3.Connection, given: Sequence[Entry], dimension: int) -> bool:
    """Write entries whose templates are checked. Returns whether any of them was there, so that bytes were overwritten."""
    # Found before anything changes, since a change breaks the seals until the end.
    parts = {partition: part_of(db, partition) for partition in dict.fromkeys(entry.partition for entry in given)}
    change = _next_change(db)
    overwritten = False
    last = {(entry.partition, entry.id): entry for entry in given}
    for partition, known in parts.items():
        group = {identity: entry for (where, identity), entry in last.items() if where == partition}
        part = _new_part(db, partition, change) if known is None else known
        places = _places(db, part, list(group))
        overwritten = overwritten or bool(places)
        fresh = [identity for identity in group if identity not in places]
        taken = dict(zip(fresh, _take_places(db, part, len(fresh), dimension, change), strict=True))
        given_at = {place: group[identity] for identity, place in (places | taken).items()}
        _label(db, part, {place: (one.id, one.booking_id, one.subject_id) for place, one in given_at.items()})
        _fill(db, given_at, dimension, change)
        seal.put(db, part)
    return overwritten


def relabel(
    db: sqlite3.Connection, part: int, ids: Sequence[UUID], subject_id: str, booked_at: int, dimension: int
) -> int:
    """Change subject and time (µs since 1970) of the entries of ``ids``; returns how many there were."""
    places = list(_places(db, part, ids).values())
    if places:
        change = _next_change(db)
        known = labels(db, places)
        _label(db, part, {place: (identity, booking, subject_id) for place, (identity, booking, _) in known.items()})
        for block, slots, here in _by_block(db, places):
            with Slab(db, block, slots, dimension) as slab:
                for slot in here:
                    slab.write(slot, encoded_time(booked_at))
            _mark(db, block, 0, change)
        seal.put(db, part)
    return len(places)


def delete(db: sqlite3.Connection, part: int, ids: Sequence[UUID], dimension: int) -> int:
    """Overwrite the templates of ``ids`` with zeros and free their slots; returns how many there were."""
    places = list(_places(db, part, ids).values())
    if places:
        change = _next_change(db)
        db.executemany("DELETE FROM entry WHERE place = ?", [(place,) for place in places])
        for block, slots, here in _by_block(db, places):
            with Slab(db, block, slots, dimension) as slab:
                for slot in here:
                    slab.write(slot, FREE, bytes(4 * dimension))
            _mark(db, block, -len(here), change)
        db.execute("DELETE FROM slab WHERE block IN (SELECT block FROM block WHERE part = ? AND used = 0)", (part,))
        db.execute("DELETE FROM block WHERE part = ? AND used = 0", (part,))
        seal.put(db, part)
    return len(places)


def drop(db: sqlite3.Connection, part: int) -> int:
    """Free every block of a partition, and forget the partition; returns how many templates it held."""
    held = count(db, part)
    _next_change(db)
    db.execute("DELETE FROM slab WHERE block IN (SELECT block FROM block WHERE part = ?)", (part,))
    db.execute("DELETE FROM entry WHERE part = ?", (part,))
    db.execute("DELETE FROM block WHERE part = ?", (part,))
    db.execute("DELETE FROM part WHERE part = ?", (part,))
    seal.put(db)
    return held


def check(db: sqlite3.Connection, dimension: int) -> None:
    """Compare every seal with what it covers. Raises ``IndexDamaged``."""
    for part, _ in partitions(db).values():
        for block in block_changes(db, part):
            booked, _ = read_slab(db, block, dimension)
            labels(db, [block << SLOT_BITS | int(slot) for slot in np.flatnonzero(booked != EMPTY)])


def _next_change(db: sqlite3.Connection) -> int:
    db.execute("UPDATE changes SET latest = latest + 1")
    return latest_change(db)


def _mark(db: sqlite3.Connection, block: int, more: int, change: int) -> None:
    db.execute("UPDATE block SET used = used + ?, change = ? WHERE block = ?", (more, change, block))
    db.execute("UPDATE part SET change = ? WHERE part = (SELECT part FROM block WHERE block = ?)", (change, block))


def _new_part(db: sqlite3.Connection, partition: Partition, change: int) -> int:
    return _insert(
        db,
        "INSERT INTO part (agency, collection, kind, change, seal) VALUES (?, ?, ?, ?, 0)",
        (partition.agency, partition.collection, partition.kind.value, change),
    )


def _label(db: sqlite3.Connection, part: int, known: Mapping[int, Known]) -> None:
    """Write what lies beside templates, new or not."""
    rows = [(place, part, identity.bytes, booking, subject) for place, (identity, booking, subject) in known.items()]
    db.executemany(
        "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (place) DO UPDATE SET"
        " booking_id = excluded.booking_id, subject_id = excluded.subject_id, seal = excluded.seal",
        [(*row, seal.of(*row)) for row in rows],
    )


def _insert(db: sqlite3.Connection, statement: str, values: Sequence[str | int]) -> int:
    """Insert one row; returns the number it got."""
    row = db.execute(statement, values).lastrowid
    if row is None:
        raise damaged()
    return row


def _places(db: sqlite3.Connection, part: int, ids: Sequence[UUID]) -> dict[UUID, int]:
    """Where the templates of those of ``ids`` that exist lie; one place an id, in the order of ``ids``."""
    wanted = list(dict.fromkeys(ids))
    found: dict[UUID, int] = {}
    for start in range(0, len(wanted), _ONE_QUERY):
        some = wanted[start : start + _ONE_QUERY]
        marks = ",".join("?" * len(some))
        rows = db.execute(
            f"SELECT id, place FROM entry WHERE part = ? AND id IN ({marks})",  # noqa: S608  # nosec B608 - question marks only
            (part, *(identity.bytes for identity in some)),
        )
        found.update((UUID(bytes=identity), place) for identity, place in rows.fetchall())
    return {identity: found[identity] for identity in wanted if identity in found}


def _by_block(db: sqlite3.Connection, places: Iterable[int]) -> Iterator[tuple[int, int, list[int]]]:
    """Block, its number of slots, and which of them ``places`` mean, ascending."""
    for block, here in groupby(sorted(places), lambda place: place >> SLOT_BITS):
        row = db.execute("SELECT slots FROM block WHERE block = ?", (block,)).fetchone()
        if row is None:
            raise damaged()
        yield block, int(row[0]), [place & (1 << SLOT_BITS) - 1 for place in here]


def _take_places(db: sqlite3.Connection, part: int, wanted: int, dimension: int, change: int) -> list[int]:
    """Free places, ascending within a block: first what erased templates left, then new blocks."""
    places: list[int] = []
    blocks = db.execute("SELECT block, slots, used FROM block WHERE part = ? ORDER BY block", (part,)).fetchall()
    for block, slots, used in blocks:
        if used < slots and len(places) < wanted:
            with Slab(db, block, slots, dimension) as slab:
                free = np.flatnonzero(slab.booked() == EMPTY)[: wanted - len(places)]
            places.extend(block << SLOT_BITS | int(slot) for slot in free)
            _mark(db, block, len(free), change)
    largest = min(max(1, _SLAB_BYTES // (4 * dimension)), 1 << SLOT_BITS)
    capacity = sum(slots for _, slots, _ in blocks)
    while len(places) < wanted:
        slots = min(largest, max(_FIRST_SLOTS, capacity, wanted - len(places)))
        used = min(slots, wanted - len(places))
        blank = blank_slab(slots, dimension)
        block = _insert(
            db,
            "INSERT INTO block (part, slots, used, change, seal) VALUES (?, ?, ?, ?, ?)",
            (part, slots, used, change, seal.of_slab(blank)),
        )
        db.execute("INSERT INTO slab VALUES (?, ?)", (block, blank))
        _mark(db, block, 0, change)
        places.extend(block << SLOT_BITS | slot for slot in range(used))
        capacity += slots
    return places


def _fill(db: sqlite3.Connection, given: Mapping[int, Entry], dimension: int, change: int) -> None:
    for block, slots, here in _by_block(db, given):
        with Slab(db, block, slots, dimension) as slab:
            # Neighbouring slots are written at once: a bulk load is one run a block.
            for _, run in groupby(enumerate(here), lambda pair: pair[1] - pair[0]):
                run_slots = [slot for _, slot in run]
                run_entries = [given[block << SLOT_BITS | slot] for slot in run_slots]
                slab.write(
                    run_slots[0],
                    b"".join(encoded_time(microseconds(entry.booked_at)) for entry in run_entries),
                    b"".join(entry.template.astype("<f4", copy=False).tobytes() for entry in run_entries),
                )
        _mark(db, block, 0, change)
