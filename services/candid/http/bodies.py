"""Bodies: bounded, decoded and validated before anything acts on them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, Final, NoReturn, TypeVar

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from candid.errors import InvalidRequest, UnsupportedMediaType
from candid.http.faults import fault

MAX_BODY_BYTES: Final = 6_291_456
"""AWS Lambda's limit for a synchronous invocation, base64 included."""

_MOST_FAULTS: Final = 20

Model = TypeVar("Model", bound=BaseModel)


def raw(event: APIGatewayProxyEvent) -> bytes:
    """The body's bytes; empty where there is none. Raises ``InvalidRequest`` for base64 that is not."""
    body = event.body or ""
    if event.is_base64_encoded:
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequest("The body did not arrive whole. Send it again.") from None
    return body.encode("utf-8", "surrogatepass")


def media_type(event: APIGatewayProxyEvent) -> str:
    """The Content-Type without parameters, lower case; empty where there is none."""
    headers = {name.lower(): value for name, value in (event.headers or {}).items()}
    return (headers.get("content-type") or "").split(";")[0].strip().lower()


def parse_json(event: APIGatewayProxyEvent, model: type[Model], *, or_form: bool = False) -> Model:
    """The JSON body as ``model``. Raises ``UnsupportedMediaType`` or ``InvalidRequest`` with each wrong member named. With
    ``or_form`` the caller reads multipart/form-data itself."""
    if media_type(event) != "application/json":
        if or_form:
            raise UnsupportedMediaType(
                "The body is neither JSON nor a form. Send JSON, with Content-Type: application/json, or a form, as "
                "multipart/form-data."
            )
        raise UnsupportedMediaType("The body is not said to be JSON. Send JSON, with Content-Type: application/json.")
    return validate(load_json(raw(event)), model)


def load_json(data: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN, no member twice. Raises ``InvalidRequest``."""
    if not data:
        raise InvalidRequest("The request has no body. Send a JSON object.")
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError):  # Not UTF-8, not JSON, or a number of thousands of digits.
        raise InvalidRequest("The body is not valid JSON. Send a JSON object in UTF-8.") from None


def validate(value: Any, model: type[Model]) -> Model:
    """``value`` as ``model``. Raises ``InvalidRequest`` whose ``fields`` member says what is wrong where, never what was sent."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = _apart(error.errors(include_url=False, include_input=False))
        fields = _together(found)
    first = fields[0]
    raise InvalidRequest(
        f"The request is not valid: {first['field']}: {first['problem']}. "
        "Correct it and send it again; the API's document says what each member takes.",
        fields=fields,
    )


def _apart(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Without what is but the echo of another: pydantic counts the good entries of a list, so that one with a wrong entry is too
    short as well, whatever its length."""
    around = {one["loc"][:depth] for one in errors for depth in range(len(one["loc"]))}
    return [one for one in errors if one["type"] != "too_short" or one["loc"] not in around]


def _together(errors: Sequence[ErrorDetails]) -> list[dict[str, str]]:
    """What is wrong with the first ``_MOST_FAULTS`` members, each named once: of one that may be of several kinds, pydantic says
    of each in turn why it is not that. A wrong name in a map is one thing, and what it stands for another."""
    problems: dict[tuple[str, bool], list[str]] = {}
    for error in errors:
        field, problem = fault(error).values()
        member = field, error["loc"][-1:] == ("[key]",)
        if member not in problems and len(problems) == _MOST_FAULTS:
            break
        problems.setdefault(member, []).append(problem)
    return [{"field": field, "problem": ", or ".join(dict.fromkeys(each))} for (field, _), each in problems.items()]


def _no_constant(_: str) -> NoReturn:
    raise InvalidRequest("The body holds NaN or Infinity, which JSON does not know. Send a number.")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidRequest("The body names a member twice. Send each member once.")
    return members
