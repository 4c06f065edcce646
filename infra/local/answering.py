"""What the local servers' requests have in common: how an answer goes out, and what is logged of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar


class Answering(BaseHTTPRequestHandler):
    """A request of a server of ours on the loopback interface."""

    protocol_version = "HTTP/1.1"
    # Head and body go out as two writes: the second would wait for the first's acknowledgement.
    disable_nagle_algorithm = True
    content_type: ClassVar[str] = "application/json"
    """Of an answer that names none."""
    logged_as: ClassVar[str] = ""
    """What a line of the log begins with, behind the time."""

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send an answer, unless whoever asked has given up."""
        told = {"Content-Type": self.content_type, **(headers or {}), "Content-Length": str(len(body))}
        try:
            self.send_response(status)
            for name, value in told.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """One line a request: method, path and status; no path here carries anything of a person."""
        print(f"{time.strftime('%H:%M:%S')} {self.logged_as}{format % args}", flush=True)
