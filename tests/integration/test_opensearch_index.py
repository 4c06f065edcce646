"""The index of OpenSearch keeps the contract that exact search keeps, on a real node of each version that agencies run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from candid.gallery.index import Entry, Filter, VectorIndex
from tests import opensearch
from tests.benchmarks.distractors import distractors
from tests.contract.vector_index import BOOKINGS, DAY, DIMENSION, OTHERS, VectorIndexContract, congruence, identity
from tests.hostile.size import tries

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("major", opensearch.MAJORS)
class TestContract(VectorIndexContract):
    @pytest.fixture
    def index(self, major: int) -> Iterator[VectorIndex]:
        made = opensearch.index(opensearch.url(major), DIMENSION, shards=2)
        yield made
        opensearch.forget(made)


@pytest.mark.parametrize("exactly", [None, False], ids=["as it chooses", "by the graph"])
@pytest.mark.parametrize("major", opensearch.MAJORS)
def test_every_call_agrees_with_the_plainest_index_there_is(major: int, exactly: bool | None) -> None:
    address = opensearch.url(major)
    machine = congruence(
        lambda: opensearch.index(address, DIMENSION, shards=2, exactly=exactly), exact=exactly is not False
    )
    case = machine.TestCase()
    case.settings = settings(
        max_examples=tries(5, 50), stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case.runTest()


FACES = 8_000
PROBES = 60
K = 20


@pytest.mark.parametrize("major", opensearch.MAJORS)
def test_the_graph_finds_nearly_all_that_exact_search_finds_after_deletions_and_under_filters(major: int) -> None:
    """The recall@20 that the graph owes is 0.99 (at 300,000 and a million faces: tests/benchmarks), exact search's is 1."""
    random = np.random.default_rng(7)
    templates = distractors(FACES)
    partitions = [BOOKINGS, OTHERS[0]]
    entries = [
        Entry(
            identity(number),
            partitions[number % 10 == 0],
            f"booking-{number}",
            f"subject-{number}",
            DAY + timedelta(days=number % 100),
            templates[number],
        )
        for number in range(FACES)
    ]
    index = opensearch.index(opensearch.url(major), templates.shape[1], exactly=False)
    index.upsert(entries)
    gone = set(random.choice(FACES, FACES // 5, replace=False).tolist())
    for partition in partitions:
        here = [number for number in gone if entries[number].partition == partition]
        assert index.delete(partition, [identity(number) for number in here]) == len(here)
    back = sorted(gone)[: FACES // 20]
    index.upsert([entries[number] for number in back])
    gone -= set(back)
    index.client.indices.refresh(index=index.name)
    held = np.array([number for number in range(FACES) if number not in gone])
    probes = distractors(PROBES, seed=11)
    exact = replace(index, exactly=True)
    for asked, where in (
        (partitions, None),
        ([OTHERS[0]], None),
        (partitions, Filter(DAY + timedelta(days=40), DAY + timedelta(days=70))),
        ([BOOKINGS], Filter(DAY + timedelta(days=5), DAY + timedelta(days=6))),
    ):
        left = np.array(
            [
                number
                for number in held
                if entries[number].partition in asked
                and (where is None or where.booked_from <= entries[number].booked_at < where.booked_before)  # type: ignore[operator]
            ]
        )
        hits = 0
        for probe in probes:
            scores = templates[left].astype(np.float64) @ probe.astype(np.float64)
            best = left[np.argsort(-scores)[:K]]
            truth = {identity(number) for number in best.tolist()}
            answer = index.search(asked, probe, K, where)
            assert (answer.exact, answer.searched, len(answer.neighbours)) == (False, left.size, min(K, left.size))
            known = {identity(number): score for number, score in zip(left.tolist(), scores.tolist(), strict=True)}
            # A filter that leaks, or a face that was deleted, would be a key that is not there.
            assert all(abs(known[one.id] - one.score) < 1e-4 for one in answer.neighbours)
            hits += len(truth & {one.id for one in answer.neighbours})
            whole = exact.search(asked, probe, K, where)
            assert whole.exact
            assert [one.id for one in whole.neighbours] == [identity(number) for number in best.tolist()]
        assert hits / (PROBES * min(K, left.size)) >= 0.99
    opensearch.forget(index)
