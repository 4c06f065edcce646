"""For runs on several processes (``pytest -n 2 --dist loadgroup``, as ``make test`` does): what stays together."""

from __future__ import annotations

from pathlib import Path

import pytest

_TOGETHER = {"e2e": "stack", "template": "stack"}
"""Tests that build the functions' package or start a whole local Candid take turns: they share .build."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests run in one process, so that what its fixtures start is started once."""
    root = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(root)
        faults = "faults" if path.stem in {"test_opensearch_faults", "test_opensearch_cluster"} else ""
        item.add_marker(pytest.mark.xdist_group(_TOGETHER.get(path.parts[0]) or faults or str(path)))
