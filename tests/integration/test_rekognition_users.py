"""Users of a collection by Rekognition's API over moto's AWS, with the real model and index, events included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from PIL import Image

from candid.errors import NotFound
from candid.gallery.catalog import Catalog
from candid.gallery.fusion import digest
from candid.gallery.index import Partition
from candid.gallery.users import MAX_FACES, Users
from candid.rekognition import users as operations
from embed import wiring
from tests.contract.openapi import conforms
from tests.hostile import photos
from tests.integration.aws import GALLERY_TABLE
from tests.integration.gallery import AGENCY
from tests.integration.rekognition_world import STRANGER, World, eventually, ids, index, listed, rekognition_world
from tests.integration.test_rekognition import side_by_side
from tests.portraits import portrait
from tests.rekognition import refused

pytestmark = pytest.mark.slow

UNKNOWN = "00000000-0000-0000-0000-000000000007"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with rekognition_world(tmp_path_factory.mktemp("users")) as made:
        yield made


@pytest.fixture
def name(world: World) -> str:
    return world.collection()


def face(one: Any, name: str, photo: str, external: str | None = None) -> str:
    """A face that is enrolled."""
    (made,) = ids(index(one, name, portrait(photo), external))
    return made


def template(name: str, user_id: str) -> Any:
    """What the index has of a user; None where it has nothing."""
    user = Users(GALLERY_TABLE).get(AGENCY, name, user_id)
    assert user is not None
    held = serving().get(Partition.of_users(AGENCY, name), [UUID(user.entry_id)])
    return held[0] if held else None


def serving() -> Any:
    return wiring.work().enrolment.indexes.serving().index


def templates_of(name: str) -> int:
    """Of users, in the index."""
    told: int = serving().count(Partition.of_users(AGENCY, name))
    return told


def statuses(one: Any, name: str) -> dict[str, str]:
    return {user["UserId"]: user["UserStatus"] for user in one.list_users(CollectionId=name)["Users"]}


def associated(one: Any, name: str, user_id: str, faces: list[str], **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = one.associate_faces(CollectionId=name, UserId=user_id, FaceIds=faces, **more)
    return told


def test_a_user_is_made_listed_and_deleted(world: World, name: str) -> None:
    one = world.client()
    one.create_user(CollectionId=name, UserId="anna")
    assert refused(one.create_user, CollectionId=name, UserId="anna")[:2] == ("ConflictException", 400)
    assert statuses(one, name) == {"anna": "CREATED"}
    assert one.describe_collection(CollectionId=name)["UserCount"] == 1
    one.delete_user(CollectionId=name, UserId="anna")
    assert statuses(one, name) == {}
    assert refused(one.delete_user, CollectionId=name, UserId="anna")[0] == "ResourceNotFoundException"
    one.create_user(CollectionId=name, UserId="anna")


def test_users_are_listed_in_the_order_of_their_ids_page_by_page(world: World, name: str) -> None:
    one = world.client()
    for user_id in ("c", "a:1", "B", "a.1"):
        one.create_user(CollectionId=name, UserId=user_id)
    pages = list(one.get_paginator("list_users").paginate(CollectionId=name, PaginationConfig={"PageSize": 3}))
    assert [[user["UserId"] for user in page["Users"]] for page in pages] == [["B", "a.1", "a:1"], ["c"]]
    token = pages[0]["NextToken"]
    told = refused(one.list_users, CollectionId=world.collection(), NextToken=token)
    assert told[0] == "InvalidPaginationTokenException"


def test_nobody_of_another_agency_sees_a_user(world: World, name: str) -> None:
    one, other = world.client(), world.client(STRANGER)
    one.create_user(CollectionId=name, UserId="anna")
    for call, members in (
        (other.list_users, {}),
        (other.delete_user, {"UserId": "anna"}),
        (other.associate_faces, {"UserId": "anna", "FaceIds": [UNKNOWN]}),
        (other.search_users, {"UserId": "anna"}),
    ):
        assert refused(call, CollectionId=name, **members)[0] == "ResourceNotFoundException"
    other.create_collection(CollectionId=name)
    assert other.list_users(CollectionId=name)["Users"] == []
    assert refused(other.search_users, CollectionId=name, UserId="anna")[0] == "ResourceNotFoundException"


def test_the_template_of_a_user_is_the_mean_of_its_faces_templates(world: World, name: str) -> None:
    one = world.client()
    faces = [face(one, name, "person_a_1"), face(one, name, "person_a_2")]
    one.create_user(CollectionId=name, UserId="anna")
    told = associated(one, name, "anna", faces)
    assert [each["FaceId"] for each in told["AssociatedFaces"]] == faces
    assert (told["UnsuccessfulFaceAssociations"], told["UserStatus"]) == ([], "ACTIVE")
    its = [entry.template for entry in serving().get(Partition(AGENCY, name), [UUID(each) for each in faces])]
    made = template(name, "anna")
    mean = np.mean(its, axis=0)
    assert np.allclose(made.template, mean / np.linalg.norm(mean), atol=1e-6)
    assert made.booking_id == digest(faces)
    assert {each["FaceId"]: each.get("UserId") for each in one.list_faces(CollectionId=name)["Faces"]} == dict.fromkeys(
        faces, "anna"
    )
    assert listed(one, name, UserId="anna") == sorted(faces)
    assert listed(one, name, UserId="anna", FaceIds=faces[:1]) == faces[:1]
    first = one.list_faces(CollectionId=name, UserId="anna", MaxResults=1)
    assert listed(one, name, UserId="anna", NextToken=first["NextToken"]) == sorted(faces)[1:]
    assert refused(one.list_faces, CollectionId=name, UserId="bob")[0] == "ResourceNotFoundException"


def test_a_face_is_associated_once_and_only_if_it_is_like_the_others(world: World, name: str) -> None:
    one = world.client()
    anna, like, unlike = (face(one, name, photo) for photo in ("person_a_1", "person_a_2", "impostor_1"))
    for user_id in ("anna", "bob"):
        one.create_user(CollectionId=name, UserId=user_id)
    associated(one, name, "bob", [unlike])
    told = associated(one, name, "anna", [anna])
    told = associated(one, name, "anna", [anna, unlike, UNKNOWN, like])
    assert [each["FaceId"] for each in told["AssociatedFaces"]] == [like]
    assert {each["FaceId"]: each["Reasons"] for each in told["UnsuccessfulFaceAssociations"]} == {
        unlike: ["ASSOCIATED_TO_A_DIFFERENT_USER"],
        UNKNOWN: ["FACE_NOT_FOUND"],
    }
    one.delete_user(CollectionId=name, UserId="bob")
    (told_of,) = associated(one, name, "anna", [unlike])["UnsuccessfulFaceAssociations"]
    assert told_of["Reasons"] == ["LOW_MATCH_CONFIDENCE"]
    assert 0 <= told_of["Confidence"] < 75
    told = associated(one, name, "anna", [unlike], UserMatchThreshold=0)
    assert [each["FaceId"] for each in told["AssociatedFaces"]] == [unlike]


def test_a_face_that_is_let_go_of_is_in_no_template_any_more(world: World, name: str) -> None:
    one = world.client()
    faces = [face(one, name, "person_a_1"), face(one, name, "person_a_2")]
    one.create_user(CollectionId=name, UserId="anna")
    one.create_user(CollectionId=name, UserId="bob")
    associated(one, name, "anna", faces)
    told = refused_deletion(one, name, faces[0])
    assert told == {"FaceId": faces[0], "UserId": "anna", "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]}
    assert one.disassociate_faces(CollectionId=name, UserId="bob", FaceIds=[faces[0], UNKNOWN])[
        "UnsuccessfulFaceDisassociations"
    ] == [
        {"FaceId": faces[0], "UserId": "anna", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]},
        {"FaceId": UNKNOWN, "Reasons": ["FACE_NOT_FOUND"]},
    ]
    told = one.disassociate_faces(CollectionId=name, UserId="anna", FaceIds=[faces[0]])
    assert ([each["FaceId"] for each in told["DisassociatedFaces"]], told["UserStatus"]) == ([faces[0]], "ACTIVE")
    assert template(name, "anna").booking_id == digest(faces[1:])
    assert one.delete_faces(CollectionId=name, FaceIds=[faces[0]])["DeletedFaces"] == [faces[0]]
    told = one.disassociate_faces(CollectionId=name, UserId="anna", FaceIds=[faces[1]])
    assert told["UserStatus"] == "CREATED"
    assert (template(name, "anna"), templates_of(name)) == (None, 0)
    associated(one, name, "bob", faces[1:])


def refused_deletion(one: Any, name: str, face_id: str) -> dict[str, Any]:
    (told,) = one.delete_faces(CollectionId=name, FaceIds=[face_id])["UnsuccessfulFaceDeletions"]
    made: dict[str, Any] = told
    return made


def test_a_deleted_user_leaves_its_faces_and_nothing_of_its_template(world: World, name: str) -> None:
    one = world.client()
    made = face(one, name, "person_a_1")
    one.create_user(CollectionId=name, UserId="anna")
    associated(one, name, "anna", [made])
    assert templates_of(name) == 1
    one.delete_user(CollectionId=name, UserId="anna")
    assert (templates_of(name), statuses(one, name)) == (0, {})
    (its,) = one.list_faces(CollectionId=name)["Faces"]
    assert (its["FaceId"], "UserId" in its) == (made, False)
    assert one.delete_faces(CollectionId=name, FaceIds=[made])["DeletedFaces"] == [made]


def test_users_are_searched_with_an_image_a_face_and_a_user_and_each_search_is_stored(world: World, name: str) -> None:
    one = world.client()
    anna = [face(one, name, "person_a_1"), face(one, name, "person_a_1", "again")]
    bob, stranger = face(one, name, "impostor_1"), face(one, name, "person_a_2", "no-one")
    for user_id, faces in (("anna", anna), ("bob", [bob]), ("nobody", [])):
        one.create_user(CollectionId=name, UserId=user_id)
        if faces:
            associated(one, name, user_id, faces)
    told = one.search_users_by_image(CollectionId=name, Image={"Bytes": side_by_side("person_a_2", "impostor_1")})
    assert [match["User"] for match in told["UserMatches"]] == [{"UserId": "anna", "UserStatus": "ACTIVE"}]
    assert [each["Reasons"] for each in told["UnsearchedFaces"]] == [["FACE_NOT_LARGEST"]]
    assert told["SearchedFace"]["FaceDetail"]["Confidence"] > 50
    headers = told["ResponseMetadata"]["HTTPHeaders"]
    kept = world.gallery.casework("GET", f"/v1/searches/{headers['x-candid-search-id']}").body
    conforms(kept, "Search")
    (candidate,) = kept["results"][0]["candidates"]
    assert (candidate["user_id"], candidate["face_id"] in anna, kept["users"], kept["gallery_size"]) == (
        "anna",
        True,
        True,
        2,
    )
    assert "template of a user's faces together" in kept["notice"]
    told = one.search_users(CollectionId=name, FaceId=stranger)
    assert ([match["User"]["UserId"] for match in told["UserMatches"]], told["SearchedFace"]) == (
        ["anna"],
        {"FaceId": stranger},
    )
    told = one.search_users(CollectionId=name, UserId="anna")
    assert (told["UserMatches"], told["SearchedUser"]) == ([], {"UserId": "anna"})
    kept = world.gallery.casework(
        "GET", f"/v1/searches/{told['ResponseMetadata']['HTTPHeaders']['x-candid-search-id']}"
    )
    conforms(kept.body, "Search")
    assert (kept.body["probe_user_id"], kept.body["results"][0]["outcome"]) == ("anna", "no_candidate_above_threshold")
    matches = one.search_faces(CollectionId=name, FaceId=stranger)["FaceMatches"]
    assert {match["Face"]["FaceId"]: match["Face"].get("UserId") for match in matches} == dict.fromkeys(anna, "anna")


def test_a_user_search_needs_one_probe_and_a_user_with_a_face(world: World, name: str) -> None:
    one = world.client()
    one.create_user(CollectionId=name, UserId="anna")
    for members in ({}, {"UserId": "anna", "FaceId": UNKNOWN}, {"UserId": "anna"}, {"FaceId": UNKNOWN}):
        assert refused(one.search_users, CollectionId=name, **members)[0] == "InvalidParameterException"
    assert refused(one.search_users, CollectionId=name, UserId="bob")[0] == "ResourceNotFoundException"


def test_an_image_without_a_face_finds_no_user_and_is_no_search(world: World, name: str) -> None:
    one = world.client()
    told = one.search_users_by_image(CollectionId=name, Image={"Bytes": photos.saved(Image.new("RGB", (300, 300)))})
    assert (told["UserMatches"], told["UnsearchedFaces"], "SearchedFace" in told) == ([], [], False)
    assert "x-candid-search-id" not in told["ResponseMetadata"]["HTTPHeaders"]


def test_the_policys_list_and_threshold_hold_for_users_too(world: World, name: str) -> None:
    one = world.client()
    made = face(one, name, "person_a_1")
    told = one.search_users(CollectionId=name, FaceId=made, MaxUsers=500, UserMatchThreshold=0)
    said = told["ResponseMetadata"]["HTTPHeaders"]["x-candid-policy"]
    assert ("MaxUsers cut to 50" in said, "UserMatchThreshold raised to" in said) == (True, True)


def test_the_same_request_again_is_the_same_and_another_with_its_token_is_refused(world: World, name: str) -> None:
    one = world.client()
    faces = [face(one, name, "person_a_1"), face(one, name, "person_a_2")]
    token = {"ClientRequestToken": "token-1"}
    for _ in range(2):
        one.create_user(CollectionId=name, UserId="anna", **token)
    told = refused(one.create_user, CollectionId=name, UserId="bob", **token)
    assert told[0] == "IdempotentParameterMismatchException"
    first = [associated(one, name, "anna", faces, **token) for _ in range(2)]
    assert [[each["FaceId"] for each in told["AssociatedFaces"]] for told in first] == [faces, faces]
    assert associated(one, name, "anna", faces)["AssociatedFaces"] == []
    gone = [one.disassociate_faces(CollectionId=name, UserId="anna", FaceIds=faces[:1], **token) for _ in range(2)]
    assert [[each["FaceId"] for each in told["DisassociatedFaces"]] for told in gone] == [faces[:1], faces[:1]]
    for _ in range(2):
        one.delete_user(CollectionId=name, UserId="anna", **token)


def test_a_request_that_is_delivered_twice_at_once_is_answered_twice_alike(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world.client()
    faces = [face(one, name, "person_a_1"), face(one, name, "person_a_2")]
    one.create_user(CollectionId=name, UserId="anna")

    both = [{"FaceId": each} for each in faces]

    def twice(method: str) -> None:
        """The first delivery ends where the second is about to write."""
        done, written = getattr(Users, method), []

        def write(self: Users, *arguments: Any) -> Any:
            if not written:
                written.append(done(self, *arguments))
            return done(self, *arguments)

        monkeypatch.setattr(Users, method, write)

    for method, call, members, wanted in (
        (
            "associate",
            one.associate_faces,
            {"FaceIds": faces},
            {"AssociatedFaces": both},
        ),
        (
            "disassociate",
            one.disassociate_faces,
            {"FaceIds": faces},
            {"DisassociatedFaces": both},
        ),
        ("mark_deleting", one.delete_user, {}, {}),
    ):
        twice(method)
        told = call(CollectionId=name, UserId="anna", ClientRequestToken=method, **members)
        assert told.items() >= wanted.items()
        monkeypatch.undo()


def test_a_token_holds_for_what_changed_nothing_too(world: World, name: str) -> None:
    one = world.client()
    made = face(one, name, "person_a_1")
    one.create_user(CollectionId=name, UserId="anna")
    for call in (one.associate_faces, one.disassociate_faces):
        call(CollectionId=name, UserId="anna", FaceIds=[UNKNOWN], ClientRequestToken="same")
        told = refused(call, CollectionId=name, UserId="anna", FaceIds=[made], ClientRequestToken="same")
        assert told[0] == "IdempotentParameterMismatchException"


def test_a_face_that_is_nobodys_is_left_out_of_a_disassociation(world: World, name: str) -> None:
    one = world.client()
    made = face(one, name, "person_a_1")
    one.create_user(CollectionId=name, UserId="anna")
    told = one.disassociate_faces(CollectionId=name, UserId="anna", FaceIds=[made])
    assert (told["DisassociatedFaces"], told["UnsuccessfulFaceDisassociations"]) == ([], [])


def test_a_users_faces_are_listed_to_the_end_where_the_index_lacks_one(world: World, name: str) -> None:
    one = world.client()
    faces = sorted([face(one, name, "person_a_1"), face(one, name, "person_a_2")])
    one.create_user(CollectionId=name, UserId="anna")
    associated(one, name, "anna", faces)
    serving().delete(Partition(AGENCY, name), [UUID(faces[0])])
    pages = one.get_paginator("list_faces").paginate(CollectionId=name, UserId="anna", PaginationConfig={"PageSize": 1})
    assert [one["FaceId"] for page in pages for one in page["Faces"]] == faces[1:]


def test_a_user_has_so_many_faces_at_most(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MAX_FACES", 2)
    one = world.client()
    faces = [face(one, name, "person_a_1", f"external-{number}") for number in range(3)]
    one.create_user(CollectionId=name, UserId="anna")
    told = associated(one, name, "anna", faces)
    assert [each["FaceId"] for each in told["AssociatedFaces"]] == faces[:2]
    assert told["UnsuccessfulFaceAssociations"] == [{"FaceId": faces[2], "UserId": "anna", "Reasons": []}]
    told = refused(one.associate_faces, CollectionId=name, UserId="anna", FaceIds=faces[2:])
    assert told[0] == "ServiceQuotaExceededException"


def test_a_hundred_faces_are_taken_and_let_go_of(world: World, name: str) -> None:
    users = Users(GALLERY_TABLE)
    world.client().create_user(CollectionId=name, UserId="anna")
    faces = {str(UUID(int=number)): UNKNOWN for number in range(MAX_FACES)}
    # Of a booking that is not there.
    users.associate(users.expect(AGENCY, name, "anna"), faces)
    eventually(lambda: users.expect(AGENCY, name, "anna").status == "CREATED")
    assert users.owners(AGENCY, name, faces) == {}


# ---- what becomes of a user when its faces go


def test_a_booking_that_is_erased_takes_its_face_out_of_the_users_template(world: World, name: str) -> None:
    one, catalog = world.client(), Catalog(GALLERY_TABLE)
    faces = [face(one, name, "person_a_1"), face(one, name, "person_a_2")]
    one.create_user(CollectionId=name, UserId="anna")
    associated(one, name, "anna", faces)
    entries = serving().get(Partition(AGENCY, name), [UUID(faces[0])])
    booking = catalog.get(AGENCY, entries[0].booking_id)
    assert booking is not None
    catalog.mark_deleting(booking)
    eventually(lambda: _is_erased(catalog, booking))
    assert template(name, "anna").booking_id == digest(faces[1:])
    assert listed(one, name, UserId="anna") == faces[1:]
    assert Users(GALLERY_TABLE).owners(AGENCY, name, faces).keys() == {faces[1]}


def _is_erased(catalog: Catalog, booking: Any) -> bool:
    found = catalog.get(booking.agency, booking.booking_id)
    return found is not None and found.state == "erased" and found.change is None


def test_a_collection_is_deleted_with_its_users(world: World, name: str) -> None:
    one = world.client()
    made = face(one, name, "person_a_1")
    for user_id in ("anna", "bob"):
        one.create_user(CollectionId=name, UserId=user_id)
    associated(one, name, "anna", [made])
    one.delete_collection(CollectionId=name)
    users = Users(GALLERY_TABLE)
    assert [users.get(AGENCY, name, user_id) for user_id in ("anna", "bob")] == [None, None]
    assert (templates_of(name), users.owners(AGENCY, name, [made])) == (0, {})
    one.create_collection(CollectionId=name)
    assert statuses(one, name) == {}


def test_a_user_is_not_made_in_a_collection_that_goes_meanwhile(world: World, name: str) -> None:
    world.client().delete_collection(CollectionId=name)
    with pytest.raises(NotFound):
        Users(GALLERY_TABLE).create(AGENCY, name, "anna")
    assert Users(GALLERY_TABLE).get(AGENCY, name, "anna") is None
