"""What API Gateway answers where no function is asked: as problem documents (RFC 9457), like every refusal of Candid's.

Each kind has the type, title and tone that the functions use for the same failure (``candid.http.problem``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

RETRY_AFTER_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of refusal. ``retry`` adds Retry-After; ``challenge`` says how to authenticate (RFC 6750)."""

    status: int
    slug: str
    title: str
    detail: str
    retry: bool = False
    challenge: bool = False


_NOT_AUTHENTICATED: Final = Refusal(
    401,
    "not-authenticated",
    "Who asks is not known",
    "There is no token, or one that is not valid now. "
    "Send a new one of your agency's issuer in the Authorization header (Authorization: Bearer TOKEN).",
    challenge=True,
)
_FORBIDDEN: Final = Refusal(
    403, "forbidden", "Not allowed", "This token does not open this API. Ask your administrator which one does."
)
_NO_KEY: Final = Refusal(
    403,
    "forbidden",
    "Not allowed",
    "Your agency is not among those that this Candid serves. Ask its operator to add it, by an API key of the usage plan.",
)
_NO_ROUTE: Final = Refusal(
    404, "not-found", "Not found", "There is no such route or method. See the API's document for those there are."
)
_INVALID: Final = Refusal(
    400,
    "invalid-request",
    "The request is not valid",
    "The gateway can't read this request. See the API's document for the parameters and the body of this route.",
)
_TOO_LARGE: Final = Refusal(
    413,
    "image-too-large",
    "The image is too large",
    "A request may have about 6 MB. Get an upload link for a larger image (POST /v1/probes, POST /v1/bookings).",
)
_UNSUPPORTED: Final = Refusal(
    415,
    "unsupported-media-type",
    "The body is of a kind that is not read",
    "The body is of a kind that this route does not read. See the API's document for the content types that it does.",
)
_THROTTLED: Final = Refusal(
    429,
    "throttled",
    "Too many requests",
    "More requests came than Candid takes at a time. Wait as long as Retry-After says, then send this one again.",
    retry=True,
)
_UNAVAILABLE: Final = Refusal(
    503,
    "dependency-unavailable",
    "Try again later",
    "Candid can't answer now. Wait as long as Retry-After says, then send the same request again "
    "(with the same Idempotency-Key, if it had one).",
    retry=True,
)
_TIMED_OUT: Final = Refusal(
    504,
    "timed-out",
    "The answer took too long",
    "Candid did not answer in time, and may still be at work. Send the same request again "
    "(with the same Idempotency-Key, if it had one) after as long as Retry-After says.",
    retry=True,
)
_BROKEN: Final = Refusal(
    500,
    "internal",
    "Something went wrong in Candid",
    "Candid failed at this request, and nothing you sent is at fault. Give your administrator the instance below.",
)

REFUSALS: Final[dict[str, Refusal]] = {
    "UNAUTHORIZED": _NOT_AUTHENTICATED,
    "ACCESS_DENIED": _FORBIDDEN,
    "INVALID_API_KEY": _NO_KEY,
    "WAF_FILTERED": _FORBIDDEN,
    # For an unknown route the gateway tries its own signatures and misses them. If there is an Authorization header, it
    # tries to read that as one, and fails with one of the next two or with the default.
    "MISSING_AUTHENTICATION_TOKEN": _NO_ROUTE,
    "INVALID_SIGNATURE": _NO_ROUTE,
    "EXPIRED_TOKEN": _NO_ROUTE,
    "RESOURCE_NOT_FOUND": _NO_ROUTE,
    "DEFAULT_4XX": _NO_ROUTE,
    "BAD_REQUEST_BODY": _INVALID,
    "BAD_REQUEST_PARAMETERS": _INVALID,
    "REQUEST_TOO_LARGE": _TOO_LARGE,
    "UNSUPPORTED_MEDIA_TYPE": _UNSUPPORTED,
    "THROTTLED": _THROTTLED,
    "QUOTA_EXCEEDED": _THROTTLED,
    "AUTHORIZER_FAILURE": _UNAVAILABLE,
    "INTEGRATION_FAILURE": _UNAVAILABLE,
    "INTEGRATION_TIMEOUT": _TIMED_OUT,
    "AUTHORIZER_CONFIGURATION_ERROR": _BROKEN,
    "API_CONFIGURATION_ERROR": _BROKEN,
    "DEFAULT_5XX": _BROKEN,
}
"""By API Gateway's name for what went wrong (its developer guide, "Gateway response types")."""


def gateway_responses() -> dict[str, Any]:
    """All of them, in the form of ``x-amazon-apigateway-gateway-responses``."""
    return {name: _response(refusal) for name, refusal in REFUSALS.items()}


def _response(refusal: Refusal) -> dict[str, Any]:
    # Values of headers that are meant as they stand are quoted inside the string.
    headers = {"Content-Type": "'application/problem+json'", "Cache-Control": "'no-store'"}
    if refusal.retry:
        headers["Retry-After"] = f"'{RETRY_AFTER_SECONDS}'"
    if refusal.challenge:
        headers["WWW-Authenticate"] = "'Bearer'"
    problem = {
        "type": f"urn:candid:problem:{refusal.slug}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "instance": "$context.requestId",
    }
    return {
        "statusCode": str(refusal.status),
        "responseParameters": {f"gatewayresponse.header.{name}": value for name, value in headers.items()},
        "responseTemplates": {"application/json": json.dumps(problem, separators=(",", ":"), ensure_ascii=False)},
    }
