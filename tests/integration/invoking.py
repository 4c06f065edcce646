"""Lambda's Invoke for the CLI in a process of its own: a server in front of the real functions of operators."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from index import app as index_app
from redrive import app as redrive_app
from tests.gateway import Context

Function = Callable[[Any, Any], Mapping[str, Any]]


class Invoked(ThreadingHTTPServer):
    """Lambda, as far as Invoke goes. ``functions`` are those that the stack has; ``refusals`` are answered before anything else;
    ``between`` runs before each step."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.functions: dict[str, Function] = {
            "candid-index": index_app.handler,
            "candid-redrive": redrive_app.handler,
        }
        self.refusals: list[tuple[int, str, dict[str, Any]]] = []
        self.asked: list[dict[str, Any]] = []
        self.between: Any = lambda: None
        self.context = Context(remaining_ms=10_000)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Invoked

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        name = self.path.removeprefix("/2015-03-31/functions/").removesuffix("/invocations")
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, error = 200, ""
        answer: Mapping[str, Any] = {}
        if name not in self.server.functions:
            status, error, answer = 404, "ResourceNotFoundException", {"Message": "Function not found"}
        elif self.server.refusals:
            status, error, answer = self.server.refusals.pop(0)
        else:
            self.server.asked.append(payload)
            self.server.between()
            answer = self.server.functions[name](payload, self.server.context)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if error:
            self.send_header("x-amzn-ErrorType" if status >= 400 else "X-Amz-Function-Error", error)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def invoked(folder: Path) -> Iterator[Invoked]:
    """A server, and a folder whose ``.candid/local.json`` names it."""
    server = Invoked()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = folder / ".candid"
    home.mkdir()
    told = {"api_url": server.url, "issuer": server.url, "keys": str(home / "keys"), "stack": "candid", "outputs": {}}
    (home / "local.json").write_text(json.dumps(told | {"aws_endpoint_url": server.url}))
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
