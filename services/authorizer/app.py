"""API Gateway's Lambda authorizer (type TOKEN). What a token must be is ``candid.access.tokens``' to say."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from candid import settings
from candid.access.tokens import TokenVerifier
from candid.errors import NotAuthenticated

logger = Logger(service="authorizer")
tracer = Tracer(service="authorizer")
metrics = Metrics(namespace="Candid", service="authorizer")


@cache
def told() -> settings.AuthorizerSettings:
    """What the function is told, read once a process."""
    return settings.read(settings.AuthorizerSettings, os.environ)


@cache
def verifier() -> TokenVerifier:
    """The verifier, wired once a process: it keeps the issuer's keys."""
    return TokenVerifier(told().token_issuer, told().token_audience, told().token_jwks_url)


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The policy for a token. ``Exception("Unauthorized")`` is how API Gateway is told to answer 401.

    ``DependencyUnavailable`` (the issuer's keys can't be fetched) goes through: the gateway then answers 503, not 401.
    """
    scheme, _, token = str(event.get("authorizationToken", "")).partition(" ")
    try:
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("no bearer token")
        principal = verifier().verify(token.strip())
    except NotAuthenticated as error:
        metrics.add_metric("TokensRefused", MetricUnit.Count, 1)
        logger.info("token refused", why=str(error))
        raise Exception("Unauthorized") from None
    metrics.add_metric("TokensAccepted", MetricUnit.Count, 1)
    # The gateway caches this policy for the token, whatever route comes next: so it covers all routes of the stage. What a
    # role may do is each function's to decide.
    api_and_stage = "/".join(str(event["methodArn"]).split("/")[:2])
    return {
        "principalId": principal.user,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": f"{api_and_stage}/*"}],
        },
        "context": principal.to_context(),
        # Which API key of the usage plan the request is counted by. An agency without one is refused by the gateway.
        "usageIdentifierKey": told().usage_key_prefix + principal.agency,
    }
