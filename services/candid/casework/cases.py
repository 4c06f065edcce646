"""Cases: number, purpose, legal basis, officer, agency. No search without one."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from botocore.exceptions import ClientError

from candid import aws
from candid.access.principal import Principal, Role
from candid.aws import dependency
from candid.casework.policy import Policy
from candid.errors import Conflict, Forbidden, NotFound
from candid.gallery.transaction import put_new, write_all
from candid.idempotency import Claim
from candid.listing import Listing
from candid.tables import Item, cancelled_by, from_item, is_condition_failure, key, moment, now, timestamp, to_item

NO_SUCH_CASE: Final = "There is no such case, or it is not one that you may see. Look it up with GET /v1/cases."


class CaseState(enum.StrEnum):
    """An open case can be searched under; a closed one is kept."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Case:
    """What gives a search its legal basis. ``officer`` is the user who opened it; ``policy`` the mark of the rules then.
    Credentials that were given out at ``credentials_revoked_at`` or before are taken back."""

    agency: str
    case_id: str
    number: str
    purpose: str
    legal_basis: str
    officer: str
    state: CaseState
    opened_at: datetime
    policy: Mapping[str, str]
    closed_at: datetime | None = None
    closed_by: str | None = None
    credentials_revoked_at: datetime | None = None
    credentials_revoked_by: str | None = None


@dataclass(frozen=True, slots=True)
class NewCase:
    """What an officer says of a case."""

    number: str
    purpose: str
    legal_basis: str


@dataclass(frozen=True, slots=True)
class CasePage:
    """A page of a listing, newest first; ``next_key`` continues it."""

    cases: tuple[Case, ...]
    next_key: Item | None


@dataclass(frozen=True, slots=True)
class Cases:
    """The use cases over the casework table. Every method raises ``DependencyUnavailable`` when it does not answer."""

    table: str
    policy: Policy

    def open(self, who: Principal, new: NewCase, claim: Claim | None = None) -> Case:
        """Open a case. The same claim again is the same case.

        Raises ``InvalidRequest`` or ``PolicyRefusal`` for its purpose; ``Conflict`` with ``case_id`` for a number that the
        agency has.
        """
        self.policy.require_purpose(new.purpose)
        if claim and (earlier := claim.earlier_result(self.table)):
            return self.expect(who.agency, earlier)
        case = Case(
            agency=who.agency,
            case_id=str(uuid.uuid4()),
            number=new.number,
            purpose=new.purpose,
            legal_basis=new.legal_basis,
            officer=who.user,
            state=CaseState.OPEN,
            opened_at=now(),
            policy=self.policy.mark,
        )
        number = {"pk": _number_pk(who.agency, new.number), "sk": "NUMBER", "case_id": case.case_id}
        writes = [put_new(self.table, _item(case)), put_new(self.table, number)]
        if claim:
            writes.append(claim.write(self.table, case.case_id))
        try:
            write_all(writes)
        except ClientError as error:
            if not any(cancelled_by(error)):
                raise
            if claim and (earlier := claim.earlier_result(self.table)):
                return self.expect(who.agency, earlier)
            raise Conflict(
                "The agency has a case with this number already. Use its case_id.",
                case_id=self._find_number(who.agency, new.number),
            ) from None
        return case

    def expect(self, agency: str, case_id: str) -> Case:
        """The case as it stands now. Raises ``NotFound`` for one that is not there or another agency's."""
        with dependency("the casework table"):
            answer = aws.dynamodb().get_item(
                TableName=self.table, Key=key(case_pk(agency, case_id), "CASE"), ConsistentRead=True
            )
        if "Item" not in answer:
            raise NotFound(NO_SUCH_CASE)
        return _case(from_item(answer["Item"]))

    def expect_open(self, agency: str, case_id: str) -> Case:
        """The case, for a search under it. Raises ``NotFound``; ``Conflict`` for a closed one; the policy's refusals."""
        case = self.expect(agency, case_id)
        if case.state is not CaseState.OPEN:
            raise Conflict("The case is closed. Open another to search under.")
        self.policy.require_purpose_still(case.purpose)
        return case

    def close(self, who: Principal, case_id: str) -> Case:
        """Close a case; closing it again leaves it as it is. Raises ``NotFound``; ``Forbidden`` for another officer's case,
        which a supervisor alone may close."""
        case = self._expect_own(who, case_id, "close it")
        if case.state is CaseState.CLOSED:
            return case
        closed = replace(case, state=CaseState.CLOSED, closed_at=now(), closed_by=who.user)
        return self._change_open(closed, "state", "closed_at", "closed_by")

    def revoke_credentials(self, who: Principal, case_id: str) -> Case:
        """Take back the credentials that were given out under an open case until now; a closed case's are of no use anyway.
        Raises as ``close``."""
        case = self._expect_own(who, case_id, "revoke its credentials")
        if case.state is CaseState.CLOSED:
            return case
        revoked = replace(case, credentials_revoked_at=now(), credentials_revoked_by=who.user)
        return self._change_open(revoked, "credentials_revoked_at", "credentials_revoked_by")

    def list(
        self,
        agency: str,
        *,
        state: CaseState | None = None,
        officer: str | None = None,
        limit: int = 50,
        start: Item | None = None,
    ) -> CasePage:
        """The agency's cases, newest first."""
        items, next_key = Listing(
            table=self.table,
            index="by-officer" if officer else "by-agency",
            hash_name="agency_officer" if officer else "agency_kind",
            hash_value=f"{agency}#CASE#{officer}" if officer else f"{agency}#CASE",
            range_name="at",
            equals={"state": state.value} if state else {},
        ).page(limit, start)
        return CasePage(tuple(map(_case, items)), next_key)

    def check_open(self, agency: str, case_id: str) -> dict[str, object]:
        """A transaction's condition: the case is open when the write happens."""
        return {
            "ConditionCheck": {
                "TableName": self.table,
                "Key": key(case_pk(agency, case_id), "CASE"),
                "ConditionExpression": "#state = :open",
                "ExpressionAttributeNames": {"#state": "state"},
                "ExpressionAttributeValues": {":open": {"S": CaseState.OPEN.value}},
            }
        }

    def _expect_own(self, who: Principal, case_id: str, what: str) -> Case:
        case = self.expect(who.agency, case_id)
        if case.officer != who.user and Role.SUPERVISOR not in who.roles:
            raise Forbidden(f"The officer who opened the case may {what}, or a supervisor. Ask one of them.")
        return case

    def _change_open(self, case: Case, *members: str) -> Case:
        """Write these members of an open case as ``case`` has them. One that was closed meanwhile stays as it is, and is
        answered."""
        stored = _item(case)
        try:
            with dependency("the casework table"):
                aws.dynamodb().update_item(
                    TableName=self.table,
                    Key=key(case_pk(case.agency, case.case_id), "CASE"),
                    UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in members),
                    ConditionExpression="#state = :open",
                    ExpressionAttributeNames={"#state": "state", **{f"#{name}": name for name in members}},
                    ExpressionAttributeValues=to_item(
                        {":open": CaseState.OPEN.value, **{f":{name}": stored[name] for name in members}}
                    ),
                )
        except ClientError as error:
            if not is_condition_failure(error):
                raise
            return self.expect(case.agency, case.case_id)
        return case

    def _find_number(self, agency: str, number: str) -> str | None:
        with dependency("the casework table"):
            answer = aws.dynamodb().get_item(
                TableName=self.table, Key=key(_number_pk(agency, number), "NUMBER"), ConsistentRead=True
            )
        return answer["Item"]["case_id"]["S"] if "Item" in answer else None


