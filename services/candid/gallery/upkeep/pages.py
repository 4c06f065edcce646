"""Walking over the gallery table, of every agency, page by page: which bookings, or whatever else, have an item of one kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from candid import aws
from candid.aws import dependency
from candid.gallery.items import booking_ref
from candid.tables import Item

PAGE_ITEMS: Final = 250
"""Of the table, read at once: about a hundred bookings."""


def bookings_with(
    table: str, sk: str, after: Mapping[str, str] | None
) -> tuple[list[tuple[str, str]], dict[str, str] | None]:
    """Agency and id of some bookings, in no order, that have an item ``sk``, and where the next page begins; None at the end. As
    ``partitions_with``."""
    found, last = partitions_with(table, sk, after)
    return [ref for pk in found if (ref := booking_ref(pk))], last


def partitions_with(table: str, sk: str, after: Mapping[str, str] | None) -> tuple[list[str], dict[str, str] | None]:
    """Some partitions, in no order, that have an item ``sk``, and where the next page begins; None at the end.

    Read consistently; one that is written for the first time during the walk may be left out. Raises
    ``DependencyUnavailable``.
    """
    start: dict[str, Any] = (
        {"ExclusiveStartKey": {name: {"S": value} for name, value in after.items()}} if after else {}
    )
    with dependency("the gallery table"):
        told = aws.dynamodb().scan(
            TableName=table,
            ConsistentRead=True,
            Limit=PAGE_ITEMS,
            FilterExpression="sk = :sk",
            ProjectionExpression="pk",
            ExpressionAttributeValues={":sk": {"S": sk}},
            **start,
        )
    last: Item = dict(told.get("LastEvaluatedKey", {}))
    return [item["pk"]["S"] for item in told["Items"]], {name: value["S"] for name, value in last.items()} or None
