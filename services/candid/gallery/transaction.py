"""All-or-nothing writes to a table, and notes of changes written again. Not here: what is written, or what a failed condition
means.

DynamoDB cancels a transaction that meets another one on the same item (TransactionConflict), and no SDK tries such a one again:
a clerk's correction that meets an enrolment of the same booking would fail for no fault of anybody's.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError

from candid import aws
from candid.aws import dependency, error_code
from candid.errors import DependencyUnavailable
from candid.tables import is_condition_failure, key, now, timestamp, to_item

_PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.4)
_PASSING: Final = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


def put_new(table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A transaction's write: an item, unless there is one under its key."""
    return {"Put": {"TableName": table, "Item": to_item(values), "ConditionExpression": "attribute_not_exists(pk)"}}


def write_all(writes: Sequence[Any]) -> None:
    """Do all ``writes`` or none. Raises ``ClientError`` for a failed condition (see ``tables.cancelled_by``), and
    ``DependencyUnavailable`` when others kept the items busy for about a second."""
    for pause in (*_PAUSES, None):
        try:
            with dependency("its tables"):
                aws.dynamodb().transact_write_items(TransactItems=list(writes))
            return
        except ClientError as error:
            if not _was_only_busy(error):
                raise
        if pause is not None:
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
    raise DependencyUnavailable("Others are changing the same record now. Try again in a minute.")


def remind(table: str, pk: str) -> None:
    """Write a partition's note of a change again, so that the table's stream brings it once more; nothing where it is gone.
    Raises ``DependencyUnavailable``."""
    try:
        with dependency("the gallery table"):
            aws.dynamodb().update_item(
                TableName=table,
                Key=key(pk, "CHANGE"),
                UpdateExpression="SET reminded_at = :now",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues={":now": {"S": timestamp(now())}},
            )
    except ClientError as error:
        if not is_condition_failure(error):
            raise


def _was_only_busy(error: ClientError) -> bool:
    if error_code(error) != "TransactionCanceledException":
        return False
    reasons: Any = error.response.get("CancellationReasons", [])
    codes = {str(reason.get("Code") or "None") for reason in reasons} - {"None"}
    return bool(codes) and codes <= _PASSING
