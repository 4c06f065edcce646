"""Every test here is slow: they share one local Candid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from infra.local.places import CHECKOUT
from infra.models.fetch import fetch

from tests.e2e.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running Candid with an empty gallery."""
    fetch(CHECKOUT / ".candid" / "models", CHECKOUT / ".candid" / "samples")
    made = Stack.at(tmp_path_factory.mktemp("candid"))
    made.up()
    yield made
    made.stop()
