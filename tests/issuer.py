"""A token issuer for tests: real keys, published over real HTTP on the loopback interface; the authorizer trusts it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt

from authorizer import app
from candid.access.keys import LocalKeys


class Issuer:
    """A token issuer: a key pair and an HTTP endpoint for its public half."""

    def __init__(self, folder: Path) -> None:
        self.keys = LocalKeys.load_or_create(folder)
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(issuer.keys.jwks()).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def token(self, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "candid",
            "sub": "det.lee",
            "agency": "washington-county",
            "roles": ["investigator"],
            "iat": now,
            "exp": now + 3600,
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self.keys._private, algorithm="RS256", headers={"kid": self.keys.key_id})


@contextmanager
def issuing(folder: Path) -> Iterator[Issuer]:
    """An issuer whose keys are kept in ``folder``, trusted by the authorizer of this process."""
    running = Issuer(folder)
    saved = dict(os.environ)
    os.environ |= {
        "TOKEN_ISSUER": running.url,
        "TOKEN_JWKS_URL": f"{running.url}/.well-known/jwks.json",
        "TOKEN_AUDIENCE": "candid",
        "USAGE_KEY_PREFIX": "candid-usage-plan-candid-",
    }
    for made in (app.told, app.verifier):
        made.cache_clear()
    try:
        yield running
    finally:
        for made in (app.told, app.verifier):
            made.cache_clear()
        os.environ.clear()
        os.environ.update(saved)
        running.server.shutdown()
        running.server.server_close()
