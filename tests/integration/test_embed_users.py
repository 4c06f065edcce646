"""Users' templates by the embed function over moto's AWS, real model and index: made, made again, killed on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from candid.correlation import following
from candid.gallery.booking import BookingState, PhotoState
from candid.gallery.collections import Collections
from candid.gallery.fusion import digest, standing_faces
from candid.gallery.index import Partition
from candid.gallery.photos import PhotoKey
from candid.gallery.thresholds import Threshold
from candid.gallery.user_search import UserSearch
from candid.gallery.users import User, UserMoved, Users, user_pk
from tests.contract.events import change_batch
from tests.integration.aws import GALLERY_TABLE
from tests.integration.embedding import AGENCY, Killed, Station, station
from tests.portraits import portrait

HERE = "bookings"
ANNA = (AGENCY, HERE, "anna")


@dataclass
class Anna:
    """A user with two faces whose template is made, and what stands behind it."""

    station: Station
    users: Users
    keys: list[PhotoKey]
    faces: list[str]

    def anna(self) -> User | None:
        return self.users.get(*ANNA)

    def expect(self) -> User:
        return self.users.expect(*ANNA)

    def follow(self) -> list[str]:
        """The stream's record of the user's note."""
        event = change_batch("", "")
        event["Records"][0]["dynamodb"]["Keys"]["pk"] = {"S": user_pk(*ANNA)}
        return self.station.invoke(event)

    def associate(self, faces: list[str]) -> None:
        bookings = dict(zip(self.faces, (key.booking_id for key in self.keys), strict=True))
        self.users.associate(self.expect(), {face: bookings[face] for face in faces})

    def made_of(self) -> str | None:
        """Of which faces the template in the index is; None where there is none."""
        labels = self.station.index.members(Partition.of_users(AGENCY, HERE), None, 10)
        assert len(labels) <= 1
        return labels[0].booking_id if labels else None

    def is_settled(self, faces: list[str]) -> None:
        """Record, owners, note and index are those of ``faces``."""
        anna = self.expect()
        assert (sorted(anna.faces), anna.held, anna.revision) == (sorted(faces), frozenset(faces), anna.settled)
        assert self.users.owners(AGENCY, HERE, self.faces).keys() == set(faces)
        assert self.made_of() == (digest(faces) if faces else None)
        assert not [item for item in self.station.items() if item["pk"] == user_pk(*ANNA) and item["sk"] == "CHANGE"]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Anna]:
    with station(tmp_path) as made:
        Collections(GALLERY_TABLE).create(AGENCY, HERE, {})
        keys, faces = [], []
        for number, name in enumerate(("person_a_1", "person_a_2")):
            (key,) = made.register(number=f"2026-{number}")
            made.put(key, portrait(name))
            assert made.arrive(key) == []
            keys.append(key)
            faces.append(str(made.photo(key).face_id))
        one = Anna(made, Users(GALLERY_TABLE, made.clock), keys, faces)
        one.users.create(*ANNA)
        one.associate(faces)
        assert one.follow() == []
        one.is_settled(faces)
        yield one


def test_a_note_again_or_of_nobody_does_nothing(here: Anna) -> None:
    calls = len(here.station.wire.calls)
    assert here.follow() == []
    assert "index.upsert" not in here.station.wire.calls[calls:]
    here.is_settled(here.faces)
    here.users.mark_deleting(here.expect())
    for _ in range(2):
        assert here.follow() == []
    assert (here.anna(), here.made_of(), here.users.owners(AGENCY, HERE, here.faces)) == (None, None, {})
    here.users.remind(*ANNA)
    assert here.follow() == []
    assert not [item for item in here.station.items() if item["pk"] == user_pk(*ANNA)]


def disassociate(here: Anna) -> None:
    here.users.disassociate(here.expect(), here.faces[:1])


def disassociate_all(here: Anna) -> None:
    here.users.disassociate(here.expect(), here.faces)


def delete(here: Anna) -> None:
    here.users.mark_deleting(here.expect())


def deleted(here: Anna) -> None:
    assert (here.anna(), here.made_of(), here.users.owners(AGENCY, HERE, here.faces)) == (None, None, {})


@pytest.mark.parametrize(
    ("change", "right"),
    [
        (disassociate, lambda here: here.is_settled(here.faces[1:])),
        (disassociate_all, lambda here: here.is_settled([])),
        (delete, deleted),
    ],
    ids=["disassociate", "disassociate all", "delete"],
)
def test_a_worker_killed_before_any_call_leaves_what_the_next_one_ends(
    here: Anna, change: Callable[[Anna], None], right: Callable[[Anna], None]
) -> None:
    change(here)
    wire = here.station.wire
    killed = 0
    while True:
        wire.kill_before = len(wire.calls) + killed
        try:
            assert here.follow() == []
            break
        except Killed:
            killed += 1
        finally:
            wire.kill_before = None
        here.station.lease_ends()
    assert killed > 5
    right(here)


def test_a_booking_whose_erasure_is_killed_before_any_call_leaves_nothing_in_a_users_template(here: Anna) -> None:
    one, key = here.station, here.keys[0]
    one.catalog.mark_deleting(one.booking(key))
    killed = 0
    while True:
        one.wire.kill_before = len(one.wire.calls) + killed
        try:
            assert one.follow(key) == []
            break
        except Killed:
            killed += 1
        finally:
            one.wire.kill_before = None
        if one.booking(key).state is BookingState.ERASED:
            # What may be open is the user's record, and its note brings that to its end.
            assert here.made_of() == digest(here.faces[1:])
        one.lease_ends()
    assert killed > 15
    assert one.booking(key).state is BookingState.ERASED
    assert here.follow() == []
    here.is_settled(here.faces[1:])


def test_a_photo_that_is_replaced_takes_its_face_out_of_the_template(here: Anna) -> None:
    one, key = here.station, here.keys[0]
    one.put(key, portrait("impostor_1"))
    assert one.arrive(key) == []
    assert one.photo(key).state is PhotoState.ENROLLED
    here.is_settled(here.faces[1:])


def test_what_changes_while_a_template_is_made_is_in_the_one_that_stays(here: Anna) -> None:
    here.users.disassociate(here.expect(), here.faces)
    assert here.follow() == []
    here.associate(here.faces)
    here.station.wire.hooks["index.upsert"] = lambda: disassociate(here)
    assert here.follow() == []
    here.is_settled(here.faces[1:])


def test_a_worker_that_others_took_for_dead_puts_right_what_it_wrote(here: Anna) -> None:
    """Its clock is behind: another has taken its lease, and made the template without a face that it then writes."""
    here.users.disassociate(here.expect(), here.faces)
    assert here.follow() == []
    here.associate(here.faces)

    def another() -> None:
        disassociate(here)
        moment = here.station.clock.moment
        here.station.lease_ends()
        assert here.follow() == []
        here.is_settled(here.faces[1:])
        here.station.clock.moment = moment

    here.station.wire.hooks["index.upsert"] = another
    assert here.follow() == []
    here.is_settled(here.faces[1:])


def test_a_booking_is_not_erased_before_an_earlier_replacement_is_out_of_a_template(here: Anna) -> None:
    one, key = here.station, here.keys[0]
    one.put(key, portrait("impostor_1"))
    assert one.arrive(key) == []
    # The user's note has not come, and yet the row's old face is in no template.
    assert here.made_of() == digest(here.faces[1:])
    one.catalog.mark_deleting(one.booking(key))
    assert one.follow(key) == []
    assert one.booking(key).state is BookingState.ERASED
    here.is_settled(here.faces[1:])


def test_a_face_that_is_associated_while_its_photo_is_replaced_is_in_no_template(here: Anna) -> None:
    one, key = here.station, here.keys[0]
    disassociate(here)
    assert here.follow() == []
    one.put(key, portrait("impostor_1"))

    def meanwhile() -> None:
        here.associate(here.faces[:1])
        assert len(here.follow()) == 1, "it comes again: a worker has the photo in its hands"

    one.wire.hooks["index.delete"] = meanwhile
    assert one.arrive(key) == []
    assert here.made_of() == digest(here.faces[1:])
    assert here.follow() == []
    here.is_settled(here.faces[1:])


def test_what_a_worker_wrote_far_too_late_is_put_right_by_a_reminder(here: Anna) -> None:
    """It erases one booking of the user's and hangs in the middle of a write, while others erase the other one."""
    one, (first, second) = here.station, here.keys
    one.catalog.mark_deleting(one.booking(first))

    def meanwhile() -> None:
        one.lease_ends()
        one.catalog.mark_deleting(one.booking(second))
        assert one.follow(second) == []
        assert here.follow() == []
        assert here.made_of() is None

    one.wire.hooks["index.upsert"] = meanwhile
    assert len(one.follow(first)) == 1
    assert [item for item in one.items() if item["pk"] == user_pk(*ANNA) and item["sk"] == "CHANGE"]
    one.lease_ends()
    assert here.follow() == []
    assert one.follow(first) == []
    here.is_settled([])


