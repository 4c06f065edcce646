"""Starting the faces server and talking to it. Not here: what it does (``faces_server``)."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Final

import urllib3

from infra.local import processes
from infra.local.faces_server import NAMED, READY, REFRESH
from infra.local.places import CHECKOUT, FACE_FUNCTIONS, HOST, STACK, Places
from infra.local.problems import LocalError
from infra.local.processes import Process

_START_SECONDS: Final = 30
_REFRESH_SECONDS: Final = 120


def start(places: Places) -> Process:
    """Start it and wait until it answers. Raises ``LocalError`` with the end of its log."""
    log = places.logs / "faces.log"
    environment = dict(os.environ) | {
        "CANDID_HOME": str(places.home),
        "CANDID_MODELS": str(places.models),
        "DEEPFACE_HOME": str(places.deepface),
        "CANDID_AWS_PORT": str(places.aws_port),
        "CANDID_FACES_PORT": str(places.faces_port),
        "CANDID_REKOGNITION_PORT": str(places.rekognition_port),
        "PYTHONUNBUFFERED": "1",
    }
    process = processes.start(
        [sys.executable, "-m", "infra.local.faces_server", "--bind", os.environ.get("CANDID_FACES_BIND") or HOST],
        mark="infra.local.faces_server",
        log=log,
        environment=environment,
        folder=CHECKOUT,
    )
    end = time.monotonic() + _START_SECONDS
    while not _answers(places):
        if not process.is_running():
            raise processes.ended_early("The process for the functions that see faces", log)
        if time.monotonic() > end:
            process.kill()
            raise LocalError(f"The process for the functions that see faces did not answer. Its log is {log}.")
        time.sleep(0.05)
    return process


def load(places: Places) -> None:
    """Let it read the deployed functions' configuration and start their workers. Raises ``LocalError``."""
    try:
        answer = urllib3.request(
            "POST",
            places.faces_url + REFRESH,
            body=json.dumps([f"{STACK}-{name}" for name in FACE_FUNCTIONS]).encode(),
            headers={NAMED: "-", "Content-Type": "application/json"},
            timeout=_REFRESH_SECONDS,
            retries=False,
        )
    except urllib3.exceptions.HTTPError:
        answer = None
    if answer is None or answer.status != 200:
        raise LocalError(f"The functions that see faces can't be started. The log is {places.logs / 'faces.log'}.")


def _answers(places: Places) -> bool:
    try:
        return urllib3.request("GET", places.faces_url + READY, timeout=2, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
