"""What upkeep does inside OpenSearch: deleted templates leave the disk, a large collection moves while it is written."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from infra.opensearch.node import Node, start

from candid.errors import Conflict
from candid.gallery.index import Entry, Partition
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.opensearch.layout import RECENT_SECONDS
from candid.gallery.opensearch.lifecycle import Size
from candid.gallery.opensearch.moving import SETTLE_SECONDS, Moving
from candid.gallery.opensearch.names import own_name, partition_key
from candid.gallery.opensearch.purging import Purging
from candid.gallery.upkeep.steps import Budget
from tests import opensearch
from tests.contract.vector_index import BOOKINGS, DAY, unit
from tests.hostile.size import tries

pytestmark = pytest.mark.slow

DIMENSION = 128
MOVED = Partition("washington-county", "moved")


def entry(number: int, partition: Partition = BOOKINGS) -> Entry:
    """A face whose labels are found in a file by themselves."""
    return Entry(
        uuid.uuid5(uuid.NAMESPACE_OID, str(number)),
        partition,
        f"booking-{number:06d}",
        f"canary-{number:06d}",
        DAY,
        unit(number, DIMENSION),
    )


# ---- purge


# One version in the suite: what is deleted leaves a node's disk half a minute later, by either.
@pytest.fixture(scope="module", params=[3, 2][: tries(1, 2)], ids=["OpenSearch 3.2", "OpenSearch 2.19"][: tries(1, 2)])
def own_node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Path]]:
    """A node whose files a test may read."""
    opensearch.require(request.param)
    home = tmp_path_factory.mktemp("purged")
    running = start(home, opensearch.free_port(), request.param)
    try:
        yield running, home
    finally:
        running.kill()


def on_disk(home: Path, one: Entry) -> dict[str, bool]:
    """Whether any file of the node holds a template, as Lucene stores it (little-endian float32) or as JSON, or its subject."""
    vector = one.template.astype("<f4").tobytes()
    wanted = {
        "vector": vector[:64],
        "stored": one.template.astype(">f4").tobytes()[:64],
        "json": ",".join(str(value) for value in one.template[:3]).encode(),
        "label": one.subject_id.encode(),
    }
    found = dict.fromkeys(wanted, False)
    for path in home.rglob("*"):
        if path.is_file() and "/logs/" not in str(path):
            content = path.read_bytes()
            for name, what in wanted.items():
                found[name] |= what in content
    return found


def test_a_purge_leaves_no_byte_of_a_deleted_template_on_the_disk(own_node: tuple[Node, Path]) -> None:
    node, home = own_node
    made = opensearch.lifecycle(node.url)
    generation, _ = made.create("test", opensearch.card(DIMENSION))
    index = OpenSearchIndex(made.client, made.layouts, generation.name, DIMENSION)
    kept, gone = entry(1), entry(2)
    index.upsert([entry(number) for number in range(1, 400)])
    made.client.indices.flush(index=generation.name, params={"force": "true"})
    assert any(on_disk(home, gone).values())
    assert index.delete(BOOKINGS, [gone.id]) == 1
    assert any(on_disk(home, gone).values()), "a deletion alone leaves the bytes, which is why there is a purge"
    purging = Purging(made.client, made.layouts)
    told = purging.step(None, Budget(120))
    assert told.cursor is None
    assert told.told["purged"]
    assert told.told["before"][generation.name]["deleted"] > 0
    assert told.told["after"][generation.name] | {"bytes": 0} == {"deleted": 0, "bytes": 0, "logged": 0}
    assert not any(on_disk(home, gone).values())
    assert on_disk(home, kept)["vector"], "else the look at the disk would find nothing anyway"
    assert index.count(BOOKINGS) == 398
    assert index.search([BOOKINGS], kept.template, 1).neighbours[0].id == kept.id


def test_a_purge_goes_on_from_its_cursor_and_with_nothing_deleted_does_nothing(own_node: tuple[Node, Path]) -> None:
    node, _ = own_node
    made = opensearch.lifecycle(node.url)
    generation, _ = made.create("test", opensearch.card(DIMENSION))
    index = OpenSearchIndex(made.client, made.layouts, generation.name, DIMENSION)
    index.upsert([entry(number) for number in range(20)])
    purging = Purging(made.client, made.layouts)
    step = purging.step(None, Budget(0))
    assert step.cursor is not None
    while step.cursor is not None:
        step = purging.step(step.cursor, Budget(0))
    assert step.told["purged"]
    assert step.told["before"][generation.name]["deleted"] == 0


# ---- own


def moving(address: str, settle: float = 0.3) -> tuple[OpenSearchIndex, Moving]:
    made = opensearch.lifecycle(address)
    generation, _ = made.create("test", opensearch.card(DIMENSION), Size(2))
    return OpenSearchIndex(made.client, made.layouts, generation.name, DIMENSION), Moving(made, settle)


def finish(move: Moving, cursor: object = None) -> dict[str, object]:
    step = move.step(MOVED, Size(2), cursor, Budget(60))  # type: ignore[arg-type]
    assert step.cursor is None
    return dict(step.told)


@pytest.mark.parametrize("major", opensearch.MAJORS)
def test_a_collection_moves_with_all_that_it_has_and_nothing_else(major: int) -> None:
    index, move = moving(opensearch.url(major))
    there = [entry(number, MOVED) for number in range(450)]
    index.upsert([*there, *(entry(number) for number in range(50))])
    assert finish(move) == {"stage": "done", "copied": 450, "removed": 0}
    layout = move.lifecycle.layouts.fresh()
    home = layout.the_serving().home(MOVED)
    assert home == f"{index.name}_{partition_key(MOVED)}"
    raw = {
        name: move.client.count(index=name, body={"query": {"match_all": {}}})["count"] for name in (index.name, home)
    }
    assert raw == {index.name: 50, home: 450}
    assert index.count(MOVED) == 450
    got = index.get(MOVED, [one.id for one in there])
    assert got == tuple(there)
    assert all(np.array_equal(a.template, b.template) for a, b in zip(got, there, strict=True))
    both = index.search([MOVED, BOOKINGS], there[7].template, 60)
    assert both.searched == 500
    assert {one.partition for one in both.neighbours[:2]} == {MOVED, BOOKINGS}, "both have the same face"
    shards = move.client.search(index=home, body={"query": {"match_all": {}}})["_shards"]["total"]
    assert shards == 2
    assert len(index.scan(None, 1000).labels) == 500
    # Moving again is moving once.
    assert finish(move)["copied"] == 0
    opensearch.forget(index)


def test_what_is_written_while_a_collection_moves_is_whole_afterwards() -> None:
    index, move = moving(opensearch.url(3), settle=1.0)
    there = {number: entry(number, MOVED) for number in range(300)}
    index.upsert(list(there.values()))
    stop = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        other = OpenSearchIndex(index.client, index.layouts, index.name, DIMENSION)
        turn = 0
        try:
            while not stop.is_set():
                new = entry(1000 + turn, MOVED)
                other.upsert([new])
                there[1000 + turn] = new
                gone = there.pop(turn, None)
                if gone:
                    assert other.delete(MOVED, [gone.id]) == 1
                changed = there.get(150 + turn)
                if changed:
                    there[150 + turn] = replace(changed, subject_id=f"corrected-{turn}")
                    assert other.relabel(MOVED, [changed.id], subject_id=f"corrected-{turn}", booked_at=DAY) == 1
                assert len(other.search([MOVED], new.template, 3).neighbours) == 3
                turn = turn + 1 if turn < 140 else 140
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        cursor = None
        while True:
            step = move.step(MOVED, Size(2), cursor, Budget(0))
            cursor = step.cursor
            if cursor is None:
                break
    finally:
        stop.set()
        writer.join()
    assert not failures
    index.client.indices.refresh(index=index.layouts.names.every)
    assert {(one.id, one.subject_id) for one in index.scan(None, 1000).labels} == {
        (one.id, one.subject_id) for one in there.values()
    }
    assert index.count(MOVED) == len(there)
    assert move.client.count(index=index.name)["count"] == 0, "nothing is left in the shared index"
    opensearch.forget(index)


def test_a_correction_waits_for_an_own_index_that_only_starts() -> None:
    index, _ = moving(opensearch.url(3))
    index.upsert([one := entry(0, MOVED)])
    own = own_name(index.name, MOVED)
    nodes = "index.routing.allocation.include._name"
    mappings = index.client.indices.get(index=index.name)[index.name]["mappings"]
    del mappings["_routing"]
    mappings["_meta"] = {"candid": {"agency": MOVED.agency, "collection": MOVED.collection, "kind": "face"}}
    body = {"mappings": mappings, "settings": {"index.knn": True, nodes: "none-of-them"}}
    index.client.indices.create(index=own, body=body, params={"wait_for_active_shards": "0"})
    assert index.layouts.fresh().generation(index.name).written(MOVED) == (index.name, own)
    allow = threading.Timer(1, index.client.indices.put_settings, kwargs={"index": own, "body": {nodes: None}})
    allow.start()
    assert index.relabel(MOVED, [one.id], subject_id="corrected", booked_at=DAY) == 1
    allow.join()
    assert index.get(MOVED, [one.id])[0].subject_id == "corrected"
    opensearch.forget(index)


def test_a_moved_collection_has_an_index_of_its_own_in_the_next_generation_too() -> None:
    index, move = moving(opensearch.url(3))
    index.upsert([entry(number, MOVED) for number in range(5)])
    finish(move)
    standby, _ = move.lifecycle.stand_by("test", opensearch.card(DIMENSION), Size(1))
    assert [(one.partition, one.searched, one.shards) for one in standby.own.values()] == [(MOVED, True, 2)]
    other = OpenSearchIndex(index.client, index.layouts, standby.name, DIMENSION)
    other.upsert([entry(1, MOVED)])
    assert move.client.count(index=standby.name)["count"] == 0
    assert len(other.get(MOVED, [entry(1).id])) == 1
    with pytest.raises(Conflict, match="While an index stands by"):
        move.step(BOOKINGS, Size(1), None, Budget(0))
    move.lifecycle.drop(standby.name)
    assert set(index.layouts.fresh().generations) == {index.name}
    assert set(move.client.indices.get(index=index.layouts.names.every)) == {
        index.name,
        f"{index.name}_{partition_key(MOVED)}",
    }
    opensearch.forget(index)


def test_a_move_waits_longer_than_a_layout_is_remembered_and_a_search_may_take() -> None:
    """29 seconds is the search function's time."""
    assert SETTLE_SECONDS > RECENT_SECONDS + 29
