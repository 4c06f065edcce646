"""The operators' functions: operations on the index and on dead letters, step by step through Lambda's Invoke. Who may is
AWS's IAM to say.

On a local stack its own AWS is asked; elsewhere ``--stack`` (or ``CANDID_STACK``) names the stack, and the AWS credentials and
Region of the environment are used. Not here: what the operations are (``index.requests``, ``redrive.requests``).
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from candid.cli import config
from candid.cli.problems import Busy, NotConfigured, NotThere, Refused, Unreachable, from_document

_READ_SECONDS: Final = 100
"""A step takes fifteen seconds, and the function's first start some more."""
_TRIES: Final = 8
_LONGEST: Final = 30.0


@dataclass(frozen=True, slots=True)
class Operators:
    """The functions of one stack that operators call. ``say`` hears of waits."""

    stack: str
    client: Any
    say: Callable[[str], None]
    wait: Callable[[float], None] = time.sleep

    def carry_out(
        self, asked: Mapping[str, Any], watch: Callable[[Mapping[str, Any]], None], function: str = "index"
    ) -> dict[str, Any]:
        """Make every step of an operation; ``watch`` sees each step's answer but the last, which is returned.

        Raises ``Refused`` (or one of its classes) and ``Unreachable``; a step that failed for want of a dependency is tried
        again.
        """
        cursor: Any = None
        failed = 0
        while True:
            payload = {**asked, **({} if cursor is None else {"cursor": cursor})}
            try:
                answer = self.invoke(function, payload)
                failed = 0
            except Busy as busy:
                failed += 1
                if failed >= _TRIES or busy.kind != "dependency-unavailable" or cursor is None:
                    raise
                pause = min(_LONGEST, 2.0**failed) * random.uniform(0.5, 1.0)  # noqa: S311
                self.say(f"{busy} (trying again in {pause:.0f} s)")
                self.wait(pause)
                continue
            if answer["done"]:
                return answer
            watch(answer)
            cursor = answer["cursor"]

    def invoke(self, function: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of the stack's ``function``. Raises as ``carry_out``, ``NotThere`` where the stack has none of that name."""
        from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

        name = f"{self.stack}-{function}"
        try:
            answer = self.client.invoke(FunctionName=name, Payload=json.dumps(payload).encode())
            told = json.loads(answer["Payload"].read())
        except ClientError as error:
            raise _refusal(error.response, name) from None
        except (BotoCoreError, ValueError) as error:
            address = str(self.client.meta.endpoint_url)
            if isinstance(error, EndpointConnectionError) and urlsplit(address).hostname in {"127.0.0.1", "localhost"}:
                raise Unreachable(f"The local stack does not answer at {address}. Start it with `make run`.") from None
            raise Unreachable(
                f"AWS's Lambda can't be asked for {name} ({type(error).__name__}). Check the network, the Region and the "
                "credentials."
            ) from None
        if answer.get("FunctionError") or not isinstance(told, dict):
            raise Refused(
                f"The function {name} failed. Look at its log, which says where.", status=500, kind="internal"
            )
        if "problem" in told:
            raise from_document(told["problem"], int(told["problem"].get("status", 500)))
        return told


def nothing(_: Mapping[str, Any]) -> None:
    """Watches an operation that takes one step."""


def connect(stack: str | None, say: Callable[[str], None]) -> Operators:
    """The operators' functions of ``stack``, or of the local stack. Raises ``NotConfigured``."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    how = Config(connect_timeout=5, read_timeout=_READ_SECONDS, retries={"mode": "standard", "max_attempts": 4})
    name = stack or config.given_stack()
    try:
        if name:
            # Lambda sets AWS_REGION and so does who reads our README; boto3 itself reads AWS_DEFAULT_REGION and profiles alone.
            return Operators(name, boto3.client("lambda", region_name=os.environ.get("AWS_REGION"), config=how), say)
        local = config.local_stack()
        if local is None or not local.stack or not local.aws_endpoint_url:
            raise NotConfigured(
                "No Candid is known here. Start one with `make run`, or name a stack on AWS with --stack (or CANDID_STACK)."
            )
        client = boto3.client(
            "lambda",
            endpoint_url=local.aws_endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106
            config=how,
        )
        return Operators(local.stack, client, say)
    except BotoCoreError as error:
        raise NotConfigured(
            f"AWS's SDK can't be set up ({type(error).__name__}). Set the Region (AWS_REGION) and the credentials of the stack's "
            "account."
        ) from None


def _refusal(response: Mapping[str, Any], name: str) -> Refused:
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
    if code == "ResourceNotFoundException":
        return NotThere(
            f"There is no function {name} in this account and Region. Check both, and the name of the stack.",
            status=404,
        )
    if code in {
        "AccessDeniedException",
        "UnrecognizedClientException",
        "ExpiredTokenException",
        "InvalidSignatureException",
    }:
        return Refused(
            f"AWS does not let you call {name} ({code}). Ask your administrator for lambda:InvokeFunction on it.",
            status=403,
        )
    if code == "TooManyRequestsException":
        return Busy(
            f"{name} runs already, for somebody else. Try again in a minute.", status=429, kind="dependency-unavailable"
        )
    return Refused(
        f"AWS's Lambda refused the call of {name} ({code or status}). Check the Region and the credentials.",
        status=status,
    )
