"""What the local AWS (ministack 1.5.33) does not read from the API's document, or reads otherwise than AWS.

The gateway's own refusals as problem documents are put in place one by one. Agencies' API keys are not asked for: the local AWS
looks for a key in the request's headers alone, and ours are named by the authorizer. Then the stage is deployed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def complete(apigateway: Any, api_id: str, document: Mapping[str, Any]) -> None:
    """Make the API of ``document`` answer as it would on AWS, but for the usage plan."""
    for kind, response in document.get("x-amazon-apigateway-gateway-responses", {}).items():
        apigateway.put_gateway_response(
            restApiId=api_id,
            responseType=kind,
            **({"statusCode": str(response["statusCode"])} if "statusCode" in response else {}),
            responseParameters=response.get("responseParameters", {}),
            responseTemplates=response.get("responseTemplates", {}),
        )
    for page in apigateway.get_paginator("get_resources").paginate(restApiId=api_id):
        for resource in page["items"]:
            for method in resource.get("resourceMethods", {}):
                apigateway.update_method(
                    restApiId=api_id,
                    resourceId=resource["id"],
                    httpMethod=method,
                    # Not "replace … false", as AWS has it: here any text is true.
                    patchOperations=[{"op": "remove", "path": "/apiKeyRequired"}],
                )
    for stage in apigateway.get_stages(restApiId=api_id)["item"]:
        apigateway.create_deployment(restApiId=api_id, stageName=stage["stageName"])


def url(aws_url: str, api_id: str, stage: str) -> str:
    """Where the API answers on a local AWS (there are no host names per API)."""
    return f"{aws_url}/restapis/{api_id}/{stage}/_user_request_"
