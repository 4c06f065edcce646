"""Users: people of a collection as its agency knows them, with up to 100 faces each. Their records; not the templates that are
fused of the faces (``fusion``).

A user is one item of the gallery table (``USER``) with a CHANGE note beside it while its template has to follow. A face is of
one user at most: its ``OWNER`` item says whose template may hold it, from the association until the template was made without
it. So whoever erases a face learns from it which template has to be made again, and takes nothing for erased that a template
still holds."""

from __future__ import annotations

import enum
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from candid import aws
from candid.aws import dependency, error_code
from candid.correlation import correlation_id
from candid.errors import Conflict, DependencyUnavailable, NotFound
from candid.gallery.collections import NO_SUCH_COLLECTION, CollectionState, collection_pk
from candid.gallery.progress import LEASE_MARGIN_SECONDS
from candid.gallery.transaction import put_new, write_all
from candid.idempotency import Claim
from candid.listing import by_name
from candid.tables import Item, cancelled_by, from_item, is_condition_failure, key, moment, now, timestamp, to_item

MAX_FACES: Final = 100
"""Of one user."""
NO_SUCH_USER: Final = "There is no such user in the collection. See ListUsers for those there are."
_PART: Final = 90
"""Owners of one transaction, which has at most 100 writes."""
_TURNS: Final = 20
_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)


class UserConflict(Conflict):
    """There is a user of that id already, or others are changing it."""


class TooManyFaces(Conflict):
    """A user has as many faces as one may have."""


class UserBusy(DependencyUnavailable):
    """Another worker holds the user."""


class UserMoved(Exception):
    """The user's record has changed since it was read, or a face was taken: read it again and decide again."""


class UserState(enum.StrEnum):
    """A user that is being deleted is not there for anybody but its deletion."""

    ACTIVE = "active"
    DELETING = "deleting"


class UserStatus(enum.StrEnum):
    """How Rekognition tells where a user stands."""

    CREATED = "CREATED"
    UPDATING = "UPDATING"
    ACTIVE = "ACTIVE"