def case_pk(agency: str, case_id: str) -> str:
    """The partition of a case."""
    return f"C#{agency}#{case_id}"


def _number_pk(agency: str, number: str) -> str:
    return f"CN#{agency}#{number}"


def _item(case: Case) -> Item:
    opened_at = timestamp(case.opened_at)
    return {
        "pk": case_pk(case.agency, case.case_id),
        "sk": "CASE",
        "agency": case.agency,
        "case_id": case.case_id,
        "number": case.number,
        "purpose": case.purpose,
        "legal_basis": case.legal_basis,
        "officer": case.officer,
        "state": case.state.value,
        "opened_at": opened_at,
        "policy": dict(case.policy),
        "closed_at": timestamp(case.closed_at) if case.closed_at else None,
        "closed_by": case.closed_by,
        "credentials_revoked_at": timestamp(case.credentials_revoked_at) if case.credentials_revoked_at else None,
        "credentials_revoked_by": case.credentials_revoked_by,
        "agency_kind": f"{case.agency}#CASE",
        "agency_officer": f"{case.agency}#CASE#{case.officer}",
        "at": f"{opened_at}#{case.case_id}",
    }


def _case(item: Item) -> Case:
    return Case(
        agency=item["agency"],
        case_id=item["case_id"],
        number=item["number"],
        purpose=item["purpose"],
        legal_basis=item["legal_basis"],
        officer=item["officer"],
        state=CaseState(item["state"]),
        opened_at=moment(item["opened_at"]),
        policy=item["policy"],
        closed_at=moment(item["closed_at"]) if "closed_at" in item else None,
        closed_by=item.get("closed_by"),
        credentials_revoked_at=moment(item["credentials_revoked_at"]) if "credentials_revoked_at" in item else None,
        credentials_revoked_by=item.get("credentials_revoked_by"),
    )
