"""The index on a node that is killed, red, slow or out of reach: nothing acknowledged is lost, nothing is half an answer, and no
failure says what it was about.

Everything fails for real: processes are killed, shards taken off the disk, connections delayed, reset and left unanswered.
What the functions make of it: ``test_functions.py``.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from candid.errors import DependencyUnavailable
from candid.gallery.index import Entry, NotAllWritten, Partition
from candid.gallery.opensearch.client import CONNECT_SECONDS, READ_SECONDS
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.opensearch.names import partition_key
from tests import opensearch
from tests.contract.vector_index import DAY
from tests.integration.opensearch_faults.gallery import BOOKINGS, DIMENSION, Gallery, gallery
from tests.integration.opensearch_faults.machine import Machine, until
from tests.integration.opensearch_faults.network import HOST, faulty
from tests.integration.opensearch_faults.secrecy import look_out

pytestmark = pytest.mark.slow

ELSEWHERE = Partition("lakeside-pd", "bookings")
AWAY = "Candid can't reach the index now. Try again in a minute."
LATE = "The index does not answer in time. Try again in a minute."
HALF = "A part of the index does not answer now, and half an answer would miss people. Try again in a minute."


@pytest.fixture
def here(node: Machine) -> Iterator[Gallery]:
    """An index of two shards, behind the node's network."""
    with gallery(node.url, shards=2) as made:
        yield made


def test_a_killed_node_refuses_every_call_at_once_and_has_every_face_that_it_acknowledged(
    node: Machine, here: Gallery
) -> None:
    acknowledged: list[Entry] = []
    ends: list[DependencyUnavailable] = []

    def load(worker: int) -> None:
        first = worker * 1_000_000
        while True:
            some = [here.entry(number, (BOOKINGS, ELSEWHERE)[number % 2]) for number in range(first, first + 25)]
            try:
                here.index.upsert(some)
            except DependencyUnavailable as error:
                ends.append(error)
                return
            acknowledged.extend(some)
            first += 25

    with ThreadPoolExecutor(3) as pool:
        loads = [pool.submit(load, worker) for worker in range(3)]
        until(lambda: len(acknowledged) >= 300, 60)
        node.node.kill()
        for one in loads:
            one.result()
    assert len(ends) == 3
    for error in ends:
        here.heard.see(error)
        assert AWAY in str(error)

    one = acknowledged[0]
    for call in (
        lambda: here.index.search([one.partition], one.template, 5),
        lambda: here.index.upsert([one]),
        lambda: here.index.get(one.partition, [one.id]),
        lambda: here.index.delete(one.partition, [one.id]),
        lambda: here.index.relabel(one.partition, [one.id], subject_id="subject-new", booked_at=DAY),
        lambda: here.index.count(one.partition),
        lambda: here.index.drop(one.partition),
        lambda: here.index.scan(None, 10),
    ):
        here.refused(call, AWAY, within=0.5)

    node.start_again()
    here.all_are_stored(acknowledged)
    here.all_are_found(acknowledged[::20])
    print(f"{len(acknowledged)} faces acknowledged before the kill, all of them there after it")