@dataclass(frozen=True, slots=True)
class User:
    """A user. ``entry_id`` is its template's in the index, and new for one that is made again; ``faces`` are those that its
    template is to be fused of, with each one's booking id; ``held`` are those that it may hold: of these an OWNER item names
    the user. The template follows ``revision``, and has followed ``settled``; ``request_id`` is that of the newest change.
    ``user_id`` is the agency's word, and in no log."""

    agency: str
    collection: str
    user_id: str = field(repr=False)
    entry_id: str
    created_at: datetime
    changed_at: datetime
    state: UserState = UserState.ACTIVE
    faces: Mapping[str, str] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    revision: int = 0
    settled: int = 0
    request_id: str | None = None

    @property
    def status(self) -> UserStatus:
        """Whether its template is that of its faces."""
        if self.revision != self.settled:
            return UserStatus.UPDATING
        return UserStatus.ACTIVE if self.faces else UserStatus.CREATED


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose template may hold a face. ``request`` marks the request that associated it."""

    user_id: str = field(repr=False)
    entry_id: str
    request: str | None


@dataclass(frozen=True, slots=True)
class Users:
    """Reads and writes of users. Every method raises ``DependencyUnavailable`` when the table does not answer."""

    table: str
    clock: Callable[[], float] = time.time

    def create(self, agency: str, collection: str, user_id: str, claim: Claim | None = None) -> None:
        """Make a user without faces. Raises ``UserConflict``, also while one of that id is being deleted; ``NotFound`` where the
        collection is gone."""
        at = now()
        made = User(agency, collection, user_id, str(uuid.uuid4()), at, at)
        counted = self._count(made, 1)
        counted |= {
            "ConditionExpression": "#state = :active",
            "ExpressionAttributeNames": {"#state": "state", "#users": "users"},
        }
        counted["ExpressionAttributeValues"] |= to_item({":active": CollectionState.ACTIVE.value})
        writes: list[Any] = [{"Update": counted}, put_new(self.table, _item(made))]
        writes += [claim.write(self.table, "")] if claim else []
        try:
            write_all(writes)
        except ClientError as error:
            failed = cancelled_by(error)
            if not any(failed):
                raise
            if failed[0]:
                raise NotFound(NO_SUCH_COLLECTION) from None
            # Another delivery of this very request was quicker.
            if claim is None or claim.earlier_result(self.table) is None:
                raise UserConflict(
                    "There is a user with this id already, or one is being deleted. Use it, or choose another id."
                ) from None

    def get(self, agency: str, collection: str, user_id: str) -> User | None:
        """The user as it stands now (a consistent read), one that is being deleted too; None if there is none."""
        with dependency("the gallery table"):
            told = aws.dynamodb().get_item(
                TableName=self.table, Key=key(user_pk(agency, collection, user_id), "USER"), ConsistentRead=True
            )
        return _user(from_item(told["Item"])) if "Item" in told else None

    def expect(self, agency: str, collection: str, user_id: str) -> User:
        """The user, or ``NotFound`` for one that is not there, being deleted, or another agency's."""
        found = self.get(agency, collection, user_id)
        if found is None or found.state is UserState.DELETING:
            raise NotFound(NO_SUCH_USER)
        return found

    def list(
        self,
        agency: str,
        collection: str,
        after: str | None,
        limit: int,
        state: UserState = UserState.ACTIVE,
    ) -> list[User]:
        """Up to ``limit`` users behind ``after``, in the order of their ids; fewer than ``limit`` are the last. From an index:
        one that was made a moment ago may be missing."""
        listed = by_name(self.table, _listed(agency, collection), state.value, after, limit)
        return [_user(item) for item in listed]

    def owners(self, agency: str, collection: str, faces: Iterable[str]) -> dict[str, Owner]:
        """Of these faces those that a user's template may hold (a consistent read)."""
        left = [key(_face_pk(agency, collection, face), "OWNER") for face in dict.fromkeys(faces)]
        found: dict[str, Owner] = {}
        pauses = iter(_PAUSES)
        while left:
            some, left = left[:100], left[100:]
            with dependency("the gallery table"):
                told: Any = aws.dynamodb().batch_get_item(
                    RequestItems={self.table: {"Keys": some, "ConsistentRead": True}}
                )
            for raw in told["Responses"].get(self.table, []):
                item = from_item(raw)
                found[item["face_id"]] = Owner(item["user_id"], item["entry_id"], item.get("request"))
            if unread := told.get("UnprocessedKeys", {}).get(self.table, {}).get("Keys"):
                left += unread
                if (pause := next(pauses, None)) is None:
                    raise DependencyUnavailable("The gallery table answers too slowly now. Try again in a minute.")
                time.sleep(pause)
        return found

    def associate(
        self,
        user: User,
        faces: Mapping[str, str],
        claim: Claim | None = None,
        result: str = "",
        request: str | None = None,
    ) -> None:
        """Let the user's template be fused of these faces too (with each one's booking id). ``request`` marks them, ``claim`` is
        written with the last of them, for ``result``. Raises ``UserMoved`` where the record is not as in ``user`` any more, or a
        face is another's: some of the faces may have been associated then."""
        new = sorted(faces.keys() - user.faces.keys())
        parts = [new[first : first + _PART] for first in range(0, len(new), _PART)]
        for part in parts:
            some = {face: faces[face] for face in part}
            owned = [self._own(user, face, request) for face in part]
            owned += [claim.write(self.table, result)] if claim and part is parts[-1] else []
            user = self._write(user, {**user.faces, **some}, user.held | some.keys(), *owned)

    def disassociate(self, user: User, faces: Iterable[str], claim: Claim | None = None, result: str = "") -> None:
        """Let the user's template be fused without these faces. Raises ``UserMoved``."""
        gone = set(faces)
        left = {face: booking for face, booking in user.faces.items() if face not in gone}
        self._write(user, left, user.held, *([claim.write(self.table, result)] if claim else []))

    def let_go(self, agency: str, collection: str, faces: Iterable[str]) -> set[str]:
        """These faces are being erased: no user's template is to be fused of them any more. The ids of the users whose template
        may still hold one; ``fusion`` makes it anew."""
        gone = set(faces)
        owners = self.owners(agency, collection, gone)
        users = {owner.user_id for owner in owners.values()}
        for user_id in sorted(users):
            for _ in range(_TURNS):
                user = self.get(agency, collection, user_id)
                if user is None or user.state is UserState.DELETING or not gone & user.faces.keys():
                    break
                with suppress(UserMoved):
                    self.disassociate(user, gone)
            else:
                raise UserBusy("Others are changing the same user now. Try again in a minute.")
        return users

    def note(self, claim: Claim, result: str) -> None:
        """Keep the answer of a request that changes nothing. Raises ``UserMoved`` where another delivery of it was quicker."""
        self._all([claim.write(self.table, result)])

    def mark_deleting(self, user: User, claim: Claim | None = None) -> None:
        """The tombstone: from now on nobody finds the user, and the rest follows. Raises ``UserMoved``."""
        self._write(user, {}, user.held, *([claim.write(self.table, "")] if claim else []), state=UserState.DELETING)

    def remind(self, agency: str, collection: str, user_id: str) -> None:
        """Let the table's stream bring the user once more."""
        with aws.to_the_end(), dependency("the gallery table"):
            aws.dynamodb().update_item(
                TableName=self.table,
                Key=key(user_pk(agency, collection, user_id), "CHANGE"),
                UpdateExpression="SET reminded_at = :now",
                ExpressionAttributeValues={":now": {"S": timestamp(now())}},
            )

    # ---- for ``fusion``

    @contextmanager
    def holding(self, user: User, owner: str, until: float) -> Iterator[User | None]:
        """The user as it stands once it is this worker's (until ``until``, seconds since 1970) for the length of a ``with``; None
        while it is another's, or gone."""
        held = self._take(user, owner, until)
        try:
            yield held
        except Exception:
            if held is not None:
                with suppress(DependencyUnavailable, ClientError):
                    self._release(user, owner)
            raise

    def settle(self, user: User, owner: str, faces: Mapping[str, str]) -> None:
        """The template is that of ``faces`` now, and no other face is in it: let go of the others, and of the user. Of one that
        is being deleted nothing is left. Raises ``UserMoved`` where record or lease is not as it was."""
        left = sorted(user.held - faces.keys())
        known = self.owners(user.agency, user.collection, left)
        mine = [face for face in left if face in known and known[face].entry_id == user.entry_id]
        condition = "lease_owner = :owner AND revision = :seen"
        values = to_item({":owner": owner, ":seen": user.revision})
        its = {"TableName": self.table, "Key": key(_pk(user), "USER"), "ConditionExpression": condition}
        note = {"Delete": {"TableName": self.table, "Key": key(_pk(user), "CHANGE")}}
        for first in range(0, len(mine), _PART):
            gone = [self._disown(user, face) for face in mine[first : first + _PART]]
            self._all([{"ConditionCheck": its | {"ExpressionAttributeValues": values}}, *gone])
        if user.state is UserState.DELETING:
            counted = self._count(user, -1) | {"ConditionExpression": "attribute_exists(pk)"}
            self._all([{"Delete": its | {"ExpressionAttributeValues": values}}, note, {"Update": counted}])
            return
        stands = to_item({":faces": dict(faces), ":settled": user.revision})
        sets, removes = "faces = :faces, settled = :settled", "lease_owner, lease_until"
        if faces:
            stands |= to_item({":held": set(faces)})
            sets += ", held = :held"
        else:
            removes += ", held"
        update = its | {
            "UpdateExpression": f"SET {sets} REMOVE {removes}",
            "ExpressionAttributeValues": values | stands,
        }
        self._all([{"Update": update}, note])

    def forget(self, agency: str, collection: str, user_id: str) -> None:
        """A note without a user: it reminds of nothing."""
        with dependency("the gallery table"):
            aws.dynamodb().delete_item(TableName=self.table, Key=key(user_pk(agency, collection, user_id), "CHANGE"))

    def _take(self, user: User, owner: str, until: float) -> User | None:
        try:
            with dependency("the gallery table"):
                told = aws.dynamodb().update_item(
                    TableName=self.table,
                    Key=key(_pk(user), "USER"),
                    UpdateExpression="SET lease_owner = :owner, lease_until = :until",
                    ConditionExpression="attribute_exists(pk) AND "
                    "(attribute_not_exists(lease_owner) OR lease_owner = :owner OR lease_until < :now)",
                    ExpressionAttributeValues=to_item(
                        {
                            ":owner": owner,
                            ":until": int((until + LEASE_MARGIN_SECONDS) * 1000),
                            ":now": int(self.clock() * 1000),
                        }
                    ),
                    ReturnValues="ALL_NEW",
                )
        except ClientError as error:
            if is_condition_failure(error) or error_code(error) == "TransactionConflictException":
                return None
            raise
        return _user(from_item(told["Attributes"]))

    def _release(self, user: User, owner: str) -> None:
        with aws.to_the_end(), dependency("the gallery table"):
            aws.dynamodb().update_item(
                TableName=self.table,
                Key=key(_pk(user), "USER"),
                UpdateExpression="REMOVE lease_owner, lease_until",
                ConditionExpression="lease_owner = :owner",
                ExpressionAttributeValues={":owner": {"S": owner}},
            )

    def _write(
        self,
        user: User,
        faces: Mapping[str, str],
        held: Collection[str],
        *also: Any,
        state: UserState = UserState.ACTIVE,
    ) -> User:
        """The record as it stands then; the note that the template has to follow with it."""
        stored: Item = {
            ":faces": dict(faces),
            ":state": state.value,
            ":at": timestamp(now()),
            ":revision": user.revision + 1,
        }
        optional = {name: value for name, value in (("held", set(held)), ("request_id", correlation_id())) if value}
        stored |= {f":{name}": value for name, value in optional.items()}
        update = {
            "TableName": self.table,
            "Key": key(_pk(user), "USER"),
            "UpdateExpression": "SET faces = :faces, #state = :state, changed_at = :at, revision = :revision"
            + "".join(f", {name} = :{name}" for name in optional),
            "ConditionExpression": "revision = :seen AND #state = :active",
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": to_item({**stored, ":seen": user.revision, ":active": UserState.ACTIVE.value}),
        }
        note = to_item({"pk": _pk(user), "sk": "CHANGE", "nonce": str(uuid.uuid4())})
        self._all([{"Update": update}, {"Put": {"TableName": self.table, "Item": note}}, *also])
        return replace(user, faces=faces, held=frozenset(held), revision=user.revision + 1, state=state)

    def _count(self, user: User, more: int) -> dict[str, Any]:
        """The transaction's part that counts the collection's users in its record."""
        return {
            "TableName": self.table,
            "Key": key(collection_pk(user.agency, user.collection), "COLLECTION"),
            "UpdateExpression": "ADD #users :more",
            "ExpressionAttributeNames": {"#users": "users"},
            "ExpressionAttributeValues": to_item({":more": more}),
        }

    def _all(self, writes: Sequence[Any]) -> None:
        try:
            write_all(writes)
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise
            raise UserMoved from None

    def _own(self, user: User, face: str, request: str | None) -> Any:
        item = {
            "pk": _face_pk(user.agency, user.collection, face),
            "sk": "OWNER",
            "face_id": face,
            "user_id": user.user_id,
            "entry_id": user.entry_id,
            "request": request,
        }
        return {
            "Put": {
                "TableName": self.table,
                "Item": to_item(item),
                # One that the user lets go of this very moment is its own still.
                "ConditionExpression": "attribute_not_exists(pk) OR entry_id = :mine",
                "ExpressionAttributeValues": {":mine": {"S": user.entry_id}},
            }
        }

    def _disown(self, user: User, face: str) -> Any:
        return {
            "Delete": {
                "TableName": self.table,
                "Key": key(_face_pk(user.agency, user.collection, face), "OWNER"),
                "ConditionExpression": "entry_id = :mine",
                "ExpressionAttributeValues": {":mine": {"S": user.entry_id}},
            }
        }


