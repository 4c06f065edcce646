"""Where a local Candid keeps what, and which ports it listens on: read from the environment once, at the start of a command.

| variable | meaning | default |
|---|---|---|
| ``CANDID_HOME`` | folder of everything below | ``.candid`` in the checkout |
| ``CANDID_AWS_PORT`` | the local AWS | 4566 |
| ``CANDID_FACES_PORT`` | the functions that see faces, and the token issuer's keys | 4567 |
| ``CANDID_MODELS`` | the weights | ``models`` in the checkout's ``.candid`` |
| ``MODEL`` | the face model | ``sface`` |
| ``DEEPFACE_HOME`` | DeepFace's home, for models named ``deepface:…`` | ``deepface`` in the checkout's ``.candid`` |
| ``AWS_ENDPOINT_URL`` | a LocalStack that runs already, instead of a local AWS of our own | |
| ``FACES_WORKERS_EMBED``, ``FACES_WORKERS_SEARCH`` | processes a function | 2, 1 |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.local.problems import LocalError

CHECKOUT: Final = Path(__file__).resolve().parents[2]
STACK: Final = "candid"
REGION: Final = "us-east-1"
HOST: Final = "127.0.0.1"
FACE_FUNCTIONS: Final = {"embed": 2, "search": 1}
"""The functions that see faces, and how many processes each gets on a machine of two cores."""


@dataclass(frozen=True, slots=True)
class Places:
    """Folders, ports and the model of one local Candid."""

    home: Path
    aws_port: int
    faces_port: int
    model: str
    models: Path
    samples: Path
    deepface: Path
    """DeepFace's home: its weights lie in ``.deepface/weights`` there."""
    foreign_aws: str
    """Address of a LocalStack that somebody else started; empty where the local AWS is ours."""
    workers: Mapping[str, int]

    @property
    def aws_url(self) -> str:
        """Where AWS's APIs answer."""
        return self.foreign_aws or f"http://{HOST}:{self.aws_port}"

    @property
    def faces_url(self) -> str:
        """Where the functions that see faces answer; also the local token issuer's name."""
        return f"http://{HOST}:{self.faces_port}"

    @property
    def aws_state(self) -> Path:
        """Tables, queues and the stack. A gallery belongs to one model: each model has its own."""
        return self.home / "state" / self._model_folder

    @property
    def index(self) -> Path:
        """The embedded index of this model's gallery."""
        return self.home / "index" / self._model_folder

    @property
    def keys(self) -> Path:
        """The local token issuer's key pair."""
        return self.home / "keys"

    @property
    def logs(self) -> Path:
        """One file a process or function."""
        return self.home / "logs"

    @property
    def description(self) -> Path:
        """What runs now, for other commands to read."""
        return self.home / "local.json"

    @property
    def _model_folder(self) -> str:
        return re.sub(r"[^A-Za-z0-9_.-]", "-", self.model)


def read(environ: Mapping[str, str]) -> Places:
    """The places that ``environ`` names. Raises ``LocalError`` with the variable that is wrong."""
    home = Path(environ.get("CANDID_HOME") or CHECKOUT / ".candid").absolute()
    own = CHECKOUT / ".candid"
    return Places(
        home=home,
        aws_port=_port(environ, "CANDID_AWS_PORT", 4566),
        faces_port=_port(environ, "CANDID_FACES_PORT", 4567),
        model=environ.get("MODEL") or "sface",
        models=Path(environ.get("CANDID_MODELS") or own / "models").absolute(),
        samples=own / "samples",
        deepface=Path(environ.get("DEEPFACE_HOME") or own / "deepface").absolute(),
        foreign_aws=(environ.get("AWS_ENDPOINT_URL") or "").rstrip("/"),
        workers={
            name: _number(environ, f"FACES_WORKERS_{name.upper()}", count, 1, 64)
            for name, count in FACE_FUNCTIONS.items()
        },
    )


def _port(environ: Mapping[str, str], variable: str, default: int) -> int:
    return _number(environ, variable, default, 1, 65535)


def _number(environ: Mapping[str, str], variable: str, default: int, least: int, most: int) -> int:
    text = environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise LocalError(f"{variable} must be a number from {least} to {most}, and is {text!r}.")
    return int(text)
