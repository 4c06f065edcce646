"""The process that serves the functions that see faces, in the place of their container image; the token issuer's keys; and the
way in of Rekognition clients.

It takes what the local AWS passes on (Lambda's Invoke by HTTP, the event as body) and answers what the function answers. Only
the loopback interface reaches it, and a web page in a browser does not: an invocation carries a header that pages may not send,
and the name of the host is checked. Payloads are never logged. Run as ``python -m infra.local.faces_server`` by ``up``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import signal
import sys
import threading
import time
import uuid
from http.server import ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from candid.access.keys import LocalKeys
from infra.local import faces_config, faces_pool, places
from infra.local.answering import Answering
from infra.local.faces_config import FunctionConfig
from infra.local.faces_pool import LIMIT_BYTES, Answer, Invocation, Pool
from infra.local.rekognition_front import Front

INVOKE: Final = re.compile(r"/2015-03-31/functions/([A-Za-z0-9_-]{1,64})/invocations")
JWKS: Final = "/.well-known/jwks.json"
READY: Final = "/-/ready"
REFRESH: Final = "/-/refresh"
NAMED: Final = "X-Amzn-Lambda-Function-Name"


class Functions:
    """The deployed functions by name, each with its pool; read from the deployment when first invoked or refreshed."""

    def __init__(self, where: places.Places) -> None:
        self._where = where
        self._lock = threading.Lock()
        self._known: dict[str, tuple[FunctionConfig, Pool]] = {}

    def invoke(self, name: str, call: Invocation) -> Answer:
        """Let the function ``name`` answer."""
        try:
            _, pool = self._known.get(name) or self._learn(name)
        except (ClientError, BotoCoreError, KeyError) as error:
            why = f"{name} can't be read from the deployment ({type(error).__name__})."
            return faces_pool.error("ResourceNotFoundException", why)
        return pool.invoke(call)

    def refresh(self, names: list[str]) -> None:
        """Read the configurations again after a deployment, end workers of old ones, and start new ones already."""
        pools = [self._learn(name)[1] for name in names]
        threads = [threading.Thread(target=pool.warm, daemon=True) for pool in pools]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def close(self) -> None:
        """End every worker."""
        with self._lock:
            for _, pool in self._known.values():
                pool.close()
            self._known.clear()

    def _learn(self, name: str) -> tuple[FunctionConfig, Pool]:
        config = faces_config.read(self._where.aws_url, name)
        with self._lock:
            known = self._known.get(name)
            if known and known[0] == config:
                return known
            if known:
                known[1].close()
            environment = config.environment(self._where.aws_url, self._where.models, self._where.deepface)
            size = self._where.workers.get(name.rpartition("-")[2], 1)
            pool = Pool(environment, config.timeout, size, self._where.logs / f"{name}.log")
            self._known[name] = config, pool
            return self._known[name]


class FacesServer(ThreadingHTTPServer):
    """Listens on the loopback interface (or where ``CANDID_FACES_BIND`` says)."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, where: places.Places, bind: str) -> None:
        self.functions = Functions(where)
        self.jwks = json.dumps(LocalKeys.load_or_create(where.keys).jwks()).encode()
        self.hosts = {"127.0.0.1", "localhost", "host.docker.internal"}
        super().__init__((bind, where.faces_port), _Request)


class _Request(Answering):
    server: FacesServer

    def do_GET(self) -> None:
        """The issuer's keys, or that the process is there."""
        if self.path == JWKS:
            self.answer(200, self.server.jwks)
        elif self.path == READY:
            self.answer(200, b"{}")
        else:
            self.answer(404, b"{}")

    def do_POST(self) -> None:
        """An invocation, or a refresh after a deployment."""
        if (
            not self.headers.get(NAMED)
            or urlsplit(f"//{self.headers.get('Host', '')}").hostname not in self.server.hosts
        ):
            self._refuse(403, "AccessDeniedException", "Invocations come from the local AWS alone.")
            return
        text = self.headers.get("Content-Length", "")
        length = int(text) if text.isascii() and text.isdigit() else -1
        if length < 0:
            self._refuse(411, "InvalidRequestContentException", "Content-Length is missing.")
        elif length > LIMIT_BYTES:
            # As Lambda answers; what was sent is read first, so that the sender sees the answer.
            self._discard(length)
            self._refuse(413, "RequestTooLargeException", f"Request must be smaller than {LIMIT_BYTES} bytes.")
        elif self.path == REFRESH:
            self._refresh(self.rfile.read(length))
        elif found := INVOKE.fullmatch(self.path):
            self._invoke(found[1], self.rfile.read(length))
        else:
            self._refuse(404, "ResourceNotFoundException", "There is no such function.")

    def _invoke(self, name: str, payload: bytes) -> None:
        trace = (
            self.headers.get("X-Amzn-Trace-Id") or f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Sampled=0"
        )
        deadline = self.headers.get("X-Amzn-Lambda-Deadline-Ms", "")
        answer = self.server.functions.invoke(
            name,
            Invocation(
                request_id=self.headers.get("X-Amzn-Lambda-Request-Id") or str(uuid.uuid4()),
                arn=self.headers.get("X-Amzn-Lambda-Function-Arn") or name,
                deadline_ms=int(deadline) if deadline.isdigit() else int(time.time() * 1000) + 60_000,
                trace=trace,
                payload=payload,
            ),
        )
        # The local AWS takes an answer for a failed one by its status; Lambda itself says it with this header.
        self.answer(
            500 if answer.failed else 200, answer.body, {"X-Amz-Function-Error": "Unhandled"} if answer.failed else {}
        )

    def _refresh(self, body: bytes) -> None:
        try:
            self.server.functions.refresh([str(name) for name in json.loads(body)])
        except (ClientError, BotoCoreError, KeyError, ValueError) as error:
            self._refuse(502, type(error).__name__, "The deployed functions can't be read.")
        else:
            self.answer(200, b"{}")

    def _discard(self, length: int) -> None:
        while length > 0:
            read = len(self.rfile.read(min(length, 2**20)))
            if not read:
                return
            length -= read

    def _refuse(self, status: int, kind: str, message: str) -> None:
        self.close_connection = True
        self.answer(status, faces_pool.error(kind, message).body)


def main() -> int:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bind", default=places.HOST)
    where = places.read(os.environ)
    where.logs.mkdir(parents=True, exist_ok=True)
    bind = parser.parse_args().bind
    server, front = FacesServer(where, bind), Front(where, bind)
    front.serve_beside()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        front.server_close()
        server.functions.close()
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