def test_a_template_that_comes_after_its_user_has_gone_goes_too(here: Anna) -> None:
    one = here.station
    here.users.disassociate(here.expect(), here.faces)
    assert here.follow() == []
    here.associate(here.faces)

    def meanwhile() -> None:
        moment = one.clock.moment
        one.lease_ends()
        delete(here)
        assert here.follow() == []
        assert here.anna() is None
        one.clock.moment = moment

    one.wire.hooks["index.upsert"] = meanwhile
    assert here.follow() == []
    deleted(here)


def test_an_erasure_is_followed_by_its_own_id_whatever_users_it_meets(here: Anna) -> None:
    one, key = here.station, here.keys[0]
    with following("request-of-disassociation"):
        disassociate(here)
    with following("request-of-deletion"):
        one.catalog.mark_deleting(one.booking(key))
    assert one.follow(key) == []
    assert (one.wire.published[-1][0], one.wire.followed[-1]) == ("BookingErased", "request-of-deletion")


def test_a_face_that_was_lost_and_is_enrolled_again_is_in_the_template_again(here: Anna) -> None:
    one = here.station
    one.index.delete(Partition(AGENCY, HERE), [UUID(face) for face in here.faces])
    here.users.remind(*ANNA)
    assert here.follow() == []
    assert here.made_of() is None
    for key in here.keys:
        assert one.arrive(key) == []
    assert here.follow() == []
    here.is_settled(here.faces)


