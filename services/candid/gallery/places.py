"""Places: buckets and prefixes of S3 from which an agency's Rekognition calls may read images.

An administrator registers a place. That it is the agency's is said by the place itself: by an object ``candid-agency.txt`` in it
that holds the agency's name, which is read with every image; of several above an image the nearest counts. So nobody reads what
is another's by naming it, and whoever has the bucket takes it back by deleting that object.
"""

from __future__ import annotations

import uuid
from codecs import BOM_UTF8
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from botocore.exceptions import ClientError

from candid import aws, storage
from candid.access.principal import Principal
from candid.aws import dependency
from candid.errors import Conflict, ImageTooLarge, InvalidRequest, NotFound
from candid.gallery.transaction import write_all
from candid.tables import Item, cancelled_by, from_item, is_condition_failure, key, moment, now, timestamp, to_item

MARKER: Final = "candid-agency.txt"
MAX_PLACES: Final = 50
"""Of one agency."""
NO_SUCH_PLACE: Final = (
    "There is no such place, or it is not one of your agency's. See GET /v1/places for those there are."
)
_NAMESPACE: Final = uuid.UUID("5f3c2b0e-6a0f-4d43-9c0e-0a7f5b1d7c11")
_MARKER_BYTES: Final = 256
_DEEPEST: Final = 16
"""Folders between a place and an image in it, in each of which a marker is looked for."""
_REVISION: Final = "REVISION"
_TURNS: Final = 10


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
        """Let the agency's calls read images there. Registering again is the same place. Raises ``Conflict``, and
        ``InvalidRequest`` for Candid's own bucket."""
        if bucket in self.ours:
            raise InvalidRequest("That bucket is Candid's own. Name one of your agency's.")
        place_id = str(uuid.uuid5(_NAMESPACE, "\0".join((who.agency, bucket, prefix))))
        for _ in range(_TURNS):
            known, revision = self._known(who.agency)
            if found := next((one for one in known if one.place_id == place_id), None):
                return found
            if len(known) >= MAX_PLACES:
                raise Conflict(
                    f"Your agency has {MAX_PLACES} places, which is the most. Delete one that it no longer needs."
                )
            made = Place(place_id, who.agency, bucket, prefix, now(), who.user)
            # The revision moves with each, so that two at once can't both be the last that there is room for.
            moved = {
                "TableName": self.table,
                "Item": to_item({"pk": _pk(who.agency), "sk": _REVISION, "revision": revision + 1}),
                "ConditionExpression": "attribute_not_exists(pk) OR revision = :seen",
                "ExpressionAttributeValues": to_item({":seen": revision}),
            }
            try:
                write_all([{"Put": moved}, {"Put": {"TableName": self.table, "Item": to_item(_item(made))}}])
                return made
            except ClientError as error:
                if not any(cancelled_by(error)):
                    raise
        raise Conflict("Others are registering places of your agency now. Try again in a minute.")

    def list(self, agency: str) -> tuple[Place, ...]:
        """The agency's places as they stand now, by bucket and prefix."""
        return self._known(agency)[0]

    def _known(self, agency: str) -> tuple[tuple[Place, ...], int]:
        """The places, and the revision that moves with each that is registered."""
        pages = (
            aws.dynamodb()
            .get_paginator("query")
            .paginate(
                TableName=self.table,
                ConsistentRead=True,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": _pk(agency)}},
            )
        )
        with dependency("the gallery table"):
            items = [from_item(item) for page in pages for item in page["Items"]]
        places = [_place(item) for item in items if item["sk"] != _REVISION and "withdrawn_at" not in item]
        revision = next((item["revision"] for item in items if item["sk"] == _REVISION), 0)
        return tuple(sorted(places, key=lambda one: (one.bucket, one.prefix))), revision

    def withdraw(self, who: Principal, place_id: str) -> Place:
        """From now on the agency's calls read nothing there; who said so stays on record, until the place is registered again.
        Raises ``NotFound``."""
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


def says_so(place: Place, name: str) -> bool:
    """Whether the place itself says that an object is the agency's: what counts is the marker that is nearest to the object, so
    that a part of a place can be another's. Raises ``DependencyUnavailable``."""
    inner = name[len(place.prefix) :].split("/")[:-1]
    if len(inner) > _DEEPEST:
        return False
    for depth in range(len(inner), -1, -1):
        prefix = place.prefix + "".join(f"{part}/" for part in inner[:depth])
        try:
            told = storage.read_foreign(place.bucket, f"{prefix}{MARKER}", most=_MARKER_BYTES)
        except ImageTooLarge:
            return False
        if told is not None:
            # As editors and shells write it.
            return told.removeprefix(BOM_UTF8).strip().lower() == place.agency.encode()
    return False


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
