"""``make opensearch``: a real OpenSearch node with the k-NN plugin in the foreground, until Ctrl-C. Its data stay.

Variables: OPENSEARCH (2 or 3), CANDID_OPENSEARCH_PORT, OPENSEARCH_HEAP, CANDID_HOME. Only the loopback interface reaches it,
and it asks nobody who he is: it is for one machine and for faces that are nobody's secret.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from infra.local import places
from infra.local.places import Places
from infra.local.problems import LocalError
from infra.local.progress import step
from infra.opensearch import kept, node
from infra.opensearch.node import Node


def run(where: Places) -> int:
    """Start the node and stay beside it; the exit code. Raises ``LocalError``."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    home = where.home / "opensearch"
    started: Node | None = None
    try:
        major = kept.choose(home, where.opensearch_major, "remove that folder")
        if not node.is_assembled(major):
            with step(f"fetching OpenSearch {kept.VERSIONS[major]} with Maven, once"):
                node.assemble(major)
        with step(f"starting OpenSearch {kept.VERSIONS[major]} on port {where.opensearch_port}") as line:
            started = kept.start(home, major, where, "make opensearch")
            line.note = kept.wait_for(started)
        _tell(started, where)
        while started.process.is_running():
            time.sleep(0.2)
        raise LocalError(f"OpenSearch has ended by itself. Its log is {home / 'opensearch.log'}.")
    except KeyboardInterrupt:
        print()
        return 0
    finally:
        if started is not None and started.process.is_running():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            with step("ending OpenSearch; its data stay"):
                started.stop()


def _tell(started: Node, where: Places) -> None:
    indexes = node.ask(started.url, "/_cluster/stats?filter_path=indices.count,indices.docs.count") or {}
    told = indexes.get("indices", {})
    print(
        f"""
  Address  {started.url}   (this machine alone; no password)
  Data     {started.home}   ({told.get("count", 0)} indexes, {told.get("docs", {}).get("count", 0)} documents)
  Log      {started.home / "opensearch.log"}
  Heap     {where.opensearch_heap}   (OPENSEARCH_HEAP)

  The tests use this node with     OPENSEARCH_URL={started.url} .venv/bin/python -m pytest …
  A local Candid uses it with      make run INDEX=opensearch OPENSEARCH_URL={started.url}

  Ctrl-C ends it and keeps the data.""",
        flush=True,
    )


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run it; a failure is one sentence and exit code 1."""
    try:
        return run(places.read(os.environ))
    except LocalError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
