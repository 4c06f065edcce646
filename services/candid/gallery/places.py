"""Places: buckets and prefixes of S3 from which an agency's Rekognition calls may read images.

An administrator registers a place. That it is the agency's is said by the place itself: by an object ``candid-agency.txt`` in it
that holds the agency's name, which is read with every image. So nobody reads what is another's by naming it, and whoever has the
bucket takes it back by deleting that object.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from candid import aws, storage
from candid.access.principal import Principal
from candid.aws import dependency
from candid.errors import Conflict, NotFound
from candid.tables import Item, from_item, is_condition_failure, key, moment, now, timestamp, to_item

MARKER: Final = "candid-agency.txt"
MAX_PLACES: Final = 50
"""Of one agency."""
NO_SUCH_PLACE: Final = (
    "There is no such place, or it is not one of your agency's. See GET /v1/places for those there are."
)
_NAMESPACE: Final = uuid.UUID("5f3c2b0e-6a0f-4d43-9c0e-0a7f5b1d7c11")
_MARKER_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Place:
    """Objects of ``bucket`` whose keys begin with ``prefix`` (empty: all). Its id follows from both."""

    place_id: str
    agency: str
    bucket: str
    prefix: str
    registered_at: datetime
    registered_by: str


@dataclass(frozen=True, slots=True)
class Places:
    """The use cases over the gallery table. ``ours`` are Candid's own buckets, which hold every agency's photos. Every method
    raises ``DependencyUnavailable`` when the table does not answer."""

    table: str
    ours: frozenset[str] = frozenset()

    def register(self, who: Principal, bucket: str, prefix: str) -> Place:
        """Let the agency's calls read images there. Registering again is the same place. Raises ``Conflict``."""
        place_id = str(uuid.uuid5(_NAMESPACE, "\0".join((who.agency, bucket, prefix))))
        known = self.list(who.agency)
        if found := next((one for one in known if one.place_id == place_id), None):
            return found
        if len(known) >= MAX_PLACES:
            raise Conflict(
                f"Your agency has {MAX_PLACES} places, which is the most. Delete one that it no longer needs."
            )
        made = Place(place_id, who.agency, bucket, prefix, now(), who.user)
        with dependency("the gallery table"):
            aws.dynamodb().put_item(TableName=self.table, Item=to_item(_item(made)))
        return made

    def list(self, agency: str) -> tuple[Place, ...]:
        """The agency's places as they stand now, by bucket and prefix."""
        asked: dict[str, Any] = {
            "TableName": self.table,
            "ConsistentRead": True,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": _pk(agency)}},
        }
        with dependency("the gallery table"):
            told = aws.dynamodb().query(**asked)
        places = [_place(item) for item in map(from_item, told["Items"]) if "withdrawn_at" not in item]
        return tuple(sorted(places, key=lambda one: (one.bucket, one.prefix)))

    def withdraw(self, who: Principal, place_id: str) -> Place:
        """From now on the agency's calls read nothing there; who said so stays on record. Raises ``NotFound``."""
        try:
            with dependency("the gallery table"):
                told = aws.dynamodb().update_item(
                    TableName=self.table,
                    Key=key(_pk(who.agency), _sk(place_id)),
                    UpdateExpression="SET withdrawn_at = :now, withdrawn_by = :who",
                    ConditionExpression="attribute_exists(pk) AND attribute_not_exists(withdrawn_at)",
                    ExpressionAttributeValues={":now": {"S": timestamp(now())}, ":who": {"S": who.user}},
                    ReturnValues="ALL_NEW",
                )
        except ClientError as error:
            if not is_condition_failure(error):
                raise
            raise NotFound(NO_SUCH_PLACE) from None
        return _place(from_item(told["Attributes"]))

    def holding(self, agency: str, bucket: str, name: str) -> Place | None:
        """The agency's place that an object lies in; None where it lies in none."""
        if bucket in self.ours:
            return None
        found = [one for one in self.list(agency) if one.bucket == bucket and name.startswith(one.prefix)]
        return max(found, key=lambda one: len(one.prefix), default=None)


def says_so(place: Place) -> bool:
    """Whether the place itself says whose it is. Raises ``DependencyUnavailable``."""
    told = storage.read_foreign(place.bucket, f"{place.prefix}{MARKER}", most=_MARKER_BYTES)
    return told is not None and told.strip() == place.agency.encode()


def _pk(agency: str) -> str:
    return f"PLACES#{agency}"


def _sk(place_id: str) -> str:
    return f"PLACE#{place_id}"


def _item(place: Place) -> Item:
    return {
        "pk": _pk(place.agency),
        "sk": _sk(place.place_id),
        "place_id": place.place_id,
        "agency": place.agency,
        "bucket": place.bucket,
        "prefix": place.prefix,
        "registered_at": timestamp(place.registered_at),
        "registered_by": place.registered_by,
    }


def _place(item: Item) -> Place:
    return Place(
        item["place_id"],
        item["agency"],
        item["bucket"],
        item["prefix"],
        moment(item["registered_at"]),
        item["registered_by"],
    )
