"""Signature Version 4: what botocore signs is found right, and nothing that was changed after signing is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from candid.access import signatures
from candid.access.signatures import (
    IncompleteSignature,
    InvalidSignature,
    NoSignature,
    SignedRequest,
    read,
    verify,
)
from tests.refusals import wrong

SECRET = "a secret access key of forty characters!"
BODY = b'{"CollectionId": "bookings"}'
TARGET = "RekognitionService.DescribeCollection"
REGION = "us-east-1"


def signed(body: bytes = BODY, *, secret: str = SECRET, more: dict[str, str] | None = None) -> SignedRequest:
    """A request as botocore signs it."""
    headers = {
        "Host": "candid.test",
        "X-Amz-Target": TARGET,
        "Content-Type": "application/x-amz-json-1.1",
        **(more or {}),
    }
    asked = AWSRequest("POST", "https://candid.test/", headers=headers, data=body)
    SigV4Auth(Credentials("CNDDABCDEFGHIJKLMNOP", secret, "the-token"), "rekognition", REGION).add_auth(asked)
    found: dict[str, list[str]] = {}
    for name, value in asked.headers.items():
        found.setdefault(name.lower(), []).append(value)
    return SignedRequest("POST", "/", "", found, body)


def judged(request: SignedRequest, *, now: datetime | None = None, secret: str = SECRET, region: str = REGION) -> None:
    told = read(request, service="rekognition", region=region, now=now or datetime.now(UTC))
    verify(request, told, secret)


def with_header(request: SignedRequest, name: str, *values: str) -> SignedRequest:
    headers = {**request.headers, name: list(values)}
    return dataclasses.replace(request, headers={name: one for name, one in headers.items() if one})


def test_what_botocore_signs_is_right() -> None:
    request = signed()
    told = read(request, service="rekognition", region=REGION, now=datetime.now(UTC))
    assert told.access_key_id == "CNDDABCDEFGHIJKLMNOP"
    assert set(signatures.COVERED) <= set(told.signed_headers)
    verify(request, told, SECRET)


def test_the_example_that_aws_publishes_is_right() -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html: its "get-vanilla" has a known
    signature, though not over the headers that are wanted here."""
    headers = {"host": ["example.amazonaws.com"], "x-amz-date": ["20150830T123600Z"]}
    request = SignedRequest("GET", "/", "", headers, b"")
    told = signatures.Signature(
        "AKIDEXAMPLE",
        REGION,
        "service",
        ("host", "x-amz-date"),
        datetime(2015, 8, 30, 12, 36, tzinfo=UTC),
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    )
    verify(request, told, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    with pytest.raises(InvalidSignature):
        verify(request, dataclasses.replace(told, signature="0" * 64), "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


def test_headers_that_botocore_itself_does_not_sign_may_be_signed_by_others() -> None:
    class Other(SigV4Auth):
        def headers_to_sign(self, request: Any) -> Any:
            every: Any = HTTPHeaders()
            for name, value in request.headers.items():
                every[name.lower()] = value
            return every

    headers = {"Host": "candid.test", "X-Amz-Target": TARGET, "User-Agent": "  some   client "}
    asked = AWSRequest("POST", "https://candid.test/", headers=headers, data=BODY)
    Other(Credentials("CNDDABCDEFGHIJKLMNOP", SECRET, "the-token"), "rekognition", REGION).add_auth(asked)
    judged(SignedRequest("POST", "/", "", {name.lower(): [value] for name, value in asked.headers.items()}, BODY))


CHANGES: dict[str, Callable[[SignedRequest], SignedRequest]] = {
    "another body": lambda r: dataclasses.replace(r, body=BODY + b" "),
    "no body": lambda r: dataclasses.replace(r, body=b""),
    "another operation": lambda r: with_header(r, "x-amz-target", "RekognitionService.DeleteCollection"),
    "another token": lambda r: with_header(r, "x-amz-security-token", "the-tokem"),
    "another host": lambda r: with_header(r, "host", "elsewhere.test"),
    "another kind of body": lambda r: with_header(r, "content-type", "text/plain"),
    "another method": lambda r: dataclasses.replace(r, method="GET"),
    "another path": lambda r: dataclasses.replace(r, path="/x"),
    "a query": lambda r: dataclasses.replace(r, query="a=b"),
    "a header twice": lambda r: with_header(r, "content-type", *r.headers["content-type"] * 2),
    "a signed header that did not arrive": lambda r: with_header(r, "content-type"),
    "another digest of the body": lambda r: with_header(r, "x-amz-content-sha256", sha256(b"x").hexdigest()),
    "a body that was left out": lambda r: with_header(r, "x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    "a body in chunks": lambda r: with_header(r, "x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
    "another signature": lambda r: (
        with_header(r, "authorization", r.header("authorization")[:-1] + "0")
        if not r.header("authorization").endswith("0")
        else with_header(r, "authorization", r.header("authorization")[:-1] + "1")
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_that_was_changed_after_signing_is_right(change: str) -> None:
    with pytest.raises(InvalidSignature) as refused:
        judged(CHANGES[change](signed()))
    assert wrong(str(refused.value)) is None
    assert SECRET not in str(refused.value)


def test_a_body_whose_digest_was_signed_is_that_body() -> None:
    request = signed(more={"X-Amz-Content-SHA256": sha256(BODY).hexdigest()})
    judged(request)
    with pytest.raises(InvalidSignature):
        judged(dataclasses.replace(request, body=b"{}"))


def test_a_body_that_was_signed_as_unsigned_is_refused() -> None:
    with pytest.raises(InvalidSignature, match="UNSIGNED-PAYLOAD is not taken"):
        judged(signed(more={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}))


def test_another_secret_or_region_is_refused() -> None:
    with pytest.raises(InvalidSignature):
        judged(signed(secret="another secret access key of forty chars"))
    with pytest.raises(InvalidSignature, match="scoped to eu-west-1/rekognition"):
        judged(signed(), region="eu-west-1")


@pytest.mark.parametrize(("minutes", "taken"), [(-4.9, True), (4.9, True), (-5.1, False), (5.1, False)])
def test_a_clock_may_be_five_minutes_off(minutes: float, taken: bool) -> None:
    now = datetime.now(UTC) + timedelta(minutes=minutes)
    if taken:
        judged(signed(), now=now)
        return
    with pytest.raises(InvalidSignature, match="more than 5 minutes") as refused:
        judged(signed(), now=now)
    assert wrong(str(refused.value)) is None


@pytest.mark.parametrize("name", signatures.COVERED)
def test_a_signature_covers_where_when_what_and_who(name: str) -> None:
    request = signed()
    headers = request.header("authorization")
    without = headers.replace(f";{name}", "", 1) if f";{name}" in headers else headers.replace(f"{name};", "", 1)
    with pytest.raises(IncompleteSignature, match=name) as refused:
        judged(with_header(request, "authorization", without))
    assert wrong(str(refused.value)) is None
    # And once: of two values nobody knows which one was meant.
    with pytest.raises(IncompleteSignature, match=name):
        judged(with_header(request, name, *request.headers[name] * 2))


@pytest.mark.parametrize(
    "text",
    [
        "Bearer abc",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/rekognition/aws4_request, SignedHeaders=host, Signature=00",
        "AWS4-ECDSA-P256-SHA256 Credential=AKIDAKIDAKIDAKID/20260101/us-east-1/rekognition/aws4_request, SignedHeaders=host, "
        f"Signature={'0' * 64}",
        "x" * 10_000,
        "",
        "\0",
    ],
)
def test_a_header_that_is_no_signature_is_refused_in_words(text: str) -> None:
    with pytest.raises(IncompleteSignature) as refused:
        judged(with_header(signed(), "authorization", text))
    assert wrong(str(refused.value)) is None


@pytest.mark.parametrize("at", ["20260101", "20261301T000000Z", "2026-01-01T00:00:00Z", "٢0260101T000000Z"])
def test_a_date_that_is_none_is_refused_in_words(at: str) -> None:
    with pytest.raises(IncompleteSignature) as refused:
        judged(with_header(signed(), "x-amz-date", at))
    assert wrong(str(refused.value)) is None


def test_a_request_without_a_signature_is_told_where_credentials_are() -> None:
    with pytest.raises(NoSignature) as refused:
        judged(with_header(signed(), "authorization"))
    assert wrong(str(refused.value)) is None


def test_two_signatures_are_none() -> None:
    request = signed()
    with pytest.raises(IncompleteSignature):
        judged(with_header(request, "authorization", *request.headers["authorization"] * 2))
