"""Three real nodes as one cluster, each shard on two of them, under enrolment and searches; first a data node is killed, then the
cluster manager, and both come back.

On AWS a domain is one name in front of its nodes. Here a TCP proxy is that: it hands each new connection to the next node that
takes it, and knows no more of HTTP or of a node's health. The client is the functions' own, with its one retry.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
import urllib3
from infra.opensearch import node as nodes
from infra.opensearch.node import Node

from candid.errors import DependencyUnavailable
from candid.gallery.index import Entry, Partition
from candid.gallery.opensearch.client import READ_SECONDS
from tests import opensearch
from tests.conftest import MEASURED
from tests.integration.opensearch_faults.gallery import Gallery, gallery
from tests.integration.opensearch_faults.machine import free_ports, until
from tests.integration.opensearch_faults.network import Proxy, proxy

pytestmark = pytest.mark.slow

BATCH = 20
WRITERS, SEARCHERS = 2, 2
PAUSE = 0.25
"""Seconds between the calls of one worker: three nodes and their clients share the machine, and one of them has to start."""
SLOWEST = 2 * READ_SECONDS
"""Seconds: a call's two requests, each within its time."""
LONGEST = 60
"""Seconds in which nothing is answered, at most: a node is missed, another cluster manager is elected, a call is made again."""
ANSWERED = 0.97
"""Of the searches; at least so many, though nodes are being killed."""
VISIBLE = 1.0
"""Seconds after which an acknowledged face is looked for: ``VectorIndex.upsert`` names them, for a node that keeps up. One with
more to do than it can refreshes its copy later; so a face that is not there yet is asked for again, and the wait is measured."""
LATEST = 20
"""Seconds; a copy that shows an acknowledged face later than that is not busy, it has lost it."""

PLACES = [Partition(f"agency-{number}", "bookings") for number in range(12)]


@dataclass
class Cluster:
    """Its nodes, and the one name that they have."""

    nodes: list[Node]
    network: Proxy

    def ask(self, path: str) -> Any:
        """An answer of any node that gives one."""
        for one in self.nodes:
            if one.process.is_running() and (told := nodes.ask(one.url, path)) is not None:
                return told
        return None

    def manager(self) -> Node:
        """The node that is the cluster manager now."""
        for one in self.nodes:
            try:
                answer = urllib3.request("GET", f"{one.url}/_cat/cluster_manager?h=node", timeout=3, retries=False)
            except urllib3.exceptions.HTTPError:
                continue
            if answer.status == 200:
                return self.nodes[int(answer.data.decode().strip().rpartition("-")[2])]
        raise AssertionError("nobody says who the cluster manager is")

    def is_whole(self) -> bool:
        """All nodes are there and every copy of every shard is."""
        told = self.ask("/_cluster/health")
        return bool(told and told["status"] == "green" and told["number_of_nodes"] == len(self.nodes))


@pytest.fixture(scope="module")
def cluster(major: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    opensearch.require(major)
    count = 3
    port = free_ports(count)
    started = nodes.start_cluster(tmp_path_factory.mktemp("cluster"), port, major, nodes=count)
    try:
        with proxy(*(port + number for number in range(count))) as network:
            yield Cluster(started, network)
    finally:
        for one in started:
            one.kill()


@dataclass
class Load:
    """Enrolment and searches all the while, and what became of each call."""

    here: Gallery
    over: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[tuple[float, Entry]] = field(default_factory=list)
    """Each with the time at which that was."""
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=lambda: {"enrolment": 0.0, "search": 0.0})
    longest: dict[str, float] = field(default_factory=lambda: {"enrolment": 0.0, "search": 0.0})
    """Seconds between one answer and the next, of all workers."""
    late: dict[UUID, float] = field(default_factory=dict)
    """How old a face was, in seconds since it was acknowledged, when a search last did not find it."""
    _last: dict[str, float] = field(default_factory=dict)

    @property
    def faces(self) -> list[Entry]:
        """All that was acknowledged."""
        return [one for _, one in self.acknowledged]

    def enrol(self, worker: int) -> None:
        number = (worker + 1) * 1_000_000
        while not self.over.is_set():
            some = [self.here.entry(one, PLACES[one % len(PLACES)]) for one in range(number, number + BATCH)]
            while not self._call("enrolment", lambda some=some: self.here.index.upsert(some)):
                time.sleep(0.2)  # As the queue brings it again; this one sooner.
            now = time.monotonic()
            self.acknowledged += [(now, one) for one in some]
            number += BATCH
            time.sleep(PAUSE)

    def search(self, worker: int) -> None:
        turn = worker
        while not self.over.is_set():
            turn += 7919
            known = self.acknowledged
            since, one = known[turn % len(known)] if known else (time.monotonic(), None)
            if one is None or time.monotonic() - since < VISIBLE:
                time.sleep(0.01)
                continue
            found = False
            while not found and not self.over.is_set():
                asked = time.monotonic()
                answers: list[bool] = []
                self._call("search", lambda one=one, answers=answers: answers.append(self._is_nearest(one)))
                found = answers == [True]
                if answers == [False]:
                    self.late[one.id] = asked - since
                time.sleep(PAUSE)

    def _is_nearest(self, one: Entry) -> bool:
        nearest = self.here.index.search([one.partition], one.template, 5).neighbours
        return [one.id] == [found.id for found in nearest[:1]]

    def _call(self, kind: str, call: Callable[[], Any]) -> bool:
        started = time.monotonic()
        try:
            call()
        except DependencyUnavailable as error:
            self.here.heard.see(error)
            self.outcomes[f"{kind}: {error}"] += 1
            done = False
        else:
            self.outcomes[kind] += 1
            now = time.monotonic()
            self.longest[kind] = max(self.longest[kind], now - self._last.get(kind, now))
            self._last[kind] = now
            done = True
        self.slowest[kind] = max(self.slowest[kind], time.monotonic() - started)
        return done

    def goes_on(self) -> Callable[[], bool]:
        """A question for later: whether searches and enrolments have been answered that are not yet under way."""
        searches, faces = self.outcomes["search"] + SEARCHERS, len(self.acknowledged) + WRITERS * BATCH
        return lambda: self.outcomes["search"] > searches and len(self.acknowledged) > faces

    def share(self, kind: str) -> float:
        """How many of the calls were answered, of 1."""
        return self.outcomes[kind] / sum(number for name, number in self.outcomes.items() if name.startswith(kind))


