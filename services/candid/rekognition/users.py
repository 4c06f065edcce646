"""Users of a collection: CreateUser, DeleteUser, ListUsers, AssociateFaces, DisassociateFaces.

A ClientRequestToken is honoured for a day: the same request again is the same one, and has its answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from candid import aws
from candid.gallery.fusion import fused, standing_faces
from candid.gallery.index import Entry, Partition
from candid.gallery.search import standing
from candid.gallery.users import MAX_FACES, TooManyFaces, User, UserConflict, UserMoved
from candid.idempotency import Claim
from candid.rekognition import paging
from candid.rekognition.calls import Answer, Call, similarity, until_searches_find
from candid.rekognition.collections import expect

_PAGE: Final = 500
_THRESHOLD: Final = 75.0
_TURNS: Final = 20
_WAIT_SECONDS: Final = 10.0
"""For so long a template that has to follow is waited for; it does in any case."""


def create_user(call: Call) -> Answer:
    """CreateUser."""
    collection, claim = expect(call), _claim(call, "CreateUser")
    if claim is None or claim.earlier_result(call.work.users.table) is None:
        call.work.users.create(call.agency, collection.name, call.asked["UserId"], claim)
    return Answer({})


def delete_user(call: Call) -> Answer:
    """DeleteUser: from the answer on nobody finds the user. Its faces stay, and are nobody's."""
    expect(call)
    claim = _claim(call, "DeleteUser")

    def delete(user: User) -> dict[str, Any]:
        call.work.users.mark_deleting(user, claim)
        _wait(lambda: (left := _known(call)) is None or left.entry_id != user.entry_id)
        return {}

    return Answer(_once(call, claim, delete))


def list_users(call: Call) -> Answer:
    """ListUsers, in the order of their ids. One that was made within the last second may be missing."""
    listing = ("ListUsers", call.agency, expect(call).name)
    after = paging.place(call.asked.get("NextToken"), paging.USER, *listing)
    limit = call.asked.get("MaxResults") or _PAGE
    found = call.work.users.list(call.agency, call.asked["CollectionId"], after, limit + 1)
    answer: dict[str, Any] = {
        "Users": [{"UserId": one.user_id, "UserStatus": one.status.value} for one in found[:limit]]
    }
    if len(found) > limit:
        answer["NextToken"] = paging.token(found[limit - 1].user_id, *listing)
    return Answer(answer)


def associate_faces(call: Call) -> Answer:
    """AssociateFaces: a face that is like enough to those that the user has, or any where it has none."""
    expect(call)
    claim = _claim(call, "AssociateFaces")
    mark = claim.pk if claim else None

    def associate(user: User) -> dict[str, Any]:
        taken, again, refused = _judged(call, user, mark)
        told = {
            "AssociatedFaces": [{"FaceId": one} for one in _wanted(call) if one in taken or one in again],
            "UnsuccessfulFaceAssociations": refused,
        }
        if taken:
            call.work.users.associate(user, taken, claim, json.dumps(told), mark)
        elif claim:
            call.work.users.note(claim, json.dumps(told))
        return told

    return _answer(call, _once(call, claim, associate))


def disassociate_faces(call: Call) -> Answer:
    """DisassociateFaces. A face of the collection that is nobody's is left out of the answer."""
    expect(call)
    claim = _claim(call, "DisassociateFaces")

    def disassociate(user: User) -> dict[str, Any]:
        gone = [one for one in _wanted(call) if one in user.faces]
        told = {
            "DisassociatedFaces": [{"FaceId": one} for one in gone],
            "UnsuccessfulFaceDisassociations": _not_its_own(call, user),
        }
        if gone:
            call.work.users.disassociate(user, gone, claim, json.dumps(told))
        elif claim:
            call.work.users.note(claim, json.dumps(told))
        return told

    return _answer(call, _once(call, claim, disassociate))


def _not_its_own(call: Call, user: User) -> list[dict[str, Any]]:
    others = [one for one in _wanted(call) if one not in user.faces]
    owners = call.work.users.owners(call.agency, user.collection, others)
    partition = Partition(user.agency, user.collection)
    index = call.work.indexes.serving().index
    there = {str(one.id) for one in index.get(partition, [UUID(one) for one in others])} if others else set()
    refused = []
    for one in others:
        owner = owners.get(one)
        if owner is not None and owner.entry_id != user.entry_id:
            refused.append(_refused(one, "ASSOCIATED_TO_A_DIFFERENT_USER", UserId=owner.user_id))
        elif one not in there:
            refused.append(_refused(one, "FACE_NOT_FOUND"))
    return refused


def expect_user(call: Call) -> User:
    """The user that a call names. Raises ``NotFound``."""
    return call.work.users.expect(call.agency, call.asked["CollectionId"], call.asked["UserId"])


