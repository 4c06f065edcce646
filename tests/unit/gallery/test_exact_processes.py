"""Several processes on one file: what one writes the others see, and one that is killed takes nothing with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from tests.contract.vector_index import BOOKINGS, DIMENSION, entry, identity, unit

from candid.gallery.exact.index import ExactIndex

pytestmark = pytest.mark.slow

SPAWN = multiprocessing.get_context("spawn")
CALL = 7
"""Entries of one call."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


def numbers(call: int) -> range:
    return range(call * CALL, (call + 1) * CALL)


def answer_searches(path: Path, asked: Connection) -> None:
    """Search for each template asked for until it is found, and send after how many seconds and how often."""
    index = ExactIndex(path, DIMENSION, "test")
    index.search([BOOKINGS], unit(0), 1)
    asked.send("ready")
    while (number := asked.recv()) is not None:
        begin = time.monotonic()
        while True:
            found = index.search([BOOKINGS], unit(number), 1).neighbours
            if (found and found[0].id == identity(number)) or time.monotonic() - begin > 5:
                break
        asked.send(time.monotonic() - begin)
        asked.recv()
        asked.send(index.search([BOOKINGS], unit(number), 1).neighbours[0].id == identity(number))
    index.close()


def test_another_process_sees_a_new_face_and_its_erasure_within_a_second(path: Path) -> None:
    index = ExactIndex(path, DIMENSION, "test")
    index.upsert([entry(number) for number in range(1000)])
    here, there = multiprocessing.Pipe()
    other = SPAWN.Process(target=answer_searches, args=(path, there))
    other.start()
    assert here.recv() == "ready"
    for number in range(2000, 2010):
        here.send(number)
        index.upsert([entry(number)])
        assert here.recv() < 1.0
        index.delete(BOOKINGS, [identity(number)])
        here.send("erased")
        assert here.recv() is False
    here.send(None)
    other.join()
    assert other.exitcode == 0
    index.close()


def write_calls(path: Path, first: int, calls: int) -> None:
    index = ExactIndex(path, DIMENSION, "test")
    for call in range(first, first + calls):
        index.upsert([entry(number) for number in numbers(call)])
        if call % 5 == 0:
            assert index.delete(BOOKINGS, [identity(number) for number in numbers(call)]) == CALL
    index.close()


def test_four_writers_at_once_lose_nothing(path: Path) -> None:
    writers = [SPAWN.Process(target=write_calls, args=(path, 100 * writer, 40)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    index = ExactIndex(path, DIMENSION, "test")
    kept = [call for writer in range(4) for call in range(100 * writer, 100 * writer + 40) if call % 5]
    expected = {identity(number) for call in kept for number in numbers(call)}
    answer = index.search([BOOKINGS], unit(1), 10_000)
    assert {neighbour.id for neighbour in answer.neighbours} == expected
    assert index.count(BOOKINGS) == len(expected)
    index.close()


def write_until_killed(path: Path, acknowledged: Connection, first: int) -> None:
    """Write call after call, and erase the one of ten calls ago; say what is done after each return."""
    index = ExactIndex(path, DIMENSION, "test")
    for call in range(first, first + 100_000):
        index.upsert([entry(number) for number in numbers(call)])
        acknowledged.send(("written", call))
        if call >= 10:
            index.delete(BOOKINGS, [identity(number) for number in numbers(call - 10)])
            acknowledged.send(("erased", call - 10))


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.011, 0.02, 0.05, 0.09, 0.17, 0.3])
def test_a_killed_writer_loses_nothing_acknowledged_and_leaves_no_half_call(path: Path, delay: float) -> None:
    first = 0
    for _ in range(3):
        here, there = multiprocessing.Pipe(duplex=False)
        writer = SPAWN.Process(target=write_until_killed, args=(path, there, first))
        writer.start()
        there.close()
        done = [here.recv()]
        time.sleep(delay)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        while True:
            try:
                done.append(here.recv())
            except EOFError:
                break
        written = {call for what, call in done if what == "written"}
        erased = {call for what, call in done if what == "erased"}
        index = ExactIndex(path, DIMENSION, "test")
        last = max(written)
        for call in range(max(0, first - 10), last + 3):
            held = [found.id for found in index.get(BOOKINGS, [identity(number) for number in numbers(call)])]
            assert len(held) in (0, CALL), "half a call"
            if call in erased:
                assert not held
            elif call in written and call != last - 10:
                assert call == max(erased, default=-1) + 1 or held
        answer = index.search([BOOKINGS], unit(0), 10_000)
        assert answer.searched == index.count(BOOKINGS)
        found = index.get(BOOKINGS, [neighbour.id for neighbour in answer.neighbours])
        for neighbour, stored in zip(answer.neighbours, found, strict=True):
            number = int(stored.booking_id.removeprefix("booking-"))
            assert stored.id == identity(number)
            assert np.array_equal(stored.template, unit(number))
            assert neighbour.booking_id == stored.booking_id
        index.close()
        first = last + 5
