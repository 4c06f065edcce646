"""How the templates of one block lie in the file: fixed slots, only ever overwritten where they lie.

Not here: which slot is whose (``store``).

A template in a row of its own would be copied about when SQLite balances its tree, and a copy left in the gap of a page is
beyond ``secure_delete``. So a slab begins with ``PADDING`` bytes, more than SQLite keeps of a row inside the tree
(https://www.sqlite.org/fileformat2.html#b_tree_pages: usable size − 35), and everything after them is on overflow pages,
which never move and are zeroed when they are freed.

    slab = PADDING zeros | booked_at: slots × int64, µs since 1970 or EMPTY | templates: slots × dimension × float32

Numbers are little-endian on every machine.
"""

from __future__ import annotations

import sqlite3
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from candid.gallery.exact import seal
from candid.gallery.exact.file import PAGE_SIZE, damaged
from candid.gallery.index import Template

PADDING: Final = PAGE_SIZE
EMPTY: Final = int(np.iinfo(np.int64).min)
"""The booked_at of a free slot, whose template is zeros."""


def encoded_time(since_epoch: int) -> bytes:
    """µs since 1970 as a slab holds them."""
    return since_epoch.to_bytes(8, "little", signed=True)


FREE: Final = encoded_time(EMPTY)


def blank_slab(slots: int, dimension: int) -> bytes:
    """A slab whose slots are all free."""
    return bytes(PADDING) + FREE * slots + bytes(4 * dimension * slots)


def read_slab(db: sqlite3.Connection, block: int, dimension: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """booked_at, (slots,) int64, and templates, (slots, dimension) float32, as views of one buffer that is read-only.

    Raises ``IndexDamaged`` where the slab has another size or seal, a template is no unit vector or a free slot is not zeros."""
    row = db.execute(
        "SELECT slots, used, seal, body FROM block LEFT JOIN slab USING (block) WHERE block = ?", (block,)
    ).fetchone()
    if row is None or not isinstance(row[3], bytes) or len(row[3]) != _size(row[0], dimension):
        raise damaged()
    slots, used, held, body = row
    seal.expect(held, seal.of_slab(body))
    booked = np.frombuffer(body, "<i8", slots, PADDING)
    templates = np.frombuffer(body, "<f4", slots * dimension, PADDING + 8 * slots).reshape(slots, dimension)
    taken = booked != EMPTY
    squares = np.einsum("ij,ij->i", templates, templates)
    # Twice UNIT_TOLERANCE and a little, since these are squared lengths; a NaN fails it too.
    if np.count_nonzero(taken) != used or not np.all(np.abs(squares - taken) <= 3e-3):
        raise damaged()
    return booked, templates


class Slab:
    """One slab, read and overwritten where it lies, and sealed again at the end of the ``with``. Raises ``IndexDamaged`` on
    opening one of another size or seal."""

    def __init__(self, db: sqlite3.Connection, block: int, slots: int, dimension: int) -> None:
        self._db, self._block = db, block
        self._blob = db.blobopen("slab", "body", block)
        self._slots = slots
        self._templates_at = PADDING + 8 * slots
        self._template_size = 4 * dimension
        self._written = False
        try:
            if len(self._blob) != _size(slots, dimension):
                raise damaged()
            (held,) = db.execute("SELECT seal FROM block WHERE block = ?", (block,)).fetchone()
            seal.expect(held, seal.of_slab(self._blob.read()))
        except BaseException:
            self._blob.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._written:
                self._blob.seek(0)
                sealed = (seal.of_slab(self._blob.read()), self._block)
                self._db.execute("UPDATE block SET seal = ? WHERE block = ?", sealed)
        finally:
            self._blob.close()

    def booked(self) -> NDArray[np.int64]:
        """µs since 1970 or EMPTY, (slots,) int64."""
        self._blob.seek(PADDING)
        return np.frombuffer(self._blob.read(8 * self._slots), "<i8")

    def read(self, slot: int) -> tuple[int, Template]:
        """booked_at and a copy of the template of one slot."""
        self._blob.seek(PADDING + 8 * slot)
        booked_at = int.from_bytes(self._blob.read(8), "little", signed=True)
        self._blob.seek(self._templates_at + self._template_size * slot)
        return booked_at, np.frombuffer(self._blob.read(self._template_size), "<f4").astype(np.float32)

    def write(self, first: int, booked: bytes, templates: bytes = b"") -> None:
        """Overwrite slots from ``first`` on: their times, and their templates where any are given."""
        self._written = True
        self._blob.seek(PADDING + 8 * first)
        self._blob.write(booked)
        self._blob.seek(self._templates_at + self._template_size * first)
        self._blob.write(templates)


def _size(slots: int, dimension: int) -> int:
    return PADDING + slots * (8 + 4 * dimension)
