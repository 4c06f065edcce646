"""The Powertools wiring that every HTTP edge shares: one table of failures, one log line a request, nothing of its content.

Not here: routes and rules. What is logged is method, route pattern, status and time: never a body, a query or an identity.
"""

from __future__ import annotations

import json
import os
import time
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from uuid import UUID

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from candid import aws, settings
from candid.access.limits import Limits
from candid.access.principal import Permission, Principal
from candid.correlation import correlation_id, follow, following
from candid.errors import CandidError, DependencyUnavailable, LimitReached, NotFound
from candid.http import problem
from candid.http.reporting import report
from candid.settings import SettingsError

_NOT_SET_UP = "This part of Candid is not set up yet. Give your administrator the instance below."
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Edge:
    """One function's HTTP surface: ``api`` takes the routes, ``handle`` answers an invocation."""

    def __init__(self, service: str) -> None:
        self.api = APIGatewayRestResolver()
        self.logger = Logger(service=service)
        self.tracer = Tracer(service=service)
        self.metrics = Metrics(namespace="Candid", service=service)
        self.api.exception_handler(CandidError)(self._refuse)
        self.api.exception_handler(Exception)(self._fail)
        self.api.not_found(self._no_route)

    def principal(self, permission: Permission) -> Principal:
        """Who asks, allowed to do this; counted. Raises ``NotAuthenticated``, ``Forbidden`` or ``LimitReached``."""
        context = self.api.current_event.raw_event.get("requestContext", {}).get("authorizer") or {}
        principal = Principal.from_context(context)
        # Who got a photo link must be tellable from the log, without a name in it: the digest can be made again from a user.
        self.logger.append_keys(caller=sha256(f"{principal.agency}/{principal.user}".encode()).hexdigest()[:16])
        principal.require(permission)
        limits().spend(principal, permission)
        return principal

    def query(self, name: str) -> str | None:
        """A query parameter, or None."""
        return (self.api.current_event.query_string_parameters or {}).get(name)

    def header(self, name: str) -> str | None:
        """A header, whatever its case, or None."""
        wanted = name.lower()
        return next((v for k, v in (self.api.current_event.headers or {}).items() if k.lower() == wanted), None)

    def json(self, status: HTTPStatus, body: dict[str, Any]) -> Response[str]:
        """A JSON answer that no cache keeps."""
        return Response(status_code=status, content_type="application/json", body=_text(body), headers=dict(_HEADERS))

    def photo_link_issued(self, search_id: str, booking_id: str, photo_id: str) -> None:
        """Log that a link to a candidate's photo was given out; its use is in the bucket's own access log."""
        self.logger.info("photo link issued", search_id=search_id, booking_id=booking_id, photo_id=photo_id)
        self.metrics.add_metric("PhotoLinksIssued", MetricUnit.Count, 1)

    def handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answer one invocation; every failure is a problem document."""
        started = time.perf_counter()
        self.logger.clear_state()
        left = context.get_remaining_time_in_millis() / 1000
        with following(context.aws_request_id), aws.within(left):
            # The gateway's id: the access log has it too, and a refusal as its instance.
            follow((event.get("requestContext") or {}).get("requestId"))
            self.logger.append_keys(request_id=correlation_id(), invocation_id=context.aws_request_id)
            answer: dict[str, Any] = self.api.resolve(event, context)
        status = int(answer["statusCode"])
        elapsed = round((time.perf_counter() - started) * 1000, 1)
        self.metrics.add_metric("Requests", MetricUnit.Count, 1)
        self.metrics.add_metric("Latency", MetricUnit.Milliseconds, elapsed)
        self.logger.info(
            "request",
            method=event.get("httpMethod"),
            route=event.get("resource"),
            status=status,
            milliseconds=elapsed,
        )
        return answer

    def _refuse(self, error: CandidError) -> Response[str]:
        if isinstance(error, LimitReached):
            self.metrics.add_metric("LimitsReached", MetricUnit.Count, 1)
        document = problem.document(error, correlation_id())
        return self._problem(document, problem.retry_after(error))

    def report(self, error: Exception) -> None:
        """Log an unforeseen failure, without its text."""
        report(error, self.logger, self.metrics)

    def _fail(self, error: Exception) -> Response[str]:
        self.report(error)
        if isinstance(error, SettingsError):
            return self._refuse(DependencyUnavailable(_NOT_SET_UP))
        return self._problem(problem.internal(correlation_id()))

    def _no_route(self, _: NotFoundError) -> Response[str]:
        return self._refuse(NotFound("There is no such route. See the API's document for those there are."))

    def _problem(self, body: dict[str, Any], retry_after: int | None = None) -> Response[str]:
        headers = dict(_HEADERS)
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        return Response(
            status_code=body["status"], content_type=problem.CONTENT_TYPE, body=_text(body), headers=headers
        )


@cache
def limits() -> Limits:
    """The limits on users and agencies, wired once a process."""
    return Limits(settings.read(settings.LimitSettings, os.environ))


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def identifier(text: str, no_such: str) -> str:
    """``text`` as an id (a lower-case UUID). Raises ``NotFound`` with the sentence ``no_such``: no other id exists."""
    try:
        if str(UUID(text)) == text:
            return text
    except ValueError:
        pass
    raise NotFound(no_such)
