"""A stack's functions in workers of a test's own: deployed as they are, at the lowest log level, with X-Ray's daemon in the test
and every file noted that they open to write.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from infra.local import faces_config, places
from infra.local.faces_pool import Invocation, Worker

from tests.e2e.stack import Stack

_NOTING = """
import os, sys
_noted = os.open(os.environ["NOTED_FILES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def _note(event, told):
    if event == "open" and not isinstance(told[0], int) and (told[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        os.write(_noted, os.fsencode(told[0]) + b"\\n")
    elif event == "sqlite3.connect":
        os.write(_noted, os.fsencode(told[0]) + b"\\n")

sys.addaudithook(_note)
"""
"""Python runs it at its start (``site``), before anything of the function."""


class Daemon:
    """X-Ray's, as far as a function sees it: what it is sent (https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html)."""

    def __init__(self) -> None:
        self.segments: list[bytes] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                self.segments.append(self._socket.recv(65_536))
            except OSError:
                return


class Functions:
    """Workers, made when they are first invoked."""

    def __init__(self, stack: Stack, folder: Path, daemon: Daemon) -> None:
        self._stack, self._folder, self._daemon = stack, folder, daemon
        self._workers: dict[str, Worker] = {}
        self.variables: dict[str, str] = {}
        """Of workers that are made from now on, in place of the deployed ones."""
        folder.mkdir()
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(_NOTING)
        self.noted = folder / "noted"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()

    def invoke(self, name: str, event: Mapping[str, Any]) -> Any:
        """One invocation; what the function answers, or Lambda's shape of a failure."""
        if name not in self._workers:
            self._workers[name] = Worker(self._environment(name), self._folder / f"{name}.log")
        trace = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=1"
        call = Invocation(str(uuid.uuid4()), name, int(time.time() * 1000) + 60_000, trace, json.dumps(event).encode())
        return json.loads(self._workers[name].invoke(call, 60).body)

    def handler(self, name: str) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
        """The function as a handler, for whoever makes invocations."""
        return lambda event, _: dict(self.invoke(name, event))

    def logs(self) -> dict[str, bytes]:
        """What each said."""
        return {path.name: path.read_bytes() for path in self._folder.glob("*.log")}

    def end(self) -> None:
        """End the workers; the next invocation makes others."""
        while self._workers:
            self._workers.popitem()[1].end()

    def _environment(self, name: str) -> dict[str, str]:
        here = places.read(self._stack.environment)
        config = faces_config.read(here.aws_url, f"candid-{name}")
        return (
            config.environment(here.aws_url, here.models, here.deepface)
            | {
                "AWS_XRAY_DAEMON_ADDRESS": self._daemon.address,
                "POWERTOOLS_LOG_LEVEL": "DEBUG",
                "PYTHONPATH": f"{self._folder / 'site'}:{faces_config.SERVICES}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "NOTED_FILES": str(self.noted),
                "TMPDIR": str(self.temporary),
            }
            | self.variables
        )


@contextmanager
def functions(stack: Stack, folder: Path) -> Iterator[tuple[Functions, Daemon]]:
    """Workers in place of the deployed functions that hear events, which hear none meanwhile."""
    client = stack.aws("lambda")
    mappings = [one["UUID"] for one in client.list_event_source_mappings()["EventSourceMappings"]]
    with ExitStack() as after:
        daemon = Daemon()
        after.callback(daemon.close)
        for one in mappings:
            client.update_event_source_mapping(UUID=one, Enabled=False)
            after.callback(client.update_event_source_mapping, UUID=one, Enabled=True)
        made = Functions(stack, folder, daemon)
        after.callback(made.end)
        yield made, daemon
