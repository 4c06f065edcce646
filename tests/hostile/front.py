"""API Gateway (REST) in one process, as far as Candid counts on it, in front of the real authorizer and functions: a WSGI app.

Routes come from the contract, refusals that no function makes from ``infra.api.refusals``. As on AWS a body reaches a function as
text unless its type is one of the binary ones, an authorizer's failure is not a refusal, and nothing is validated before it.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from infra.api.gateway import AUTHORIZATION, BINARY_MEDIA_TYPES
from infra.api.refusals import gateway_responses

from authorizer import app as authorizer_app
from tests.gateway import Context
from tests.operations import HANDLERS, operation_of

ARN: Final = "arn:aws:execute-api:us-east-1:123456789012:abc123/candid"
_REFUSALS: Final = gateway_responses()

Answer = tuple[int, dict[str, str], bytes]


class Front:
    """The WSGI app. ``answers`` counts what was answered: method and route, status."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, int]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, headers, body = self._answer(environ)
        start_response(f"{status} -", list(headers.items()))
        return [body]

    def _answer(self, environ: dict[str, Any]) -> Answer:
        request_id = str(uuid.uuid4())
        # As it was sent: WSGI hands over Latin-1 of the decoded bytes.
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        method = environ["REQUEST_METHOD"]
        found = operation_of(method, path)
        if found is None:
            return self._refused(method, path, "MISSING_AUTHENTICATION_TOKEN", request_id)
        operation, match = found
        route = operation.path
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").title(): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in {"CONTENT_TYPE"}
        }
        token = headers.get("Authorization", "")
        if not re.fullmatch(AUTHORIZATION, token):
            return self._refused(method, route, "UNAUTHORIZED", request_id)
        try:
            policy = authorizer_app.handler(
                {"type": "TOKEN", "authorizationToken": token, "methodArn": f"{ARN}/{method}{path}"},
                Context(),  # type: ignore[arg-type]
            )
        except Exception as error:
            refusal = "UNAUTHORIZED" if str(error) == "Unauthorized" else "AUTHORIZER_FAILURE"
            return self._refused(method, route, refusal, request_id)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        binary = headers.get("Content-Type", "").split(";")[0].strip() in BINARY_MEDIA_TYPES
        query = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        event = {
            "resource": route,
            "path": path,
            "httpMethod": method,
            "headers": headers,
            "multiValueHeaders": {name: [value] for name, value in headers.items()},
            "queryStringParameters": dict(query) or None,
            "multiValueQueryStringParameters": _by_name(query) or None,
            "pathParameters": {name: unquote(value) for name, value in match.groupdict().items()} or None,
            "stageVariables": None,
            "requestContext": {
                "resourcePath": route,
                "path": f"/candid{path}",
                "stage": "candid",
                "requestId": request_id,
                "httpMethod": method,
                "identity": {"sourceIp": "192.0.2.1"},
                "authorizer": {**policy["context"], "principalId": policy["principalId"]},
            },
            "body": (base64.b64encode(body).decode() if binary else body.decode("utf-8", "replace")) or None,
            "isBase64Encoded": binary,
        }
        told = HANDLERS[operation.function](json.loads(json.dumps(event)), Context())
        said = {name: values[0] for name, values in (told.get("multiValueHeaders") or {}).items()}
        said |= told.get("headers") or {}
        return self._said(method, route, int(told["statusCode"]), said, (told.get("body") or "").encode())

    def _refused(self, method: str, route: str, kind: str, request_id: str) -> Answer:
        refusal = _REFUSALS[kind]
        prefix = "gatewayresponse.header."
        headers = {name.removeprefix(prefix): value.strip("'") for name, value in refusal["responseParameters"].items()}
        body = refusal["responseTemplates"]["application/json"].replace("$context.requestId", request_id)
        return self._said(method, route, int(refusal["statusCode"]), headers, body.encode())

    def _said(self, method: str, route: str, status: int, headers: dict[str, str], body: bytes) -> Answer:
        self.answers.append((f"{method} {route}", status))
        return status, headers, body


def _by_name(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for name, value in pairs:
        named.setdefault(name, []).append(value)
    return named
