"""An erased template is gone from the bytes of every file that the index has."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.vector_index import BOOKINGS, OTHERS, entry, identity, unit

from candid.errors import DependencyUnavailable
from candid.gallery.exact.index import ExactIndex
from candid.gallery.index import Template

pytestmark = pytest.mark.slow

DIMENSION = 128
PIECE = 16
"""Bytes: four of a template's numbers, which nothing else in a file equals by chance."""


_folder = tempfile.TemporaryDirectory()


def fresh() -> Path:
    """A path that no example before has used; Hypothesis runs many in one test."""
    return Path(tempfile.mkdtemp(dir=_folder.name)) / "index.db"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


@pytest.fixture
def index(path: Path) -> Iterator[ExactIndex]:
    index = ExactIndex(path, DIMENSION, "test")
    yield index
    index.close()


def raw(path: Path) -> bytes:
    """All files of the index. Read by another process: closing a descriptor here would drop this process's locks."""
    return subprocess.run(["cat", *sorted(path.parent.iterdir())], check=True, capture_output=True).stdout


def pieces(template: Template, held: bytes) -> int:
    """How many pieces of a template are in ``held``, of DIMENSION * 4 / PIECE."""
    given = template.tobytes()
    return sum(given[start : start + PIECE] in held for start in range(0, len(given), PIECE))


def is_there(template: Template, held: bytes) -> bool:
    """Whether a template is in ``held``; a page's edge may cut one of its pieces."""
    return pieces(template, held) >= DIMENSION * 4 // PIECE - 1


def test_a_live_template_is_in_the_file_so_looking_for_it_means_something(index: ExactIndex, path: Path) -> None:
    index.upsert([entry(1, dimension=DIMENSION)])
    assert is_there(unit(1, DIMENSION), raw(path))


def test_no_piece_of_a_deleted_template_is_left(index: ExactIndex, path: Path) -> None:
    index.upsert([entry(number, dimension=DIMENSION) for number in range(1500)])
    index.search([BOOKINGS], unit(1, DIMENSION), 3)
    gone = range(100, 700, 7)
    index.delete(BOOKINGS, [identity(number) for number in gone])
    held = raw(path)
    assert sum(pieces(unit(number, DIMENSION), held) for number in gone) == 0
    assert is_there(unit(101, DIMENSION), held)


def test_no_piece_of_a_dropped_partition_is_left(index: ExactIndex, path: Path) -> None:
    index.upsert([entry(number, dimension=DIMENSION) for number in range(1500)])
    index.upsert([entry(5000, OTHERS[0], dimension=DIMENSION)])
    index.drop(BOOKINGS)
    held = raw(path)
    assert sum(pieces(unit(number, DIMENSION), held) for number in range(0, 1500, 11)) == 0
    assert is_there(unit(5000, DIMENSION), held)


def test_no_piece_of_a_replaced_template_is_left(index: ExactIndex, path: Path) -> None:
    index.upsert([entry(number, dimension=DIMENSION) for number in range(300)])
    index.upsert(
        [replace(entry(number, dimension=DIMENSION), template=unit(9000 + number, DIMENSION)) for number in (3, 299)]
    )
    held = raw(path)
    assert pieces(unit(3, DIMENSION), held) == pieces(unit(299, DIMENSION), held) == 0
    assert is_there(unit(9003, DIMENSION), held)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["upsert", "delete", "drop"]), st.integers(0, 40), st.integers(1, 40)), max_size=12
    )
)
@settings(max_examples=25, deadline=None)
def test_whatever_was_done_only_live_templates_are_in_the_files(steps: list[tuple[str, int, int]]) -> None:
    path = fresh()
    index = ExactIndex(path, DIMENSION, "test")
    live: dict[int, int] = {}
    ever: set[int] = set()
    for step, (call, start, size) in enumerate(steps):
        numbers = range(start, start + size)
        if call == "upsert":
            written = {number: 1000 * (step + 1) + number for number in numbers}
            index.upsert([entry(number, dimension=DIMENSION, seed=seed) for number, seed in written.items()])
            live |= written
            ever |= set(written.values())
        elif call == "delete":
            index.delete(BOOKINGS, [identity(number) for number in numbers])
            live = {number: seed for number, seed in live.items() if number not in numbers}
        else:
            index.drop(BOOKINGS)
            live = {}
        held = raw(path)
        assert not [seed for seed in ever - set(live.values()) if pieces(unit(seed, DIMENSION), held)]
        assert all(is_there(unit(seed, DIMENSION), held) for seed in live.values())
    index.close()


def read_until_told(path: Path, told: Connection) -> None:
    """Hold the state of the file as a reader does that never ends."""
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entry").fetchone()
    told.send("reading")
    told.recv()
    reader.close()


def test_a_reader_that_holds_the_journal_is_reported_and_a_second_call_finishes(path: Path) -> None:
    index = ExactIndex(path, DIMENSION, "test", patience=0.5)
    index.upsert([entry(number, dimension=DIMENSION) for number in range(20)])
    here, there = multiprocessing.Pipe()
    reader = multiprocessing.get_context("spawn").Process(target=read_until_told, args=(path, there))
    reader.start()
    assert here.recv() == "reading"
    with pytest.raises(DependencyUnavailable, match="Call again to finish"):
        index.delete(BOOKINGS, [identity(7)])
    assert index.count(BOOKINGS) == 19
    assert pieces(unit(7, DIMENSION), raw(path)) > 0
    here.send("enough")
    reader.join()
    assert index.delete(BOOKINGS, [identity(7)]) == 0
    assert pieces(unit(7, DIMENSION), raw(path)) == 0
    index.close()


def test_an_unfinished_replacement_is_finished_by_the_same_call_again(path: Path) -> None:
    index = ExactIndex(path, DIMENSION, "test", patience=0.5)
    index.upsert([entry(7, dimension=DIMENSION)])
    here, there = multiprocessing.Pipe()
    reader = multiprocessing.get_context("spawn").Process(target=read_until_told, args=(path, there))
    reader.start()
    assert here.recv() == "reading"
    with pytest.raises(DependencyUnavailable, match="Call again to finish"):
        index.upsert([entry(7, dimension=DIMENSION, seed=70)])
    here.send("enough")
    reader.join()
    index.upsert([entry(7, dimension=DIMENSION, seed=70)])
    held = raw(path)
    assert pieces(unit(7, DIMENSION), held) == 0
    assert is_there(unit(70, DIMENSION), held)
    index.close()
