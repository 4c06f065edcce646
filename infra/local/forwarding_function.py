"""Sends an invocation to the faces server and answers what that answers; runs as a zip function of a local AWS.

The standard library alone: nothing is installed where it runs.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any


class FaceFunctionFailed(Exception):
    """The function behind the faces server failed; its log there says how."""


def handler(event: Any, context: Any) -> Any:
    """Pass ``event`` on with what Lambda knows about this invocation. Raises ``FaceFunctionFailed``."""
    left = context.get_remaining_time_in_millis()
    request = urllib.request.Request(  # noqa: S310
        f"{os.environ['CANDID_FACES_URL']}/2015-03-31/functions/{context.function_name}/invocations",
        data=json.dumps(event).encode(),
        headers={
            "Content-Type": "application/json",
            "X-Amzn-Lambda-Function-Name": context.function_name,
            "X-Amzn-Lambda-Function-Arn": context.invoked_function_arn,
            "X-Amzn-Lambda-Request-Id": context.aws_request_id,
            "X-Amzn-Lambda-Deadline-Ms": str(int(time.time() * 1000) + left),
            "X-Amzn-Trace-Id": os.environ.get("_X_AMZN_TRACE_ID", ""),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=left / 1000) as answer:  # noqa: S310  # nosec B310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        kind = json.loads(error.read() or b"{}").get("errorType", "Unknown")
        raise FaceFunctionFailed(kind) from None
