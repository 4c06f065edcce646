"""Where a local Candid keeps what, and which ports it listens on: read from the environment once, at the start of a command.

| variable | meaning | default |
|---|---|---|
| ``CANDID_HOME`` | folder of everything below | ``.candid`` in the checkout |
| ``CANDID_AWS_PORT`` | the local AWS | 4566 |
| ``CANDID_FACES_PORT`` | the functions that see faces, and the token issuer's keys | 4567 |
| ``CANDID_REKOGNITION_PORT`` | the way in of Rekognition clients | 4568 |
| ``CANDID_MODELS`` | the weights | ``models`` in the checkout's ``.candid`` |
| ``MODEL`` | the face model | ``sface`` |
| ``INDEX`` | the vector index: ``embedded``, or ``opensearch`` for a real node | ``embedded`` |
| ``CANDID_OPENSEARCH_PORT`` | OpenSearch; its transport listens a hundred above | 9200 |
| ``OPENSEARCH`` | its version, 2 or 3 | the one that wrote the data, else what the JDK can run |
| ``OPENSEARCH_HEAP`` | its heap, in Java's notation | ``1g`` |
| ``OPENSEARCH_JAVA_OPTS`` | further options of its Java | |
| ``OPENSEARCH_URL`` | an OpenSearch that runs already, instead of a node of our own | |
| ``OPENSEARCH_PREFIX`` | what the names of its indexes begin with | ``candid-`` and the model |
| ``DEEPFACE_HOME`` | DeepFace's home, for models named ``deepface:…`` | ``deepface`` in the checkout's ``.candid`` |
| ``AWS_ENDPOINT_URL`` | a LocalStack that runs already, instead of a local AWS of our own | |
| ``PARAMETERS`` | parameters of template.yaml, ``NAME=VALUE …`` | |
| ``FACES_WORKERS_EMBED``, ``…_SEARCH``, ``…_REKOGNITION``, ``…_INDEX`` | processes a function | 2, 1, 1, 1 |
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from infra.local.problems import LocalError

CHECKOUT: Final = Path(__file__).resolve().parents[2]
STACK: Final = "candid"
REGION: Final = "us-east-1"
HOST: Final = "127.0.0.1"
FACE_FUNCTIONS: Final = {"embed": 2, "search": 1, "rekognition": 1, "index": 1}
"""The functions of the image, and how many processes each gets on a machine of two cores."""
EMBEDDED: Final = "embedded"
OPENSEARCH: Final = "opensearch"
TRANSPORT: Final = 100
"""So far above its port OpenSearch's nodes talk to each other."""


@dataclass(frozen=True, slots=True)
class Places:
    """Folders, ports, the model and the index of one local Candid."""

    home: Path
    aws_port: int
    faces_port: int
    rekognition_port: int
    opensearch_port: int
    model: str
    index_kind: str
    """``embedded`` or ``opensearch``."""
    models: Path
    samples: Path
    deepface: Path
    """DeepFace's home: its weights lie in ``.deepface/weights`` there."""
    foreign_aws: str
    """Address of a LocalStack that somebody else started; empty where the local AWS is ours."""
    foreign_opensearch: str
    """Address of an OpenSearch that somebody else started; empty where the node is ours."""
    opensearch_major: int | None
    """The version asked for; None: whichever suits."""
    opensearch_heap: str
    opensearch_java: tuple[str, ...]
    opensearch_prefix: str
    workers: Mapping[str, int]
    parameters: Mapping[str, str]
    """Of template.yaml, beside those that a laptop needs."""

    @property
    def aws_url(self) -> str:
        """Where AWS's APIs answer."""
        return self.foreign_aws or f"http://{HOST}:{self.aws_port}"

    @property
    def faces_url(self) -> str:
        """Where the functions that see faces answer; also the local token issuer's name."""
        return f"http://{HOST}:{self.faces_port}"

    @property
    def rekognition_url(self) -> str:
        """The endpoint of Rekognition clients."""
        return f"http://{HOST}:{self.rekognition_port}"

    @property
    def opensearch_url(self) -> str:
        """Where OpenSearch answers; empty with the embedded index."""
        if self.index_kind != OPENSEARCH:
            return ""
        return self.foreign_opensearch or f"http://{HOST}:{self.opensearch_port}"

    @property
    def aws_state(self) -> Path:
        """Tables, queues and the stack. A gallery belongs to one model and one index: each pair has its own."""
        return self.home / "state" / self._gallery

    @property
    def index(self) -> Path:
        """The index of this gallery: the embedded one's file, or the data of an OpenSearch node of ours."""
        return self.home / "index" / self._gallery

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
    def settings(self) -> dict[str, Any]:
        """What has an effect on a running Candid, by its variable."""
        told: dict[str, Any] = {
            "MODEL": self.model,
            "INDEX": self.index_kind,
            "CANDID_FACES_PORT": self.faces_port,
            "CANDID_REKOGNITION_PORT": self.rekognition_port,
            "CANDID_MODELS": str(self.models),
            "PARAMETERS": dict(self.parameters),
            **{f"FACES_WORKERS_{name.upper()}": count for name, count in self.workers.items()},
        }
        told |= {"AWS_ENDPOINT_URL": self.foreign_aws} if self.foreign_aws else {"CANDID_AWS_PORT": self.aws_port}
        if self.model.startswith("deepface:"):
            told["DEEPFACE_HOME"] = str(self.deepface)
        if self.index_kind == OPENSEARCH:
            told["OPENSEARCH_PREFIX"] = self.opensearch_prefix
            told |= (
                {"OPENSEARCH_URL": self.foreign_opensearch}
                if self.foreign_opensearch
                else {
                    "CANDID_OPENSEARCH_PORT": self.opensearch_port,
                    "OPENSEARCH": self.opensearch_major,
                    "OPENSEARCH_HEAP": self.opensearch_heap,
                    "OPENSEARCH_JAVA_OPTS": list(self.opensearch_java),
                }
            )
        return told

    @property
    def _gallery(self) -> str:
        model = re.sub(r"[^A-Za-z0-9_.-]", "-", self.model)
        # No model's name holds an @.
        return model if self.index_kind == EMBEDDED else f"{model}@{self.index_kind}"


