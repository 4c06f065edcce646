"""SearchFaces, SearchFacesByImage, SearchUsers and SearchUsersByImage: searches under the case of the caller's credentials,
stored as every search is.

The policy's longest list and loosest threshold hold; where they cut what was asked for, a header says so. The scores are Candid's
calibrated ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from candid.casework.searches import SearchRequest
from candid.errors import InvalidRequest, NoFace
from candid.faces import scores
from candid.faces.filters import NONE, look
from candid.faces.image import Pixels
from candid.gallery.thresholds import Wanted
from candid.rekognition import faces
from candid.rekognition.calls import NOTICE, Answer, Call, answer_version
from candid.rekognition.collections import expect
from candid.rekognition.images import decoded, image_bytes
from candid.rekognition.indexing import external_of_booking, users_of
from candid.together import at_once

SEARCH: Final = "X-Candid-Search-Id"
EXPECTED: Final = "X-Candid-Expected-False-Candidates"
POLICY: Final = "X-Candid-Policy"
_MOST: Final = 80
"""Faces or users of an answer where no number is asked for."""
_THRESHOLD: Final = 80.0


@dataclass(frozen=True, slots=True)
class _What:
    """What is searched, by the members that bound the answer."""

    most: str
    threshold: str


FACES: Final = _What("MaxFaces", "FaceMatchThreshold")
USERS: Final = _What("MaxUsers", "UserMatchThreshold")
_NO_FACE: Final = "There are no faces in the image. Should be at least 1. Send one that shows a whole face."


def search_faces(call: Call) -> Answer:
    """SearchFaces: with a face of the collection, which is not among its own candidates."""
    face_id = call.asked["FaceId"]
    made, headers = _search(call, FACES, probe_face_id=face_id)
    return _answer({"SearchedFaceId": face_id, **_matches(call, made)}, made, headers)


def search_faces_by_image(call: Call) -> Answer:
    """SearchFacesByImage: with the largest face of an image."""
    data = image_bytes(call, "Image")
    image = decoded(data)
    expect(call)
    _filter(call, image)
    try:
        made, headers = _search(call, FACES, probe=data, pixels=image)
    except NoFace:
        raise InvalidRequest(_NO_FACE) from None
    box = made["results"][0]["face"]["box"]
    height, width = image.shape[:2]
    searched = {
        "Left": round(box["left"] / width, 6),
        "Top": round(box["top"] / height, 6),
        "Width": round(box["width"] / width, 6),
        "Height": round(box["height"] / height, 6),
    }
    told = {"SearchedFaceBoundingBox": searched, "SearchedFaceConfidence": round(100 * box["confidence"], 4)}
    return _answer({**told, **_matches(call, made)}, made, headers)


def search_users(call: Call) -> Answer:
    """SearchUsers: with a face of the collection, or with a user, which is not among its own candidates."""
    if len(call.asked.keys() & {"FaceId", "UserId"}) != 1:
        raise InvalidRequest("A search for users must have FaceId or UserId, and not both. Send one of them.")
    if face_id := call.asked.get("FaceId"):
        made, headers = _search(call, USERS, probe_face_id=face_id)
        searched = {"SearchedFace": {"FaceId": face_id}}
    else:
        made, headers = _search(call, USERS, probe_user_id=call.asked["UserId"])
        searched = {"SearchedUser": {"UserId": call.asked["UserId"]}}
    return _answer({**searched, **_user_matches(call, made)}, made, headers)


def search_users_by_image(call: Call) -> Answer:
    """SearchUsersByImage: with the largest face of an image. Where there is none, or it does not pass the filter, nothing is
    searched, and so nothing is stored."""
    data = image_bytes(call, "Image")
    image = decoded(data)
    expect(call)
    seen = look(call.work.indexes.engine(), image, call.asked.get("QualityFilter", NONE))
    largest = seen[0] if seen and not seen[0].reasons else None
    others = [
        {"FaceDetails": faces.detail(one, image), "Reasons": list(one.reasons) or ["FACE_NOT_LARGEST"]}
        for one in seen
        if one is not largest
    ]
    told: dict[str, Any] = {"UnsearchedFaces": others, "FaceModelVersion": call.model}
    if largest is None:
        return Answer({"UserMatches": [], **told})
    made, headers = _search(call, USERS, probe=data, pixels=image)
    searched = {"SearchedFace": {"FaceDetail": faces.detail(largest, image)}}
    return _answer({**told, **searched, **_user_matches(call, made)}, made, headers)


def _filter(call: Call, image: Pixels) -> None:
    """Raises ``InvalidRequest`` where the largest face does not pass the filter that is asked for."""
    quality_filter = call.asked.get("QualityFilter", NONE)
    if quality_filter == NONE:
        return
    seen = look(call.work.indexes.engine(), image, quality_filter)
    if not seen:
        raise InvalidRequest(_NO_FACE)
    if seen[0].reasons:
        raise InvalidRequest(
            f"The largest face of the image does not pass the quality filter ({', '.join(seen[0].reasons)}). "
            "Send a better image, or ask for a lower QualityFilter."
        )


def _search(call: Call, what: _What, **probe: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """A search as stored, and the headers that say what it is worth."""
    collection, policy = expect(call), call.work.policy
    wanted, similarity = call.asked.get(what.most, _MOST), call.asked.get(what.threshold, _THRESHOLD)
    most = min(max(wanted, 1), policy.list_cap)
    loosest = round(scores.similarity(policy.loosest_fmr), 2)
    made = call.work.searches.make(
        call.grant.principal,
        SearchRequest(
            case_id=str(call.grant.case_id),
            probe_source=str(call.grant.probe_source),
            collection=collection.name,
            threshold=Wanted(similarity=max(similarity, loosest)),
            max_candidates=most,
            per_subject=False,
            users=what is USERS,
            face="largest",
            **probe,
        ),
        watch=call.watch,
    )
    headers = {
        SEARCH: made["search_id"],
        EXPECTED: str(made["threshold"]["expected_false_candidates"]),
        NOTICE: made["notice"],
    }
    cut = []
    # Who asks for no number is told where the list was in fact shorter.
    if wanted > most and (what.most in call.asked or len(_candidates(made)) == most):
        cut.append(f"{what.most} cut to {most} (list.cap)")
    if similarity < loosest:
        cut.append(f"{what.threshold} raised to {loosest:g} (threshold.loosest_fmr)")
    if cut:
        headers[POLICY] = "; ".join(cut)
    return made, headers


def _answer(members: Mapping[str, Any], made: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
    return Answer(members, headers, len(_candidates(made)))


def _candidates(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = made["results"][0]["candidates"]
    return found


def _matches(call: Call, made: Mapping[str, Any]) -> dict[str, Any]:
    model = made["model"]["id"]
    users = users_of(call, [one["face_id"] for one in _candidates(made)])
    return {
        "FaceMatches": [
            {"Similarity": one["score"]["similarity"], "Face": _face(one, model) | users.get(one["face_id"], {})}
            for one in _candidates(made)
        ],
        "FaceModelVersion": model,
    }


def _user_matches(call: Call, made: Mapping[str, Any]) -> dict[str, Any]:
    found = _candidates(made)
    place = call.agency, made["collection"]
    users = at_once(lambda one: call.work.users.get(*place, one["user_id"]), found)
    return {
        "UserMatches": [
            {
                "Similarity": one["score"]["similarity"],
                "User": {"UserId": one["user_id"], "UserStatus": user.status.value},
            }
            for one, user in zip(found, users, strict=True)
            if user is not None
        ],
        "FaceModelVersion": made["model"]["id"],
    }


def _face(candidate: Mapping[str, Any], model: str) -> dict[str, Any]:
    told: dict[str, Any] = {"FaceId": candidate["face_id"], "ImageId": candidate["photo_id"]}
    if (number := candidate.get("booking_number")) is not None:
        told["ExternalImageId"] = external_of_booking(number, candidate["booking_id"])
    elif external := candidate.get("external_image_id"):
        told["ExternalImageId"] = external
    if box := candidate.get("face_box"):
        told["BoundingBox"] = {name.capitalize(): value for name, value in box.items()}
    if (confidence := candidate.get("face_confidence")) is not None:
        told["Confidence"] = round(100 * confidence, 4)
    return told | answer_version(model)
