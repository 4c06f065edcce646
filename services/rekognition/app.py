"""Amazon Rekognition's API: one route, the operation in a header, signed by the caller. No rule lives here.

What is logged is the operation, the exception and the time: never a body, a header's value or an identity.
"""

from __future__ import annotations

import base64
import binascii
import os
import time
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.model import OperationModel

from candid import aws, settings
from candid.access import signatures
from candid.access.limits import Limits
from candid.access.signatures import SignedRequest
from candid.casework.cases import Cases
from candid.casework.credentials import CredentialIssuer, Grant
from candid.casework.policy import policy
from candid.casework.probes import Probes
from candid.casework.searches import Searches
from candid.casework.stored import StoredSearches
from candid.correlation import correlation_id, follow, following
from candid.errors import CandidError, Forbidden, LimitReached
from candid.gallery.catalog import Catalog
from candid.gallery.collections import Collections
from candid.gallery.images import Images
from candid.gallery.indexes import open_indexes
from candid.gallery.places import Places
from candid.gallery.sharing import Sharing
from candid.gallery.users import Users
from candid.http.reporting import report, searched
from candid.rekognition import contract, errors, operations
from candid.rekognition.calls import Answer, Call, Operation, Work
from candid.rekognition.errors import Failure, Refused
from candid.tables import now

SERVICE: Final = "rekognition"
OURS: Final = {"x-candid-authorization": "authorization", "x-candid-host": "host"}
"""Headers in which the way in hands on what API Gateway takes away, and what they were."""

logger = Logger(service=SERVICE)
tracer = Tracer(service=SERVICE)
metrics = Metrics(namespace="Candid", service=SERVICE)


@dataclass(frozen=True, slots=True)
class Wired:
    """What the function works with."""

    credentials: CredentialIssuer
    limits: Limits
    work: Work
    region: str


@cache
def wired() -> Wired:
    """The use cases, wired once a process; the weights are read on first use."""
    told = settings.read(settings.RekognitionSettings, os.environ)
    catalog, collections = Catalog(told.gallery_table), Collections(told.gallery_table)
    cases, indexes = Cases(told.casework_table, policy()), open_indexes(told)
    searches = Searches(
        StoredSearches(told.casework_table),
        cases,
        Probes(told.probes_bucket),
        policy(),
        indexes,
        catalog,
        Sharing(told.gallery_table),
    )
    images = Images(catalog, collections, told.photos_bucket)
    places = Places(told.gallery_table, frozenset({told.photos_bucket, told.probes_bucket}))
    return Wired(
        CredentialIssuer(cases, policy(), told.credentials_key_id),
        Limits(settings.read(settings.LimitSettings, os.environ)),
        Work(
            indexes,
            policy(),
            catalog,
            collections,
            images,
            searches,
            Users(told.gallery_table),
            places,
        ),
        told.aws_region,
    )


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one call."""
    started = time.perf_counter()
    logger.clear_state()
    left = context.get_remaining_time_in_millis() / 1000
    with following(context.aws_request_id), aws.within(left):
        follow((event.get("requestContext") or {}).get("requestId"))
        logger.append_keys(request_id=correlation_id(), invocation_id=context.aws_request_id)
        name, told = _answered(event, _owner(context))
        elapsed = round((time.perf_counter() - started) * 1000, 1)
        failed = told.name if isinstance(told, Failure) else None
        logger.info("call", operation=name, exception=failed, milliseconds=elapsed)
        metrics.add_metric("Requests", MetricUnit.Count, 1)
        metrics.add_metric("Latency", MetricUnit.Milliseconds, elapsed)
        return _response(told)


def _owner(context: LambdaContext) -> str:
    """Of this function's ARN: ``arn:aws:rekognition:REGION:ACCOUNT``."""
    _, partition, _, region, account = context.invoked_function_arn.split(":")[:5]
    return f"arn:{partition}:rekognition:{region}:{account}"


