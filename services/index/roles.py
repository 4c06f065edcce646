"""Tells OpenSearch what each of the other functions may do. A function of its own: the domain's master, which does this alone."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from candid import settings
from candid.gallery.opensearch.access import map_roles
from candid.gallery.opensearch.client import connect
from candid.gallery.opensearch.names import Names
from candid.http.invoked import Answer, answered
from candid.settings import RolesSettings
from index import requests
from index.wiring import file

logger = Logger(service="roles")
tracer = Tracer(service="roles")


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def handler(event: Any, context: LambdaContext) -> Answer:
    """Put the roles right. The answer has ``changed``, the names of those that were not; or ``problem`` (RFC 9457) alone."""
    logger.clear_state()
    logger.append_keys(request_id=context.aws_request_id)
    return answered(lambda: _give(event), logger, context.aws_request_id)


def _give(event: Any) -> Answer:
    requests.read_roles(event)
    told = settings.read(RolesSettings, os.environ)
    members = {
        "search": [told.search_role_arn],
        "rekognition": [told.rekognition_role_arn],
        "embed": [told.embed_role_arn],
        "index": [told.index_role_arn],
    }
    changed = map_roles(connect(told), Names(told.opensearch_prefix), file("roles.json"), members)
    return {"done": True, "changed": list(changed)}
