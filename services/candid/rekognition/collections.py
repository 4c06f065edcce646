"""Collections and their tags: CreateCollection, DescribeCollection, ListCollections, DeleteCollection, TagResource,
UntagResource, ListTagsForResource."""

from __future__ import annotations

import re
import time
from typing import Any, Final

from candid import aws
from candid.errors import NotFound
from candid.gallery.collections import NO_SUCH_COLLECTION, Collection
from candid.gallery.index import Partition
from candid.rekognition import paging
from candid.rekognition.calls import Answer, Call

_PAGE: Final = 1_000
_ARN: Final = re.compile(r"arn:[a-z-]+:rekognition:[a-z0-9-]+:[0-9]{12}:collection/([a-zA-Z0-9_.\-]{1,255})")
_WAIT_SECONDS: Final = 15.0
"""For so long a deletion is waited for; what is left then goes on being erased, and is not there for anybody."""


def create_collection(call: Call) -> Answer:
    """CreateCollection."""
    name = call.asked["CollectionId"]
    call.work.collections.create(call.agency, name, call.asked.get("Tags", {}))
    return Answer({"StatusCode": 200, "CollectionArn": call.arn(name), "FaceModelVersion": call.model})


def describe_collection(call: Call) -> Answer:
    """DescribeCollection. Of what was written within the last second a count may have nothing yet."""
    found = expect(call)
    index = call.work.indexes.serving().index
    return Answer(
        {
            "FaceCount": index.count(Partition(call.agency, found.name)),
            "UserCount": found.users,
            "FaceModelVersion": call.model,
            "CollectionARN": call.arn(found.name),
            "CreationTimestamp": found.created_at,
        }
    )


def list_collections(call: Call) -> Answer:
    """ListCollections, in the order of their names."""
    after = paging.place(call.asked.get("NextToken"), paging.NAME, "ListCollections", call.agency)
    limit = call.asked.get("MaxResults") or _PAGE
    names = call.work.collections.list(call.agency, after, limit + 1)
    answer: dict[str, Any] = {"CollectionIds": names[:limit], "FaceModelVersions": [call.model] * len(names[:limit])}
    if len(names) > limit:
        answer["NextToken"] = paging.token(names[limit - 1], "ListCollections", call.agency)
    return Answer(answer)


def delete_collection(call: Call) -> Answer:
    """DeleteCollection: from the answer on nobody finds it; a small one is erased by then, a large one soon after."""
    name = call.asked["CollectionId"]
    call.work.collections.mark_deleting(call.agency, name)
    end, pause = time.monotonic() + aws.at_most(_WAIT_SECONDS), 0.05
    while time.monotonic() < end and call.work.collections.get(call.agency, name) is not None:
        time.sleep(pause)
        pause = min(0.5, pause * 1.5)
    return Answer({"StatusCode": 200})


def tag_resource(call: Call) -> Answer:
    """TagResource."""
    call.work.collections.tag(call.agency, _named(call), call.asked["Tags"])
    return Answer({})


def untag_resource(call: Call) -> Answer:
    """UntagResource."""
    call.work.collections.untag(call.agency, _named(call), set(call.asked["TagKeys"]))
    return Answer({})


def list_tags_for_resource(call: Call) -> Answer:
    """ListTagsForResource."""
    return Answer({"Tags": dict(call.work.collections.expect(call.agency, _named(call)).tags)})


def expect(call: Call) -> Collection:
    """The collection that a call names. Raises ``NotFound``."""
    return call.work.collections.expect(call.agency, call.asked["CollectionId"])


def _named(call: Call) -> str:
    arn = call.asked["ResourceArn"]
    found = _ARN.fullmatch(arn)
    if found is None or arn != call.arn(found[1]):
        raise NotFound(NO_SUCH_COLLECTION)
    return found[1]
