"""Every operation of Rekognition's service model: carried out here, or refused with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from candid.access.principal import Permission
from candid.rekognition import collections, indexing, one_to_one, searching, users
from candid.rekognition.calls import Operation
from candid.rekognition.errors import Refused

CARRIED_OUT: Final[Mapping[str, Operation]] = {
    "DetectFaces": Operation(one_to_one.detect_faces, Permission.EXAMINE),
    "CompareFaces": Operation(one_to_one.compare_faces, Permission.EXAMINE),
    "CreateCollection": Operation(collections.create_collection, Permission.WRITE_BOOKINGS),
    "DescribeCollection": Operation(collections.describe_collection, Permission.READ_BOOKINGS),
    "ListCollections": Operation(collections.list_collections, Permission.READ_BOOKINGS),
    "DeleteCollection": Operation(collections.delete_collection, Permission.WRITE_BOOKINGS),
    "TagResource": Operation(collections.tag_resource, Permission.WRITE_BOOKINGS),
    "UntagResource": Operation(collections.untag_resource, Permission.WRITE_BOOKINGS),
    "ListTagsForResource": Operation(collections.list_tags_for_resource, Permission.READ_BOOKINGS),
    "IndexFaces": Operation(indexing.index_faces, Permission.WRITE_BOOKINGS),
    "ListFaces": Operation(indexing.list_faces, Permission.READ_BOOKINGS),
    "DeleteFaces": Operation(indexing.delete_faces, Permission.WRITE_BOOKINGS),
    "SearchFaces": Operation(searching.search_faces, Permission.SEARCH, needs_case=True),
    "SearchFacesByImage": Operation(searching.search_faces_by_image, Permission.SEARCH, needs_case=True),
    "CreateUser": Operation(users.create_user, Permission.WRITE_BOOKINGS),
    "DeleteUser": Operation(users.delete_user, Permission.WRITE_BOOKINGS),
    "ListUsers": Operation(users.list_users, Permission.READ_BOOKINGS),
    "AssociateFaces": Operation(users.associate_faces, Permission.WRITE_BOOKINGS),
    "DisassociateFaces": Operation(users.disassociate_faces, Permission.WRITE_BOOKINGS),
    "SearchUsers": Operation(searching.search_users, Permission.SEARCH, needs_case=True),
    "SearchUsersByImage": Operation(searching.search_users_by_image, Permission.SEARCH, needs_case=True),
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
    return _STORED_VIDEO if name in _VIDEO_OPERATIONS else _OTHERS
