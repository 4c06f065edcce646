"""A boto3 client of Rekognition whose calls go by the way in that CloudFront and API Gateway are straight into the function."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from infra.local.rekognition_front import handed_on

from tests.gateway import Context

ONCE = Config(retries={"total_max_attempts": 1})


@dataclass
class _Body:
    """What botocore reads an answer from."""

    data: bytes

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self.data


def event_of(method: str, headers: list[tuple[str, str]], body: bytes) -> dict[str, Any]:
    """The invocation that a call becomes."""
    values: dict[str, list[str]] = {}
    for name, value in handed_on(headers):
        values.setdefault(name, []).append(value)
    return {
        "resource": "/",
        "path": "/",
        "httpMethod": method,
        "headers": {name: one[-1] for name, one in values.items()},
        "multiValueHeaders": values,
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "requestContext": {"requestId": str(uuid.uuid4()), "httpMethod": method, "authorizer": None},
        # What is no UTF-8 arrives as something else than was signed.
        "body": body.decode("utf-8", "replace"),
        "isBase64Encoded": False,
    }


def client(
    credentials: Mapping[str, str], handler: Callable[[dict[str, Any], Any], dict[str, Any]], config: Config = ONCE
) -> Any:
    """A client that signs with ``credentials`` (as ``POST /v1/cases/{case_id}/credentials`` answers)."""
    made: Any = boto3.client(
        "rekognition",
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name=credentials["region"],
        endpoint_url=credentials["endpoint"],
        config=config,
    )

    def send(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        headers = [
            (name, value if isinstance(value, str) else value.decode()) for name, value in request.headers.items()
        ]
        headers.append(("Host", credentials["endpoint"].rpartition("/")[2]))
        body = request.body if isinstance(request.body, bytes) else str(request.body or "").encode()
        told = handler(event_of(request.method or "", headers, body), Context())
        return AWSResponse(request.url, told["statusCode"], told["headers"], _Body(told["body"].encode()))

    made.meta.events.register("before-send.rekognition", send)
    return made


def refused(call: Callable[..., Any], **members: Any) -> tuple[str, int, str]:
    """The exception that a call ends in: its name, its status, its sentence."""
    try:
        answer = call(**members)
    except ClientError as error:
        told: Any = error.response
        return told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Message"]
    raise AssertionError(f"It was answered: {sorted(answer)}")
