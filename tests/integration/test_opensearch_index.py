"""The index of OpenSearch keeps the contract that exact search keeps, on a real node of each version that agencies run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from candid.gallery.index import VectorIndex
from tests import opensearch
from tests.contract.vector_index import DIMENSION, VectorIndexContract, congruence

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("major", opensearch.MAJORS)
class TestContract(VectorIndexContract):
    @pytest.fixture
    def index(self, major: int) -> Iterator[VectorIndex]:
        made = opensearch.index(opensearch.url(major), DIMENSION, shards=2)
        yield made
        opensearch.forget(made)


@pytest.mark.parametrize("major", opensearch.MAJORS)
def test_every_call_agrees_with_the_plainest_index_there_is(major: int) -> None:
    address = opensearch.url(major)
    machine = congruence(lambda: opensearch.index(address, DIMENSION, shards=2))
    case = machine.TestCase()
    case.settings = settings(
        max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case.runTest()