def read(environ: Mapping[str, str]) -> Places:
    """The places that ``environ`` names. Raises ``LocalError`` with the variable that is wrong."""
    home = Path(environ.get("CANDID_HOME") or CHECKOUT / ".candid").absolute()
    own = CHECKOUT / ".candid"
    model = environ.get("MODEL") or "sface"
    found = Places(
        home=home,
        aws_port=_port(environ, "CANDID_AWS_PORT", 4566),
        faces_port=_port(environ, "CANDID_FACES_PORT", 4567),
        rekognition_port=_port(environ, "CANDID_REKOGNITION_PORT", 4568),
        opensearch_port=_number(environ, "CANDID_OPENSEARCH_PORT", 9200, 1, 65_435),
        model=model,
        index_kind=_one_of(environ, "INDEX", EMBEDDED, OPENSEARCH) or EMBEDDED,
        models=Path(environ.get("CANDID_MODELS") or own / "models").absolute(),
        samples=own / "samples",
        deepface=Path(environ.get("DEEPFACE_HOME") or own / "deepface").absolute(),
        foreign_aws=(environ.get("AWS_ENDPOINT_URL") or "").rstrip("/"),
        foreign_opensearch=(environ.get("OPENSEARCH_URL") or "").rstrip("/"),
        opensearch_major=int(_one_of(environ, "OPENSEARCH", "2", "3") or 0) or None,
        opensearch_heap=_heap(environ),
        opensearch_java=tuple((environ.get("OPENSEARCH_JAVA_OPTS") or "").split()),
        opensearch_prefix=environ.get("OPENSEARCH_PREFIX") or f"{STACK}-{re.sub(r'[^a-z0-9]+', '-', model.lower())}",
        workers={
            name: _number(environ, f"FACES_WORKERS_{name.upper()}", count, 1, 64)
            for name, count in FACE_FUNCTIONS.items()
        },
        parameters=_parameters(environ),
    )
    _require_own_ports(found)
    return found


def _require_own_ports(found: Places) -> None:
    ports = {name: port for name, port in found.settings.items() if name.endswith("_PORT")}
    if (port := ports.get("CANDID_OPENSEARCH_PORT")) is not None:
        ports["the transport of CANDID_OPENSEARCH_PORT"] = port + TRANSPORT
    for (one, port), (other, same) in combinations(sorted(ports.items()), 2):
        if port == same:
            raise LocalError(f"{one} and {other} are both {port}. Give each a port of its own.")


def _parameters(environ: Mapping[str, str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in shlex.split(environ.get("PARAMETERS") or "")]
    if wrong := [name for name, equals, _ in pairs if not (name and equals)]:
        raise LocalError(f"PARAMETERS must be NAME=VALUE …, and has {wrong[0]!r}.")
    return {name: value for name, _, value in pairs}


def _one_of(environ: Mapping[str, str], variable: str, *known: str) -> str | None:
    text = environ.get(variable) or None
    if text is not None and text not in known:
        raise LocalError(f"{variable} must be {' or '.join(known)}, and is {text!r}.")
    return text


def _heap(environ: Mapping[str, str]) -> str:
    text = environ.get("OPENSEARCH_HEAP") or "1g"
    if not re.fullmatch(r"[1-9][0-9]{0,5}[mg]", text):
        raise LocalError(f"OPENSEARCH_HEAP must be a size such as 512m or 2g, and is {text!r}.")
    return text


def _port(environ: Mapping[str, str], variable: str, default: int) -> int:
    return _number(environ, variable, default, 1, 65535)


def _number(environ: Mapping[str, str], variable: str, default: int, least: int, most: int) -> int:
    text = environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise LocalError(f"{variable} must be a number from {least} to {most}, and is {text!r}.")
    return int(text)
