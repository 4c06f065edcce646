"""Functions that operators invoke by AWS's Lambda, without the API: what they are asked, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from traceback import extract_tb
from typing import Any, TypeVar

from aws_lambda_powertools import Logger
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from candid.errors import CandidError, DependencyUnavailable, InvalidRequest
from candid.http import problem
from candid.http.faults import fault
from candid.settings import SettingsError

Answer = dict[str, Any]
_R = TypeVar("_R")


class Request(BaseModel):
    """What every request is: nothing in it but what its class names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(Request):
    """A request of an operation that takes steps; ``cursor`` is what the last answer gave, None begins."""

    cursor: dict[str, Any] | None = None


def read(adapter: TypeAdapter[_R], event: Any) -> _R:
    """The request in an invocation's payload. Raises ``InvalidRequest``, whose sentence holds nothing of what was sent."""
    try:
        return adapter.validate_python(event)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field, wrong = fault(first).values()
        if first["type"] == "extra_forbidden":
            # The name of a member that there is not is what was sent.
            field, wrong = ".".join(str(part) for part in first["loc"][:-1]) or "(body)", "has a member too many"
        raise InvalidRequest(f"The request is not valid: {field}: {wrong}. Correct it and send it again.") from None


def answered(done: Callable[[], Answer], logger: Logger, request_id: str) -> Answer:
    """What ``done`` answers, which has ``done``; or ``problem`` (RFC 9457) alone."""
    try:
        answer = done()
    except CandidError as error:
        logger.warning("refused", extra={"sentence": str(error), "error": type(error).__name__})
        return {"problem": problem.document(error)}
    except SettingsError as error:
        logger.error("can't start", extra={"sentence": str(error)})
        return {"problem": problem.document(DependencyUnavailable(str(error)))}
    except Exception as error:
        # The text of an exception that is not Candid's own is not logged: it can hold what was sent.
        places = [
            f"{frame.filename.rsplit('/services/')[-1]}:{frame.lineno}" for frame in extract_tb(error.__traceback__)
        ]
        logger.error("failed", extra={"error": type(error).__name__, "places": places})
        return {"problem": problem.internal(request_id)}
    logger.info("step", extra={"done": answer["done"]})
    return answer
