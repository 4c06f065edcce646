"""A node with more to do than it can take: it refuses with 429, document by document, and only those are sent again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import urllib3

from candid.errors import DependencyUnavailable
from candid.gallery.index import Entry, NotAllWritten, Partition
from candid.gallery.opensearch.bulk import BUSY_RETRIES, FIRST_PAUSE
from candid.gallery.opensearch.client import READ_SECONDS
from tests.integration.opensearch_faults.gallery import BOOKINGS, SLACK, Gallery, gallery
from tests.integration.opensearch_faults.machine import Machine, machine, until

pytestmark = pytest.mark.slow

BUSY = "The index has more to do than it can take now. Try again in a minute."
HALF = "A part of the index does not answer now, and half an answer would miss people. Try again in a minute."
TINY = {
    "node.processors": "1",
    "thread_pool.write.queue_size": "1",
    "thread_pool.search.size": "1",
    "thread_pool.search.queue_size": "1",
}
"""One thread and a place for one request behind it, of writes and of searches."""
PAUSES = FIRST_PAUSE * (2**BUSY_RETRIES - 1)


@pytest.fixture(scope="module")
def node(major: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("busy"), major, TINY) as made:
        yield made


def test_what_a_busy_node_refuses_is_sent_again_alone(node: Machine) -> None:
    """A bulk for three shards is three tasks for a pool that takes two, or one while it hands them out; so two are sent again, or
    one is. (Six would be more than Candid's four rounds are sure to get through.)"""
    with gallery(node.url, shards=3) as here:
        some = [here.entry(number, Partition(f"agency-{number % 40}", "bookings")) for number in range(400)]
        here.index.upsert(some)
        assert _rejected(node, "write") > 0
        here.all_are_stored(some)
        # Each document was written once: what had been taken was not sent a second time.
        stats = node.ask("GET", f"/{here.index.name}/_stats/indexing")
        assert stats["_all"]["primaries"]["indexing"]["index_total"] == len(some)


def test_a_node_that_stays_busy_is_given_up_with_a_report_on_each_face(node: Machine) -> None:
    with gallery(node.url, shards=6) as here:
        some = [here.entry(number, Partition(f"agency-{number % 40}", "bookings")) for number in range(60)]
        with _flooded(node, here):
            failure = here.refused(lambda: here.index.upsert(some), BUSY, within=PAUSES + READ_SECONDS)
        assert isinstance(failure, NotAllWritten)
        assert set(failure.failures.values()) <= {
            "rejected_execution_exception",
            "opensearch_rejected_execution_exception",
        }
        stored = [one for one in some if one.id not in failure.failures]
        assert failure.failures
        here.all_are_stored(stored)
        for one in some:
            if one.id in failure.failures:
                assert here.index.get(one.partition, [one.id]) == ()
        for one in some:  # As the queue brings them again.
            here.index.upsert([one])
        here.all_are_stored(some)


def test_a_search_that_a_busy_node_refuses_is_no_half_answer(node: Machine) -> None:
    with gallery(node.url) as here:
        some = here.enrol(2000)
        ends: list[str] = []

        def search(one: Entry) -> None:
            try:
                nearest = here.index.search([BOOKINGS], one.template, 10)
            except DependencyUnavailable as error:
                here.heard.see(error)
                ends.append(str(error))
            else:
                assert (nearest.searched, len(nearest.neighbours), nearest.neighbours[0].id) == (2000, 10, one.id)
                ends.append("answered")

        with ThreadPoolExecutor(24) as pool:
            list(pool.map(search, some[:200]))
        # What is refused halfway, when the labels of those found are fetched, is reported as a part that is missing.
        assert {"answered", BUSY} <= set(ends) <= {"answered", BUSY, HALF}
        print(f"{ends.count('answered')} searches answered, {200 - ends.count('answered')} told to come again")
        here.all_are_found(some[:5])


def _rejected(node: Machine, pool: str) -> int:
    [stats] = node.ask("GET", "/_nodes/stats/thread_pool")["nodes"].values()
    return int(stats["thread_pool"][pool]["rejected"])


@contextmanager
def _flooded(node: Machine, here: Gallery) -> Iterator[None]:
    """Others write to the same node without a pause, and without regard for its refusals."""
    name, over = f"{here.lifecycle.names.prefix}_others", threading.Event()
    node.ask("PUT", f"/{name}", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}})
    lines = "".join(f'{{"index": {{}}}}\n{{"a": "{"word " * 200}{number}"}}\n' for number in range(500)).encode()

    def write() -> None:
        pool = urllib3.HTTPConnectionPool("127.0.0.1", int(node.direct.rpartition(":")[2]))
        while not over.is_set():
            pool.request(
                "POST", f"/{name}/_bulk", body=lines, headers={"Content-Type": "application/x-ndjson"}, timeout=30
            )

    with ThreadPoolExecutor(6) as pool:
        writers = [pool.submit(write) for _ in range(6)]
        try:
            before = _rejected(node, "write")
            until(lambda: _rejected(node, "write") > before + 20)
            yield
        finally:
            over.set()
    for one in writers:
        one.result()
    time.sleep(SLACK / 4)
