"""A boto3 client of Rekognition whose calls go by the way in that CloudFront and API Gateway are straight into the function."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from infra.local.rekognition_front import handed_on

from candid.rekognition import contract
from tests.gateway import Context
from tests.portraits import portrait

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


def stock(credentials: Mapping[str, str], config: Config = ONCE) -> Any:
    """boto3's client, with nothing of a test's in it but what ``POST /v1/cases/{case_id}/credentials`` answers."""
    return boto3.client(
        "rekognition",
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name=credentials["region"],
        endpoint_url=credentials["endpoint"],
        config=config,
    )


def client(
    credentials: Mapping[str, str], handler: Callable[[dict[str, Any], Any], dict[str, Any]], config: Config = ONCE
) -> Any:
    """The same, whose calls go into ``handler``."""
    made = stock(credentials, config)

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


def signed(
    credentials: Mapping[str, str],
    handler: Callable[[dict[str, Any], Any], dict[str, Any]],
    target: str,
    body: bytes,
    more: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """What the function answers to a body that no client would send, signed by ``credentials`` as it is, with ``more``
    headers."""
    request: Any = AWSRequest(
        "POST",
        f"{credentials['endpoint']}/",
        headers={"X-Amz-Target": target, "Content-Type": contract.CONTENT_TYPE, **more},
        data=body,
    )
    keys = Credentials(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    SigV4Auth(keys, "rekognition", credentials["region"]).add_auth(request)
    headers = [*request.headers.items(), ("Host", credentials["endpoint"].rpartition("/")[2])]
    return handler(event_of("POST", headers, body), Context())


def valid_requests(collection: str, arn: str, face_id: str) -> dict[str, Any]:
    """A valid request of each operation that is carried out, as JSON has it, about a collection, its ARN and a face in it."""
    image = {"Bytes": base64.b64encode(portrait("person_a_2")).decode()}
    here = {"CollectionId": collection}
    return {
        "DetectFaces": {"Image": image, "Attributes": ["DEFAULT"]},
        "CompareFaces": {
            "SourceImage": image,
            "TargetImage": image,
            "SimilarityThreshold": 80,
            "QualityFilter": "AUTO",
        },
        "CreateCollection": {"CollectionId": "another", "Tags": {"unit": "records"}},
        "DescribeCollection": here,
        "ListCollections": {"MaxResults": 2},
        "DeleteCollection": {"CollectionId": "another"},
        "TagResource": {"ResourceArn": arn, "Tags": {"unit": "records"}},
        "UntagResource": {"ResourceArn": arn, "TagKeys": ["unit"]},
        "ListTagsForResource": {"ResourceArn": arn},
        "IndexFaces": here
        | {
            "Image": image,
            "ExternalImageId": "someone",
            "DetectionAttributes": ["DEFAULT"],
            "MaxFaces": 2,
            "QualityFilter": "AUTO",
        },
        "ListFaces": here | {"MaxResults": 1, "FaceIds": [face_id]},
        "DeleteFaces": here | {"FaceIds": [str(uuid.UUID(int=7))]},
        "SearchFaces": here | {"FaceId": face_id, "MaxFaces": 5, "FaceMatchThreshold": 80},
        "SearchFacesByImage": here | {"Image": image, "MaxFaces": 5, "FaceMatchThreshold": 80, "QualityFilter": "NONE"},
        "CreateUser": here | {"UserId": "anna"},
        "ListUsers": here | {"MaxResults": 1},
        "AssociateFaces": here | {"UserId": "anna", "FaceIds": [face_id], "UserMatchThreshold": 80},
        "SearchUsers": here | {"FaceId": face_id, "MaxUsers": 5, "UserMatchThreshold": 80},
        "SearchUsersByImage": here | {"Image": image, "MaxUsers": 5, "UserMatchThreshold": 80, "QualityFilter": "NONE"},
        "DisassociateFaces": here | {"UserId": "anna", "FaceIds": [face_id]},
        "DeleteUser": here | {"UserId": "anna"},
    }
