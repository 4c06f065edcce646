"""What a deployed function is told: its handler, environment and limits, as AWS would hand them to a container.

Read from the deployment itself, so that what the template says is what runs here too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.local.aws import client
from infra.local.places import CHECKOUT, REGION

SERVICES: Final = CHECKOUT / "services"
"""What the image has as /var/task/services."""
_PASSED_ON: Final = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "SSL_CERT_FILE",
    "OMP_NUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class FunctionConfig:
    """One deployed function. ``timeout`` in seconds, ``memory`` in MB; ``handler`` as ``module.function``."""

    name: str
    arn: str
    handler: str
    timeout: int
    memory: int
    variables: tuple[tuple[str, str], ...]

    def environment(self, aws_url: str, models: Path, deepface: Path) -> dict[str, str]:
        """The whole environment of a worker: Lambda's variables, the function's, the image's, and where the local AWS is."""
        machine = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        lambda_ = {
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "LAMBDA_TASK_ROOT": str(SERVICES),
            "_HANDLER": self.handler,
        }
        image = {
            "CANDID_MODELS": str(models),
            "DEEPFACE_HOME": str(deepface),
            "PYTHONPATH": str(SERVICES),
            "PYTHONUNBUFFERED": "1",
        }
        return machine | image | lambda_ | dict(self.variables) | {"AWS_ENDPOINT_URL": aws_url}


def read(aws_url: str, name: str) -> FunctionConfig:
    """The configuration of the deployed function ``name``. Raises botocore's ``ClientError`` where there is none."""
    told = client(aws_url, "lambda").get_function_configuration(FunctionName=name)
    return FunctionConfig(
        name=name,
        arn=str(told["FunctionArn"]),
        handler=_handler(told),
        timeout=int(told.get("Timeout", 3)),
        memory=int(told.get("MemorySize", 128)),
        variables=tuple(sorted((told.get("Environment") or {}).get("Variables", {}).items())),
    )


def _handler(told: Mapping[str, Any]) -> str:
    image = (told.get("ImageConfigResponse") or {}).get("ImageConfig") or told.get("ImageConfig") or {}
    command = image.get("Command") or []
    # Where the local AWS has no executor for images, a small zip stands in for the image and names the handler so.
    variables = (told.get("Environment") or {}).get("Variables", {})
    return str(command[0]) if command else str(variables.get("CANDID_FORWARDED_HANDLER") or told["Handler"])
