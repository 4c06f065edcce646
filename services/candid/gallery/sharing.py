"""Sharing: an agency lets another read one of its collections, says by what right, and takes it back.

A share is one item of the gallery table, kept when it is revoked: ``SHARE`` under its id, in two listings, the giver's and the
reader's. What counts at a request is a second item, of the collection and its reader, which names the share in force: one
consistent read, so what was revoked a moment ago is revoked. Not here: what a user may do with a collection (that is the role's).
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from candid import aws
from candid.access.principal import Principal
from candid.aws import dependency
from candid.errors import Conflict, InvalidRequest, NotFound
from candid.gallery.collections import Collections
from candid.gallery.transaction import put_new, write_all
from candid.idempotency import Claim
from candid.listing import Listing
from candid.tables import Item, cancelled_by, from_item, key, moment, now, timestamp, to_item

NOT_THERE: Final = (
    "There is no such agency, or none whose collection you may read. "
    "See GET /v1/shares?direction=received for what you may."
)
WITH_THE_COLLECTION: Final = "-"
"""By whom a share is revoked that ends with its collection."""
NO_SUCH_SHARE: Final = "There is no such share, or it is not one that you gave. Look it up with GET /v1/shares."


class Direction(enum.StrEnum):
    """Whose shares a listing shows: those that the agency gave, or those that it was given."""

    GIVEN = "given"
    RECEIVED = "received"


@dataclass(frozen=True, slots=True)
class NewShare:
    """What an agency says of a share: which collection, who may read it, by what right."""

    collection: str
    reader: str
    legal_basis: str


@dataclass(frozen=True, slots=True)
class Share:
    """That ``reader`` may read ``agency``'s ``collection``, from ``granted_at`` until ``revoked_at`` (None: in force)."""

    share_id: str
    agency: str
    collection: str
    reader: str
    legal_basis: str
    granted_at: datetime
    granted_by: str
    revoked_at: datetime | None = None
    revoked_by: str | None = None


@dataclass(frozen=True, slots=True)
class SharePage:
    """A page of a listing, newest first; ``next_key`` continues it."""

    shares: tuple[Share, ...]
    next_key: Item | None


@dataclass(frozen=True, slots=True)
class Sharing:
    """The use cases over the gallery table. Every method raises ``DependencyUnavailable`` when it does not answer."""

    table: str

    def grant(self, who: Principal, new: NewShare, claim: Claim | None = None) -> Share:
        """Let an agency read a collection of the caller's. The same claim again is the same share.

        Raises ``InvalidRequest`` for one's own agency; ``NotFound`` for a collection that nobody has made; ``Conflict`` while it
        is being deleted, and with ``share_id`` where the reader may read it already.
        """
        if new.reader == who.agency:
            raise InvalidRequest("An agency reads its own collections anyway. Name another agency.")
        if claim and (earlier := claim.earlier_result(self.table)):
            return self.expect(who.agency, earlier)
        share = Share(
            share_id=str(uuid.uuid4()),
            agency=who.agency,
            collection=new.collection,
            reader=new.reader,
            legal_basis=new.legal_basis,
            granted_at=now(),
            granted_by=who.user,
        )
        collections = Collections(self.table)
        writes: list[Any] = [
            # So that no share outlives the collection that it was given for: its deletion has taken back those before it.
            collections.check_there(share.agency, share.collection),
            put_new(self.table, _item(share)),
            {
                "Update": {
                    "TableName": self.table,
                    "Key": _reader_key(share.agency, share.collection, share.reader),
                    "UpdateExpression": "SET share_id = :id",
                    "ConditionExpression": "attribute_not_exists(share_id)",
                    "ExpressionAttributeValues": {":id": {"S": share.share_id}},
                }
            },
        ]
        if claim:
            writes.append(claim.write(self.table, share.share_id))
        try:
            write_all(writes)
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise
            if claim and (earlier := claim.earlier_result(self.table)):
                return self.expect(who.agency, earlier)
            if cancelled_by(error)[0]:
                collections.expect_there(share.agency, share.collection)
                return self.grant(who, new, claim)  # It was made just now.
            raise Conflict(
                "That agency may read the collection already. Revoke that share and grant it anew to change the legal basis.",
                share_id=self._in_force(share.agency, share.collection, share.reader),
            ) from None
        return share

    def revoke(self, who: Principal, share_id: str) -> Share:
        """Take a share back; it stays on record. Revoking again leaves it as it is. Raises ``NotFound``."""
        share = self.expect(who.agency, share_id)
        if share.revoked_at:
            return share
        return self._revoke(share, who.user)

    def end(self, agency: str, collection: str) -> None:
        """Take back every share of a collection that is deleted: another one of its name is another's to share."""
        asked: dict[str, Any] = {
            "TableName": self.table,
            "ConsistentRead": True,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": _readers_pk(agency, collection)}},
        }
        while True:
            with dependency("the gallery table"):
                told = aws.dynamodb().query(**asked)
            for item in told["Items"]:
                if "share_id" in item:
                    self._revoke(self.expect(agency, item["share_id"]["S"]), WITH_THE_COLLECTION)
            if "LastEvaluatedKey" not in told:
                return
            asked["ExclusiveStartKey"] = told["LastEvaluatedKey"]

    def _revoke(self, share: Share, by: str) -> Share:
        revoked = replace(share, revoked_at=now(), revoked_by=by)
        writes = [
            {
                "Put": {
                    "TableName": self.table,
                    "Item": to_item(_item(revoked)),
                    "ConditionExpression": "attribute_exists(pk) AND attribute_not_exists(revoked_at)",
                }
            },
            {
                "Update": {
                    "TableName": self.table,
                    "Key": _reader_key(share.agency, share.collection, share.reader),
                    "UpdateExpression": "REMOVE share_id",
                    "ConditionExpression": "share_id = :id",
                    "ExpressionAttributeValues": {":id": {"S": share.share_id}},
                }
            },
        ]
        try:
            write_all(writes)
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise
            return self.expect(share.agency, share.share_id)
        return revoked

    def expect(self, agency: str, share_id: str) -> Share:
        """The share that ``agency`` gave. Raises ``NotFound`` for one that is not there or another agency's."""
        with dependency("the gallery table"):
            answer = aws.dynamodb().get_item(
                TableName=self.table, Key=key(_share_pk(agency, share_id), "SHARE"), ConsistentRead=True
            )
        if "Item" not in answer:
            raise NotFound(NO_SUCH_SHARE)
        return _share(from_item(answer["Item"]))

    def list(self, agency: str, direction: Direction, *, limit: int = 50, start: Item | None = None) -> SharePage:
        """The shares that the agency gave or was given, newest first, revoked ones too."""
        given = direction is Direction.GIVEN
        items, next_key = Listing(
            table=self.table,
            index="by-agency" if given else "by-agency-state",
            hash_name="agency_key" if given else "agency_state",
            hash_value=_listed(agency, direction),
            range_name="listed_at",
        ).page(limit, start)
        return SharePage(tuple(map(_share, items)), next_key)

    def may_read(self, reader: str, agency: str, collection: str) -> bool:
        """Whether ``reader`` may read the collection now: its own agency's always, another's by a share in force."""
        return reader == agency or self._in_force(agency, collection, reader) is not None

    def require(self, reader: str, agency: str, collection: str) -> None:
        """Raise ``NotFound`` unless ``reader`` may read the collection now: the same for an agency that there is not."""
        if not self.may_read(reader, agency, collection):
            raise NotFound(NOT_THERE)

    def _in_force(self, agency: str, collection: str, reader: str) -> str | None:
        with dependency("the gallery table"):
            answer = aws.dynamodb().get_item(
                TableName=self.table, Key=_reader_key(agency, collection, reader), ConsistentRead=True
            )
        found = answer.get("Item", {}).get("share_id")
        return found["S"] if found else None


def _share_pk(agency: str, share_id: str) -> str:
    return f"SH#{agency}#{share_id}"


def _reader_key(agency: str, collection: str, reader: str) -> Item:
    return key(_readers_pk(agency, collection), reader)


def _readers_pk(agency: str, collection: str) -> str:
    return f"READER#{agency}#{collection}"


def _listed(agency: str, direction: Direction) -> str:
    # No booking's: neither an agency's name nor a state has such an end.
    return f"{agency}#SHARES-{direction.name}"


def _item(share: Share) -> Item:
    granted_at = timestamp(share.granted_at)
    return {
        "pk": _share_pk(share.agency, share.share_id),
        "sk": "SHARE",
        "share_id": share.share_id,
        "agency": share.agency,
        "collection": share.collection,
        "reader": share.reader,
        "legal_basis": share.legal_basis,
        "granted_at": granted_at,
        "granted_by": share.granted_by,
        "revoked_at": timestamp(share.revoked_at) if share.revoked_at else None,
        "revoked_by": share.revoked_by,
        "agency_key": _listed(share.agency, Direction.GIVEN),
        "agency_state": _listed(share.reader, Direction.RECEIVED),
        "listed_at": f"{granted_at}#{share.share_id}",
    }


def _share(item: Mapping[str, Any]) -> Share:
    return Share(
        share_id=item["share_id"],
        agency=item["agency"],
        collection=item["collection"],
        reader=item["reader"],
        legal_basis=item["legal_basis"],
        granted_at=moment(item["granted_at"]),
        granted_by=item["granted_by"],
        revoked_at=moment(item["revoked_at"]) if "revoked_at" in item else None,
        revoked_by=item.get("revoked_by"),
    )
