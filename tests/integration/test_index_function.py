"""Operating the index: filled anew under running searches, swapped, verified both ways and repaired, on either kind of index."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from candid import aws
from candid.faces import registry
from candid.gallery import dissolution
from candid.gallery.booking import Booking, BookingState, PhotoState
from candid.gallery.collections import Collections, collection_pk
from candid.gallery.index import Partition
from candid.gallery.photos import PhotoKey
from candid.gallery.upkeep import verification
from candid.tables import now
from tests.contract.events import change_batch
from tests.integration.aws import GALLERY_TABLE, PHOTOS_BUCKET
from tests.integration.embedding import AGENCY, BOOKED, METADATA
from tests.integration.operating import HERE, PORTRAITS, Deployment, deployment
from tests.portraits import portrait

KINDS = [pytest.param(None, id="embedded"), pytest.param(3, id="OpenSearch 3.2", marks=pytest.mark.slow)]
OPENSEARCH = pytest.mark.slow
SFACE = registry.model_card("sface").id


@pytest.fixture(params=KINDS)
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment on either kind of index."""
    with deployment(tmp_path, request.param) as made:
        yield made


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment on OpenSearch."""
    with deployment(tmp_path, 3) as made:
        yield made


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment on an embedded file."""
    with deployment(tmp_path, None) as made:
        yield made


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is open is a finding at once, and not after an hour."""
    monkeypatch.setattr(verification, "GRACE", timedelta(0))


def names(told: dict[str, Any]) -> dict[str, str]:
    """Indexes by role."""
    return {one["role"]: one["index"] for one in told["indexes"]}


# ---- create, status


@OPENSEARCH
def test_creating_twice_is_creating_once(node: Deployment) -> None:
    told = node.step("create")
    assert (told["made"], told["index"]) == (False, f"{node.prefix}_{SFACE}_000001")
    status = node.step("status")
    assert (status["health"], names(status)) == ("green", {"serving": told["index"]})


def test_status_counts_templates(here: Deployment) -> None:
    here.enrol("person_a_1", "person_b_1")
    here.index.search([HERE], here.entry(here.enrol("impostor_1")[0]).template, 1)
    told = here.carry_out("status")
    assert told["health"] == "green"
    assert told["waiting"] == 0
    assert [one["model"] for one in told["indexes"]] == ["sface"]


def test_what_is_no_operation_is_refused_in_a_sentence_without_what_was_sent(embedded: Deployment) -> None:
    told = embedded.refusal("explode", secret="Smith")
    assert told["status"] == 400
    assert "Smith" not in str(told)
    told = embedded.refusal("own", agency="a/../b", collection="x")
    assert told["detail"] == (
        "The request is not valid: own.agency: must be an agency's name: 2 to 64 of a-z, 0-9 and hyphens, with no hyphen at "
        "either end. Correct it and send it again."
    )


@pytest.mark.parametrize("operation", ["reembed", "swap", "own", "drop"])
def test_an_embedded_index_is_not_swapped_and_says_so(embedded: Deployment, operation: str) -> None:
    asked = {
        "reembed": {"model": "sface"},
        "swap": {"index": "x"},
        "own": {"agency": "aa", "collection": "b"},
        "drop": {"index": "x"},
    }
    told = embedded.refusal(operation, **asked.get(operation, {}))
    assert told["status"] == 409
    assert "embedded file" in told["detail"]


# ---- reembed, swap


@pytest.fixture
def other_model(monkeypatch: pytest.MonkeyPatch) -> str:
    """The same weights under another id: to Candid another model, whose templates are kept apart."""
    told = registry._registry()
    models = {**told["models"], "other": {**told["models"]["sface"], "id": "other"}}
    monkeypatch.setattr(registry, "_registry", lambda: {**told, "models": models})
    return "other"


@OPENSEARCH
def test_another_model_is_filled_while_searches_go_on_and_swapped_in_and_back(
    node: Deployment, other_model: str
) -> None:
    keys = node.enrol(*PORTRAITS[:3])
    first = node.step("reembed", model=other_model)
    assert not first["done"]
    assert (first["photos"], first["absent"], first["made"], first["index"]) == (
        3,
        3,
        True,
        f"{node.prefix}_other_000002",
    )
    assert all(node.finds(key) for key in keys)
    assert node.indexes.serving().engine.card.id == SFACE
    # Booked while the standby is filled: written to both. Erased meanwhile: gone from both.
    keys += node.enrol(PORTRAITS[3])
    gone = keys.pop(0)
    node.station.catalog.mark_deleting(node.station.booking(gone))
    assert node.station.follow(gone) == []
    told = node.carry_out("reembed", model=other_model, cursor=first["cursor"])
    assert (told["complete"], told["calibrated"]) == (True, True)
    standby = node.indexes.every()[told["index"]]
    assert {one.id for one in standby.scan(None, 100).labels} == {node.face(key) for key in keys}
    swapped = node.carry_out("swap", index=told["index"])
    assert (swapped["swapped"], swapped["serving"]) == (True, told["index"])
    node.indexes.layouts.fresh()  # type: ignore[attr-defined]
    assert node.indexes.serving().engine.card.id == "other"
    assert all(node.finds(key) for key in keys)
    # Now the new one serves: what comes is still written to both, so that the way back loses nobody.
    keys += node.enrol(PORTRAITS[4])
    # A request that was sent twice is no way back.
    assert node.step("swap", index=told["index"])["serving"] == told["index"]
    back = node.carry_out("swap", index=swapped["standby"])
    assert (back["model"], back["photos"], back["complete"]) == ("sface", 4, True)
    node.indexes.layouts.fresh()  # type: ignore[attr-defined]
    assert all(node.finds(key) for key in keys)
    assert node.refusal("drop", index=back["serving"])["status"] == 409
    assert node.step("drop", index=back["standby"])["done"]
    assert names(node.step("status")) == {"serving": f"{node.prefix}_{SFACE}_000001"}
    assert node.refusal("swap", index=back["standby"])["detail"].startswith("No index stands by.")


@OPENSEARCH
def test_filling_another_index_writes_nothing_to_the_one_that_serves(node: Deployment) -> None:
    node.enrol(*PORTRAITS[:3])
    told = node.carry_out("reembed", model="sface")
    by_role = {one["role"]: one for one in node.step("status")["indexes"]}
    assert (by_role["standby"]["index"], by_role["standby"]["templates"]) == (told["index"], 3)
    assert (by_role["serving"]["templates"], by_role["serving"]["deleted"]) == (3, 0)


@OPENSEARCH
def test_a_standby_that_lacks_a_photo_is_not_swapped_in(node: Deployment) -> None:
    (key,) = node.enrol("person_a_1")
    serving = node.step("create")["index"]
    standby = node.step("reembed", model="sface")["index"]
    told = node.carry_out("swap", index=standby, drain=False)
    assert told["problem"]["status"] == 409
    assert "lacks 1 of 1 photos" in told["problem"]["detail"]
    # Whoever must, may.
    assert node.step("swap", index=standby, unchecked=True)["swapped"]
    node.indexes.layouts.fresh()  # type: ignore[attr-defined]
    assert node.index.get(HERE, [node.face(key)]) == ()
    assert node.step("swap", index=serving, unchecked=True)["swapped"]


@OPENSEARCH
def test_filling_is_begun_again_where_it_stopped_and_says_what_never_arrives(node: Deployment) -> None:
    keys = node.enrol(*PORTRAITS[:2])
    stopped = node.step("reembed", model="sface")
    assert stopped["absent"] == 2
    node.drain()
    # The cursor is lost; of one photo the entry is lost as well, and embed never does anything about it.
    standby = node.indexes.every()[stopped["index"]]
    standby.delete(HERE, [node.face(keys[0])])
    answer = node.step("reembed", model="sface")
    assert (answer["made"], answer["absent"]) == (False, 1)
    while not answer["done"]:
        node.drain(work=False)
        answer = node.step("reembed", model="sface", cursor=answer["cursor"])
    assert (answer["complete"], answer["open"]) == (False, 1)


@OPENSEARCH
def test_a_photo_in_a_workers_hands_keeps_a_filling_from_being_complete(node: Deployment) -> None:
    (key,) = node.enrol("person_a_1")
    node.carry_out("reembed", model="sface")
    progress = node.station.work.enrolment.progress
    lease = progress.take(
        key, node.station.photo(key), "a worker that began before", node.station.clock() + 60, work=False
    )
    assert lease is not None
    answer = node.step("reembed", model="sface")
    for _ in range(5):
        assert (answer["done"], answer["open"]) == (False, 1)
        answer = node.step("reembed", model="sface", cursor=answer["cursor"])
    progress.release(lease)
    assert node.carry_out("reembed", model="sface", cursor=answer["cursor"])["complete"]


@OPENSEARCH
def test_a_correction_that_is_not_followed_yet_is_waited_for_and_not_taken_for_a_lack(node: Deployment) -> None:
    (key, _) = node.enrol("person_a_1", "person_b_1")
    standby = node.carry_out("reembed", model="sface")["index"]
    node.station.catalog.change(node.station.booking(key), {"subject_id": "S-99"})
    answer = node.step("swap", index=standby)
    assert (answer["done"], answer["absent"], answer["open"]) == (False, 0, 1)
    assert node.station.follow(key) == []
    while not answer["done"]:
        time.sleep(0.05)
        answer = node.step("swap", index=standby, cursor=answer["cursor"])
    assert (answer["swapped"], answer["absent"]) == (True, 0)


@OPENSEARCH
def test_a_model_that_is_not_there_is_refused_before_anything_is_made(node: Deployment) -> None:
    assert node.refusal("reembed", model="nobody's")["detail"].startswith("There is no model of that name.")
    assert node.refusal("reembed", model="deepface:Facenet512")["status"] == 503
    assert names(node.step("status")).keys() == {"serving"}


# ---- verify


def verify(here: Deployment, *, repair: bool = False) -> dict[str, Any]:
    return here.carry_out("verify", repair=repair, drain=repair)


def found(told: dict[str, Any]) -> dict[str, int]:
    return {kind: about["count"] for kind, about in told["findings"].items()}


def test_a_gallery_that_agrees_is_sound(here: Deployment, at_once: None) -> None:
    here.enrol(*PORTRAITS[:3])
    (rejected,) = here.station.register(number="2026-9")
    here.station.put(rejected, b"no image at all")
    assert here.station.arrive(rejected) == []
    here.station.register(number="2026-10")
    told = verify(here)
    assert (told["sound"], told["bookings"], told["photos"], told["objects"]) == (True, 5, 5, 4)
    assert list(told["faces"].values()) == [3]
    assert told["under_way"] == 0


def lose(here: Deployment, key: PhotoKey) -> None:
    here.index.delete(HERE, [here.face(key)])


def relabel(here: Deployment, key: PhotoKey) -> None:
    here.index.relabel(HERE, [here.face(key)], subject_id="S-78", booked_at=BOOKED)


def stranger(here: Deployment, key: PhotoKey) -> None:
    here.index.upsert([replace(here.entry(key), id=uuid.uuid4())])


def orphan(here: Deployment, key: PhotoKey) -> None:
    here.index.upsert([replace(here.entry(key), id=uuid.uuid4(), booking_id=str(uuid.uuid4()))])


def elsewhere(here: Deployment, key: PhotoKey) -> None:
    here.index.upsert([replace(here.entry(key), partition=Partition(AGENCY, "archive"))])


def replaced(here: Deployment, key: PhotoKey) -> None:
    here.station.put(key, portrait("person_b_2"))


def removed(here: Deployment, key: PhotoKey) -> None:
    here.station.remove(key)


def vanished(here: Deployment, key: PhotoKey) -> None:
    aws.s3().delete_object(Bucket=PHOTOS_BUCKET, Key=str(key), VersionId=here.station.photo(key).version_id or "")


def dropped(here: Deployment, key: PhotoKey) -> None:
    here.station.put(
        PhotoKey(AGENCY, "bookings", str(uuid.uuid4()), str(uuid.uuid4())), portrait("impostor_2"), METADATA
    )


def unheard(here: Deployment, key: PhotoKey) -> None:
    (waiting,) = here.station.register(number="2026-waiting")
    here.station.put(waiting, portrait("impostor_2"))


def named(here: Deployment, key: PhotoKey) -> None:
    here.station.put("photos/Smith, John.jpg", portrait("impostor_2"))


def late(here: Deployment, key: PhotoKey) -> None:
    (gone,) = here.enrol("impostor_2")
    here.station.catalog.mark_deleting(here.station.booking(gone))
    assert here.station.follow(gone) == []
    here.station.put(gone, portrait("impostor_2"))


def unfinished(here: Deployment, key: PhotoKey) -> None:
    here.station.wire.hooks["PutEvents"] = _down
    (waiting,) = here.station.register(number="2026-unfinished")
    here.station.put(waiting, portrait("impostor_2"))
    assert len(here.station.arrive(waiting)) == 1


def uncorrected(here: Deployment, key: PhotoKey) -> None:
    here.station.catalog.change(here.station.booking(key), {"subject_id": "S-99"})


def undeleted(here: Deployment, key: PhotoKey) -> None:
    here.station.catalog.mark_deleting(here.station.booking(key))


def _down() -> None:
    raise ConnectionError


TROUBLES = [
    (lose, verification.FACE_ABSENT),
    (relabel, verification.FACE_ABSENT),
    (stranger, verification.FACE_UNOWNED),
    (orphan, verification.FACE_UNOWNED),
    (elsewhere, verification.FACE_UNOWNED),
    (replaced, verification.PHOTO_DIFFERS),
    (removed, verification.PHOTO_DIFFERS),
    (vanished, verification.PHOTO_DIFFERS),
    (dropped, verification.OBJECT_UNKNOWN),
    (unheard, verification.OBJECT_UNKNOWN),
    (named, verification.OBJECT_UNKNOWN),
    (late, verification.OBJECT_LATE),
    (unfinished, verification.WORK_OPEN),
    (uncorrected, verification.CHANGE_OPEN),
    (undeleted, verification.CHANGE_OPEN),
]


@pytest.mark.parametrize(("trouble", "kind"), TROUBLES, ids=[trouble.__name__ for trouble, _ in TROUBLES])
def test_every_difference_is_found_told_and_mended(here: Deployment, at_once: None, trouble: Any, kind: str) -> None:
    (key, *_) = here.enrol("person_a_1", "person_b_1")
    trouble(here, key)
    told = verify(here)
    assert found(told) == {kind: 1}
    assert "Smith" not in str(told)
    assert here.drain() == 0, "without repair nothing is done"
    assert found(verify(here, repair=True)) == {kind: 1}
    here.drain()
    if kind == verification.CHANGE_OPEN:
        # The reminder wrote the note again, which the stream brings to embed.
        assert next(item for item in here.station.items(key) if item["sk"] == "CHANGE")["reminded_at"]
        assert here.station.follow(key) == []
    after = verify(here)
    assert (after["sound"], found(after)) == (True, {})


def test_a_collection_whose_deletion_nobody_followed_is_found_and_reminded_of(
    embedded: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    collections = Collections(GALLERY_TABLE)
    for name in ("kept", "unwanted"):
        collections.create(AGENCY, name, {})
    collections.mark_deleting(AGENCY, "unwanted")
    young = verify(embedded)
    assert (young["sound"], young["under_way"]) == (True, 1)
    monkeypatch.setattr(verification, "GRACE", timedelta(0))
    told = verify(embedded)
    assert told["findings"] == {verification.CHANGE_OPEN: {"count": 1, "examples": [f"{AGENCY}/unwanted"]}}
    nonce = collections.get(AGENCY, "unwanted").change  # type: ignore[union-attr]
    assert verify(embedded, repair=True)["reminded"] == 1
    event = change_batch("", "")
    event["Records"][0]["dynamodb"]["Keys"]["pk"] = {"S": collection_pk(AGENCY, "unwanted")}
    assert collections.get(AGENCY, "unwanted").change == nonce  # type: ignore[union-attr]
    monkeypatch.setattr(dissolution, "now", lambda: now() + timedelta(hours=1))
    assert embedded.station.invoke(event) == []
    assert collections.get(AGENCY, "unwanted") is None
    assert verify(embedded)["sound"]


@pytest.mark.parametrize("trouble", [replaced, unheard, unfinished, uncorrected], ids=lambda one: one.__name__)
def test_what_is_younger_than_an_hour_is_under_way(embedded: Deployment, trouble: Any) -> None:
    (key,) = embedded.enrol("person_a_1")
    trouble(embedded, key)
    told = verify(embedded)
    assert (told["sound"], told["under_way"] > 0) == (True, True)


def test_a_face_that_is_claimed_while_it_is_deleted_is_enrolled_again(
    embedded: Deployment, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = embedded.enrol("person_a_1")
    face = embedded.face(key)
    unowned = verification.Verification._unowned
    monkeypatch.setattr(verification.Verification, "_unowned", lambda _, labels: list(labels))
    assert found(embedded.step("verify", repair=True)) == {}
    told = embedded.carry_out("verify", repair=True)
    monkeypatch.setattr(verification.Verification, "_unowned", unowned)
    assert told["deleted"] == 1
    embedded.drain()
    assert [one.id for one in embedded.index.get(HERE, [face])] == [face]


def test_a_damaged_file_is_told_of_and_made_again_from_the_photos(embedded: Deployment, tmp_path: Path) -> None:
    keys = embedded.enrol(*PORTRAITS[:3])
    (path,) = (tmp_path / "embedded").glob("*.sqlite")
    assert embedded.step("purge")["purged"]  # Which brings the journal into the file.
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)
    told = embedded.refusal("verify")
    assert told["status"] == 503
    assert "`candid index verify --repair`" in told["detail"]
    assert embedded.carry_out("status")["health"] == "red"
    told = verify(embedded, repair=True)
    assert (told["rebuilt"], found(told), told["asked"]) == (True, {verification.FACE_ABSENT: 3}, 3)
    embedded.drain()
    after = verify(embedded)
    assert (after["sound"], after["rebuilt"], list(after["faces"].values())) == (True, False, [3])
    assert all(embedded.finds(key) for key in keys)
    assert all(embedded.station.photo(key).state is PhotoState.ENROLLED for key in keys)


def test_a_purge_of_an_embedded_file_has_nothing_to_do(embedded: Deployment) -> None:
    assert embedded.step("purge")["purged"]


def test_an_erased_booking_is_no_finding(here: Deployment, at_once: None) -> None:
    (key,) = here.enrol("person_a_1")
    here.station.catalog.mark_deleting(here.station.booking(key))
    assert here.station.follow(key) == []
    gone: Booking = here.station.booking(key)
    assert gone.state is BookingState.ERASED
    told = verify(here)
    assert (told["sound"], told["bookings"], told["objects"]) == (True, 0, 0)
