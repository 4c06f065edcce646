"""The way in of Rekognition clients, as CloudFront and API Gateway are on AWS: signature and host go on in headers of ours, and
Authorization goes no further.

On a port of its own, since such a client asks for ``/`` and signs that. It only hands on: what a signature is worth the function
says, and what is signed is never logged.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from infra.local import gateway
from infra.local.answering import Answering
from infra.local.aws import client
from infra.local.faces_pool import LIMIT_BYTES
from infra.local.places import STACK, Places

AUTHORIZATION: Final = "x-candid-authorization"
HOST: Final = "x-candid-host"
MOST_BYTES: Final = 10 * 2**20
"""Of a request, by API Gateway."""
_LONGEST_ANSWER: Final = 35
_TOO_LARGE: Final = (
    '{"__type":"ImageTooLargeException","message":"A request may have about 6 MB. Send a smaller image."}'
)
_AWAY: Final = '{"__type":"InternalServerError","message":"The local AWS does not answer. Start it with `make run`."}'
_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})


def handed_on(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """What goes on of a client's headers: what CloudFront's function (``infra/api/signed.js``) makes of them, without those that
    are of one connection."""
    kept = []
    for name, value in headers:
        lower = name.lower()
        if lower in {AUTHORIZATION, HOST} | _HOP_BY_HOP:
            continue
        if lower == "authorization":
            kept.append((AUTHORIZATION, value))
        elif lower == "host":
            kept.append((HOST, value))
        else:
            kept.append((name, value))
    return kept


class Front(ThreadingHTTPServer):
    """Listens where Rekognition clients are told to go."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, places: Places, bind: str, upstream: str | None = None) -> None:
        """``upstream`` is the address of the gateway's route; None: of the API that is deployed to the local AWS."""
        self._places = places
        self._upstream = upstream
        self.pool = urllib3.PoolManager(maxsize=32, retries=False, timeout=_LONGEST_ANSWER)
        super().__init__((bind, places.rekognition_port), _Request)

    def serve_beside(self) -> None:
        """Serve in a thread of the process."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def upstream(self) -> str:
        """The address of the gateway's route. Raises botocore's errors where it can't be asked."""
        if self._upstream is None:
            told = client(self._places.aws_url, "cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
            outputs = {one["OutputKey"]: one["OutputValue"] for one in told["Outputs"]}
            stage = urlsplit(outputs["ApiUrl"]).path.strip("/").split("/")[0]
            self._upstream = gateway.url(self._places.aws_url, outputs["RekognitionApiId"], stage) + "/"
        return self._upstream


class _Request(Answering):
    content_type = "application/x-amz-json-1.1"
    logged_as = "rekognition "
    server: Front

    def do_POST(self) -> None:
        """Hand a call on."""
        text = self.headers.get("Content-Length", "0")
        length = int(text) if text.isascii() and text.isdigit() else -1
        body = self.rfile.read(length) if 0 <= length <= MOST_BYTES else b""
        if length > MOST_BYTES or len(json.dumps(body.decode("utf-8", "replace"), ensure_ascii=False)) > LIMIT_BYTES:
            self.close_connection = length > MOST_BYTES
            self.answer(400, _TOO_LARGE.encode())
            return
        headers = urllib3.HTTPHeaderDict()
        for name, value in handed_on(self.headers.items()):
            headers.add(name, value)
        try:
            told = self.server.pool.request(self.command, self.server.upstream(), body=body, headers=headers)
        except (urllib3.exceptions.HTTPError, ClientError, BotoCoreError, KeyError):
            self.answer(500, _AWAY.encode())
            return
        self.answer(told.status, told.data, {k: v for k, v in told.headers.items() if k.lower() not in _HOP_BY_HOP})

    do_GET = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST
