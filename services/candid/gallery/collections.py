"""Collections: named galleries of an agency. One is made by name, or by the first booking that names it; deleted, all in it goes.

A record is one item of the gallery table with a CHANGE note beside it while a deletion is open, which the table's stream brings
to ``embed``. From the tombstone on the collection is not there for anybody; its bookings are tombstoned one by one and erased
as every deleted booking is, and the record goes last, so that the name is free when nothing of it is left. A booking that is
registered meanwhile sees the tombstone before it is written or after, and takes itself back."""

from __future__ import annotations

import enum
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from candid import aws
from candid.aws import dependency, error_code
from candid.correlation import correlation_id
from candid.errors import Conflict, NotFound
from candid.gallery.transaction import put_new, remind, write_all
from candid.listing import by_name
from candid.tables import Item, cancelled_by, from_item, is_condition_failure, key, moment, now, timestamp, to_item

DEFAULT_COLLECTION: Final = "bookings"
MAX_TAGS: Final = 200
NO_SUCH_COLLECTION: Final = "There is no such collection. See ListCollections for those there are."
NO_SUCH_NAME: Final = "There is no such collection. Check its name; the first booking that names a collection makes it."
BEING_DELETED: Final = "The collection is being deleted. Try again when that is done, or name another one."


class CollectionExists(Conflict):
    """There is a collection of that name already."""


class TooManyTags(Conflict):
    """A collection has as many tags as one may have."""


class CollectionState(enum.StrEnum):
    """A collection that is being deleted is not there for anybody but its deletion."""

    ACTIVE = "active"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Collection:
    """A named gallery. ``change`` is the note of its deletion while that is open, since ``changed_at``. Times are
    timezone-aware. ``users`` are how many users it has, those that are being deleted too."""

    agency: str
    name: str
    created_at: datetime
    state: CollectionState = CollectionState.ACTIVE
    tags: Mapping[str, str] = field(default_factory=dict, repr=False)
    change: str | None = None
    changed_at: datetime | None = None
    users: int = 0


@dataclass(frozen=True, slots=True)
class Collections:
    """The use cases over the gallery table. Every method raises ``DependencyUnavailable`` when it does not answer."""

    table: str

    def create(self, agency: str, name: str, tags: Mapping[str, str]) -> Collection:
        """Make a collection. Raises ``CollectionExists``, also while one of that name is being deleted."""
        made = Collection(agency, name, now(), tags=tags)
        try:
            # By a transaction, whose token makes it the same when its answer is lost and it is sent again.
            write_all([put_new(self.table, _item(made))])
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise
            raise CollectionExists(
                "There is a collection with this id already, or one is being deleted. Use it, or choose another id."
            ) from None
        return made

    def ensure(self, agency: str, name: str) -> None:
        """Make the collection that a booking names, unless it is there. Raises ``Conflict`` while it is being deleted."""
        if self.get(agency, name) is None:
            try:
                self.create(agency, name, {})
                return
            except CollectionExists:
                pass
        self.expect_whole(agency, name)

    def expect_whole(self, agency: str, name: str) -> None:
        """Raises ``Conflict`` while the collection is being deleted: part of it may be gone."""
        _expect_whole(self.get(agency, name))

    def expect_there(self, agency: str, name: str) -> None:
        """Raises as ``expect_whole``, and ``NotFound`` for a name that nobody has given a collection; the default one is there
        from the beginning, and empty."""
        found = self.get(agency, name)
        _expect_whole(found)
        if found is None and name != DEFAULT_COLLECTION:
            raise NotFound(NO_SUCH_NAME)

    def check_there(self, agency: str, name: str) -> Any:
        """A transaction's condition: ``expect_there`` would raise nothing when the write happens."""
        unmade = "attribute_not_exists(pk) OR " if name == DEFAULT_COLLECTION else ""
        return {
            "ConditionCheck": {
                "TableName": self.table,
                "Key": key(collection_pk(agency, name), "COLLECTION"),
                "ConditionExpression": f"{unmade}#state = :active",
                "ExpressionAttributeNames": {"#state": "state"},
                "ExpressionAttributeValues": to_item({":active": CollectionState.ACTIVE.value}),
            }
        }

    def get(self, agency: str, name: str) -> Collection | None:
        """The collection as it stands now, one that is being deleted too; None if there is none."""
        with dependency("the gallery table"):
            told = aws.dynamodb().query(
                TableName=self.table,
                ConsistentRead=True,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": collection_pk(agency, name)}},
            )
        return _collection([from_item(item) for item in told["Items"]])

    def expect(self, agency: str, name: str) -> Collection:
        """The collection, or ``NotFound`` for one that is not there, being deleted, or another agency's."""
        found = self.get(agency, name)
        if found is None or found.state is CollectionState.DELETING:
            raise NotFound(NO_SUCH_COLLECTION)
        return found

    def list(self, agency: str, after: str | None, limit: int) -> list[str]:
        """Up to ``limit`` names behind ``after``, in their order; fewer than ``limit`` are the last. From an index: one that was
        made a moment ago may be missing."""
        found = by_name(self.table, _listed(agency), CollectionState.ACTIVE.value, after, limit)
        return [item["collection"] for item in found]

    def tag(self, agency: str, name: str, tags: Mapping[str, str]) -> None:
        """Set tags, beside those that there are. Raises ``NotFound``, ``TooManyTags``."""
        self._change_tags(agency, name, lambda known: {**known, **tags})

    def untag(self, agency: str, name: str, names: set[str]) -> None:
        """Take tags away; one that is not there is none the less. Raises ``NotFound``."""
        self._change_tags(agency, name, lambda known: {one: value for one, value in known.items() if one not in names})

    def mark_deleting(self, agency: str, name: str) -> None:
        """The tombstone, with a note that the rest has to follow. Raises ``NotFound``."""
        pk = collection_pk(agency, name)
        update = {
            "TableName": self.table,
            "Key": key(pk, "COLLECTION"),
            "UpdateExpression": "SET #state = :deleting",
            "ConditionExpression": "#state = :active",
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": to_item(
                {":deleting": CollectionState.DELETING.value, ":active": CollectionState.ACTIVE.value}
            ),
        }
        note: Item = {"pk": pk, "sk": "CHANGE", "nonce": str(uuid.uuid4()), "at": timestamp(now())}
        note |= {"request_id": requested} if (requested := correlation_id()) else {}
        try:
            write_all([{"Update": update}, {"Put": {"TableName": self.table, "Item": to_item(note)}}])
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise
            raise NotFound(NO_SUCH_COLLECTION) from None

    def remind(self, agency: str, name: str) -> None:
        """As ``transaction.remind``."""
        remind(self.table, collection_pk(agency, name))

    def forget(self, collection: Collection) -> None:
        """All of it is gone: so are its record and the note, at once. Does nothing where another delivery was quicker, and leaves
        alone what has been made or deleted under its name since."""
        pk = collection_pk(collection.agency, collection.name)
        record = {
            "TableName": self.table,
            "Key": key(pk, "COLLECTION"),
            "ConditionExpression": "#state = :deleting AND (attribute_not_exists(#users) OR #users <= :none)",
            "ExpressionAttributeNames": {"#state": "state", "#users": "users"},
            "ExpressionAttributeValues": to_item({":deleting": CollectionState.DELETING.value, ":none": 0}),
        }
        note = {
            "TableName": self.table,
            "Key": key(pk, "CHANGE"),
            "ConditionExpression": "nonce = :seen",
            "ExpressionAttributeValues": to_item({":seen": collection.change}),
        }
        try:
            write_all([{"Delete": record}, {"Delete": note}])
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise

    def _change_tags(self, agency: str, name: str, change: Any) -> None:
        for _ in range(8):
            found = self.expect(agency, name)
            tags = change(found.tags)
            if len(tags) > MAX_TAGS:
                raise TooManyTags(f"A collection has at most {MAX_TAGS} tags. Take some away first.")
            try:
                with dependency("the gallery table"):
                    aws.dynamodb().update_item(
                        TableName=self.table,
                        Key=key(collection_pk(agency, name), "COLLECTION"),
                        UpdateExpression="SET tags = :tags",
                        ConditionExpression="#state = :active AND tags = :known",
                        ExpressionAttributeNames={"#state": "state"},
                        ExpressionAttributeValues=to_item(
                            {":tags": tags, ":known": dict(found.tags), ":active": CollectionState.ACTIVE.value}
                        ),
                    )
                return
            except ClientError as error:
                # A user that is made or goes meanwhile is counted in the same record.
                if not is_condition_failure(error) and error_code(error) != "TransactionConflictException":
                    raise
            time.sleep(0.05)
        raise Conflict("Others are changing the same collection now. Try again in a minute.")


def _expect_whole(found: Collection | None) -> None:
    if found is not None and found.state is CollectionState.DELETING:
        raise Conflict(BEING_DELETED)


def collection_pk(agency: str, name: str) -> str:
    """The partition of a collection's items."""
    return f"COLLECTION#{agency}#{name}"


def collection_ref(pk: str) -> tuple[str, str] | None:
    """The agency and the name whose partition ``pk`` is; None for another partition."""
    parts = pk.split("#")
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "COLLECTION" else None


def _listed(agency: str) -> str:
    return f"COLLECTIONS#{agency}"


def _item(collection: Collection) -> Item:
    return {
        "pk": collection_pk(collection.agency, collection.name),
        "sk": "COLLECTION",
        "agency": collection.agency,
        "collection": collection.name,
        "created_at": timestamp(collection.created_at),
        "state": collection.state.value,
        "tags": dict(collection.tags),
        "agency_key": _listed(collection.agency),
        "listed_at": collection.name,
    }


def _collection(items: list[Item]) -> Collection | None:
    record = next((item for item in items if item["sk"] == "COLLECTION"), None)
    if record is None:
        return None
    note = next((item for item in items if item["sk"] == "CHANGE"), None)
    return Collection(
        record["agency"],
        record["collection"],
        moment(record["created_at"]),
        CollectionState(record["state"]),
        record.get("tags", {}),
        note["nonce"] if note else None,
        moment(note["at"]) if note else None,
        record.get("users", 0),
    )
