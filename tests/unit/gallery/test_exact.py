"""Exact search keeps the contract, alone and through two openings of one file; and what is its own: file, memory, threads."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.vector_index import (
    BOOKINGS,
    DAY,
    DIMENSION,
    OTHERS,
    Reference,
    VectorIndexContract,
    assert_congruent,
    congruence,
    entry,
    identity,
    unit,
)

from candid.errors import Conflict, DependencyUnavailable
from candid.gallery.exact.index import ExactIndex
from candid.gallery.index import Filter, VectorIndex

_folder = tempfile.TemporaryDirectory()


def fresh() -> Path:
    """A path that no example before has used; Hypothesis runs many in one test."""
    return Path(tempfile.mkdtemp(dir=_folder.name)) / "index.db"


class TwoOpenings:
    """Two indexes on one file, as two processes have them; every call goes to the other one than the call before."""

    def __init__(self, path: Path) -> None:
        self._both = (ExactIndex(path, DIMENSION, "test"), ExactIndex(path, DIMENSION, "test"))
        self._turn = cycle(self._both)

    @property
    def dimension(self) -> int:
        return DIMENSION

    def __getattr__(self, name: str) -> Any:
        return getattr(next(self._turn), name)

    def close(self) -> None:
        for index in self._both:
            index.close()


def one_opening() -> VectorIndex:
    return ExactIndex(fresh(), DIMENSION, "test")


def two_openings() -> VectorIndex:
    return TwoOpenings(fresh())


class TestExactIndexKeepsTheContract(VectorIndexContract):
    @pytest.fixture(params=[ExactIndex, TwoOpenings])
    def index(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
        path = tmp_path / "index.db"
        index = ExactIndex(path, DIMENSION, "test") if request.param is ExactIndex else TwoOpenings(path)
        yield index
        index.close()


_SETTINGS = settings(max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))

TestOneOpeningAgreesWithTheReference = pytest.mark.slow(congruence(one_opening).TestCase)
TestOneOpeningAgreesWithTheReference.settings = _SETTINGS
TestTwoOpeningsAgreeWithTheReference = pytest.mark.slow(congruence(two_openings).TestCase)
TestTwoOpeningsAgreeWithTheReference.settings = _SETTINGS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "indexes" / "test.db"


@pytest.fixture
def index(path: Path) -> Iterator[ExactIndex]:
    index = ExactIndex(path, DIMENSION, "test")
    yield index
    index.close()


@given(
    size=st.integers(1, 700),
    dimension=st.sampled_from([1, 2, 127, 128, 512]),
    k=st.integers(1, 50),
    seed=st.integers(0),
)
@settings(max_examples=25, deadline=None)
def test_ranks_equal_brute_force_in_float64_at_any_size_and_dimension(
    size: int, dimension: int, k: int, seed: int
) -> None:
    index = ExactIndex(fresh(), dimension, "test")
    reference = Reference()
    some = [entry(number, dimension=dimension, seed=number * 31 + seed % 1009) for number in range(size)]
    index.upsert(some)
    reference.upsert(some)
    probe = unit(seed, dimension)
    assert_congruent(reference, index.search([BOOKINGS], probe, k), [BOOKINGS], probe, k)
    index.close()


@pytest.mark.parametrize("days", [None, 3000, 30, 0])
def test_any_k_gives_the_same_best_whatever_a_filter_leaves(index: ExactIndex, days: int | None) -> None:
    reference = Reference()
    some = [entry(number) for number in range(4000)]
    index.upsert(some)
    reference.upsert(some)
    where = None if days is None else Filter(DAY, DAY + timedelta(days=days))
    for k in (1, 2, 5, 17, 30, 31, 32, 100, 3999, 4000, 4001):
        probe = unit(k)
        assert_congruent(reference, index.search([BOOKINGS], probe, k, where), [BOOKINGS], probe, k, where)


def test_the_file_is_its_owners_alone_and_its_folder_is_made(index: ExactIndex, path: Path) -> None:
    index.upsert([entry(1)])
    assert {oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()} == {"0o600"}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_what_was_written_is_there_when_the_file_is_opened_again(index: ExactIndex, path: Path) -> None:
    index.upsert([entry(number) for number in range(50)])
    index.close()
    again = ExactIndex(path, DIMENSION, "test")
    assert again.search([BOOKINGS], unit(33), 1).neighbours[0].id == identity(33)
    assert np.array_equal(again.get(BOOKINGS, [identity(3)])[0].template, unit(3))
    again.close()


@pytest.mark.parametrize(("dimension", "model"), [(DIMENSION, "another"), (DIMENSION + 1, "test")])
def test_a_file_of_another_model_or_dimension_is_refused_by_name(
    index: ExactIndex, path: Path, dimension: int, model: str
) -> None:
    with pytest.raises(
        Conflict, match=f"made for model test, dimension 8, not for model {model}, dimension {dimension}"
    ):
        ExactIndex(path, dimension, model)
    index.upsert([entry(1)])


def test_a_closed_index_answers_that_it_is_closed(index: ExactIndex) -> None:
    index.close()
    index.close()
    with pytest.raises(DependencyUnavailable, match="closed"):
        index.count(BOOKINGS)


def test_freed_slots_are_used_again_before_the_file_grows(index: ExactIndex, path: Path) -> None:
    index.upsert([entry(number) for number in range(2000)])
    index.delete(BOOKINGS, [identity(number) for number in range(0, 2000, 2)])
    before = path.stat().st_size
    for start in range(5000, 6000, 100):
        index.upsert([entry(number) for number in range(start, start + 100)])
    index.delete(BOOKINGS, [])
    # Ids are random, so their tree may grow by a few pages.
    assert path.stat().st_size <= before + 20 * 4096
    assert index.search([BOOKINGS], unit(5500), 1).neighbours[0].id == identity(5500)


def test_a_dropped_partitions_space_is_used_again(index: ExactIndex, path: Path) -> None:
    sizes = []
    for _ in range(4):
        index.upsert([entry(number) for number in range(2000)])
        index.drop(BOOKINGS)
        sizes.append(path.stat().st_size)
    # The tree of ids, which are in no order, may take a page or two more.
    assert max(sizes) <= sizes[0] + 4 * 4096


def arrays(index: ExactIndex) -> list[np.ndarray[Any, Any]]:
    """What an index remembers."""
    return [block.templates for part in index._parts.values() for block in part.blocks.values()]


def test_erased_templates_are_zeroed_in_another_openings_memory_at_its_next_search(
    index: ExactIndex, path: Path
) -> None:
    other = ExactIndex(path, DIMENSION, "test")
    index.upsert([entry(number) for number in range(20)])
    index.upsert([entry(number, OTHERS[0]) for number in range(20)])
    other.search([BOOKINGS, OTHERS[0]], unit(1), 1)
    held = arrays(other)
    index.delete(BOOKINGS, [identity(7)])
    index.upsert([entry(8, seed=800)])
    index.drop(OTHERS[0])
    other.search([BOOKINGS], unit(1), 1)
    remembered = np.concatenate([*held, *arrays(other)])
    assert not any(np.any(np.all(remembered == unit(seed), axis=1)) for seed in (7, 8))
    assert np.any(np.all(remembered == unit(9), axis=1))
    assert sum(int(np.any(row)) for row in np.concatenate(held)) == 19
    other.close()


def test_a_block_whose_last_template_went_is_zeroed_in_memory(index: ExactIndex, path: Path) -> None:
    other = ExactIndex(path, DIMENSION, "test")
    for start in (0, 8):
        index.upsert([entry(number) for number in range(start, start + 8)])
    other.search([BOOKINGS], unit(1), 1)
    held = arrays(other)
    assert len(held) == 2
    index.delete(BOOKINGS, [identity(number) for number in range(8)])
    assert other.search([BOOKINGS], unit(1), 1).searched == 8
    assert [bool(np.any(array)) for array in held] == [False, True]
    other.close()


def test_the_openings_own_memory_is_zeroed_when_a_delete_returns(index: ExactIndex) -> None:
    index.upsert([entry(number) for number in range(20)])
    index.search([BOOKINGS], unit(1), 1)
    index.delete(BOOKINGS, [identity(7)])
    assert not np.any(np.all(np.concatenate(arrays(index)) == unit(7), axis=1))


def test_threads_share_an_index(index: ExactIndex) -> None:
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for number in range(thread * 1000, thread * 1000 + 30):
                index.upsert([entry(number)])
                assert index.search([BOOKINGS], unit(number), 1).neighbours[0].id == identity(number)
                if number % 3 == 0:
                    assert index.delete(BOOKINGS, [identity(number)]) == 1
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert index.count(BOOKINGS) == 80


def test_a_fork_in_the_middle_of_other_threads_work_leaves_both_sides_working(index: ExactIndex, path: Path) -> None:
    index.upsert([entry(number) for number in range(100)])
    index.search([BOOKINGS], unit(1), 1)
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            index.search([BOOKINGS], unit(1), 5)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        for number in range(1000, 1005):
            child = os.fork()
            if child == 0:
                try:
                    # A descriptor from before would share its parent's locks without holding them.
                    inherited = [
                        link for link in Path("/proc/self/fd").iterdir() if str(path) in os.path.realpath(link)
                    ]
                    index.upsert([entry(number)])
                    right = not inherited and index.search([BOOKINGS], unit(number), 1).neighbours[0].id == identity(
                        number
                    )
                    right = right and index.delete(BOOKINGS, [identity(number - 1000)]) == 1
                except BaseException:
                    right = False
                os._exit(0 if right else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert index.search([BOOKINGS], unit(number), 1).neighbours[0].id == identity(number)
    finally:
        stop.set()
        thread.join()
    assert index.count(BOOKINGS) == 100
