"""What the functions make of an index that is away, frozen or full: a search is told to come again, a photo stays in its queue,
an erasure is not over before it is, and nothing untrue is written down meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from candid.gallery.booking import BookingState
from candid.gallery.opensearch.client import READ_SECONDS, IndexNotReady
from candid.gallery.opensearch.lifecycle import Size
from tests import opensearch
from tests.integration.opensearch_faults.functions import PARTITION, Functions, functions
from tests.integration.opensearch_faults.gallery import SLACK
from tests.integration.opensearch_faults.machine import WATERMARKS, Machine, until
from tests.portraits import engine

pytestmark = pytest.mark.slow

AWAY = "Candid can't reach the index now. Try again in a minute."
LATE = "The index does not answer in time. Try again in a minute."
FULL = "The index takes no writes now: it is blocked, as it is when its disk is nearly full. Try again later."


@pytest.fixture
def both(node: Machine, tmp_path: Path) -> Iterator[Functions]:
    """Embed and search on a new index of the node's."""
    with functions(tmp_path, node.url) as made:
        yield made


def test_a_node_that_ends_during_an_enrolment_costs_no_photo_and_no_truth(node: Machine, both: Functions) -> None:
    """Ended between embed's reading of the index and its writing to it."""
    first, other = both.enrol("person_a_1"), both.enrol("person_b_1")
    gone = both.face(other)
    assert both.candidates() == [first.booking_id]
    late = both.upload("impostor_1")
    hooks = both.station.wire.hooks
    # The first update takes the lease, the second notes what will be written to the index.
    hooks["UpdateItem"] = lambda: hooks.update({"UpdateItem": node.node.stop})
    assert both.work_off() == 1
    [failure] = both.last_failures()
    assert any("opensearch/index.py" in place for place in failure["places"]), failure
    assert failure["sentence"] == AWAY
    both.waits_truthfully(late)
    both.try_later(AWAY, within=SLACK)
    assert both.work_off() == 1
    both.waits_truthfully(late)
    # An erasure that was asked for meanwhile is open until the index has been asked.
    both.station.catalog.mark_deleting(both.station.booking(other))
    assert len(both.station.follow(other)) == 1
    assert both.station.booking(other).state is BookingState.DELETING

    node.start_again()
    assert both.station.follow(other) == []
    assert both.station.booking(other).state is BookingState.ERASED
    assert both.indexes.serving().index.get(PARTITION, [gone]) == ()
    assert both.work_off() == 0
    both.is_enrolled(late)
    assert both.candidates() == [first.booking_id]
    assert both.candidates("impostor_1") == [late.booking_id]
    assert both.candidates("person_b_2") == []


def test_a_frozen_node_is_waited_for_no_longer_than_a_function_lives(node: Machine, both: Functions) -> None:
    first = both.enrol("person_a_1")
    assert both.candidates() == [first.booking_id]
    late = both.upload("impostor_1")
    hooks = both.station.wire.hooks
    with ThreadPoolExecutor(1) as pool:
        searched = []

        def freeze() -> None:
            node.freeze()
            searched.append(pool.submit(both.try_later, LATE, READ_SECONDS + SLACK))

        hooks["UpdateItem"] = lambda: hooks.update({"UpdateItem": freeze})
        try:
            assert both.work_off() == 1
            searched[0].result()
        finally:
            node.thaw()
    assert [one["sentence"] for one in both.last_failures()] == [LATE]
    both.waits_truthfully(late)
    assert both.work_off() == 0
    both.is_enrolled(late)
    assert both.candidates() == [first.booking_id]
    assert both.candidates("impostor_1") == [late.booking_id]


def test_a_full_disk_stops_enrolment_and_erasure_and_no_search(node: Machine, both: Functions) -> None:
    """OpenSearch's own watch over the disk blocks the index, and new ones, and lifts both blocks when there is room."""
    first, other = both.enrol("person_a_1"), both.enrol("person_b_1")
    late = both.upload("impostor_1")
    index = both.indexes.serving().index
    faces = [both.face(first), both.face(other)]
    [name] = both.indexes.every()
    with _full_disk(node, name):
        both.station.catalog.mark_deleting(both.station.booking(other))
        assert both.work_off() == 1
        assert len(both.station.follow(other)) == 1
        assert [one["sentence"] for one in both.last_failures()] == [FULL, FULL]
        both.waits_truthfully(late)
        assert both.station.booking(other).state is BookingState.DELETING
        assert both.candidates() == [first.booking_id]
        assert len(index.get(PARTITION, faces)) == 2
        with pytest.raises(IndexNotReady, match=r"makes no new index: its disk is nearly full, or was so just now\."):
            opensearch.lifecycle(node.url).create("sface", engine().card, Size(1, 0))
    assert both.work_off() == 0
    both.is_enrolled(late)
    assert both.station.follow(other) == []
    assert both.station.booking(other).state is BookingState.ERASED
    assert [one.id for one in index.get(PARTITION, faces)] == faces[:1]
    assert both.candidates() == [first.booking_id]


@contextmanager
def _full_disk(node: Machine, name: str) -> Iterator[None]:
    settings = f"/{name}/_settings?flat_settings=true"
    block = "index.blocks.read_only_allow_delete"

    def blocks() -> list[bool]:
        """Whether the index takes no writes, and whether no index is made."""
        blocked = node.ask("GET", settings)[name]["settings"].get(block) == "true"
        return [blocked, bool(node.ask("GET", "/_cluster/settings")["persistent"])]

    node.ask("PUT", "/_cluster/settings", {"transient": dict.fromkeys(WATERMARKS, "999999gb")})
    try:
        until(lambda: blocks() == [True, True], 40)
        yield
    finally:
        node.ask("PUT", "/_cluster/settings", {"transient": dict.fromkeys(WATERMARKS)})
        until(lambda: blocks() == [False, False], 40)
