"""Clients of AWS's stores, with time-outs that fit a function, and one way to tell "try again" from "you asked wrongly".

Not here: what is stored. The endpoint (AWS, or a local AWS) comes from ``AWS_ENDPOINT_URL``, as in every AWS SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

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

# SigV4 is said aloud, because boto3 falls back to SigV2 for presigned links against endpoints that it does not know.
_CONFIG = Config(
    connect_timeout=2,
    read_timeout=8,
    retries={"mode": "standard", "max_attempts": 3},
    signature_version="s3v4",
    # Links name the Region's own host: the global one redirects for a new bucket, and a redirect breaks the signature. (An
    # endpoint that is an IP address, as on a laptop, keeps the bucket in the path.)
    s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"},
)
_PLAIN = Config(connect_timeout=2, read_timeout=8, retries={"mode": "standard", "max_attempts": 3})

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
    """The process's S3 client; presigns with SigV4."""
    return boto3.client("s3", config=_CONFIG)


@cache
def dynamodb() -> DynamoDBClient:
    """The process's DynamoDB client."""
    return boto3.client("dynamodb", config=_PLAIN)


@cache
def eventbridge() -> EventBridgeClient:
    """The process's EventBridge client."""
    return boto3.client("events", config=_PLAIN)


@cache
def kms() -> KMSClient:
    """The process's KMS client."""
    return boto3.client("kms", config=_PLAIN)


@cache
def sqs() -> SQSClient:
    """The process's SQS client."""
    return boto3.client("sqs", config=_PLAIN)


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
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if status >= 500 or error_code(error) in _TRANSIENT:
            raise DependencyUnavailable(f"Candid can't reach {name} now. Try again in a minute.") from error
        raise
    except BotoCoreError as error:
        raise DependencyUnavailable(f"Candid can't reach {name} now. Try again in a minute.") from error
