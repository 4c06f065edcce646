"""Hard limits: how many requests a user and an agency may make in an hour, counted in DynamoDB for all processes together.

What looks at faces (searches, comparisons, detections) is counted apart from all else: it is what a dragnet would be made of.
An hour is one of the clock (UTC); at its end counting begins anew. Not here: how many requests a second the gateway lets
through (the template's usage plan).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from botocore.exceptions import ClientError

from candid import aws
from candid.access.principal import Permission, Principal
from candid.aws import dependency
from candid.errors import LimitReached
from candid.settings import LimitSettings
from candid.tables import is_condition_failure, key, now

_HOUR: Final = timedelta(hours=1)
_KEPT: Final = timedelta(days=2)
"""A count is of no use after its hour; DynamoDB deletes what has expired within days."""


class Kind(enum.Enum):
    """What is counted together, in the words of a refusal."""

    FACES = "searches, comparisons and detections"
    RECORDS = "requests for bookings, cases and stored searches"


_FACES: Final = frozenset({Permission.SEARCH, Permission.EXAMINE})


@dataclass(frozen=True, slots=True)
class Limits:
    """The counts, and the most of each."""

    told: LimitSettings

    def spend(self, who: Principal, permission: Permission) -> None:
        """Count one request. Raises ``LimitReached`` where it is one too many, ``DependencyUnavailable`` where it can't be
        counted: a limit that gives way when the table is away would be none."""
        moment = now()
        kind = Kind.FACES if permission in _FACES else Kind.RECORDS
        of_user, of_agency = self._most(kind)
        # The user first: who has reached his own limit uses up nothing of his agency's.
        if not self._count(f"{who.agency}#{who.user}", kind, of_user, moment):
            raise _reached(f"You have made {of_user:,} {kind.value} in this hour, the most that one user may", moment)
        if not self._count(who.agency, kind, of_agency, moment):
            raise _reached(
                f"Your agency has made {of_agency:,} {kind.value} in this hour, the most that one may", moment
            )

    def _most(self, kind: Kind) -> tuple[int, int]:
        if kind is Kind.FACES:
            return self.told.user_faces_per_hour, self.told.agency_faces_per_hour
        return self.told.user_records_per_hour, self.told.agency_records_per_hour

    def _count(self, whose: str, kind: Kind, most: int, moment: datetime) -> bool:
        """One more, unless there are ``most`` already."""
        hour = moment.astimezone(UTC).strftime("%Y-%m-%dT%H")
        try:
            with dependency("the table of limits"):
                aws.dynamodb().update_item(
                    TableName=self.told.limits_table,
                    Key=key(whose, f"{kind.name}#{hour}"),
                    UpdateExpression="ADD used :one SET expires_at = :then",
                    ConditionExpression="attribute_not_exists(used) OR used < :most",
                    ExpressionAttributeValues={
                        ":one": {"N": "1"},
                        ":most": {"N": str(most)},
                        ":then": {"N": str(int((moment + _KEPT).timestamp()))},
                    },
                )
        except ClientError as error:
            if not is_condition_failure(error):
                raise
            return False
        return True


def _reached(what: str, moment: datetime) -> LimitReached:
    # No earlier than the new hour, even where a clock is a little ahead.
    left = _HOUR - timedelta(minutes=moment.minute, seconds=moment.second, microseconds=moment.microsecond)
    return LimitReached(f"{what}. Send this request again after the full hour.", int(left.total_seconds()) + 1)
