"""What an invocation answers: what was done, or the problem that the HTTP API would give."""

from __future__ import annotations

from collections.abc import Callable
from traceback import extract_tb
from typing import Any

from aws_lambda_powertools import Logger

from candid.errors import CandidError, DependencyUnavailable
from candid.http import problem
from candid.settings import SettingsError

Answer = dict[str, Any]


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
