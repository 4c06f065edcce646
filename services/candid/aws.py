"""Clients of AWS's stores, with time-outs that fit a function, and one way to tell "try again" from "you asked wrongly".

No call begins that could outlast the invocation (``within``): a store that hangs would otherwise take the function's whole
time, and whoever asked would get no answer but the gateway's. Not here: what is stored. The endpoint (AWS, or a local AWS)
comes from ``AWS_ENDPOINT_URL``, as in every AWS SDK.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from candid.errors import DependencyUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_events.client import EventBridgeClient
    from mypy_boto3_kms.client import KMSClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sqs.client import SQSClient

_CONNECT_SECONDS: Final = 2
_READ_SECONDS: Final = 8
ATTEMPT_SECONDS: float = _CONNECT_SECONDS + _READ_SECONDS
"""What one attempt at a call may take."""
_SPARE_SECONDS: Final = 0.5
"""In which an answer is made of what did not come."""
_end: ContextVar[float | None] = ContextVar("end", default=None)

_OBJECTS: Final = frozenset({"Key", "Prefix", "VersionId", "CopySource"})
T = TypeVar("T")

# SigV4 is said aloud, because boto3 falls back to SigV2 for presigned links against endpoints that it does not know.
_CONFIG = Config(
    connect_timeout=_CONNECT_SECONDS,
    read_timeout=_READ_SECONDS,
    retries={"mode": "standard", "max_attempts": 3},
    signature_version="s3v4",
    # Links name the Region's own host: the global one redirects for a new bucket, and a redirect breaks the signature. (An
    # endpoint that is an IP address, as on a laptop, keeps the bucket in the path.)
    s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"},
)
_PLAIN = Config(
    connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS, retries={"mode": "standard", "max_attempts": 3}
)

_TRANSIENT = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "KMSThrottlingException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)


@cache
def s3() -> S3Client:
    """The process's S3 client; presigns with SigV4. A trace of a call names no object: in an agency's own bucket a key may be
    somebody's name."""
    _leave_keys_out_of_traces()
    return _in_time(boto3.client("s3", config=_CONFIG))


@cache
def dynamodb() -> DynamoDBClient:
    """The process's DynamoDB client."""
    return _in_time(boto3.client("dynamodb", config=_PLAIN))


@cache
def eventbridge() -> EventBridgeClient:
    """The process's EventBridge client."""
    return _in_time(boto3.client("events", config=_PLAIN))


@cache
def kms() -> KMSClient:
    """The process's KMS client."""
    return _in_time(boto3.client("kms", config=_PLAIN))


@cache
def sqs() -> SQSClient:
    """The process's SQS client."""
    return _in_time(boto3.client("sqs", config=_PLAIN))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """For the length of a ``with``, an invocation that has so many seconds left: no attempt at a call begins that could last
    longer than that, but ``DependencyUnavailable`` is raised."""
    before = _end.set(time.monotonic() + seconds - _SPARE_SECONDS)
    try:
        yield
    finally:
        _end.reset(before)


def _leave_keys_out_of_traces() -> None:
    try:
        from aws_xray_sdk.ext.boto_utils import whitelist  # type: ignore[import-untyped]
    except ImportError:
        # Where nothing is traced.
        return
    for operation in whitelist["services"]["s3"]["operations"].values():
        names = operation.get("request_parameters", [])
        operation["request_parameters"] = [name for name in names if name not in _OBJECTS]


def _in_time(client: T) -> T:
    told: Any = client
    # Before each attempt, those again too.
    told.meta.events.register("before-send", _expect_time)
    return client


@contextmanager
def to_the_end() -> Iterator[None]:
    """For the length of a ``with`` calls may begin at any time: what only tidies up is better tried than left."""
    before = _end.set(None)
    try:
        yield
    finally:
        _end.reset(before)


def at_most(seconds: float) -> float:
    """So many seconds to wait for something, or as many as leave time for two more calls; at least 0."""
    end = _end.get()
    return seconds if end is None else max(0.0, min(seconds, end - time.monotonic() - ATTEMPT_SECONDS - 1.0))


def _expect_time(**_: Any) -> None:
    end = _end.get()
    # A process that nobody has ended goes on as one that is late does: what it asks for tells it so.
    if end is not None and time.monotonic() < end < time.monotonic() + ATTEMPT_SECONDS:
        raise DependencyUnavailable("Candid's stores answer too slowly now. Try again in a minute.")


def is_transient(error: ClientError) -> bool:
    """Whether AWS does not answer now, rather than no."""
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return status >= 500 or error_code(error) in _TRANSIENT


def error_code(error: ClientError) -> str:
    """AWS's word for the failure, e.g. ``NoSuchKey``."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def dependency(name: str) -> Iterator[None]:
    """Turn "AWS does not answer now" into ``DependencyUnavailable``; let every other failure through.

    ``name`` is what the sentence calls the dependency, e.g. ``"the gallery table"``.
    """
    try:
        yield
    except ClientError as error:
        if is_transient(error):
            raise DependencyUnavailable(f"Candid can't reach {name} now. Try again in a minute.") from error
        raise
    except BotoCoreError as error:
        raise DependencyUnavailable(f"Candid can't reach {name} now. Try again in a minute.") from error
