"""SearchFaces and SearchFacesByImage: searches under the case of the caller's credentials, stored as every search is.

The policy's longest list and loosest threshold hold; where they cut what was asked for, a header says so. The scores are Candid's
calibrated ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from candid.casework.searches import SearchRequest
from candid.errors import InvalidRequest, NoFace
from candid.faces import scores
from candid.faces.filters import NONE, look
from candid.faces.image import Pixels
from candid.gallery.thresholds import Wanted
from candid.rekognition.calls import NOTICE, Answer, Call, answer_version
from candid.rekognition.collections import expect
from candid.rekognition.images import decoded, image_bytes
from candid.rekognition.indexing import external_of_booking

SEARCH: Final = "X-Candid-Search-Id"
EXPECTED: Final = "X-Candid-Expected-False-Candidates"
POLICY: Final = "X-Candid-Policy"
_MOST: Final = 80
"""Faces of an answer where none are asked for."""
_THRESHOLD: Final = 80.0
_NO_FACE: Final = "There are no faces in the image. Should be at least 1. Send one that shows a whole face."


def search_faces(call: Call) -> Answer:
    """SearchFaces: with a face of the collection, which is not among its own candidates."""
    face_id = call.asked["FaceId"]
    made, headers = _search(call, probe_face_id=face_id)
    return Answer({"SearchedFaceId": face_id, **_matches(made)}, headers)


def search_faces_by_image(call: Call) -> Answer:
    """SearchFacesByImage: with the largest face of an image."""
    data = image_bytes(call, "Image")
    image = decoded(data)
    expect(call)
    _filter(call, image)
    try:
        made, headers = _search(call, probe=data)
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
    return Answer({**told, **_matches(made)}, headers)


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


def _search(call: Call, **probe: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """A search as stored, and the headers that say what it is worth."""
    collection, policy = expect(call), call.work.policy
    wanted, similarity = call.asked.get("MaxFaces", _MOST), call.asked.get("FaceMatchThreshold", _THRESHOLD)
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
    if wanted > most and ("MaxFaces" in call.asked or len(made["results"][0]["candidates"]) == most):
        cut.append(f"MaxFaces cut to {most} (list.cap)")
    if similarity < loosest:
        cut.append(f"FaceMatchThreshold raised to {loosest:g} (threshold.loosest_fmr)")
    if cut:
        headers[POLICY] = "; ".join(cut)
    return made, headers


def _matches(made: Mapping[str, Any]) -> dict[str, Any]:
    model = made["model"]["id"]
    return {
        "FaceMatches": [
            {"Similarity": one["score"]["similarity"], "Face": _face(one, model)}
            for one in made["results"][0]["candidates"]
        ],
        "FaceModelVersion": model,
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