def test_every_face_is_found_and_searches_go_on_while_nodes_are_killed_and_come_back(
    cluster: Cluster, record_property: Callable[[str, str], None]
) -> None:
    with gallery(cluster.network.url, shards=3, replicas=1) as here:
        # OpenSearch waits a minute for a lost node before it makes another copy of what lay there. A test does not.
        here.lifecycle.client.indices.put_settings(
            index=here.index.name, body={"index.unassigned.node_left.delayed_timeout": "0"}
        )
        until(cluster.is_whole, 60)
        load = Load(here)
        phases: list[tuple[str, int, int]] = []

        def phase(name: str) -> None:
            phases.append((name, load.outcomes["search"], len(load.acknowledged)))

        with ThreadPoolExecutor(WRITERS + SEARCHERS) as pool:
            workers = [pool.submit(load.enrol, one) for one in range(WRITERS)]
            workers += [pool.submit(load.search, one) for one in range(SEARCHERS)]
            try:
                until(lambda: load.outcomes["search"] > 50, 120)
                phase("before anything was killed")
                for who in ("a data node", "the cluster manager"):
                    manager = cluster.manager()
                    victim = manager if "manager" in who else next(one for one in cluster.nodes if one is not manager)
                    victim.kill()
                    until(load.goes_on(), LONGEST)
                    time.sleep(3)
                    phase(f"while {who} was away")
                    victim.start_again(wait=False)
                    until(cluster.is_whole, 120)
                    until(load.goes_on(), LONGEST)
                    phase(f"after {who} came back")
            finally:
                load.over.set()
            for one in workers:
                one.result()
        for (name, searches, faces), (_, before, fewer) in zip(phases, [("", 0, 0), *phases], strict=False):
            print(f"{name}: {searches - before} more searches answered, {faces - fewer} more faces acknowledged")
        slowest = {kind: round(seconds, 2) for kind, seconds in load.slowest.items()}
        longest = {kind: round(seconds, 2) for kind, seconds in load.longest.items()}
        print(f"{dict(load.outcomes)}; the slowest took {slowest} s, the longest silence {longest} s")
        searches, enrolments = load.outcomes["search"], load.outcomes["enrolment"]
        late = f", the last {max(load.late.values()):.1f} s after it was acknowledged" if load.late else ""
        record_property(
            MEASURED,
            f"Nodes killed under load: {searches} searches answered ({load.share('search'):.1%}), the slowest in "
            f"{slowest['search']} s; {enrolments} enrolments of {BATCH} faces each acknowledged, the slowest in "
            f"{slowest['enrolment']} s; "
            f"none was acknowledged for {longest['enrolment']} s at most, no search answered for {longest['search']} s; "
            f"{len(load.late)} faces were found later than {VISIBLE} s{late}.",
        )

        assert all(age < LATEST for age in load.late.values())
        assert len(load.acknowledged) > 500
        assert max(load.longest.values()) < LONGEST
        assert load.share("search") >= ANSWERED, load.outcomes
        assert max(load.slowest.values()) < SLOWEST
        here.all_are_stored(load.faces)
        here.refresh()
        some = {one.id for one in load.faces[:: max(1, len(load.faces) // 100)]}
        here.all_are_found([one for one in load.faces if one.id in some | load.late.keys()])
        counted = sum(here.index.count(one) for one in PLACES)
        assert counted >= len(load.acknowledged)
