"""What a machine needs to run Candid locally, looked at one thing at a time. Nothing is changed or downloaded."""

from __future__ import annotations

import enum
import hashlib
import importlib.util
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from candid.cli import config, jdk
from candid.cli.client import Client
from candid.cli.tokens import GivenToken
from candid.errors import CandidError

_LIBRARIES: Final = ("boto3", "cv2", "ministack", "numpy", "PIL", "pydantic", "samtranslator")
_NEEDED_DISK: Final = 2 * 10**9
_OPENSEARCH: Final = {3: "3.2", 2: "2.19"}
_USE: Final = "`make opensearch`, `make run INDEX=opensearch` and their tests want it; the embedded index does not."


class Verdict(enum.Enum):
    """GOOD; ABSENT: only some things need it; MISSING: a local Candid needs it."""

    GOOD = "good"
    ABSENT = "absent"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding, in a sentence that says what to do where something is missing."""

    name: str
    verdict: Verdict
    sentence: str


def all_checks() -> list[Check]:
    """All findings, the needed ones first."""
    try:
        stack = config.local_stack()
        damaged = None
    except CandidError as error:
        stack, damaged = None, Check("Local stack", Verdict.MISSING, str(error))
    found = [_python(), _libraries(), *_weights(config.models_folder()), _disk()]
    found += [damaged] if damaged else _stack(stack)
    return [*found, _docker(), _java(), _maven()]


def _python() -> Check:
    # An older one than 3.11 does not come as far as this line.
    return Check("Python", Verdict.GOOD, f"Version {platform.python_version()}, at {sys.executable}.")


def _libraries() -> Check:
    absent = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if not absent:
        return Check("Libraries", Verdict.GOOD, "All that a local Candid imports are installed.")
    return Check("Libraries", Verdict.MISSING, f"Not installed: {', '.join(absent)}. `make run` installs them.")


def _weights(folder: Path) -> Iterator[Check]:
    try:
        from candid.faces.registry import detector_card, model_card  # Needs NumPy, which may be what is missing.

        model, detector = model_card("sface"), detector_card()
    except (ImportError, CandidError):
        yield Check("Weights", Verdict.MISSING, "They can't be checked before the libraries are there.")
        return
    for name, file, digest in (
        ("Detector weights", detector.weights, detector.sha256),
        ("Model weights", model.weights or "", model.sha256 or ""),
    ):
        path = folder / file
        if not path.is_file():
            yield Check(name, Verdict.MISSING, f"{path} is not there. `make run` fetches it.")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            yield Check(
                name, Verdict.MISSING, f"{path} is not the file it should be. Delete it; `make run` fetches it again."
            )
        else:
            yield Check(name, Verdict.GOOD, f"{path} is there, and its SHA-256 is right.")


def _disk() -> Check:
    place = config.checkout() or Path.cwd()
    free = shutil.disk_usage(place).free
    said = f"{free / 10**9:.1f} GB are free at {place}"
    if free >= _NEEDED_DISK:
        return Check("Disk", Verdict.GOOD, f"{said}.")
    return Check("Disk", Verdict.MISSING, f"Only {said}; libraries, weights and a gallery want 2 GB.")


def _stack(stack: config.LocalStack | None) -> Iterator[Check]:
    """Whether the local stack is up, and its other ways in with it; where it is not, whether its ports are free."""
    if stack is not None:
        client = Client(stack.api_url, GivenToken(""))
        if client.probe(stack.api_url) is not None:
            yield Check("Local stack", Verdict.GOOD, f"It is up, at {stack.api_url}.")
            yield _way_in(client, "Token issuer", stack.issuer, "no token can be checked")
            if stack.rekognition_url:
                yield _way_in(client, "Rekognition", stack.rekognition_url, "no Rekognition client gets an answer")
            return
    yield Check("Local stack", Verdict.ABSENT, "It is not running. Start it with `make run`.")
    for port in config.ports():
        if _is_free(port.number):
            yield Check(f"Port {port.number}", Verdict.GOOD, f"It is free for {port.use}.")
        else:
            yield Check(
                f"Port {port.number}",
                Verdict.MISSING,
                f"It is meant for {port.use}, and another program holds it. End that program, or choose another port by "
                f"{port.variable}.",
            )


def _way_in(client: Client, name: str, url: str, otherwise: str) -> Check:
    if client.probe(url) is not None:
        return Check(name, Verdict.GOOD, f"It answers at {url}.")
    return Check(name, Verdict.MISSING, f"Nothing answers at {url}, so {otherwise}. `make stop`, then `make run`.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _docker() -> Check:
    use = "only `make image` and the compose files want it"
    if not shutil.which("docker"):
        return Check("Docker", Verdict.ABSENT, f"It is not installed; {use}.")
    if _said("docker", "version", "--format", "{{.Server.Version}}") is None:
        return Check("Docker", Verdict.ABSENT, f"It is installed, and its server does not answer; {use}.")
    return Check("Docker", Verdict.GOOD, "It is installed and its server answers.")


def _java() -> Check:
    found = {major: jdk.version(major) for major in _OPENSEARCH}
    runs = [f"version {version} runs OpenSearch {_OPENSEARCH[major]}" for major, version in found.items() if version]
    lacks = [f"OpenSearch {_OPENSEARCH[major]} wants {jdk.needed(major)}" for major in found if not found[major]]
    said = _sentence(*runs, *lacks)
    if len(runs) == len(found):
        return Check("JDK", Verdict.GOOD, f"{said} {_USE}")
    return Check("JDK", Verdict.ABSENT, f"{'' if runs else 'There is none that fits. '}{said} {_USE}")


def _maven() -> Check:
    if jdk.maven():
        return Check("Maven", Verdict.GOOD, "It is installed; it fetches OpenSearch once.")
    return Check("Maven", Verdict.ABSENT, f"It is not installed; it would fetch OpenSearch once. {_USE}")


def _sentence(*parts: str) -> str:
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]}."


def _said(*command: str) -> str | None:
    """What a program says of itself; None if it fails or takes too long."""
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout + told.stderr if told.returncode == 0 else None
