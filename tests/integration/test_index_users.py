"""Users' templates in the operation of an index: found where they are not of their faces, and fused in one that is filled."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from candid.gallery.collections import Collections
from candid.gallery.fusion import astray, digest, fused
from candid.gallery.index import Partition, VectorIndex
from candid.gallery.photos import PhotoKey
from candid.gallery.upkeep import verification
from candid.gallery.users import User, Users, user_pk
from tests.contract.events import change_batch
from tests.integration.aws import GALLERY_TABLE
from tests.integration.embedding import AGENCY
from tests.integration.operating import Deployment, deployment

KINDS = [pytest.param(None, id="embedded"), pytest.param(3, id="OpenSearch 3.2", marks=pytest.mark.slow)]
USERS = Partition.of_users(AGENCY, "bookings")


@pytest.fixture(params=KINDS)
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment on either kind of index."""
    with deployment(tmp_path, request.param) as made:
        yield made


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Deployment]:
    with deployment(tmp_path, 3) as made:
        yield made


def users(here: Deployment) -> Users:
    return Users(GALLERY_TABLE)


def known(here: Deployment) -> User:
    return users(here).expect(AGENCY, "bookings", "anna")


def follow(here: Deployment, user_id: str = "anna") -> None:
    """The stream's record of a user's note."""
    event = change_batch("", "")
    event["Records"][0]["dynamodb"]["Keys"]["pk"] = {"S": user_pk(AGENCY, "bookings", user_id)}
    assert here.station.invoke(event) == []


def anna(here: Deployment) -> list[PhotoKey]:
    """A user with two faces, whose template is made."""
    keys = here.enrol("person_a_1", "person_a_2")
    Collections(GALLERY_TABLE).ensure(AGENCY, "bookings")
    users(here).create(AGENCY, "bookings", "anna")
    users(here).associate(known(here), {str(here.face(key)): key.booking_id for key in keys})
    follow(here)
    assert astray(here.index, [known(here)]) == []
    return keys


def lost(here: Deployment, keys: list[PhotoKey]) -> None:
    here.index.delete(USERS, [uuid.UUID(known(here).entry_id)])


def of_another_face(here: Deployment, keys: list[PhotoKey]) -> None:
    made = fused(known(here), here.index, [str(here.face(keys[0]))])
    assert made is not None
    here.index.upsert([made])


def of_nobody(here: Deployment, keys: list[PhotoKey]) -> None:
    made = fused(known(here), here.index, known(here).faces)
    assert made is not None
    here.index.upsert([replace(made, id=uuid.uuid4())])


def unheard(here: Deployment, keys: list[PhotoKey]) -> None:
    users(here).disassociate(known(here), [str(here.face(keys[0]))])


def deletion_unheard(here: Deployment, keys: list[PhotoKey]) -> None:
    users(here).mark_deleting(known(here))


TROUBLES = [
    (lost, verification.USER_DIFFERS),
    (of_another_face, verification.USER_DIFFERS),
    (of_nobody, verification.FACE_UNOWNED),
    (unheard, verification.CHANGE_OPEN),
    (deletion_unheard, verification.CHANGE_OPEN),
]


@pytest.mark.parametrize(("trouble", "kind"), TROUBLES, ids=[trouble.__name__ for trouble, _ in TROUBLES])
def test_a_users_template_that_is_not_of_its_faces_is_found_told_and_mended(
    here: Deployment, monkeypatch: pytest.MonkeyPatch, trouble: Any, kind: str
) -> None:
    keys = anna(here)
    trouble(here, keys)
    if kind == verification.CHANGE_OPEN:
        young = here.carry_out("verify", repair=False)
        assert (young["sound"], young["under_way"]) == (True, 1)
    monkeypatch.setattr(verification, "GRACE", timedelta(0))
    for repair in (False, True):
        told = here.carry_out("verify", repair=repair)
        assert {name: one["count"] for name, one in told["findings"].items()} == {kind: 1}
        assert "anna" not in str(told)
    follow(here)
    here.drain()
    after = here.carry_out("verify", repair=False)
    assert (after["sound"], after["findings"]) == (True, {})
    if trouble is deletion_unheard:
        assert here.index.count(USERS) == 0
    else:
        assert astray(here.index, [known(here)]) == []


@pytest.mark.slow
def test_an_index_that_is_filled_anew_has_the_users_templates_before_it_is_complete(node: Deployment) -> None:
    keys = anna(node)
    first = node.step("reembed", model="sface")
    standby = _index(node, first["index"])
    answer = first
    while not answer.get("done", True):
        node.drain()
        follow(node)
        answer = node.step("reembed", model="sface", cursor=answer["cursor"])
    assert answer["complete"]
    faces = [str(node.face(key)) for key in keys]
    (entry,) = standby.get(USERS, [uuid.UUID(known(node).entry_id)])
    assert entry.booking_id == digest(faces)
    assert node.carry_out("verify", repair=False)["sound"]


def _index(node: Deployment, name: str) -> VectorIndex:
    return node.indexes.every()[name]