def _answered(event: dict[str, Any], owner: str) -> tuple[str, Failure | tuple[str, dict[str, str]]]:
    """The operation's name, and a failure, or what was answered with further headers."""
    asked: OperationModel | None = None
    try:
        request = _request(event)
        asked = contract.operation(request.header("x-amz-target"))
        answer = _carried_out(request, asked, owner)
        return asked.name, (contract.write(asked, answer.members), dict(answer.headers))
    except CandidError as error:
        if isinstance(error, LimitReached):
            metrics.add_metric("LimitsReached", MetricUnit.Count, 1)
        told = errors.failure(error, asked)
    except Exception as error:
        report(error, logger, metrics)
        told = errors.unforeseen(str(correlation_id()))
    return asked.name if asked else "unknown", told


def _carried_out(request: SignedRequest, asked: OperationModel, owner: str) -> Answer:
    grant = _grant(request)
    operation = operations.of(asked.name)
    _allow(grant, operation)
    call = Call(wired().work, grant, contract.read(asked, request.body), owner)
    answer = operation.carry_out(call)
    if answer.candidates is not None:
        searched(metrics, answer.candidates, call.watch)
    return answer


def _grant(request: SignedRequest) -> Grant:
    """Who calls, proved by the signature, and still allowed to. Raises ``NotAuthenticated``, ``Revoked``."""
    signature = signatures.read(request, service=SERVICE, region=wired().region, now=now())
    token = request.header("x-amz-security-token")
    grant = wired().credentials.read(token)
    if signature.access_key_id != grant.access_key_id:
        raise signatures.InvalidSignature(
            "The access key is not the one of the session token. Sign with those that belong together."
        )
    signatures.verify(request, signature, wired().credentials.secret(token))
    # The digest can be made again from a user, and names nobody.
    who = grant.principal
    logger.append_keys(caller=sha256(f"{who.agency}/{who.user}".encode()).hexdigest()[:16])
    wired().credentials.check(grant)
    return grant


def _allow(grant: Grant, operation: Operation) -> None:
    if operation.needs_case and grant.case_id is None:
        raise Refused(
            "No search without a case, and these are credentials for records. Get some of a case (`candid case credentials`)."
        )
    try:
        grant.principal.require(operation.permission)
    except Forbidden as error:
        if grant.case_id is None:
            raise
        raise Forbidden(f"{error} Get credentials for records (`candid credentials`): these are of a case.") from None
    wired().limits.spend(grant.principal, operation.permission)


def _request(event: dict[str, Any]) -> SignedRequest:
    """The request as its client sent it, by what the way in has handed on."""
    headers: dict[str, list[str]] = {}
    for name, values in (event.get("multiValueHeaders") or {}).items():
        headers.setdefault(name.lower(), []).extend(str(value) for value in values or ())
    for ours, theirs in OURS.items():
        headers[theirs] = headers.pop(ours, [])
    body = _body(event)
    # Some clients sign it, and API Gateway hands it on to nobody. The body itself is signed in any case.
    headers["content-length"] = [str(len(body))]
    return SignedRequest(
        method=str(event.get("httpMethod", "")),
        # A client signs what it asks for, and there is nothing to ask for but this.
        path="/",
        query="",
        headers={name: values for name, values in headers.items() if values},
        body=body,
    )


def _body(event: dict[str, Any]) -> bytes:
    body = str(event.get("body") or "")
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise contract.Unreadable("The body did not arrive whole. Send it again.") from None


def _response(told: Failure | tuple[str, dict[str, str]]) -> dict[str, Any]:
    headers = {
        "Content-Type": contract.CONTENT_TYPE,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "x-amzn-RequestId": str(correlation_id()),
    }
    if isinstance(told, Failure):
        if told.retry_after is not None:
            headers["Retry-After"] = str(told.retry_after)
        return {"statusCode": told.status, "headers": headers, "body": told.body()}
    body, further = told
    return {"statusCode": 200, "headers": headers | further, "body": body}
