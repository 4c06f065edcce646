"""The contract of Amazon Rekognition's API: botocore's own service model, from which requests are read and answers are checked.

JSON 1.1 (https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html): the operation is in ``X-Amz-Target``, members that an
operation does not know are ignored, bytes are base64, times are seconds since 1970. Not here: what the operations do.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

import regex
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape

from candid.errors import InvalidRequest

CONTENT_TYPE: Final = "application/x-amz-json-1.1"
PREFIX: Final = "RekognitionService."
_NUMBERS: Final = frozenset({"integer", "long", "float", "double"})


class UnknownOperation(InvalidRequest):
    """``X-Amz-Target`` names no operation of Rekognition's."""


class Unreadable(InvalidRequest):
    """The body is not JSON, or not an object."""


class BrokenAnswer(AssertionError):
    """An answer that is not as the model has it: a fault of Candid's. Its text names members, never values."""


@cache
def model() -> ServiceModel:
    """Rekognition's service model, of the botocore that is installed."""
    return ServiceModel(_loaded(), "rekognition")


def is_fault(exception: str) -> bool:
    """Whether the model calls an exception the service's own fault: its status is 500."""
    return bool(_loaded()["shapes"].get(exception, {}).get("fault"))


@cache
def _loaded() -> Any:
    return Loader().load_service_model("rekognition", "service-2")


def operation(target: str) -> OperationModel:
    """The operation that ``X-Amz-Target`` names. Raises ``UnknownOperation``."""
    name = target.removeprefix(PREFIX)
    if not target.startswith(PREFIX) or name not in model().operation_names:
        raise UnknownOperation(
            "X-Amz-Target names no operation of Amazon Rekognition's. Send RekognitionService. and an operation's name."
        )
    return model().operation_model(name)


