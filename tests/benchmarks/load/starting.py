"""A Candid of a measurement's own."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.stack import Stack

UNLIMITED = (
    "UserFacesPerHour=10000000 AgencyFacesPerHour=10000000 UserRecordsPerHour=10000000 AgencyRecordsPerHour=10000000"
)


def begun(root: Path, index: str, parameters: str) -> Stack:
    """A running Candid."""
    root.mkdir()
    stack = Stack.at(root, index)
    stack.environment["PARAMETERS"] = parameters
    stack.up()
    return stack
