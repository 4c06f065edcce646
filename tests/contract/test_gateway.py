"""What Amazon API Gateway imports, beside the contract that it is derived from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from infra.api import gateway
from infra.api.refusals import REFUSALS, RETRY_AFTER_SECONDS

from candid.http import problem
from tests.contract.openapi import validator
from tests.template.system import template

CONTRACT = gateway.load(gateway.CONTRACT)
IMPORTED = gateway.load(gateway.GATEWAY)
RESPONSES = IMPORTED["x-amazon-apigateway-gateway-responses"]

UNKNOWN_TO_THE_GATEWAY = {
    "oneOf",
    "anyOf",
    "allOf",
    "not",
    "const",
    "examples",
    "example",
    "propertyNames",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "contentEncoding",
    "contentMediaType",
    "minProperties",
    "maxProperties",
    "nullable",
    "default",
}
Operations = dict[tuple[str, str], dict[str, Any]]


def _operations(document: dict[str, Any]) -> Operations:
    return {
        (path, method): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
    }


def _resolved(document: dict[str, Any], thing: dict[str, Any]) -> dict[str, Any]:
    found: Any = document
    for step in thing.get("$ref", "").removeprefix("#/").split("/") if "$ref" in thing else ():
        found = found[step]
    return found if "$ref" in thing else thing


def _parameters(document: dict[str, Any], path: str, method: str) -> set[tuple[str, str, bool]]:
    item = document["paths"][path]
    listed = [*item.get("parameters", []), *item[method].get("parameters", [])]
    found = [_resolved(document, parameter) for parameter in listed]
    return {(one["name"], one["in"], one.get("required", False)) for one in found}


def _words(schema: Any) -> Iterator[tuple[str, Any]]:
    """Every word of a schema with its value; names of properties are no words."""
    if not isinstance(schema, dict):
        return
    for word, value in schema.items():
        yield word, value
        if word == "properties":
            for member in value.values():
                yield from _words(member)
        elif word in {"items", "additionalProperties"}:
            yield from _words(value)


def test_the_committed_document_is_the_derived_one() -> None:
    assert gateway.GATEWAY.read_text(encoding="utf-8") == gateway.render(gateway.derive(CONTRACT))


def test_both_documents_have_the_same_routes_and_names() -> None:
    contract, imported = _operations(CONTRACT), _operations(IMPORTED)
    assert set(contract) == set(imported)
    assert {key: one["operationId"] for key, one in contract.items()} == {
        key: one["operationId"] for key, one in imported.items()
    }


@pytest.mark.parametrize(("path", "method"), _operations(CONTRACT))
def test_an_operation_is_the_same_in_both(path: str, method: str) -> None:
    contract, imported = _operations(CONTRACT)[path, method], _operations(IMPORTED)[path, method]
    assert _parameters(CONTRACT, path, method) == _parameters(IMPORTED, path, method)
    assert imported["security"] == [*contract.get("security", CONTRACT["security"]), gateway.API_KEY]
    assert set(imported["responses"]) == set(contract["responses"])
    assert imported.get("requestBody", {}).get("required") == contract.get("requestBody", {}).get("required")
    assert set(imported.get("requestBody", {}).get("content", {})) == set(
        contract.get("requestBody", {}).get("content", {})
    )
    for status, response in contract["responses"].items():
        told = _resolved(CONTRACT, response).get("content", {})
        assert {kind: one["schema"].get("$ref") for kind, one in told.items()} == {
            kind: one["schema"].get("$ref") for kind, one in imported["responses"][status].get("content", {}).items()
        }


@pytest.mark.parametrize(("path", "method"), _operations(CONTRACT))
def test_an_operation_is_answered_by_the_function_that_the_contract_names(path: str, method: str) -> None:
    name = _operations(CONTRACT)[path, method]["x-candid-function"]
    integration = _operations(IMPORTED)[path, method]["x-amazon-apigateway-integration"]
    assert integration["type"] == "aws_proxy"
    assert integration["httpMethod"] == "POST"
    uri = integration["uri"]["Fn::Sub"]
    resource = uri.split("functions/${")[1].split(".Arn}")[0]
    assert resource == f"{name.capitalize()}Function"
    told = template()["Resources"][resource]
    assert told["Type"] == "AWS::Serverless::Function"
    assert told["Properties"]["Timeout"] * 1000 <= integration["timeoutInMillis"] <= 29_000


def test_the_models_are_the_contracts_in_words_that_the_gateway_knows() -> None:
    assert set(IMPORTED["components"]["schemas"]) == set(CONTRACT["components"]["schemas"])
    schemas = list(IMPORTED["components"]["schemas"].values())
    schemas += [
        one["schema"] for operation in _operations(IMPORTED).values() for one in operation.get("parameters", [])
    ]
    for schema in schemas:
        for word, value in _words(schema):
            assert word not in UNKNOWN_TO_THE_GATEWAY
            assert word != "type" or isinstance(value, str)
    assert all(name.isalnum() for name in IMPORTED["components"]["schemas"])


def test_the_gateway_checks_no_body_itself() -> None:
    assert "request-validator" not in gateway.GATEWAY.read_text(encoding="utf-8")


def test_everybody_is_asked_for_a_token_which_the_authorizer_checks() -> None:
    scheme = IMPORTED["components"]["securitySchemes"]["token"]
    assert (scheme["in"], scheme["name"]) == ("header", "Authorization")
    assert scheme["x-amazon-apigateway-authtype"] == "custom"
    authorizer = scheme["x-amazon-apigateway-authorizer"]
    assert authorizer["type"] == "token"
    assert authorizer["authorizerResultTtlInSeconds"] == 300
    assert authorizer["identityValidationExpression"] == gateway.AUTHORIZATION
    assert "${AuthorizerFunction.Arn}" in authorizer["authorizerUri"]["Fn::Sub"]
    assert all({"token": []} in operation["security"] for operation in _operations(IMPORTED).values())


@pytest.mark.parametrize(
    ("header", "asked"),
    [("Bearer a.b", True), ("bearer a.b", True), ("Bearer ", False), ("Basic a.b", False), ("No Bearer a.b", False)],
)
def test_a_scheme_is_a_bearer_token_s_in_either_case(header: str, asked: bool) -> None:
    assert bool(re.search(gateway.AUTHORIZATION, header)) == asked


def test_binary_bodies_are_declared_alike_in_the_document_and_in_the_template() -> None:
    declared = IMPORTED["x-amazon-apigateway-binary-media-types"]
    assert declared == template()["Resources"]["Api"]["Properties"]["BinaryMediaTypes"] == ["multipart/form-data"]


@pytest.mark.parametrize("kind", RESPONSES)
def test_a_refusal_of_the_gateways_own_is_a_problem_document(kind: str) -> None:
    response = RESPONSES[kind]
    body = json.loads(response["responseTemplates"]["application/json"])
    validator("Problem").validate(body)
    assert str(body["status"]) == response["statusCode"]
    assert body["instance"] == "$context.requestId"
    headers = response["responseParameters"]
    assert headers["gatewayresponse.header.Content-Type"] == f"'{problem.CONTENT_TYPE}'"
    # Neither the caller's words nor the gateway's are repeated.
    assert "$context.error" not in response["responseTemplates"]["application/json"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("UNAUTHORIZED", 401),
        ("ACCESS_DENIED", 403),
        ("MISSING_AUTHENTICATION_TOKEN", 404),
        ("DEFAULT_4XX", 404),
        ("REQUEST_TOO_LARGE", 413),
        ("THROTTLED", 429),
        ("QUOTA_EXCEEDED", 429),
        ("AUTHORIZER_FAILURE", 503),
        ("INTEGRATION_FAILURE", 503),
        ("INTEGRATION_TIMEOUT", 504),
        ("BAD_REQUEST_BODY", 400),
        ("BAD_REQUEST_PARAMETERS", 400),
        ("DEFAULT_5XX", 500),
    ],
)
def test_a_refusal_has_the_status_that_says_what_to_do(kind: str, status: int) -> None:
    assert RESPONSES[kind]["statusCode"] == str(status)
    retry = RESPONSES[kind]["responseParameters"].get("gatewayresponse.header.Retry-After")
    assert (retry is not None) == (status in {429, 503, 504})
    challenge = RESPONSES[kind]["responseParameters"].get("gatewayresponse.header.WWW-Authenticate")
    assert (challenge is not None) == (status == 401)


def test_the_gateway_and_the_functions_call_the_same_failure_the_same() -> None:
    theirs = {kind.slug: kind for _, kind in problem._TABLE} | {problem._INTERNAL.slug: problem._INTERNAL}
    shared = [refusal for refusal in REFUSALS.values() if refusal.slug in theirs]
    assert len({refusal.slug for refusal in shared}) >= 7
    for refusal in shared:
        kind = theirs[refusal.slug]
        assert (refusal.status, refusal.title) == (kind.status, kind.title)
    assert RETRY_AFTER_SECONDS == problem.RETRY_AFTER_SECONDS


def test_every_route_wants_an_agencys_key_which_the_authorizer_names_and_no_caller() -> None:
    assert IMPORTED["x-amazon-apigateway-api-key-source"] == "AUTHORIZER"
    schemes = IMPORTED["components"]["securitySchemes"]
    assert {name for name, one in schemes.items() if one["name"] == "x-api-key"} == set(gateway.API_KEY)
    assert all(gateway.API_KEY in operation["security"] for operation in _operations(IMPORTED).values())