def read(asked: OperationModel, body: bytes) -> dict[str, Any]:
    """A request's members, bytes decoded. Raises ``Unreadable``, and ``InvalidRequest`` with the first member that is missing, of
    the wrong kind, or out of the model's bounds; never with what was sent."""
    try:
        sent = json.loads(body.decode("utf-8") or "{}", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Unreadable("The body is not JSON. Send a JSON object in UTF-8.") from None
    if not isinstance(sent, dict):
        raise Unreadable("The body is not a JSON object. Send one.")
    shape: Any = asked.input_shape
    try:
        read: dict[str, Any] = _read(shape, sent, "")
    except RecursionError:
        raise Unreadable("The body is nested too deeply. Send a JSON object as the operation has it.") from None
    for place, problem in _problems(shape, read, ""):
        raise InvalidRequest(
            f"Request has invalid parameters: {place} {problem}. Correct it and send the request again."
        )
    return read


def write(asked: OperationModel, answer: Mapping[str, Any]) -> str:
    """An answer as JSON. Raises ``BrokenAnswer`` for one that is not as the model has it."""
    shape: Any = asked.output_shape
    for place, problem in _problems(shape, answer, ""):
        raise BrokenAnswer(f"{asked.name} answers {place or 'something'}, which {problem}")
    return json.dumps(_written(shape, answer, ""), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def errors_of(asked: OperationModel) -> frozenset[str]:
    """The exceptions that the model gives the operation."""
    return frozenset(shape.name for shape in asked.error_shapes)


def _read(shape: Shape, value: Any, place: str) -> Any:
    """``value`` as Python has the shape's kind, without members that the shape does not know and those that are null."""
    described: Any = shape
    if shape.type_name == "structure":
        if not isinstance(value, dict):
            raise _wrong(place, "must be an object")
        known = described.members
        return {
            name: _read(known[name], one, _inner(place, name))
            for name, one in value.items()
            if name in known and one is not None
        }
    if shape.type_name == "list":
        if not isinstance(value, list):
            raise _wrong(place, "must be a list")
        return [_read(described.member, one, f"{place}.{number}") for number, one in enumerate(value)]
    if shape.type_name == "map":
        if not isinstance(value, dict):
            raise _wrong(place, "must be an object")
        return {name: _read(described.value, one, f"{place}'s value") for name, one in value.items()}
    if shape.type_name == "blob":
        return _bytes(value, place)
    if shape.type_name == "string":
        if not isinstance(value, str) or not _is_whole(value):
            raise _wrong(place, "must be a text")
        return value
    if shape.type_name == "boolean":
        if not isinstance(value, bool):
            raise _wrong(place, "must be true or false")
        return value
    if shape.type_name in _NUMBERS:
        return _number(value, place, whole=shape.type_name in {"integer", "long"})
    raise _wrong(place, "is of a kind that is not read here")


def _bytes(value: Any, place: str) -> bytes:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise _wrong(place, "must be base64")


def _number(value: Any, place: str, *, whole: bool) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(place, "must be a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(place, "must be a number")
    if whole and value != int(value):
        raise _wrong(place, "must be a whole number")
    if abs(value) > 2**63:
        raise _wrong(place, "is too large a number")
    return int(value) if whole else float(value)


def _problems(shape: Shape, value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Where ``value`` is not as the model bounds it, and how: members that are required, lengths, ranges, patterns, words."""
    described: Any = shape
    bounds: Mapping[str, Any] = shape.metadata
    if shape.type_name == "structure":
        if not isinstance(value, Mapping):
            yield place, "must be an object"
            return
        for name in described.required_members:
            if name not in value:
                yield _inner(place, name), "is required"
        for name, one in value.items():
            if name not in described.members:
                yield _inner(place, name), "is not a member"
            else:
                yield from _problems(described.members[name], one, _inner(place, name))
        return
    if shape.type_name in {"list", "map"}:
        yield from _out_of(bounds, len(value), place, "entries")
        entries = value.values() if shape.type_name == "map" else value
        if shape.type_name == "map":
            for name in value:
                yield from _problems(described.key, name, f"{place}'s name")
        inner = described.value if shape.type_name == "map" else described.member
        for number, one in enumerate(entries):
            yield from _problems(inner, one, f"{place}.{number}")
        return
    if shape.type_name in {"string", "blob"}:
        if not isinstance(value, str if shape.type_name == "string" else bytes):
            yield place, "must be a text" if shape.type_name == "string" else "must be bytes"
            return
        yield from _out_of(bounds, len(value), place, "characters" if shape.type_name == "string" else "bytes")
        if "enum" in bounds and value not in bounds["enum"]:
            yield place, f"must be one of {', '.join(bounds['enum'])}"
        # By Smithy a pattern may match anywhere in a text. Rekognition means the whole, with "^" and "$" or without.
        if "pattern" in bounds and not _pattern(bounds["pattern"]).fullmatch(value):
            yield place, f"must match {bounds['pattern']}"
        return
    if shape.type_name in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield place, "must be a number"
            return
        if "min" in bounds and value < bounds["min"]:
            yield place, f"must be at least {bounds['min']}"
        if "max" in bounds and value > bounds["max"]:
            yield place, f"must be at most {bounds['max']}"
    elif shape.type_name == "boolean" and not isinstance(value, bool):
        yield place, "must be true or false"
    elif shape.type_name == "timestamp" and not isinstance(value, datetime):
        yield place, "must be a time"


def _out_of(bounds: Mapping[str, Any], length: int, place: str, what: str) -> Iterator[tuple[str, str]]:
    if length < bounds.get("min", 0):
        yield place, f"must have {bounds['min']} or more {what}"
    if length > bounds.get("max", math.inf):
        yield place, f"must have {bounds['max']} or fewer {what}"


def _written(shape: Shape, value: Any, place: str) -> Any:
    described: Any = shape
    if shape.type_name == "structure":
        return {name: _written(described.members[name], one, name) for name, one in value.items()}
    if shape.type_name == "list":
        return [_written(described.member, one, place) for one in value]
    if shape.type_name == "map":
        return {name: _written(described.value, one, place) for name, one in value.items()}
    if shape.type_name == "timestamp":
        return value.timestamp()
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    return value


@cache
def _pattern(text: str) -> Any:
    """The model's patterns name classes of Unicode (``\\p{L}``), which Python's own expressions do not know."""
    return regex.compile(text)


def _is_whole(text: str) -> bool:
    """Whether it is a text of whole characters: half a surrogate pair is no UTF-8."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _inner(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _wrong(place: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"Request has invalid parameters: {place} {problem}. Correct it and send the request again.")


def _no_constant(_: str) -> float:
    raise ValueError("NaN and Infinity are not JSON")
