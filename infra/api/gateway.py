"""Derives gateway.yaml, which Amazon API Gateway imports, from the contract openapi.yaml: ``python -m infra.api.gateway``.

The gateway reads OpenAPI 3.0.1 and only a part of JSON Schema: no oneOf, anyOf, const, examples, propertyNames or type lists.
So the models here are looser than the contract, and nothing is validated by them (no request validator): the functions
validate, in better sentences. Not here: the refusals that the gateway makes itself (``infra.api.refusals``).

``template.yaml`` includes the file, so that its ``Fn::Sub`` are resolved by CloudFormation.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from infra.api.refusals import gateway_responses

HERE: Final = Path(__file__).parent
CONTRACT: Final = HERE / "openapi.yaml"
GATEWAY: Final = HERE / "gateway.yaml"

BINARY_MEDIA_TYPES: Final = ("multipart/form-data",)
"""Bodies of these types reach a function in base64, since a Lambda event is JSON."""
METHODS: Final = ("get", "put", "post", "delete", "patch")
INTEGRATION_MILLISECONDS: Final = 29_000
"""API Gateway's own limit, and the time-out of the function that answers slowest."""
AUTHORIZER_CACHE_SECONDS: Final = 300
AUTHORIZATION: Final = "^[Bb][Ee][Aa][Rr][Ee][Rr] .+$"
"""What the header must look like for the authorizer to be asked: a scheme's name is in either case (RFC 9110, 11.1)."""
API_KEY: Final = {"agency_key": []}
"""Each method wants an API key as well, which the authorizer names and no caller sends: an agency's, of the usage plan."""

_HEADING: Final = "# Generated from openapi.yaml by `python -m infra.api.gateway`. Change that, then run it.\n"
_KNOWN: Final = frozenset(
    {
        "type",
        "description",
        "enum",
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "required",
    }
)

Document = dict[str, Any]


def derive(contract: Document) -> Document:
    """The gateway's document for ``contract``. Raises ``KeyError`` for an operation that names no function."""
    return {
        "openapi": "3.0.1",
        "info": {"title": contract["info"]["title"], "version": contract["info"]["version"]},
        "x-amazon-apigateway-api-key-source": "AUTHORIZER",
        "x-amazon-apigateway-binary-media-types": list(BINARY_MEDIA_TYPES),
        "x-amazon-apigateway-gateway-responses": gateway_responses(),
        "paths": {
            path: {method: _operation(contract, item, method) for method in METHODS if method in item}
            for path, item in contract["paths"].items()
        },
        "components": {
            "securitySchemes": {
                "token": _authorizer(),
                **{name: {"type": "apiKey", "name": "x-api-key", "in": "header"} for name in API_KEY},
            },
            "schemas": {name: _model(schema) for name, schema in contract["components"]["schemas"].items()},
        },
    }


def render(document: Document) -> str:
    """As the committed file has it."""
    body: str = yaml.dump(document, Dumper=_Plain, sort_keys=False, width=130, allow_unicode=True)
    return _HEADING + body


def load(path: Path) -> Document:
    """A document as plain Python."""
    document: Document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def function_arn_of(function: str) -> Document:
    """The gateway's name for invoking one of the template's functions (``ingest`` is the resource IngestFunction)."""
    resource = f"{function.capitalize()}Function"
    prefix = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions"
    return {"Fn::Sub": f"{prefix}/${{{resource}.Arn}}/invocations"}


class _Plain(yaml.SafeDumper):
    """Without anchors: CloudFormation's AWS::Include does not promise to follow them."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _operation(contract: Document, item: Document, method: str) -> Document:
    operation = item[method]
    parameters = [
        _resolve(contract, found) for found in (*item.get("parameters", ()), *operation.get("parameters", ()))
    ]
    derived: Document = {"operationId": operation["operationId"], "summary": operation["summary"]}
    if parameters:
        derived["parameters"] = [_parameter(contract, parameter) for parameter in parameters]
    if body := operation.get("requestBody"):
        derived["requestBody"] = {"required": body["required"], "content": _content(body["content"])}
    derived["responses"] = {
        status: _response(_resolve(contract, response)) for status, response in operation["responses"].items()
    }
    # The gateway reads these as "and", as its own exports have them.
    derived["security"] = [*operation.get("security", contract["security"]), API_KEY]
    derived["x-amazon-apigateway-integration"] = {
        "type": "aws_proxy",
        # What the gateway sends to Lambda is a POST, whatever the caller's method is.
        "httpMethod": "POST",
        "uri": function_arn_of(operation["x-candid-function"]),
        "passthroughBehavior": "when_no_match",
        "timeoutInMillis": INTEGRATION_MILLISECONDS,
    }
    return derived


def _parameter(contract: Document, parameter: Document) -> Document:
    derived: Document = {
        name: parameter[name] for name in ("name", "in", "required", "description") if name in parameter
    }
    return {**derived, "schema": _model(_resolve(contract, parameter["schema"]))}


def _response(response: Document) -> Document:
    derived: Document = {"description": response["description"]}
    if content := response.get("content"):
        derived["content"] = _content(content)
    return derived


def _content(content: Document) -> Document:
    return {media_type: {"schema": _model(entry["schema"])} for media_type, entry in content.items()}


def _resolve(contract: Document, thing: Document) -> Document:
    if "$ref" not in thing:
        return thing
    found: Any = contract
    for step in thing["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return _resolve(contract, found)


def _model(schema: Document) -> Document:
    """``schema`` in the words that the gateway knows. What it does not know is left out, so the model admits more."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    derived = {word: value for word, value in schema.items() if word in _KNOWN}
    if isinstance(derived.get("type"), list):
        derived["type"] = next(kind for kind in derived["type"] if kind != "null")
    if "properties" in schema:
        derived["properties"] = {name: _model(member) for name, member in schema["properties"].items()}
    if "items" in schema:
        derived["items"] = _model(schema["items"])
    if isinstance(more := schema.get("additionalProperties"), dict):
        derived["additionalProperties"] = _model(more)
    elif more is not None:
        derived["additionalProperties"] = more
    return derived


def _authorizer() -> Document:
    return {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "custom",
        "x-amazon-apigateway-authorizer": {
            "type": "token",
            "authorizerUri": function_arn_of("authorizer"),
            "authorizerResultTtlInSeconds": AUTHORIZER_CACHE_SECONDS,
            # What does not look like a bearer token is refused without asking the authorizer.
            "identityValidationExpression": AUTHORIZATION,
        },
    }


def main() -> int:
    """Write gateway.yaml; with ``--check`` only say whether it is what it should be (status 1 if not)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = render(derive(load(CONTRACT)))
    if parser.parse_args().check:
        if GATEWAY.is_file() and GATEWAY.read_text(encoding="utf-8") == text:
            return 0
        print(
            "infra/api/gateway.yaml is not what openapi.yaml gives. Run: python -m infra.api.gateway", file=sys.stderr
        )
        return 1
    GATEWAY.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
