"""Credentials that a Rekognition client signs its calls with: short-lived, as STS gives them out; under a case, or for records
alone.

Such a client has no field for a case, so the session token is where it is told: who, of which agency, in which roles, under
which case and purpose, with probes from where, until when. It is plain JSON, and nothing in it is secret or believed: the
secret access key is the HMAC of the token's digest by a key that never leaves KMS. Whoever changes a token does not know its
secret, so a signature that is right authenticates the token with the request. No secret is stored; what is read at each call is
one record, which tells of a closed case and of revoked credentials. Not here: how a signature is checked
(``access.signatures``)."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from candid import aws
from candid.access.principal import AGENCY, USER, Principal, Role
from candid.aws import dependency
from candid.casework.cases import Case, Cases
from candid.casework.policy import Policy
from candid.errors import Conflict, Forbidden, NotAuthenticated
from candid.tables import key, moment, now, timestamp

LEAST_SECONDS: Final = 900
MOST_SECONDS: Final = 12 * 3_600
"""What STS allows, and no longer than a bearer token lives."""
MAX_TOKEN: Final = 2_048
_VERSION: Final = 1
_SECRET_OF: Final = b"candid secret access key of\0"
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_KEY_ID: Final = re.compile(r"^CNDD[A-Z2-7]{16}$")
_MOMENT: Final = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$")


class UnknownToken(NotAuthenticated):
    """No session token, or one that Candid did not give out."""


class ExpiredToken(NotAuthenticated):
    """The credentials' time is over."""


class Revoked(Forbidden):
    """The case is closed, or the credentials were taken back."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client signs with. ``expires_at`` is timezone-aware. No ``repr`` shows what is secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """What credentials allow: whom they were given to, and, unless for records alone, under which case with probes from where.
    ``issued_at`` and ``expires_at`` are timezone-aware."""

    principal: Principal
    access_key_id: str
    issued_at: datetime
    expires_at: datetime
    case_id: str | None = None
    purpose: str | None = None
    probe_source: str | None = None


class _Token(BaseModel):
    """The session token's members. What is not of this form was not given out here."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: int = Field(ge=_VERSION, le=_VERSION)
    key: str = Field(min_length=1, max_length=200)
    access_key_id: str = Field(pattern=_KEY_ID.pattern)
    agency: str = Field(pattern=f"^{AGENCY.pattern}$")
    user: str = Field(pattern=f"^{USER.pattern}$")
    roles: tuple[str, ...] = Field(max_length=len(Role))
    issued_at: str = Field(pattern=_MOMENT.pattern)
    expires_at: str = Field(pattern=_MOMENT.pattern)
    case_id: str | None = None
    purpose: str | None = None
    probe_source: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len({one is None for one in (self.case_id, self.purpose, self.probe_source)}) > 1:
            raise ValueError("a case, its purpose and the probes' source come together")
        if any(one not in set(Role) for one in self.roles):
            raise ValueError("there is no such role")
        return self


