"""For runs on several processes (``pytest -n 2 --dist loadgroup``, as ``make test`` does): what stays together; and what tests
measured, which is said at the end."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from tests.hostile.size import tries

MEASURED = "measured"
"""A test's property (``record_property``) with a sentence on what it measured."""


def counted(counts: Counter[str]) -> str:
    """``7 of this, 3 of that``, for such a sentence: the most first."""
    return ", ".join(f"{count:,} {what}" for what, count in counts.most_common())


_TOGETHER = {
    Path("e2e"): "stack",
    Path("template"): "stack",
    Path("integration/opensearch_faults"): "faults",
}
"""Tests that build the functions' package or start a whole local Candid take turns: they share .build. So do those that start
and kill nodes by the dozen."""

# A shell starts what it puts in the background deaf to Ctrl-C, and so are its children: tests press it on theirs.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # Before xdist's own, which reads the marks.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests run in one process, so that what its fixtures start is started once."""
    root = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(root)
        group = next((name for folder, name in _TOGETHER.items() if path.is_relative_to(folder)), str(path))
        item.add_marker(pytest.mark.xdist_group(group))
        if tries(0, 1):
            item.add_marker(pytest.mark.timeout(0))  # In the full form a test may take hours.


def pytest_collection_finish(session: pytest.Session) -> None:
    """On several processes, see that tests do stay together: else each process would start every node and stack of its own."""
    if not getattr(session.config.option, "loadgroup", False):
        return
    if apart := [item.nodeid for item in session.items if "@" not in item.nodeid]:
        raise pytest.UsageError(
            f"pytest-xdist does not keep {apart[0]} and others together with this version of pytest."
        )


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say what was measured."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == MEASURED:
                terminalreporter.write_line(str(value))
