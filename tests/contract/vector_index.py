"""What any ``VectorIndex`` must do, to be run on each implementation.

``VectorIndexContract``: single behaviours; subclass it as ``Test…`` and give it an ``index`` fixture of ``DIMENSION``.
``congruence(make)``: a Hypothesis state machine that makes every call on an index and on ``Reference`` and compares.
An implementation may take a second until a write is found; a loaded machine is given ``SETTLES``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid5

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray

from candid.gallery.index import Entry, Filter, Kind, Label, Nearest, Partition, Template, VectorIndex

DIMENSION = 8
SETTLES = 15.0
FLOAT32 = 2e-6
"""Two scores nearer than this are a tie at float32 precision."""

BOOKINGS = Partition("washington", "bookings")
OTHERS = (
    Partition("washington", "bookings", Kind.USER),
    Partition("washington", "archive"),
    Partition("clackamas", "bookings"),
    Partition("clackamas", "größe/ % _ '"),
)
PARTITIONS = (BOOKINGS, *OTHERS)
DAY = datetime(2019, 5, 1, tzinfo=UTC)


class Reference:
    """The same calls, as plainly as they can be said."""

    def __init__(self) -> None:
        self.held: dict[tuple[Partition, UUID], Entry] = {}

    def upsert(self, entries: Sequence[Entry]) -> None:
        self.held.update({(entry.partition, entry.id): entry for entry in entries})

    def relabel(self, partition: Partition, ids: Sequence[UUID], *, subject_id: str, booked_at: datetime) -> int:
        keys = {(partition, identity) for identity in ids} & self.held.keys()
        self.held.update({key: replace(self.held[key], subject_id=subject_id, booked_at=booked_at) for key in keys})
        return len(keys)

    def delete(self, partition: Partition, ids: Sequence[UUID]) -> int:
        return len([self.held.pop(key) for key in {(partition, identity) for identity in ids} & self.held.keys()])

    def drop(self, partition: Partition) -> int:
        return self.delete(partition, [identity for where, identity in self.held if where == partition])

    def get(self, partition: Partition, ids: Sequence[UUID]) -> tuple[Entry, ...]:
        return tuple(self.held[partition, identity] for identity in ids if (partition, identity) in self.held)

    def count(self, partition: Partition) -> int:
        return sum(where == partition for where, _ in self.held)

    def scan(self) -> dict[tuple[Partition, UUID], Label]:
        return {
            key: Label(entry.id, entry.partition, entry.booking_id, entry.subject_id, entry.booked_at)
            for key, entry in self.held.items()
        }

    def scores(
        self, partitions: Sequence[Partition], probe: Template, where: Filter | None
    ) -> dict[tuple[Partition, UUID], float]:
        """The float64 dot product of every entry that a search is about."""
        return {
            key: float(entry.template.astype(np.float64) @ probe.astype(np.float64))
            for key, entry in self.held.items()
            if key[0] in partitions and _passes(entry.booked_at, where)
        }


def _passes(booked_at: datetime, where: Filter | None) -> bool:
    if where is None:
        return True
    return (where.booked_from is None or where.booked_from <= booked_at) and (
        where.booked_before is None or booked_at < where.booked_before
    )


def assert_congruent(
    reference: Reference,
    answer: Nearest,
    partitions: Sequence[Partition],
    probe: Template,
    k: int,
    where: Filter | None = None,
    *,
    exact: bool = True,
) -> None:
    """``answer`` is right: exact ranks, scores, labels and numbers, up to ties at float32 precision."""
    expected = reference.scores(partitions, probe, where)
    assert answer.exact is exact or not expected
    assert answer.searched == len(expected)
    assert len(answer.neighbours) == min(k, len(expected))
    found = [(neighbour.partition, neighbour.id) for neighbour in answer.neighbours]
    assert len(set(found)) == len(found)
    given = [neighbour.score for neighbour in answer.neighbours]
    assert all(earlier >= later - FLOAT32 for earlier, later in itertools.pairwise(given))
    best = sorted(expected.values(), reverse=True)
    for neighbour, key, rank in zip(answer.neighbours, found, best, strict=False):
        entry = reference.held[key]
        assert neighbour.score == pytest.approx(min(1.0, max(-1.0, expected[key])), abs=FLOAT32)
        assert expected[key] == pytest.approx(rank, abs=FLOAT32)
        assert (neighbour.booking_id, neighbour.subject_id) == (entry.booking_id, entry.subject_id)


def settled(check: Callable[[], None]) -> None:
    """``check`` passes within ``SETTLES`` seconds."""
    deadline = time.monotonic() + SETTLES
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)


def unit(seed: int, dimension: int = DIMENSION) -> NDArray[np.float32]:
    """A random unit vector that ``seed`` decides."""
    vector = np.random.default_rng(seed).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def identity(number: int) -> UUID:
    """The id of entry ``number``."""
    return uuid5(UUID(int=0), str(number))


def entry(
    number: int, partition: Partition = BOOKINGS, *, dimension: int = DIMENSION, seed: int | None = None
) -> Entry:
    """Entry ``number``, booked ``number`` days after ``DAY``."""
    return Entry(
        identity(number),
        partition,
        f"booking-{number}",
        f"subject-{number // 2}",
        DAY + timedelta(days=number),
        unit(number if seed is None else seed, dimension),
    )


partitions = st.sampled_from(PARTITIONS)
ids = st.lists(st.integers(0, 30).map(identity), max_size=12)
zones = st.sampled_from([UTC, timezone(timedelta(hours=-8)), timezone(timedelta(hours=5, minutes=45))])
# Few different times, so that a filter's edge often meets a booking's own.
times = st.builds(
    lambda day, microsecond, zone: (DAY + timedelta(days=day, microseconds=microsecond)).astimezone(zone),
    st.integers(0, 4),
    st.integers(-1, 1),
    zones,
)
filters = st.none() | st.builds(Filter, st.none() | times, st.none() | times)
# Few different templates, and their opposites, so that there are ties and scores of exactly ±1.
templates = st.builds(lambda seed, sign: unit(seed) * np.float32(sign), st.integers(0, 9), st.sampled_from([1, -1]))
entries = st.builds(
    Entry,
    st.integers(0, 30).map(identity),
    partitions,
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.text(st.characters(codec="utf-8"), max_size=12),
    times,
    templates,
)


def congruence(make: Callable[[], VectorIndex], *, exact: bool = True) -> type[RuleBasedStateMachine]:
    """A state machine over an index from ``make``, which is dropped empty and closed after each run. With ``exact`` False the
    index walks a graph, whose answers are whole nevertheless: so few templates are all visited."""

    class Congruence(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.index = make()
            self.reference = Reference()

        @rule(given=st.lists(entries, max_size=20))
        def upsert(self, given: list[Entry]) -> None:
            self.index.upsert(given)
            self.reference.upsert(given)

        @rule(partition=partitions, start=st.integers(100, 160), size=st.integers(1, 60))
        def upsert_many(self, partition: Partition, start: int, size: int) -> None:
            given = [entry(number, partition) for number in range(start, start + size)]
            self.index.upsert(given)
            self.reference.upsert(given)

        @rule(partition=partitions, start=st.integers(100, 160), size=st.integers(1, 60))
        def delete_many(self, partition: Partition, start: int, size: int) -> None:
            gone = [identity(number) for number in range(start, start + size)]
            assert self.index.delete(partition, gone) == self.reference.delete(partition, gone)

        @rule(partition=partitions, some=ids, subject=st.text(max_size=5), booked_at=times)
        def relabel(self, partition: Partition, some: list[UUID], subject: str, booked_at: datetime) -> None:
            changed = self.index.relabel(partition, some, subject_id=subject, booked_at=booked_at)
            assert changed == self.reference.relabel(partition, some, subject_id=subject, booked_at=booked_at)

        @rule(partition=partitions, some=ids)
        def delete(self, partition: Partition, some: list[UUID]) -> None:
            assert self.index.delete(partition, some) == self.reference.delete(partition, some)

        @rule(partition=partitions)
        def drop(self, partition: Partition) -> None:
            assert self.index.drop(partition) == self.reference.drop(partition)

        @rule(partition=partitions, some=ids)
        def get(self, partition: Partition, some: list[UUID]) -> None:
            def check() -> None:
                given, expected = self.index.get(partition, some), self.reference.get(partition, some)
                assert given == expected
                for one, other in zip(given, expected, strict=True):
                    assert one.template.dtype == np.float32
                    np.testing.assert_allclose(one.template, other.template, atol=1e-6)

            settled(check)

        @rule(
            some=st.lists(partitions, max_size=4),
            probe=templates,
            k=st.sampled_from([1, 2, 5, 20, 10_000]),
            where=filters,
        )
        def search(self, some: list[Partition], probe: Template, k: int, where: Filter | None) -> None:
            settled(
                lambda: assert_congruent(
                    self.reference, self.index.search(some, probe, k, where), some, probe, k, where, exact=exact
                )
            )

        @rule(limit=st.sampled_from([1, 7, 10_000]))
        def scan(self, limit: int) -> None:
            settled(lambda: _assert_equal(scanned(self.index, limit), self.reference.scan()))

        @invariant()
        def counts_agree(self) -> None:
            def check() -> None:
                for partition in PARTITIONS:
                    assert self.index.count(partition) == self.reference.count(partition)

            settled(check)

        def teardown(self) -> None:
            for partition in PARTITIONS:
                self.index.drop(partition)
            self.index.close()

    return Congruence


class VectorIndexContract:
    """Behaviours that a reader can look up one by one. ``index`` is empty when a test begins."""

    def test_a_face_just_written_is_its_own_nearest_neighbour(self, index: VectorIndex) -> None:
        index.upsert([entry(number) for number in range(20)])

        def check() -> None:
            answer = index.search([BOOKINGS], unit(7), 3)
            assert (len(answer.neighbours), answer.searched) == (3, 20)
            assert answer.neighbours[0].id == identity(7)
            assert answer.neighbours[0].score == pytest.approx(1.0, abs=FLOAT32)
            assert (answer.neighbours[0].booking_id, answer.neighbours[0].subject_id) == ("booking-7", "subject-3")

        settled(check)

    def test_a_search_of_nothing_finds_nothing(self, index: VectorIndex) -> None:
        index.upsert([entry(1)])
        for nothing in ([], [Partition("nobody", "bookings")], [OTHERS[0]]):
            assert index.search(nothing, unit(1), 5) == Nearest((), 0, exact=True)
        assert index.get(OTHERS[0], [identity(1)]) == ()
        assert index.count(OTHERS[0]) == 0

    def test_writes_to_what_is_not_there_change_nothing(self, index: VectorIndex) -> None:
        index.upsert([])
        assert index.relabel(BOOKINGS, [identity(1)], subject_id="s", booked_at=DAY) == 0
        assert index.delete(BOOKINGS, [identity(1)]) == 0
        assert index.drop(BOOKINGS) == 0

    def test_a_k_larger_than_the_gallery_gives_all_of_it(self, index: VectorIndex) -> None:
        index.upsert([entry(number) for number in range(30)])

        def check() -> None:
            answer = index.search([BOOKINGS], unit(1), 10_000)
            assert {neighbour.id for neighbour in answer.neighbours} == {identity(number) for number in range(30)}

        settled(check)

    def test_several_partitions_are_ranked_together_and_each_neighbour_says_its_own(self, index: VectorIndex) -> None:
        reference = Reference()
        for place, partition in enumerate(PARTITIONS):
            some = [entry(number, partition, seed=100 * place + number) for number in range(9)]
            index.upsert(some)
            reference.upsert(some)
        asked = [OTHERS[0], BOOKINGS, OTHERS[0], OTHERS[2]]
        settled(
            lambda: assert_congruent(reference, index.search(asked, unit(105), 12), asked, unit(105), 12),
        )

    def test_one_id_in_two_partitions_is_two_entries(self, index: VectorIndex) -> None:
        index.upsert([entry(1), entry(1, OTHERS[0], seed=2)])
        assert index.delete(BOOKINGS, [identity(1)]) == 1
        settled(lambda: _assert_equal(index.count(OTHERS[0]), 1))

    @pytest.mark.parametrize(
        ("where", "left"),
        [
            (Filter(), [0, 1, 2, 3]),
            (Filter(booked_from=DAY + timedelta(days=1)), [1, 2, 3]),
            (Filter(booked_before=DAY + timedelta(days=1)), [0]),
            (Filter(DAY + timedelta(days=1), DAY + timedelta(days=3)), [1, 2]),
            (Filter(DAY + timedelta(days=1, microseconds=1), DAY + timedelta(days=2, microseconds=1)), [2]),
            (Filter(DAY.astimezone(timezone(timedelta(hours=-8))), DAY + timedelta(microseconds=1)), [0]),
            (Filter(DAY + timedelta(days=2), DAY + timedelta(days=1)), []),
        ],
    )
    def test_a_filter_keeps_its_first_time_and_leaves_out_its_last(
        self, index: VectorIndex, where: Filter, left: list[int]
    ) -> None:
        index.upsert([entry(number) for number in range(4)])

        def check() -> None:
            answer = index.search([BOOKINGS], unit(1), 10, where)
            assert sorted(neighbour.booking_id for neighbour in answer.neighbours) == [f"booking-{n}" for n in left]
            assert answer.searched == len(left)

        settled(check)

    def test_writing_again_replaces_template_labels_and_time(self, index: VectorIndex) -> None:
        index.upsert([entry(1)])
        index.upsert([replace(entry(1, seed=99), booking_id="b", subject_id="s", booked_at=DAY)])

        def check() -> None:
            answer = index.search([BOOKINGS], unit(99), 5, Filter(booked_before=DAY + timedelta(hours=1)))
            assert [(found.booking_id, found.subject_id) for found in answer.neighbours] == [("b", "s")]
            assert answer.neighbours[0].score == pytest.approx(1.0, abs=FLOAT32)
            assert index.count(BOOKINGS) == 1

        settled(check)

    def test_of_two_with_one_id_in_a_call_the_later_counts(self, index: VectorIndex) -> None:
        index.upsert([entry(1), replace(entry(1), subject_id="later")])
        settled(lambda: _assert_equal([found.subject_id for found in index.get(BOOKINGS, [identity(1)])], ["later"]))

    def test_a_new_label_moves_an_entry_through_filters_and_keeps_its_template(self, index: VectorIndex) -> None:
        index.upsert([entry(1), entry(2)])
        later = DAY + timedelta(days=4000)
        assert (
            index.relabel(BOOKINGS, [identity(1), identity(1), identity(5)], subject_id="merged", booked_at=later) == 1
        )

        def check() -> None:
            answer = index.search([BOOKINGS], unit(1), 5, Filter(booked_from=later))
            assert [(found.id, found.subject_id) for found in answer.neighbours] == [(identity(1), "merged")]
            assert answer.neighbours[0].score == pytest.approx(1.0, abs=FLOAT32)

        settled(check)

    def test_what_is_got_comes_in_the_order_asked_for(self, index: VectorIndex) -> None:
        index.upsert([entry(number) for number in range(5)])
        asked = [identity(3), identity(77), identity(0), identity(3)]
        settled(lambda: _assert_equal(index.get(BOOKINGS, asked), (entry(3), entry(0), entry(3))))

    def test_an_erased_face_is_found_no_more_and_its_neighbours_are(self, index: VectorIndex) -> None:
        index.upsert([entry(number) for number in range(10)])
        assert index.delete(BOOKINGS, [identity(4), identity(4), identity(50)]) == 1
        answer = index.search([BOOKINGS], unit(4), 10)
        assert identity(4) not in {neighbour.id for neighbour in answer.neighbours}
        assert answer.searched == 9
        assert index.get(BOOKINGS, [identity(4)]) == ()

    def test_a_dropped_partition_is_empty_and_can_be_filled_again(self, index: VectorIndex) -> None:
        index.upsert([entry(number) for number in range(10)] + [entry(1, OTHERS[1])])
        assert index.drop(BOOKINGS) == 10
        assert index.search([BOOKINGS, OTHERS[1]], unit(4), 10).searched == 1
        index.upsert([entry(4)])
        settled(lambda: _assert_equal(index.search([BOOKINGS], unit(4), 10).searched, 1))

    @pytest.mark.parametrize(
        "wrong",
        [
            unit(1) * np.float32(1.01),
            np.zeros(DIMENSION, np.float32),
            np.full(DIMENSION, np.nan, np.float32),
            unit(1, DIMENSION + 1),
            unit(1).reshape(1, -1),
        ],
        ids=["too long", "zeros", "not a number", "another dimension", "another shape"],
    )
    def test_a_template_that_is_no_unit_vector_of_the_dimension_is_refused_without_its_numbers(
        self, index: VectorIndex, wrong: Template
    ) -> None:
        with pytest.raises(ValueError, match="template") as refused:
            index.upsert([entry(1), replace(entry(2), template=wrong)])
        assert str(float(wrong.flat[0]))[:6] not in str(refused.value)
        assert index.count(BOOKINGS) == 0
        with pytest.raises(ValueError, match="template"):
            index.search([BOOKINGS], wrong, 1)

    def test_a_time_without_a_timezone_is_refused(self, index: VectorIndex) -> None:
        naive = datetime(2020, 1, 1)
        with pytest.raises(ValueError, match="timezone"):
            index.upsert([entry(1), replace(entry(2), booked_at=naive)])
        with pytest.raises(ValueError, match="timezone"):
            index.relabel(BOOKINGS, [identity(1)], subject_id="s", booked_at=naive)
        with pytest.raises(ValueError, match="timezone"):
            index.search([BOOKINGS], unit(1), 1, Filter(booked_from=naive))
        assert index.count(BOOKINGS) == 0

    def test_the_members_of_a_partition_are_listed_in_the_order_of_their_ids(self, index: VectorIndex) -> None:
        index.upsert([entry(number) for number in range(25)])
        index.upsert([replace(entry(99), partition=Partition("lane-county", "bookings"))])
        expected = sorted(identity(number) for number in range(25))

        def check() -> None:
            found: list[UUID] = []
            while page := index.members(BOOKINGS, found[-1] if found else None, 10):
                assert len(page) <= 10
                assert all(label.partition == BOOKINGS for label in page)
                found += [label.id for label in page]
            assert found == expected
            assert [one.id for one in index.members(BOOKINGS, None, 10_000)] == expected
            assert index.members(Partition("lane-county", "archive"), None, 10) == ()

        settled(check)
        index.delete(BOOKINGS, expected[:5])
        settled(lambda: _assert_equal([one.id for one in index.members(BOOKINGS, None, 3)], expected[5:8]))
        with pytest.raises(ValueError, match="10,000"):
            index.members(BOOKINGS, None, 0)

    @pytest.mark.parametrize("k", [0, -1, 10_001])
    def test_a_k_outside_1_to_10000_is_refused(self, index: VectorIndex, k: int) -> None:
        with pytest.raises(ValueError, match="10,000"):
            index.search([BOOKINGS], unit(1), k)

    def test_ten_thousand_neighbours_are_the_ten_thousand_nearest(self, index: VectorIndex) -> None:
        reference = Reference()
        some = [entry(number) for number in range(10_050)]
        for start in range(0, len(some), 1000):
            index.upsert(some[start : start + 1000])
        reference.upsert(some)
        settled(
            lambda: assert_congruent(reference, index.search([BOOKINGS], unit(3), 10_000), [BOOKINGS], unit(3), 10_000)
        )

    def test_nothing_that_must_not_reach_a_log_is_in_a_printed_answer(self, index: VectorIndex) -> None:
        index.upsert([entry(1)])

        def check() -> None:
            printed = repr(index.get(BOOKINGS, [identity(1)])) + repr(index.search([BOOKINGS], unit(1), 1))
            assert str(identity(1)) in printed
            assert not any(secret in printed for secret in ("booking-1", "subject-0", "array"))

        settled(check)


def scanned(index: VectorIndex, limit: int) -> dict[tuple[Partition, UUID], Label]:
    """Everything that ``scan`` lists, by pages of ``limit``; fails the test if a page is too long or an entry comes twice."""
    found: dict[tuple[Partition, UUID], Label] = {}
    after: str | None = None
    while True:
        page = index.scan(after, limit)
        assert len(page.labels) <= limit
        named = {(label.partition, label.id): label for label in page.labels}
        assert len(named) == len(page.labels)
        assert not named.keys() & found.keys()
        found.update(named)
        after = page.after
        if after is None:
            return found


def _assert_equal(given: object, expected: object) -> None:
    assert given == expected
