"""The caller: an agency, a user, roles; and what each role may do. Not here: how a token is checked (``tokens``)."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from candid.errors import Forbidden, NotAuthenticated

AGENCY = re.compile(r"[a-z0-9][a-z0-9-]{0,62}[a-z0-9]")
"""An agency's name: it is the first part of every object key and partition, so it has no other characters."""
USER = re.compile(r"[\x21-\x7e]{1,128}")


class Role(enum.StrEnum):
    """What a person does in an agency."""

    RECORDS = "records"
    INVESTIGATOR = "investigator"
    EXAMINER = "examiner"
    SUPERVISOR = "supervisor"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Permission(enum.Enum):
    """What a request does, in the words of a refusal."""

    WRITE_BOOKINGS = "register, change or delete bookings"
    READ_BOOKINGS = "read bookings"
    WRITE_CASES = "open or close cases"
    READ_CASES = "read cases"
    SEARCH = "search the gallery"
    READ_SEARCHES = "read stored searches"
    EXAMINE = "compare or detect faces"
    SHARE = "share collections with other agencies"
    READ_SHARES = "see which collections are shared"
    PLACES = "say where images are read from"


_MAY: Mapping[Role, frozenset[Permission]] = {
    Role.RECORDS: frozenset({Permission.WRITE_BOOKINGS, Permission.READ_BOOKINGS}),
    Role.INVESTIGATOR: frozenset(
        {
            Permission.READ_BOOKINGS,
            Permission.WRITE_CASES,
            Permission.READ_CASES,
            Permission.SEARCH,
            Permission.READ_SEARCHES,
            Permission.EXAMINE,
            Permission.READ_SHARES,
        }
    ),
    Role.EXAMINER: frozenset(
        {
            Permission.READ_BOOKINGS,
            Permission.READ_CASES,
            Permission.SEARCH,
            Permission.READ_SEARCHES,
            Permission.EXAMINE,
            Permission.READ_SHARES,
        }
    ),
    Role.SUPERVISOR: frozenset(
        {
            Permission.READ_BOOKINGS,
            Permission.WRITE_CASES,
            Permission.READ_CASES,
            Permission.SEARCH,
            Permission.READ_SEARCHES,
            Permission.EXAMINE,
            Permission.READ_SHARES,
        }
    ),
    Role.AUDITOR: frozenset(
        {Permission.READ_BOOKINGS, Permission.READ_CASES, Permission.READ_SEARCHES, Permission.READ_SHARES}
    ),
    # An administrator runs the system and its gallery, and has no business in anybody's case.
    Role.ADMIN: frozenset(
        {
            Permission.WRITE_BOOKINGS,
            Permission.READ_BOOKINGS,
            Permission.SHARE,
            Permission.READ_SHARES,
            Permission.PLACES,
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. Built from a verified token alone."""

    agency: str
    user: str
    roles: frozenset[Role]

    def require(self, permission: Permission) -> None:
        """Raise ``Forbidden`` unless one of the roles allows it."""
        if not any(permission in _MAY[role] for role in self.roles):
            may = ", ".join(role.value for role in Role if permission in _MAY[role])
            raise Forbidden(
                f"Your roles don't allow you to {permission.value}. Ask your administrator for one that does: {may}."
            )

    def to_context(self) -> dict[str, str]:
        """As an API Gateway authorizer's context: flat, strings alone."""
        return {"agency": self.agency, "user": self.user, "roles": " ".join(sorted(self.roles))}

    @classmethod
    def from_context(cls, context: Mapping[str, object]) -> Principal:
        """From the authorizer's context of an invocation. Raises ``NotAuthenticated`` where there is none."""
        agency, user = context.get("agency"), context.get("user")
        if not isinstance(agency, str) or not isinstance(user, str) or not AGENCY.fullmatch(agency):
            raise NotAuthenticated(
                "It is not known who asks. Send a bearer token of your agency's issuer in the Authorization header."
            )
        return cls(agency, user, parse_roles(str(context.get("roles", "")).split()))


def parse_roles(words: list[str]) -> frozenset[Role]:
    """The roles among ``words``; words that are no role of Candid's are left out, since issuers serve other systems too."""
    known = {role.value for role in Role}
    return frozenset(Role(word) for word in words if word in known)
