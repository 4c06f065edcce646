"""Every test here is slow: they share one local Candid, once with the embedded index and once with a real OpenSearch node.

Without a JDK and Maven those with OpenSearch skip and say so; with ``CANDID_CI`` set they fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from infra.local.places import CHECKOUT
from infra.models.fetch import fetch

from candid.cli import jdk
from tests import opensearch
from tests.e2e.stack import Stack

INDEXES = ["embedded", "opensearch"]
MAJOR = 3 if jdk.java(3) else 2
"""The version of OpenSearch that a local Candid starts here."""
only_embedded = pytest.mark.parametrize("index", ["embedded"], indirect=True)
"""What is about the local AWS alone, whatever the index is."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", params=INDEXES)
def index(request: pytest.FixtureRequest) -> str:
    """The index that the local Candid has."""
    if request.param == "opensearch":
        opensearch.require(MAJOR)
    return str(request.param)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, index: str) -> Iterator[Stack]:
    """A running Candid with an empty gallery."""
    fetch(CHECKOUT / ".candid" / "models", CHECKOUT / ".candid" / "samples")
    made = Stack.at(tmp_path_factory.mktemp("candid"), index)
    made.up()
    yield made
    made.stop()


@pytest.fixture
def own(tmp_path: Path, index: str) -> Iterator[Stack]:
    """One that the test starts, and may stop and kill."""
    made = Stack.at(tmp_path, index)
    yield made
    made.stop()
