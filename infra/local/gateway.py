"""What the local AWS (ministack 1.5.33) does not read from the API's document: the gateway's own refusals as problem documents.

On AWS they come with the document; here they are put in place one by one, and the stage is deployed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def apply_responses(apigateway: Any, api_id: str, document: Mapping[str, Any]) -> None:
    """Give the API the document's ``x-amazon-apigateway-gateway-responses``."""
    responses = document.get("x-amazon-apigateway-gateway-responses", {})
    if not responses:
        return
    for kind, response in responses.items():
        apigateway.put_gateway_response(
            restApiId=api_id,
            responseType=kind,
            statusCode=str(response["statusCode"]),
            responseParameters=response.get("responseParameters", {}),
            responseTemplates=response.get("responseTemplates", {}),
        )
    for stage in apigateway.get_stages(restApiId=api_id)["item"]:
        apigateway.create_deployment(restApiId=api_id, stageName=stage["stageName"])


def url(aws_url: str, api_id: str, stage: str) -> str:
    """Where the API answers on a local AWS (there are no host names per API)."""
    return f"{aws_url}/restapis/{api_id}/{stage}/_user_request_"
