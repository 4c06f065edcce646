"""Signature Version 4: whether a request is what whoever has the secret signed. Not here: whose the secret is.

The canonical request, the string to sign and the signature are botocore's own, so that what any AWS client signs is found right
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html). Refused besides: a body that was
left out of the signature, and signatures that do not cover what makes the request this request (``COVERED``)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from candid.errors import NotAuthenticated

SKEW: Final = timedelta(minutes=5)
"""How far a client's clock may be off, as AWS has it."""
COVERED: Final = ("host", "x-amz-date", "x-amz-target", "x-amz-security-token")
"""Headers that a signature must cover: where, when, what, and who."""
MAX_AUTHORIZATION: Final = 4_096

_HEADER: Final = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<key>[A-Za-z0-9]{16,128})/(?P<date>\d{8})/(?P<region>[a-z0-9-]{1,32})/"
    r"(?P<service>[a-z0-9-]{1,32})/aws4_request, *SignedHeaders=(?P<headers>[a-z0-9_;-]{1,2048}), *"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_MOMENT: Final = "%Y%m%dT%H%M%SZ"
_MOMENT_FORM: Final = re.compile(r"\d{8}T\d{6}Z")


class NoSignature(NotAuthenticated):
    """The request is not signed."""


class IncompleteSignature(NotAuthenticated):
    """The Authorization header is none of Signature Version 4's, or leaves out what must be signed."""


class ForeignCredentials(NotAuthenticated):
    """Signed, and not with credentials of Candid's."""


class InvalidSignature(NotAuthenticated):
    """The request is not what was signed, was signed with another secret, for another place, or at another time."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as its client sent it. Names of ``headers`` are lower case, each with all its values; ``body`` as it was before
    any gateway put it into base64. Nothing of it is in ``repr``."""

    method: str
    path: str
    query: str
    headers: Mapping[str, Sequence[str]] = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str:
        """The one value of a header; empty where there is none or more than one."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else ""


@dataclass(frozen=True, slots=True)
class Signature:
    """What the Authorization header says. ``access_key_id`` is whose, by its own account; ``at`` is when (UTC)."""

    access_key_id: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    at: datetime
    signature: str = field(repr=False)


def read(request: SignedRequest, *, service: str, region: str, now: datetime) -> Signature:
    """What the request's Authorization header says, where it says enough: of this service and region, signed within ``SKEW`` of
    ``now`` (timezone-aware), over all of ``COVERED`` and the body.

    Raises ``NoSignature``, ``IncompleteSignature``, ``InvalidSignature``. Whether the signature is right ``verify`` says.
    """
    values = request.headers.get("authorization", ())
    if not values:
        raise NoSignature(
            "The request is not signed. Sign it with the credentials of a case (POST /v1/cases/{case_id}/credentials)."
        )
    if "x-amz-security-token" not in request.headers and values[0].startswith("AWS4-"):
        raise ForeignCredentials(
            "The call is not signed with credentials of Candid's, which have a session token. Get some of a case "
            "(`candid case credentials`), or for records (`candid credentials`)."
        )
    found = _HEADER.fullmatch(values[0]) if len(values) == 1 and len(values[0]) <= MAX_AUTHORIZATION else None
    if found is None:
        raise IncompleteSignature(
            "The Authorization header is not one of AWS Signature Version 4. Sign the request with an AWS client."
        )
    signed = tuple(found["headers"].split(";"))
    if missing := [name for name in COVERED if name not in signed or not request.header(name)]:
        raise IncompleteSignature(
            f"The signature does not cover {', '.join(missing)}. Sign the request with an AWS client."
        )
    if any(name not in request.headers for name in signed):
        raise InvalidSignature("A header that was signed did not arrive. Send the request as it was signed.")
    if (found["service"], found["region"]) != (service, region):
        raise InvalidSignature(
            f"The credential should be scoped to {region}/{service}. Set the client's region to {region}."
        )
    at = _moment(request.header("x-amz-date"))
    if at is None or f"{at:%Y%m%d}" != found["date"]:
        raise IncompleteSignature(
            "The credential's date is not that of X-Amz-Date. Sign the request with an AWS client."
        )
    if abs(at - now) > SKEW:
        raise InvalidSignature(
            f"The request was signed at {at:{_MOMENT}}, more than 5 minutes from {now.astimezone(UTC):{_MOMENT}}. "
            "Set the machine's clock."
        )
    _check_body(request)
    return Signature(found["key"], region, service, signed, at, found["signature"])


def verify(request: SignedRequest, told: Signature, secret: str) -> None:
    """Raise ``InvalidSignature`` unless ``told``, which ``read`` made of the request, was made with ``secret``. Takes as long
    for a wrong signature as for a right one."""
    signer = _Signer(Credentials(told.access_key_id, secret), told.service, told.region)
    headers: Any = HTTPHeaders()
    for name in told.signed_headers:
        for value in request.headers[name]:
            headers[name] = value
    asked: Any = AWSRequest(
        # The host is a signed header's, wherever the request arrived.
        method=request.method,
        url=f"https://host{request.path}" + (f"?{request.query}" if request.query else ""),
        headers=headers,
        data=request.body,
    )
    asked.context["timestamp"] = f"{told.at:{_MOMENT}}"
    right: str = signer.signature(signer.string_to_sign(asked, signer.canonical_request(asked)), asked)
    if not hmac.compare_digest(right, told.signature):
        raise InvalidSignature(
            "The request's signature is not the one that its credentials make. "
            "Sign it with the secret access key that came with them."
        )


def _check_body(request: SignedRequest) -> None:
    """That the body is what its digest says, where a header gives one; a body may not be left out of the signature."""
    given = request.headers.get("x-amz-content-sha256", ())
    if any(value != sha256(request.body).hexdigest() for value in given):
        raise InvalidSignature(
            "X-Amz-Content-SHA256 is not the SHA-256 of the body. Sign the body too (UNSIGNED-PAYLOAD is not taken)."
        )


def _moment(text: str) -> datetime | None:
    if not _MOMENT_FORM.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None


class _Signer(SigV4Auth):
    """botocore's, over the headers that were signed: its own list leaves out some that other clients sign."""

    def headers_to_sign(self, request: Any) -> Any:
        return request.headers
