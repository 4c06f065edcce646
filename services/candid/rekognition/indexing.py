"""Faces of a collection: IndexFaces, ListFaces, DeleteFaces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from candid import aws
from candid.errors import Conflict, DependencyUnavailable
from candid.faces import image as images
from candid.faces.filters import chosen, look
from candid.gallery.booking import Booking, Face, Indexing, Photo
from candid.gallery.images import face_ids
from candid.gallery.index import Label, Partition
from candid.gallery.search import standing
from candid.rekognition import faces, paging
from candid.rekognition.calls import Answer, Call, answer_version, until_searches_find
from candid.rekognition.collections import expect
from candid.rekognition.images import decoded, image_bytes
from candid.rekognition.users import expect_user
from candid.together import at_once

MOST_FACES: Final = 100
"""Of one photo."""
_PAGE: Final = 1_000
"""Faces of one answer, though a call may ask for 4,096: each is looked up."""
_WAIT_SECONDS: Final = 12.0
"""For so long the enrolment of what was stored is waited for; it comes in any case."""
_TURNS: Final = 20
_EXTERNAL: Final = re.compile(r"[a-zA-Z0-9_.\-:]{1,255}")


def index_faces(call: Call) -> Answer:
    """IndexFaces: the photo is stored, and its event enrols the faces that are answered, under their ids."""
    collection = expect(call)
    data = image_bytes(call, "Image")
    image = decoded(data)
    quality_filter = call.asked.get("QualityFilter", "AUTO")
    most = min(call.asked.get("MaxFaces", MOST_FACES), MOST_FACES)
    engine = call.work.indexes.engine()
    taken, others = chosen(look(engine, image, quality_filter), most)
    records = []
    if taken:
        indexing = Indexing(call.asked.get("ExternalImageId"), most, quality_filter)
        places = [one.place for one in taken]
        booking = call.work.images.take(collection, data, str(images.content_type(data)), indexing, places)
        ids = face_ids(booking, places)
        call.work.images.wait(booking, ids, aws.at_most(_WAIT_SECONDS))
        call.work.images.expect_still(collection, booking)
        until_searches_find(call, Partition(call.agency, collection.name), UUID(ids[0]))
        records = [
            {
                "Face": {
                    "FaceId": face_id,
                    "BoundingBox": faces.bounding_box(one.detection, image),
                    "ImageId": booking.photos[0].photo_id,
                    **_external(booking),
                    "Confidence": faces.confidence(one.detection),
                    **answer_version(engine.card.id),
                },
                "FaceDetail": faces.detail(one, image),
            }
            for face_id, one in zip(ids, taken, strict=True)
        ]
    return Answer(
        {
            "FaceRecords": records,
            "FaceModelVersion": call.model,
            "UnindexedFaces": [
                {"Reasons": list(one.reasons), "FaceDetail": faces.detail(one, image)} for one in others
            ],
        }
    )


def list_faces(call: Call) -> Answer:
    """ListFaces, in the order of their ids. What was written within the last second may be missing."""
    collection = expect(call)
    index, partition = call.work.indexes.serving().index, Partition(call.agency, collection.name)
    named = call.asked.get("FaceIds")
    if "UserId" not in call.asked and named is not None:
        wanted = [UUID(one) for one in dict.fromkeys(named)]
        found = [_label(entry) for entry in index.get(partition, wanted)]
        return Answer({"Faces": _shown(call, found), "FaceModelVersion": call.model})
    listing = ("ListFaces", call.agency, collection.name, *_of_user(call))
    after = paging.place(call.asked.get("NextToken"), paging.ID, *listing)
    limit = min(call.asked.get("MaxResults") or _PAGE, _PAGE)
    if "UserId" in call.asked:
        its = sorted(expect_user(call).faces if named is None else set(named) & expect_user(call).faces.keys())
        ids = [UUID(one) for one in its if after is None or one > after][:limit]
        page: Sequence[Label] = [_label(entry) for entry in index.get(partition, ids)]
    else:
        page = index.members(partition, UUID(after) if after else None, limit)
        ids = [label.id for label in page]
    answer: dict[str, Any] = {"Faces": _shown(call, page), "FaceModelVersion": call.model}
    if len(ids) == limit:
        answer["NextToken"] = paging.token(str(ids[-1]), *listing)
    return Answer(answer)


def delete_faces(call: Call) -> Answer:
    """DeleteFaces: from the answer on no search returns them, and their templates go within seconds. A user's face stays until
    it is disassociated."""
    collection = expect(call)
    partition = Partition(call.agency, collection.name)
    wanted = list(dict.fromkeys(call.asked["FaceIds"]))
    held = {str(one.id): one for one in call.work.indexes.serving().index.get(partition, [UUID(one) for one in wanted])}
    owners = call.work.users.owners(call.agency, collection.name, held)
    by_booking: dict[str, list[str]] = {}
    for face_id in wanted:
        if face_id in held and face_id not in owners:
            by_booking.setdefault(held[face_id].booking_id, []).append(face_id)
    gone = {one for some in at_once(lambda it: _delete(call, *it), list(by_booking.items())) for one in some}
    answer: dict[str, Any] = {
        "UnsuccessfulFaceDeletions": [
            {"FaceId": one, "UserId": owners[one].user_id, "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]}
            if one in owners
            else {"FaceId": one, "Reasons": ["FACE_NOT_FOUND"]}
            for one in wanted
            if one not in gone
        ]
    }
    if gone:
        answer["DeletedFaces"] = [one for one in wanted if one in gone]
    return Answer(answer)


def face(found: Face, booking: Booking, photo: Photo) -> dict[str, Any]:
    """A ``Face``."""
    told: dict[str, Any] = {"FaceId": found.face_id, "ImageId": photo.photo_id, **_external(booking)}
    if found.box is not None:
        left, top, width, height = found.box
        told["BoundingBox"] = {"Width": width, "Height": height, "Left": left, "Top": top}
    if found.confidence is not None:
        told["Confidence"] = round(100 * found.confidence, 4)
    return told | answer_version(photo.model)


def _external(booking: Booking) -> dict[str, str]:
    if booking.indexing is not None:
        external = booking.indexing.external_image_id
        return {"ExternalImageId": external} if external else {}
    return {"ExternalImageId": external_of_booking(booking.booking_number or "", booking.booking_id)}


def external_of_booking(number: str, booking_id: str) -> str:
    """What a client knows a booking's photo by: the booking's number, or where that is of another form its id."""
    return number if _EXTERNAL.fullmatch(number) else booking_id


def _shown(call: Call, labels: Sequence[Label]) -> list[dict[str, Any]]:
    found = call.work.catalog.several(call.agency, (label.booking_id for label in labels))
    users = users_of(call, [str(label.id) for label in labels])
    shown = []
    for label in labels:
        if held := standing(found[label.booking_id], label.partition.collection, str(label.id)):
            booking, photo, one = held
            shown.append(face(one, booking, photo) | users.get(one.face_id, {}))
    return shown


def users_of(call: Call, faces: Sequence[str]) -> dict[str, dict[str, str]]:
    """The ``UserId`` of each of these faces that has one, as a ``Face`` has it."""
    owners = call.work.users.owners(call.agency, call.asked["CollectionId"], faces)
    return {one: {"UserId": owner.user_id} for one, owner in owners.items()}


def _delete(call: Call, booking_id: str, wanted: Sequence[str]) -> list[str]:
    """Delete faces of one booking; those that were there. Decided on the record as it is when that is written."""
    gone: list[str] = []
    for _ in range(_TURNS):
        booking = call.work.catalog.get(call.agency, booking_id)
        if booking is None:
            return gone
        found = next((it for photo in booking.photos if (it := _there(call, booking, photo, wanted))), None)
        if found is None:
            return gone
        photo, there = found
        try:
            if booking.indexing is not None and not photo.stand - photo.deleted - set(there):
                # Nothing of the photo can be searched any more, so there is no reason to keep it.
                call.work.catalog.mark_deleting(booking, unmoved=True)
            else:
                call.work.catalog.delete_faces(booking, photo, there)
        except Conflict:
            continue
        gone += there
    raise DependencyUnavailable("Others are changing the same photo now. Try again in a minute.")


def _there(call: Call, booking: Booking, photo: Photo, wanted: Sequence[str]) -> tuple[Photo, list[str]] | None:
    """Those of the faces that a photo has and a search may find."""
    collection = call.asked["CollectionId"]
    there = [one for one in wanted if one in photo.stand and standing(booking, collection, one)]
    return (photo, there) if there else None


def _of_user(call: Call) -> tuple[str, ...]:
    return (call.asked["UserId"],) if "UserId" in call.asked else ()


def _label(entry: Any) -> Label:
    return Label(entry.id, entry.partition, entry.booking_id, entry.subject_id, entry.booked_at)
