"""A node for a person, whose data outlive it: which version starts, on which port, and that no older one opens newer data.

Not here: starting it (``node``), and who stays beside it (``__main__``, ``infra.local.opensearch``).
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from candid.cli import jdk
from infra.local import ports
from infra.local.places import TRANSPORT, Places
from infra.local.problems import LocalError
from infra.local.processes import Process
from infra.opensearch import node
from infra.opensearch.node import Node

VERSIONS: Final = {2: "2.19.1", 3: "3.2.0"}
_OPENING_SECONDS: Final = 60
_NOTE: Final = "candid.json"


def choose(home: Path, wanted: int | None, anew: str) -> int:
    """The major version to start on the data in ``home``: the one wanted, else the one that has written them, else the newest
    for which there is a JDK. Raises ``LocalError`` where that can't be run, or can't read the data; ``anew`` says how to be rid
    of them."""
    written = _noted(home).get("major")
    major = wanted or written or (3 if jdk.java(3) else 2)
    if written and major < written:
        raise LocalError(
            f"The data in {home} were written by OpenSearch {VERSIONS[written]}, and {VERSIONS[major]} can't read them. "
            f"Start with OPENSEARCH={written}; or begin with none: {anew}."
        )
    if reason := node.missing(major):
        other = f" OPENSEARCH={5 - major} would run here." if not written and not node.missing(5 - major) else ""
        raise LocalError(f"{reason}{other}")
    return major


def start(home: Path, major: int, places: Places, command: str) -> Node:
    """Start a node on ``home`` at the port that ``places`` names, and do not wait for it. ``command`` is the one to repeat.

    Raises ``LocalError`` where the port is taken, or a node runs on these data already.
    """
    if running := _running(home):
        url, pid = running
        raise LocalError(f"OpenSearch runs on the data in {home} already, at {url} (process {pid}).")
    port = places.opensearch_port
    ports.require_free(port, "CANDID_OPENSEARCH_PORT", "OpenSearch", command)
    ports.require_free(port + TRANSPORT, "CANDID_OPENSEARCH_PORT", "OpenSearch's transport", command, instead=port + 10)
    node.assemble(major)
    # Before it starts: from its first second on it may change what an older version could have read.
    _note(home, {"major": major})
    started = node.start(home, port, major, heap=places.opensearch_heap, wait=False, java=places.opensearch_java)
    _note(home, {"major": major, "url": started.url, "process": started.process.to_json()})
    return started


def wait_for(started: Node) -> str:
    """Return when it answers and has opened its indexes; a word on those that it could not open, empty if none.

    Raises ``LocalError`` where it does not come up.
    """
    node.wait_for(started)
    end = time.monotonic() + _OPENING_SECONDS
    while time.monotonic() < end:
        health = node.ask(started.url, "/_cluster/health?wait_for_status=yellow&timeout=1s")
        if health and not health["timed_out"]:
            return ""
    return f"some indexes can't be opened: {started.home / 'opensearch.log'}"


def _running(home: Path) -> tuple[str, int] | None:
    noted = _noted(home)
    process = Process.from_json(noted["process"]) if "process" in noted else None
    return (noted["url"], process.pid) if process and process.is_running() else None


def _noted(home: Path) -> dict[str, Any]:
    with suppress(FileNotFoundError, ValueError):
        told: dict[str, Any] = json.loads((home / _NOTE).read_text())
        return told
    return {}


def _note(home: Path, told: dict[str, Any]) -> None:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = home / f".{_NOTE}.part"
    part.write_text(json.dumps(told) + "\n")
    part.replace(home / _NOTE)