def test_a_deleted_booking_is_out_of_what_a_user_is_searched_and_scored_by_at_once(here: Anna) -> None:
    one = here.station
    one.catalog.mark_deleting(one.booking(here.keys[0]))
    index = one.work.fusion.indexes.serving().index
    gone, stands = index.get(Partition(AGENCY, HERE), [UUID(face) for face in here.faces])
    any_score = Threshold(-1.0, None, None, None, "any")
    found = UserSearch(index, one.catalog).find(
        Partition(AGENCY, HERE), gone.template, threshold=lambda _: any_score, most=5
    )
    (candidate,) = found.candidates
    assert (candidate.face.face_id, candidate.user_id) == (here.faces[1], "anna")
    assert candidate.cosine == pytest.approx(float(gone.template @ stands.template), abs=1e-5)
    one.catalog.mark_deleting(one.booking(here.keys[1]))
    assert standing_faces(one.catalog, [here.expect()]) == {here.expect().entry_id: {}}


def test_a_user_in_another_workers_hands_is_waited_for_and_comes_again(here: Anna) -> None:
    one, key = here.station, here.keys[0]
    with here.users.holding(here.expect(), "another", one.clock() + 60):
        one.catalog.mark_deleting(one.booking(key))
        assert len(one.follow(key)) == 1
        assert one.booking(key).state is BookingState.DELETING
    one.lease_ends()
    assert one.follow(key) == []
    here.is_settled(here.faces[1:])


def test_a_face_is_of_one_user_until_no_template_holds_it(here: Anna) -> None:
    here.users.create(AGENCY, HERE, "bob")
    disassociate(here)
    bob = here.users.expect(AGENCY, HERE, "bob")
    with pytest.raises(UserMoved):
        here.users.associate(bob, {here.faces[0]: here.keys[0].booking_id})
    # Its own user may have it back at any time.
    here.associate(here.faces[:1])
    assert here.follow() == []
    here.is_settled(here.faces)
    disassociate(here)
    assert here.follow() == []
    here.users.associate(bob, {here.faces[0]: here.keys[0].booking_id})
    assert here.users.owners(AGENCY, HERE, here.faces)[here.faces[0]].user_id == "bob"


def test_a_template_is_unit_length_and_of_the_faces_that_stand(here: Anna) -> None:
    anna = here.expect()
    (entry,) = here.station.index.get(Partition.of_users(AGENCY, HERE), [UUID(anna.entry_id)])
    its = here.station.index.get(Partition(AGENCY, HERE), [UUID(face) for face in here.faces])
    mean: Any = sum(one.template for one in its)
    assert float(entry.template @ mean) / float((mean @ mean) ** 0.5) == pytest.approx(1.0, abs=1e-6)
    assert (entry.subject_id, entry.booked_at) == ("anna", anna.created_at)


def test_the_log_has_no_users_id(here: Anna) -> None:
    disassociate(here)
    assert here.follow() == []
    assert '"message":"user"' in here.station.log.getvalue()
    assert "anna" not in here.station.log.getvalue()
