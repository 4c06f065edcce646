"""Walking over the gallery table, of every agency, page by page: which partitions have an item of some kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from candid import aws
from candid.aws import dependency
from candid.tables import Item

PAGE_ITEMS: Final = 250
"""Of the table, read at once: about a hundred bookings."""


def partitions_with(
    table: str, kinds: Sequence[str], after: Mapping[str, str] | None
) -> tuple[list[str], dict[str, str] | None]:
    """Some partitions, in no order, that have an item of one of these ``kinds`` (sort keys), one an item, and where the next page
    begins; None at the end.

    Read consistently; one that is written for the first time during the walk may be left out. Raises
    ``DependencyUnavailable``.
    """
    start: dict[str, Any] = (
        {"ExclusiveStartKey": {name: {"S": value} for name, value in after.items()}} if after else {}
    )
    named = {f":{number}": {"S": kind} for number, kind in enumerate(kinds)}
    with dependency("the gallery table"):
        told = aws.dynamodb().scan(
            TableName=table,
            ConsistentRead=True,
            Limit=PAGE_ITEMS,
            FilterExpression=f"sk IN ({', '.join(named)})",
            ProjectionExpression="pk",
            ExpressionAttributeValues=named,
            **start,
        )
    last: Item = dict(told.get("LastEvaluatedKey", {}))
    return [item["pk"]["S"] for item in told["Items"]], {name: value["S"] for name, value in last.items()} or None
