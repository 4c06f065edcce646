"""Stands between functions and the local AWS, and lets services fail: by an error, by throttling, by no answer, by an answer
that is lost on its way though all was done.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3


class Fault(StrEnum):
    """What befalls a request."""

    ERROR = "error"
    """500, and nothing is done."""
    THROTTLE = "throttling"
    REFUSE = "refusal"
    """The connection is closed, and nothing is done."""
    LOSE = "lost answer"
    """All is done, and the connection is closed."""
    DELAY = "delay"
    HANG = "hanging"
    """No answer for longer than anybody waits."""


DELAY_SECONDS = 0.3
HANG_SECONDS = 9.0
"""A second more than Candid's clients wait."""
_SERVICE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([a-z0-9-]+)/")


class Weather:
    """``url`` is where functions find AWS; ``fault`` says what befalls a request of a service (``dynamodb``, ``s3``, ``sqs``,
    ``events``), and ``befallen`` counts."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.fault: Callable[[str], Fault | None] = lambda _: None
        self.befallen: Counter[str] = Counter()
        self.pool = urllib3.PoolManager(maxsize=16, retries=False, timeout=60)
        weather = self

        class Handler(_Handler):
            of = weather

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def failing(self, service: str, fault: Fault, every: int = 1) -> Iterator[None]:
        """Let every so-many-th request of a service have this fault for the length of a ``with``."""
        number = itertools.count()
        self.fault = lambda asked: fault if asked == service and next(number) % every == 0 else None
        try:
            yield
        finally:
            self.fault = lambda _: None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A worker that was killed has gone in the middle: that is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    of: Weather
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        signed = _SERVICE.search(self.headers.get("Authorization", ""))
        service = signed[1] if signed else ""
        fault = self.of.fault(service)
        if fault:
            self.of.befallen[f"{service} {fault}"] += 1
        if fault is Fault.HANG:
            time.sleep(HANG_SECONDS)
        if fault in {Fault.HANG, Fault.REFUSE}:
            self.close_connection = True
            return
        if fault in {Fault.ERROR, Fault.THROTTLE}:
            self._refuse(service, fault)
            return
        if fault is Fault.DELAY:
            time.sleep(DELAY_SECONDS)
        answer = self.of.pool.request(
            self.command, self.of.target + self.path, body=body, headers=dict(self.headers), decode_content=False
        )
        if fault is Fault.LOSE:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in {"transfer-encoding", "content-length", "connection", "date", "server"}:
                self.send_header(name, value)
        length = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(answer.data))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.data)

    def _refuse(self, service: str, fault: Fault) -> None:
        """As the service would."""
        throttled = fault is Fault.THROTTLE
        if service == "s3":
            code = "SlowDown" if throttled else "InternalError"
            status, said = (
                503 if throttled else 500,
                f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode(),
            )
        else:
            code = "ThrottlingException" if throttled else "InternalServerError"
            status, said = 400 if throttled else 500, json.dumps({"__type": code, "message": "no"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml" if service == "s3" else "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _pass

    def log_message(self, *_: Any) -> None:
        """Nothing: what was asked is not this server's to tell."""


@contextmanager
def weather(target: str) -> Iterator[Weather]:
    """Weather in front of the local AWS for the length of a ``with``."""
    made = Weather(target)
    try:
        yield made
    finally:
        made.close()
