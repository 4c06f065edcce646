"""What a newcomer sees first: ``make run`` enrols sample photos, searches twice, and names commands that work as they stand."""

from __future__ import annotations

import re
import shlex
import subprocess

from infra.local.places import CHECKOUT

from tests.e2e.conftest import only_embedded
from tests.e2e.stack import Stack


def tried(stack: Stack, said: str, name: str) -> str:
    """What the command says that is offered under ``name``."""
    offered = re.search(rf"^  {name} +(.+)$", said, re.MULTILINE)
    assert offered, said
    done = subprocess.run(
        shlex.split(offered[1]), cwd=CHECKOUT, env=stack.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@only_embedded
def test_the_demonstration_finds_the_booked_person_and_not_the_stranger_and_is_not_enrolled_twice(own: Stack) -> None:
    said = own.up(DEMO="1")
    booked, stranger = said.split("Search 1")[1].split("Search 2")
    assert "LPD-10001" in booked
    assert "subject-A" in booked
    assert "LPD-1000" not in stranger
    assert "RSO-7700" not in stranger
    assert "Open a case" not in said
    assert "LPD-10001" in tried(own, said, "Search a face")
    own.stop()
    again = own.up(DEMO="1")
    assert "found the 4 of the earlier run" in again
    assert "LPD-10001" in again.split("Search 1")[1].split("Search 2")[0]


@only_embedded
def test_without_the_demonstration_a_case_is_opened_first(own: Stack) -> None:
    said = own.up(DEMO="0")
    assert "Search 1" not in said
    assert "CASE-1" in tried(own, said, "Open a case")
    assert "No candidate above the threshold." in tried(own, said, "Search a face")
    again = own.up(DEMO="0")
    assert "Candid is already running here." in again
    assert "Open a case" not in again
    tried(own, again, "Search a face")
    refused = own.command("up", INDEX="opensearch")
    assert refused.returncode == 1
    assert "already running here, with another INDEX. End it with `make stop`" in refused.stderr
