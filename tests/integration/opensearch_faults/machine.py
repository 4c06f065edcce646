"""A real node that a test may stop, kill and block, behind a network that may fail."""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import urllib3
from infra.opensearch import node
from infra.opensearch.node import Node

from tests import opensearch
from tests.integration.opensearch_faults.network import HOST, Proxy, proxy

WATERMARKS = [f"cluster.routing.allocation.disk.watermark.{name}" for name in ("low", "high", "flood_stage")]
WATCHED_DISK = {
    "cluster.routing.allocation.disk.threshold_enabled": "true",
    "cluster.info.update.interval": "10s",
    "cluster.routing.allocation.disk.reroute_interval": "1s",
} | dict.fromkeys(WATERMARKS, "1b")
"""A disk is full when less than a watermark is free. For the reroute interval (else a minute) OpenSearch takes it for full though
there is room again: until then it puts up a block of new indexes anew that somebody has taken down."""

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = range(9400 + 20 * _WORKER, 9400 + 20 * (_WORKER + 1))
"""Below those that the system gives to clients, one of whom would take a stopped node's port. Each process has its own."""


@dataclass
class Machine:
    """``node`` answers at ``direct``; Candid reaches it at ``url``, through ``network``."""

    node: Node
    network: Proxy

    @property
    def direct(self) -> str:
        return self.node.url

    @property
    def url(self) -> str:
        return self.network.url

    @property
    def data(self) -> Path:
        """Where its indexes lie: a folder each, by UUID, with a folder a shard in it."""
        return self.node.home / "node" / "node_1" / "data" / "nodes" / "0" / "indices"

    @property
    def logs(self) -> str:
        """All that the node has written to its logs."""
        files = sorted((self.node.home / "node" / "node_1" / "logs").glob("*.log"))
        return "\n".join(file.read_text(errors="replace") for file in files)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A request of an operator's, not through the network that fails; fails the test where it is refused."""
        status, told = self.told(method, path, body)
        assert status < 300, (status, told)
        return told

    def told(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Its status and its answer."""
        answer = urllib3.request(method, self.direct + path, json=body, timeout=60, retries=False)
        return answer.status, json.loads(answer.data) if answer.data.startswith((b"{", b"[")) else answer.data.decode()

    def freeze(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections are taken, and nothing is answered."""
        os.kill(self.node.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on; harmless where it runs."""
        os.kill(self.node.process.pid, signal.SIGCONT)

    def start_again(self) -> None:
        """As it was, on its data; returns when it has all its shards. (It answers before it knows which indexes it has.)"""
        self.node.start_again()
        self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=60s")

    def uuid(self, index: str) -> str:
        """The folder of an index."""
        told = self.ask("GET", f"/{index}/_settings")
        return str(told[index]["settings"]["index"]["uuid"])


def free_ports(count: int = 1) -> int:
    """The first of ``count`` ports in a row that are free, as are those a hundred above."""
    for first in PORTS:
        wanted = [first + number for number in range(count)]
        if wanted[-1] in PORTS and all(_is_free(port) and _is_free(port + 100) for port in wanted):
            return first
    raise AssertionError("no port is free")


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError:
            return False
    return True


@contextmanager
def machine(home: Path, major: int, settings: Mapping[str, str] | None = None) -> Iterator[Machine]:
    """A node of this version for the length of a ``with``, and its network."""
    opensearch.require(major)
    port = free_ports()
    with ExitStack() as kept:
        network = kept.enter_context(proxy(port))
        started = node.start(home, port, major, heap="512m", settings=settings)
        made = Machine(started, network)
        kept.callback(lambda: made.node.kill())
        yield made


def until(check: Callable[[], bool], seconds: float = 20, *, pause: float = 0.1) -> None:
    """Return when ``check`` says yes; fails the test when it has not by then."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"not within {seconds} seconds"
        time.sleep(pause)


@cache
def _shared(major: int) -> Machine:
    """One of this version for the session. It watches its disk as often as OpenSearch can."""
    kept = ExitStack()
    atexit.register(kept.close)
    home = tempfile.TemporaryDirectory(prefix="candid-faults-", ignore_cleanup_errors=True)
    kept.callback(home.cleanup)
    return kept.enter_context(machine(Path(home.name), major, WATCHED_DISK))


def running(major: int) -> Machine:
    """The session's node of this version, as tests expect to find it: running, whatever the last test did."""
    made = _shared(major)
    if not made.node.process.is_running():
        made.start_again()
    return made
