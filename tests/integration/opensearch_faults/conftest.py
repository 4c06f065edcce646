"""Every fault is tried on one version, and in the full form on both, one after the other."""

from __future__ import annotations

from typing import cast

import pytest

from tests import opensearch
from tests.hostile.size import tries
from tests.integration.opensearch_faults.machine import Machine, running


@pytest.fixture(scope="module", params=opensearch.MAJORS[: tries(1, len(opensearch.MAJORS))])
def major(request: pytest.FixtureRequest) -> int:
    """OpenSearch's."""
    return cast(int, request.param)


@pytest.fixture
def node(major: int) -> Machine:
    """The session's node of this version, running."""
    return running(major)