def test_half_a_search_is_no_answer_when_a_shard_is_lost(node: Machine, here: Gallery) -> None:
    name = here.index.name
    homes = {_shard(node, name, one): one for one in (Partition(f"agency-{n}", "bookings") for n in range(12))}
    whole, lost = homes[0], homes[1]
    there, gone = here.enrol(15, whole), here.enrol(15, lost)
    here.index.client.indices.flush(index=name)
    place = node.data / node.uuid(name) / "1"
    node.ask("POST", f"/{name}/_close")
    aside = place.rename(place.with_name("aside"))
    node.ask("POST", f"/{name}/_open?wait_for_active_shards=0")
    until(lambda: _states(node, name) == {"0": "STARTED", "1": "UNASSIGNED"})
    assert node.ask("GET", f"/_cluster/health/{name}")["status"] == "red"

    for call in (
        lambda: here.index.search([lost], gone[0].template, 5),
        lambda: here.index.search([whole, lost], gone[0].template, 5),
        lambda: here.index.count(lost),
        lambda: here.index.scan("0/0", 100),
        lambda: here.index.get(lost, [gone[0].id]),
    ):
        here.refused(call, HALF, within=1)
    # A write waits for the shard, and then says which faces are not stored; those of the other shard are.
    mixed = [here.entry(98, whole), here.entry(99, lost)]
    failure = here.refused(lambda: here.index.upsert(mixed), HALF, within=5)
    assert isinstance(failure, NotAllWritten)
    assert failure.failures == {mixed[1].id: "unavailable_shards_exception"}
    here.all_are_stored(mixed[:1])
    # A collection that lies in the other shard alone is searched whole, and written.
    here.index.upsert([more := here.entry(100, whole)])
    here.all_are_found([*there, more])
    assert here.index.search([whole], there[3].template, 20).searched == 17

    shutil.rmtree(place, ignore_errors=True)
    aside.rename(place)
    [named] = node.ask("GET", "/_nodes")["nodes"].values()
    back = {"index": name, "shard": 1, "node": named["name"], "accept_data_loss": True}
    node.ask("POST", "/_cluster/reroute", {"commands": [{"allocate_stale_primary": back}]})
    until(lambda: _states(node, name) == {"0": "STARTED", "1": "STARTED"})
    here.all_are_found([*there, *gone])


def test_a_slow_network_is_waited_for_and_a_silent_one_is_not(node: Machine, here: Gallery) -> None:
    before = here.enrol(10)
    probe = before[4].template
    with faulty(node.network, delay=1.0):
        started = time.monotonic()
        assert here.index.search([BOOKINGS], probe, 3).neighbours[0].id == before[4].id
        assert time.monotonic() - started > 2
    here.index.upsert([here.entry(60)])
    here.index.search([BOOKINGS], probe, 3)  # The layout is known now, and it is the search itself that hangs.
    with faulty(node.network, silent=True), ThreadPoolExecutor(2) as pool:
        calls = (lambda: here.index.search([BOOKINGS], probe, 3), lambda: here.index.upsert([here.entry(61)]))
        list(pool.map(lambda call: here.refused(call, LATE, within=READ_SECONDS), calls))
    here.all_are_found(before)


@pytest.mark.parametrize("passed", [0, 40, 300])
def test_an_answer_that_is_cut_off_is_no_answer(node: Machine, here: Gallery, passed: int) -> None:
    before = here.enrol(30)
    with faulty(node.network, cut_after=passed):
        for call in (
            lambda: here.index.search([BOOKINGS], before[4].template, 20),
            lambda: here.index.upsert([here.entry(60)]),
            lambda: here.index.get(BOOKINGS, [before[4].id]),
        ):
            here.refused(call, AWAY, within=1)
    # It may have been done all the same; asking again is right either way.
    here.index.upsert([here.written[-1]])
    here.all_are_found([*before, here.written[-1]])


def test_a_host_that_takes_no_connection_is_given_up_soon() -> None:
    with look_out() as heard, socket.create_server((HOST, 0), backlog=0) as deaf:
        port = deaf.getsockname()[1]
        # Its queue of connections is full, so that further ones get no reply at all.
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex((HOST, port))
        time.sleep(0.2)
        lifecycle = opensearch.lifecycle(f"http://{HOST}:{port}")
        index = OpenSearchIndex(lifecycle.client, lifecycle.layouts, "nowhere", DIMENSION)
        here = Gallery(lifecycle, index, heard)
        here.refused(lambda: index.upsert([here.entry(1)]), AWAY, within=2 * CONNECT_SECONDS)
        here.assert_secret()
        for one in waiting:
            one.close()


def _shard(node: Machine, name: str, partition: Partition) -> int:
    [[shard]] = node.ask("GET", f"/{name}/_search_shards?routing={partition_key(partition)}")["shards"]
    return int(shard["shard"])


def _states(node: Machine, name: str) -> dict[str, str]:
    return {one["shard"]: one["state"] for one in node.ask("GET", f"/_cat/shards/{name}?format=json")}