def _judged(call: Call, user: User, request: str | None) -> tuple[dict[str, str], set[str], list[dict[str, Any]]]:
    """Of the faces of a call: those to associate with each one's booking, those that this very request associated before, and the
    others with the reason. One that the user has is none of them."""
    if len(user.faces) >= MAX_FACES and not user.faces.keys() >= set(_wanted(call)):
        raise TooManyFaces(f"The user has {MAX_FACES} faces, which is the most. Let some go first (DisassociateFaces).")
    serving = call.work.indexes.serving()
    partition = Partition(user.agency, user.collection)
    wanted = _wanted(call)
    owners = call.work.users.owners(user.agency, user.collection, wanted)
    there = _there(call, partition, serving.index.get(partition, [UUID(one) for one in wanted]))
    # What this very request has associated before it was cut off is judged as if it had not.
    its = {one for one, owner in owners.items() if request and owner.request == request}
    stands = standing_faces(call.work.catalog, [user])[user.entry_id]
    like = fused(user, serving.index, stands.keys() - its)
    threshold = call.asked.get("UserMatchThreshold", _THRESHOLD)
    taken: dict[str, str] = {}
    again: set[str] = set()
    refused: list[dict[str, Any]] = []
    for one in wanted:
        owner = owners.get(one)
        if owner is not None and owner.entry_id != user.entry_id:
            refused.append(_refused(one, "ASSOCIATED_TO_A_DIFFERENT_USER", UserId=owner.user_id))
        elif one in user.faces:
            if request and owner and owner.request == request:
                again.add(one)
        elif one not in there:
            refused.append(_refused(one, "FACE_NOT_FOUND"))
        elif (
            like is not None
            and (alike := similarity(serving.engine.score(float(like.template @ there[one].template)))) < threshold
        ):
            refused.append(_refused(one, "LOW_MATCH_CONFIDENCE", UserId=user.user_id, Confidence=alike))
        elif len(user.faces) + len(taken) >= MAX_FACES:
            # Rekognition has no word for those that one call has too many.
            refused.append(_refused(one, UserId=user.user_id))
        else:
            taken[one] = there[one].booking_id
    return taken, again, refused


def _there(call: Call, partition: Partition, entries: Sequence[Entry]) -> dict[str, Entry]:
    """Those of the entries whose face a search may find."""
    bookings = call.work.catalog.several(partition.agency, (one.booking_id for one in entries))
    return {
        str(one.id): one
        for one in entries
        if standing(bookings[one.booking_id], partition.collection, str(one.id)) is not None
    }


def _once(call: Call, claim: Claim | None, change: Callable[[User], dict[str, Any]]) -> dict[str, Any]:
    """What ``change`` gives, decided on the user's record as it is when it is written; or what the same request gave before."""
    for _ in range(_TURNS):
        if claim and (earlier := claim.earlier_result(call.work.users.table)) is not None:
            told: dict[str, Any] = json.loads(earlier) if earlier else {}
            return told
        try:
            return change(expect_user(call))
        except UserMoved:
            time.sleep(0.05)
    raise UserConflict("Others are changing the same user now. Try again in a minute.")


def _answer(call: Call, told: Mapping[str, Any]) -> Answer:
    """With the user's status, once its template has followed, and searches find it; without one where the user is gone since."""
    _wait(lambda: (user := _known(call)) is None or user.revision == user.settled)
    user = _known(call)
    if user is None:
        return Answer(told)
    if user.faces and user.revision == user.settled:
        until_searches_find(call, Partition.of_users(user.agency, user.collection), UUID(user.entry_id))
    return Answer({**told, "UserStatus": user.status.value})


def _known(call: Call) -> User | None:
    return call.work.users.get(call.agency, call.asked["CollectionId"], call.asked["UserId"])


def _wait(done: Callable[[], bool]) -> None:
    end, pause = time.monotonic() + aws.at_most(_WAIT_SECONDS), 0.05
    while time.monotonic() < end and not done():
        time.sleep(pause)
        pause = min(0.5, pause * 1.5)


def _wanted(call: Call) -> list[str]:
    return list(dict.fromkeys(call.asked["FaceIds"]))


def _refused(face_id: str, *reasons: str, **more: Any) -> dict[str, Any]:
    return {"FaceId": face_id, **more, "Reasons": list(reasons)}


def _claim(call: Call, operation: str) -> Claim | None:
    asked = {name: value for name, value in call.asked.items() if name != "ClientRequestToken"}
    who = call.grant.principal
    text = json.dumps(asked, sort_keys=True).encode()
    claim = Claim.of(call.asked.get("ClientRequestToken"), who.agency, who.user, operation, text)
    return replace(claim, name="ClientRequestToken") if claim else None
