"""Invocations as API Gateway (REST, Lambda proxy) makes them, for tests of the HTTP edges."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Context:
    """What Lambda hands a handler beside the event."""

    function_name: str = "candid-test"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:candid-test"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    remaining_ms: int = 30_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


@dataclass(frozen=True)
class Answer:
    """What the caller would see."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Caller:
    """A client of one edge, as somebody. ``roles`` and ``agency`` stand in for the authorizer, which has tests of its own."""

    handler: Callable[[dict[str, Any], Any], dict[str, Any]]
    agency: str = "washington-county"
    user: str = "clerk.1"
    roles: str = "records investigator"

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        sent = {"Content-Type": content_type} if body is not None or raw is not None else {}
        sent |= dict(headers or {})
        event = {
            "resource": path,
            "path": path,
            "httpMethod": method,
            "headers": sent,
            "multiValueHeaders": {name: [value] for name, value in sent.items()},
            "queryStringParameters": dict(query) if query else None,
            "multiValueQueryStringParameters": {n: [v] for n, v in query.items()} if query else None,
            "pathParameters": None,
            "stageVariables": None,
            "requestContext": {
                "path": path,
                "stage": "candid",
                "requestId": str(uuid.uuid4()),
                "httpMethod": method,
                "identity": {"sourceIp": "192.0.2.1"},
                "authorizer": {
                    "agency": self.agency,
                    "user": self.user,
                    "roles": self.roles,
                    "principalId": self.user,
                },
            },
            "body": None,
            "isBase64Encoded": False,
        }
        if raw is not None:
            event |= {"body": base64.b64encode(raw).decode(), "isBase64Encoded": True}
        elif body is not None:
            event["body"] = body if isinstance(body, str) else json.dumps(body)
        answer = self.handler(event, Context())
        found = {name: values[0] for name, values in (answer.get("multiValueHeaders") or {}).items()}
        found |= answer.get("headers") or {}
        return Answer(answer["statusCode"], found, json.loads(answer["body"]) if answer.get("body") else None)
