"""What was dropped of the dead letters, why and when: a record in the gallery table for each, without the letter's body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from candid import aws
from candid.aws import dependency
from candid.gallery.dead_letters.letters import Letter
from candid.tables import from_item, now, timestamp, to_item

PARTITION: Final = "DEADLETTERS"
_NAME: Final = "the gallery table"


@dataclass(frozen=True, slots=True)
class Dropped:
    """The records in ``table``. Every method raises ``DependencyUnavailable``."""

    table: str

    def record(self, letter: Letter, why: str) -> None:
        """Record that ``letter`` is dropped; again, with the last reason."""
        item = {
            "pk": PARTITION,
            "sk": f"DROPPED#{letter.id}",
            **letter.as_json(),
            "dropped_at": timestamp(now()),
            "dropped_because": why,
        }
        with dependency(_NAME):
            aws.dynamodb().put_item(TableName=self.table, Item=to_item(item))

    def all(self) -> list[dict[str, Any]]:
        """All of them, the last dropped first."""
        found: list[dict[str, Any]] = []
        start: dict[str, Any] = {}
        while True:
            with dependency(_NAME):
                told = aws.dynamodb().query(
                    TableName=self.table,
                    KeyConditionExpression="pk = :dead AND begins_with(sk, :dropped)",
                    ExpressionAttributeValues={":dead": {"S": PARTITION}, ":dropped": {"S": "DROPPED#"}},
                    ConsistentRead=True,
                    **start,
                )
            found += [from_item(item) for item in told["Items"]]
            if "LastEvaluatedKey" not in told:
                break
            start = {"ExclusiveStartKey": told["LastEvaluatedKey"]}
        for one in found:
            del one["pk"], one["sk"]
        return sorted(found, key=lambda one: str(one["dropped_at"]), reverse=True)
