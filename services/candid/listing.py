"""Pages of a listing from a DynamoDB index: newest first, or by name. Not here: what the items are (nor the cursor:
``http.cursors``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import ClientError

from candid import aws
from candid.aws import dependency, error_code
from candid.errors import InvalidRequest
from candid.tables import Item, from_item, to_item

_FOREIGN: Final = "The cursor is not one of this listing. Use next_cursor of the page before, with the same filters."
_MOST_READS: Final = 20
# A filter that matches little could read the whole listing: after this many reads the page is given as it is, with a cursor.
FIRST: Final = "0"
LAST: Final = "~"
"""Bounds below and above every timestamp."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One index's items under one hash key, between two bounds of its range key (inclusive).

    A range key is ``<timestamp>#<id>``; "#" sorts before every digit, so a bound without an id lies below all items of that
    moment: a ``high`` of a moment leaves that moment out. ``equals`` filters by other members.
    """

    table: str
    index: str
    hash_name: str
    hash_value: str
    range_name: str
    low: str = FIRST
    high: str = LAST
    equals: Mapping[str, str] = field(default_factory=dict)

    def page(self, limit: int, start: Item | None = None) -> tuple[list[Item], Item | None]:
        """Up to ``limit`` items and the key to continue after, None at the end. Raises ``DependencyUnavailable``, and
        ``InvalidRequest`` for a ``start`` that is no key of this listing."""
        if start:
            self._check(start)
        found: list[Item] = []
        for _ in range(_MOST_READS):
            answer = self._read(limit, start)
            found += answer["Items"]
            start = answer.get("LastEvaluatedKey")
            if not start or len(found) > limit:
                break
        if len(found) > limit:
            start = {name: found[limit - 1][name] for name in ("pk", "sk", self.hash_name, self.range_name)}
        return [from_item(item) for item in found[:limit]], start

    def _read(self, limit: int, start: Item | None) -> Any:
        try:
            with dependency("its tables"):
                return aws.dynamodb().query(**(self._query(limit) | ({"ExclusiveStartKey": start} if start else {})))
        except ClientError as error:
            if start and error_code(error) == "ValidationException":
                raise InvalidRequest(_FOREIGN) from None
            raise

    def _check(self, start: Item) -> None:
        """A cursor can be forged: its key must lie in this listing."""
        names = {"pk", "sk", self.hash_name, self.range_name}
        within = start.keys() == names and start[self.hash_name] == {"S": self.hash_value}
        if not within or not self.low <= start[self.range_name].get("S", "") <= self.high:
            raise InvalidRequest(_FOREIGN)

    def _query(self, limit: int) -> dict[str, Any]:
        # Every name is an alias: DynamoDB reserves words such as "at" and "state".
        names = {"#hash": self.hash_name, "#range": self.range_name}
        names |= {f"#f{i}": name for i, name in enumerate(self.equals)}
        values = {":hash": self.hash_value, ":low": self.low, ":high": self.high}
        values |= {f":f{i}": value for i, value in enumerate(self.equals.values())}
        query: dict[str, Any] = {
            "TableName": self.table,
            "IndexName": self.index,
            "KeyConditionExpression": "#hash = :hash AND #range BETWEEN :low AND :high",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {name: {"S": value} for name, value in values.items()},
            "ScanIndexForward": False,
            "Limit": limit + 1,
        }
        if self.equals:
            query["FilterExpression"] = " AND ".join(f"#f{i} = :f{i}" for i in range(len(self.equals)))
        return query


def by_name(table: str, listed: str, state: str, after: str | None, limit: int) -> list[Item]:
    """Up to ``limit`` items under ``listed``, in this ``state``, in the order of their names (printable ASCII without a space),
    from behind ``after``; fewer than ``limit`` are the last. From an index: one that was made a moment ago may be missing.
    Raises ``DependencyUnavailable``."""
    items: list[Item] = []
    asked: dict[str, Any] = {
        "TableName": table,
        "IndexName": "by-agency",
        "KeyConditionExpression": "agency_key = :listed AND listed_at BETWEEN :low AND :high",
        "FilterExpression": "#state = :state",
        "ExpressionAttributeNames": {"#state": "state"},
        "ExpressionAttributeValues": to_item(
            {":listed": listed, ":low": f"{after} " if after else " ", ":high": LAST, ":state": state}
        ),
        "Limit": limit,
    }
    while len(items) < limit:
        with dependency("its tables"):
            told = aws.dynamodb().query(**asked)
        items += [from_item(item) for item in told["Items"]]
        if "LastEvaluatedKey" not in told:
            break
        asked["ExclusiveStartKey"] = told["LastEvaluatedKey"]
    return items[:limit]
