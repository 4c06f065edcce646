"""The local AWS: ministack on the loopback interface, its state kept between runs. Not here: what is deployed to it."""

from __future__ import annotations

import os
import sys
import time
from typing import Final

import urllib3

from infra.local import processes, saved_state
from infra.local.places import CHECKOUT, FACE_FUNCTIONS, HOST, REGION, STACK, Places
from infra.local.problems import LocalError
from infra.local.processes import Process

_START_SECONDS: Final = 30
_STOP_SECONDS: Final = 30


def start(places: Places) -> Process:
    """Start it and wait until it answers. Raises ``LocalError`` with the end of its log."""
    saved_state.mend(places.aws_state, places.aws_port)
    saved_state.mark_running(places.aws_state)
    log = places.logs / "aws.log"
    process = processes.start(
        [sys.executable, "-m", "ministack"],
        mark="ministack",
        log=log,
        environment=_environment(places),
        folder=CHECKOUT,
    )
    end = time.monotonic() + _START_SECONDS
    while not _answers(places):
        if not process.is_running():
            raise processes.ended_early("The local AWS", log)
        if time.monotonic() > end:
            process.kill()
            raise LocalError(f"The local AWS did not answer within {_START_SECONDS} seconds. Its log is {log}.")
        time.sleep(0.05)
    return process


def stop(places: Places, process: Process) -> bool:
    """Stop it and wait until it has saved its state. False if it did not save."""
    if not process.is_running():
        return not saved_state.ended_uncleanly(places.aws_state)
    if process.stop(_STOP_SECONDS):
        saved_state.mark_stopped(places.aws_state)
        return True
    return False


def invocation_url(places: Places, function: str) -> str:
    """Where the faces server takes invocations of a deployed function; the path is that of Lambda's Invoke API."""
    return f"{places.faces_url}/2015-03-31/functions/{function}/invocations"


def _environment(places: Places) -> dict[str, str]:
    state = places.aws_state
    # A killed emulator leaves the functions' unpacked code here.
    scratch = state / "scratch"
    saved_state.forget(scratch)
    scratch.mkdir(parents=True)
    passed = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "SSL_CERT_FILE") if name in os.environ}
    proxies = {
        f"MINISTACK_LAMBDA_PROXY_{STACK}-{name}": invocation_url(places, f"{STACK}-{name}") for name in FACE_FUNCTIONS
    }
    return (
        passed
        | proxies
        | {
            "GATEWAY_PORT": str(places.aws_port),
            "BIND_HOST": HOST,
            "MINISTACK_REGION": REGION,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(state / "aws"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(state / "s3"),
            "TMPDIR": str(scratch),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "PYTHONUNBUFFERED": "1",
        }
    )


def _answers(places: Places) -> bool:
    try:
        answer = urllib3.request("GET", f"{places.aws_url}/_ministack/health", timeout=2, retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == 200