def user_pk(agency: str, collection: str, user_id: str) -> str:
    """The partition of a user's items."""
    return f"USER#{agency}#{collection}#{user_id}"


def user_ref(pk: str) -> tuple[str, str, str] | None:
    """Agency, collection and id of the user whose partition ``pk`` is; None for another partition."""
    parts = pk.split("#")
    return (parts[1], parts[2], parts[3]) if len(parts) == 4 and parts[0] == "USER" else None


def _pk(user: User) -> str:
    return user_pk(user.agency, user.collection, user.user_id)


def _face_pk(agency: str, collection: str, face_id: str) -> str:
    return f"FACE#{agency}#{collection}#{face_id}"


def _listed(agency: str, collection: str) -> str:
    return f"USERS#{agency}#{collection}"


def _item(user: User) -> Item:
    return {
        "pk": _pk(user),
        "sk": "USER",
        "agency": user.agency,
        "collection": user.collection,
        "user_id": user.user_id,
        "entry_id": user.entry_id,
        "created_at": timestamp(user.created_at),
        "changed_at": timestamp(user.changed_at),
        "state": user.state.value,
        "faces": dict(user.faces),
        "revision": user.revision,
        "settled": user.settled,
        "agency_key": _listed(user.agency, user.collection),
        "listed_at": user.user_id,
    }


def _user(item: Item) -> User:
    return User(
        agency=item["agency"],
        collection=item["collection"],
        user_id=item["user_id"],
        entry_id=item["entry_id"],
        created_at=moment(item["created_at"]),
        changed_at=moment(item["changed_at"]),
        state=UserState(item["state"]),
        faces=item["faces"],
        held=frozenset(item.get("held", ())),
        revision=item["revision"],
        settled=item["settled"],
        request_id=item.get("request_id"),
    )
