"""Every operation of Rekognition's service model: carried out here, or refused with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from candid.access.principal import Permission
from candid.rekognition import one_to_one
from candid.rekognition.calls import Operation
from candid.rekognition.errors import Refused

CARRIED_OUT: Final[Mapping[str, Operation]] = {
    "DetectFaces": Operation(one_to_one.detect_faces, Permission.EXAMINE),
    "CompareFaces": Operation(one_to_one.compare_faces, Permission.EXAMINE),
}

_LIVE: Final = (
    "Candid does not search live video: the policy forbids it (probe_sources.live_stream.allowed). Use a still."
)
_LIVENESS: Final = (
    "Candid takes no part in proving that somebody is alive before a camera: the policy forbids live sources "
    "(probe_sources.live_stream.allowed). Use a still."
)
_STORED_VIDEO: Final = "Candid can't look for faces in stored video yet. Take stills from it, and search with those."
_LIVE_OPERATIONS: Final = frozenset(
    f"{what}StreamProcessor" for what in ("Create", "Delete", "Describe", "Start", "Stop", "Update")
) | {"ListStreamProcessors"}
_LIVENESS_OPERATIONS: Final = frozenset({"CreateFaceLivenessSession", "GetFaceLivenessSessionResults"})
_VIDEO_OPERATIONS: Final = frozenset(
    f"{what}{of}" for what in ("Start", "Get") for of in ("FaceDetection", "FaceSearch", "PersonTracking")
)
_TO_COME: Final = frozenset(
    {
        *("CreateCollection", "DescribeCollection", "ListCollections", "DeleteCollection", "IndexFaces", "ListFaces"),
        *(
            "DeleteFaces",
            "SearchFaces",
            "SearchFacesByImage",
            "CreateUser",
            "DeleteUser",
            "ListUsers",
            "AssociateFaces",
        ),
        *(
            "DisassociateFaces",
            "SearchUsers",
            "SearchUsersByImage",
            "TagResource",
            "UntagResource",
            "ListTagsForResource",
        ),
    }
)
_NOT_YET: Final = (
    "Candid does not carry this operation out yet. Use its own API (POST /v1/bookings, POST /v1/searches)."
)
_OTHERS: Final = "Candid carries out what is about faces, collections and users. Call Amazon Rekognition for the rest."


def of(name: str) -> Operation:
    """The operation of that name. Raises ``Refused`` with the reason for one that is not carried out."""
    if name in CARRIED_OUT:
        return CARRIED_OUT[name]
    raise Refused(_reason(name))


def _reason(name: str) -> str:
    if name in _LIVE_OPERATIONS:
        return _LIVE
    if name in _LIVENESS_OPERATIONS:
        return _LIVENESS
    if name in _TO_COME:
        return _NOT_YET
    return _STORED_VIDEO if name in _VIDEO_OPERATIONS else _OTHERS