@dataclass(frozen=True, slots=True)
class CredentialIssuer:
    """The use cases over KMS and the casework table. ``key_id`` is that of the KMS key (HMAC_256). Every method raises
    ``DependencyUnavailable`` where one of them does not answer."""

    cases: Cases
    policy: Policy
    key_id: str

    def of_case(self, who: Principal, case_id: str, probe_source: str, seconds: int) -> Credentials:
        """Credentials for ``seconds`` (900 to 43,200), to search with probes from ``probe_source`` under an open case.

        Raises ``NotFound``, ``Conflict`` (closed), ``PolicyRefusal``.
        """
        case = self.cases.expect_open(who.agency, case_id)
        self.policy.require_source(probe_source)
        return self._issue(who, seconds, case_id=case.case_id, purpose=case.purpose, probe_source=probe_source)

    def of_records(self, who: Principal, seconds: int) -> Credentials:
        """Credentials to index and read faces; they search nothing."""
        return self._issue(who, seconds)

    def revoke_of_case(self, who: Principal, case_id: str) -> Case:
        """Take back all credentials of a case that were given out until now. Raises ``NotFound``; ``Forbidden`` for another
        officer's case, which a supervisor alone may do that for."""
        return self.cases.revoke_credentials(who, case_id)

    def revoke_of_records(self, who: Principal) -> datetime:
        """Take back all of the agency's credentials for records that were given out until now; when that was."""
        revoked_at = now()
        with dependency("the casework table"):
            aws.dynamodb().update_item(
                TableName=self.cases.table,
                Key=_records_key(who.agency),
                UpdateExpression="SET revoked_at = :now, revoked_by = :who",
                ExpressionAttributeValues={":now": {"S": timestamp(revoked_at)}, ":who": {"S": who.user}},
            )
        return revoked_at

    def read(self, token: str) -> Grant:
        """What a session token says; its holder has proved nothing yet. Raises ``UnknownToken``, ``ExpiredToken``."""
        told = _read(token)
        if told is None or told.key != self.key_id:
            raise UnknownToken(
                "The security token included in the request is invalid. Get credentials of a case "
                "(POST /v1/cases/{case_id}/credentials)."
            )
        grant = Grant(
            Principal(told.agency, told.user, frozenset(Role(one) for one in told.roles)),
            told.access_key_id,
            moment(told.issued_at),
            moment(told.expires_at),
            told.case_id,
            told.purpose,
            told.probe_source,
        )
        if grant.expires_at <= now():
            raise ExpiredToken(
                "The security token included in the request is expired. Get new credentials of the case."
            )
        return grant

    def secret(self, token: str) -> str:
        """The secret access key of the credentials that a token is part of."""
        return _secret(self.key_id, sha256(token.encode()).digest())

    def check(self, grant: Grant) -> None:
        """Raise ``Revoked`` unless the grant is still in force: one consistent read."""
        if grant.case_id is None:
            revoked_at = self._records_revoked_at(grant.principal.agency)
        else:
            try:
                case = self.cases.expect_open(grant.principal.agency, grant.case_id)
            except (Conflict, Forbidden) as error:
                raise Revoked(str(error)) from None
            revoked_at = case.credentials_revoked_at
        if revoked_at is not None and grant.issued_at <= revoked_at:
            raise Revoked("The credentials were revoked. Get new ones, if the case still needs them.")

    def _records_revoked_at(self, agency: str) -> datetime | None:
        with dependency("the casework table"):
            answer = aws.dynamodb().get_item(TableName=self.cases.table, Key=_records_key(agency), ConsistentRead=True)
        return moment(answer["Item"]["revoked_at"]["S"]) if "Item" in answer else None

    def _issue(self, who: Principal, seconds: int, **case: str) -> Credentials:
        issued_at = now()
        expires_at = (issued_at + timedelta(seconds=seconds)).replace(microsecond=0)
        access_key_id = "CNDD" + "".join(secrets.choice(_ALPHABET) for _ in range(16))
        told = _Token(
            version=_VERSION,
            key=self.key_id,
            access_key_id=access_key_id,
            agency=who.agency,
            user=who.user,
            roles=tuple(sorted(who.roles)),
            issued_at=timestamp(issued_at),
            expires_at=timestamp(expires_at),
            **case,
        )
        text = told.model_dump_json(exclude_none=True)
        token = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return Credentials(access_key_id, self.secret(token), token, expires_at)


def _read(token: str) -> _Token | None:
    if not 1 <= len(token) <= MAX_TOKEN or not token.isascii():
        return None
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        told = _Token.model_validate_json(text)
        moment(told.issued_at), moment(told.expires_at)
    except (binascii.Error, ValidationError, ValueError, RecursionError):
        return None
    return told


@lru_cache(maxsize=256)
def _secret(key_id: str, digest: bytes) -> str:
    """Asked of KMS once a process for each token: a client makes many calls with one."""
    with dependency("the key of the credentials"):
        told = aws.kms().generate_mac(KeyId=key_id, MacAlgorithm="HMAC_SHA_256", Message=_SECRET_OF + digest)
    return base64.b64encode(told["Mac"]).decode().rstrip("=")


def _records_key(agency: str) -> Any:
    return key(f"K#{agency}", "CREDENTIALS")
