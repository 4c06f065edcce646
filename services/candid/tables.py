"""DynamoDB items as plain dicts, and what a cancelled transaction says. Not here: which items there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from candid.aws import error_code

Item = dict[str, Any]
_serializer, _deserializer = TypeSerializer(), TypeDeserializer()


def to_item(values: Mapping[str, Any]) -> Item:
    """As DynamoDB wants it. Members that are None are left out."""
    return {name: _serializer.serialize(_storable(value)) for name, value in values.items() if value is not None}


def _storable(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, Mapping):
        return {name: _storable(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(member) for member in value]
    return value


def from_item(item: Mapping[str, Any]) -> Item:
    """As Python has it; whole numbers become int."""
    return {name: _plain(_deserializer.deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return value


def key(pk: str, sk: str) -> Item:
    """The primary key of an item."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def cancelled_by(error: ClientError) -> Sequence[bool]:
    """Which writes of a transaction failed their condition, in the order sent; empty if that is not what happened."""
    if error_code(error) != "TransactionCanceledException":
        return ()
    reasons: Sequence[Mapping[str, Any]] = error.response.get("CancellationReasons", [])
    return [reason.get("Code") == "ConditionalCheckFailed" for reason in reasons]


def is_condition_failure(error: ClientError) -> bool:
    """Whether a single conditional write was refused by its condition."""
    return error_code(error) == "ConditionalCheckFailedException"


def timestamp(moment: datetime) -> str:
    """UTC with microseconds: such texts sort as the moments do (years 1000 to 9999)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(text: str) -> datetime:
    """The moment of a ``timestamp``."""
    return datetime.fromisoformat(text)


def now() -> datetime:
    """The present, timezone-aware."""
    return datetime.now(UTC)
