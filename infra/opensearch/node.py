"""A real OpenSearch node with the k-NN plugin on the loopback interface, assembled from Maven Central, without Docker.

Version 2.19.1 or 3.2.0, Lucene engine, alone or several processes as one cluster. Its data stay in its folder between runs.
Not here: indexes and what is in them (``candid.gallery.opensearch``).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import urllib3

from candid.cli import jdk
from infra.local import processes
from infra.local.places import CHECKOUT, HOST, TRANSPORT
from infra.local.problems import LocalError
from infra.local.processes import Process

MAJORS: Final = (2, 3)
HERE: Final = Path(__file__).parent
BUILT: Final = CHECKOUT / ".build" / "opensearch"
_START_SECONDS: Final = 120
_STOP_SECONDS: Final = 30

_ALONE: Final = {"discovery.type": "single-node"}
_ALWAYS: Final = {
    "network.host": HOST,
    "node.roles": "cluster_manager,data,ingest",
    # A laptop's disk is often fuller than the watermarks allow.
    "cluster.routing.allocation.disk.threshold_enabled": "false",
    # A misspelt name must not become an index without a mapping. AWS allows the same setting.
    "action.auto_create_index": "false",
}
_SIMD: Final = (
    "--add-modules",
    "jdk.incubator.vector",
    "--enable-native-access=ALL-UNNAMED",
    "-Dorg.apache.lucene.vectorization.upperJavaFeatureVersion=25",
)

_LOGS: Final = ("-Dlog4j2.shutdownHookEnabled=false",)
"""Else the log ends before the node does, and a clean end can't be told from another."""


@dataclass(slots=True)
class Node:
    """A node that answered at ``url``. ``start_again`` after ``stop`` or ``kill`` finds its data."""

    url: str
    home: Path
    process: Process
    command: Sequence[str]

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self.process.stop(_STOP_SECONDS)

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        self.process.kill()

    def start_again(self, wait: bool = True) -> None:
        """The same node on its data, as a new process."""
        self.process = _launch(self.command, self.home)
        if wait:
            wait_for(self)


def missing(major: int) -> str | None:
    """What this machine lacks to run such a node, in a sentence; None if nothing."""
    if jdk.java(major) is None:
        return f"OpenSearch {major} needs {jdk.needed(major)}, and there is none here (JAVA_HOME may name one)."
    if jdk.maven() is None and not is_assembled(major):
        return "OpenSearch is fetched by Maven (mvn), once, and there is none here."
    return None


def is_assembled(major: int) -> bool:
    """Whether the node's libraries are there, so that starting needs no Maven."""
    return _assembled(major).exists()


def assemble(major: int) -> Path:
    """The folder with the node's libraries, filled by Maven where it is not there yet. Raises ``LocalError``."""
    folder = _assembled(major)
    if folder.exists():
        return folder
    if reason := missing(major):
        raise LocalError(reason)
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    command = [str(jdk.maven()), "-q", "-B", "-f", str(HERE / "pom.xml"), f"-Dtarget={part}", "package"]
    try:
        done = subprocess.run(
            [*command, *(["-Popensearch-3"] if major == 3 else [])], capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
            raise LocalError(f"Maven could not assemble OpenSearch {major}. It said last:\n{said}")
        with suppress(OSError):  # Another process was quicker.
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def start(
    home: Path,
    port: int,
    major: int = 2,
    *,
    heap: str = "1g",
    settings: Mapping[str, str] | None = None,
    wait: bool = True,
    plugins: Sequence[tuple[str, Path]] = (),
    java: Sequence[str] = (),
) -> Node:
    """Start a node on ``home`` that answers HTTP at ``port``; transport takes the port a hundred above.

    ``heap`` is Java's notation, ``java`` further options of its. ``settings`` are OpenSearch's (a comma makes a list) and win
    over ours. ``plugins`` are further ones: class and folder of jars. Raises ``LocalError`` where it can't be assembled or does
    not answer in two minutes.
    """
    folder = assemble(major)
    transport = {"http.port": str(port), "transport.port": str(port + TRANSPORT)}
    told = _ALWAYS | transport | (dict(settings) if settings and "discovery.seed_hosts" in settings else _ALONE)
    told |= dict(settings or {})
    paths = [f"{folder}/lib/*", f"{folder}/knn/*", *(f"{jars}/*" for _, jars in plugins)]
    command = [
        str(jdk.java(major)),
        f"-Xms{heap}",
        f"-Xmx{heap}",
        *_LOGS,
        *(_SIMD if major == 3 else ()),
        *java,
        *([f"-Dcandid.plugins={','.join(name for name, _ in plugins)}"] if plugins else ()),
        "-cp",
        os.pathsep.join(paths),
        str(HERE / "Node.java"),
        str(home / "node"),
        *(f"{name}={value}" for name, value in told.items()),
    ]
    node = Node(f"http://{HOST}:{port}", home, _launch(command, home), command)
    if wait:
        wait_for(node)
    return node


def start_cluster(
    home: Path,
    port: int,
    major: int = 2,
    *,
    nodes: int = 3,
    heap: str = "512m",
    settings: Mapping[str, str] | None = None,
) -> list[Node]:
    """Start ``nodes`` processes that are one cluster, at ``port``, ``port`` + 1, …; returns when all have joined."""
    names = [f"node-{number}" for number in range(nodes)]
    shared = {
        "discovery.seed_hosts": ",".join(f"{HOST}:{port + TRANSPORT + number}" for number in range(nodes)),
        "cluster.initial_cluster_manager_nodes": ",".join(names),
    }
    started = [
        start(
            home / name,
            port + number,
            major,
            heap=heap,
            settings=shared | {"node.name": name} | dict(settings or {}),
            wait=False,
        )
        for number, name in enumerate(names)
    ]
    for node in started:
        wait_for(node, nodes)
    return started


def wait_for(node: Node, nodes: int = 1) -> None:
    """Return when the node answers, has the k-NN plugin and sees ``nodes`` nodes. Raises ``LocalError`` with its last words."""
    end = time.monotonic() + _START_SECONDS
    log = node.home / "opensearch.log"
    while True:
        health = ask(node.url, f"/_cluster/health?wait_for_nodes=>={nodes}&timeout=1s")
        # Another's node may answer at this port, which is why ours has ended.
        if not node.process.is_running():
            raise processes.ended_early("OpenSearch", log)
        if health and health.get("number_of_nodes", 0) >= nodes and not health.get("timed_out"):
            break
        if time.monotonic() > end:
            node.kill()
            raise LocalError(f"OpenSearch did not answer within {_START_SECONDS} seconds. Its log is {log}.")
        time.sleep(0.1)
    if ask(node.url, "/_plugins/_knn/stats") is None:
        node.kill()
        raise LocalError("OpenSearch has started without its k-NN plugin.")


def ask(url: str, path: str) -> dict[str, Any] | None:
    """A GET's answer; None while nothing (or something that is not well) answers."""
    try:
        answer = urllib3.request("GET", url + path, timeout=3, retries=False)
    except urllib3.exceptions.HTTPError:
        return None
    if answer.status != 200:
        return None
    told: dict[str, Any] = json.loads(answer.data)
    return told


def _assembled(major: int) -> Path:
    digest = hashlib.sha256((HERE / "pom.xml").read_bytes()).hexdigest()[:12]
    return BUILT / f"{major}-{digest}"


def _launch(command: Sequence[str], home: Path) -> Process:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return processes.start(command, mark="Node.java", log=home / "opensearch.log", environment=environment, folder=home)
