"""Checksums over what the file holds, so that bytes that changed on the disk are noticed before they are believed.

SQLite notices what breaks its trees, not what changes inside a row: another subject, a partition that is not found, a template
that is a little another. So the file's seal covers the rows of its partitions, a partition's those of its blocks, and a block's
its slab; an entry has one of its own. They are CRC-32: against accidents, not against somebody who can write to the file.
"""

from __future__ import annotations

import sqlite3
import zlib

from candid.gallery.exact.file import damaged


def of(*values: object) -> int:
    """The seal of a row's values: texts, numbers and bytes."""
    return zlib.crc32(repr(values).encode())


def of_slab(body: bytes) -> int:
    """The seal of a slab."""
    return zlib.crc32(body)


def expect(held: object, seal: int) -> None:
    """Raise ``IndexDamaged`` unless what the file holds as a seal is this one."""
    if held != seal:
        raise damaged()


def put(db: sqlite3.Connection, *parts: int) -> None:
    """Seal these partitions as they stand, and the file."""
    for part in parts:
        db.execute("UPDATE part SET seal = ? WHERE part = ?", (_of_part(db, part), part))
    db.execute("UPDATE changes SET seal = ?", (_of_file(db),))


def check_part(db: sqlite3.Connection, part: int) -> None:
    """Raise ``IndexDamaged`` unless the rows of a partition's blocks are as they were sealed. Not the slabs."""
    row = db.execute("SELECT seal FROM part WHERE part = ?", (part,)).fetchone()
    expect(row and row[0], _of_part(db, part))


def check_file(db: sqlite3.Connection) -> None:
    """Raise ``IndexDamaged`` unless the file has the partitions that it was sealed with."""
    row = db.execute("SELECT seal FROM changes").fetchone()
    expect(row and row[0], _of_file(db))


def _of_part(db: sqlite3.Connection, part: int) -> int:
    rows = db.execute("SELECT block, slots, used, change, seal FROM block WHERE part = ? ORDER BY block", (part,))
    return of(part, rows.fetchall())


def _of_file(db: sqlite3.Connection) -> int:
    rows = db.execute("SELECT part, agency, collection, kind, change, seal FROM part ORDER BY part").fetchall()
    return of(db.execute("SELECT latest FROM changes").fetchall(), rows)
