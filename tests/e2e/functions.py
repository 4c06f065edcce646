"""A stack's functions in workers of a test's own, deployed as they are but for what the test says: other variables, and code that
their Python runs at its start (``site``), which nothing but a test's PYTHONPATH brings in.
"""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from infra.local import faces_config, places
from infra.local.faces_pool import Invocation, Worker

from tests.e2e.stack import Stack


class Functions:
    """Workers, made when they are first invoked."""

    def __init__(self, stack: Stack, folder: Path, site: str, **variables: str) -> None:
        self._stack, self._folder = stack, folder
        self._workers: dict[str, Worker] = {}
        self._always = variables
        self.variables: dict[str, str] = {}
        """Of workers that are made from now on, in place of the deployed ones."""
        (folder / "site").mkdir(parents=True)
        (folder / "site" / "sitecustomize.py").write_text(site)
        self.temporary = folder / "tmp"
        self.temporary.mkdir()

    def invoke(self, name: str, event: Mapping[str, Any], seconds: float | None = None) -> Any:
        """One invocation, which may take so long (None: as long as the deployed function may); what the function answers, or
        Lambda's shape of a failure."""
        if seconds is None:
            seconds = self._deployed(name).timeout
        if name not in self._workers or not self._workers[name].lives():
            self._workers[name] = Worker(self._environment(name), self._folder / f"{name}.log")
        trace = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=1"
        deadline = int((time.time() + seconds) * 1000)
        call = Invocation(str(uuid.uuid4()), self._deployed(name).arn, deadline, trace, json.dumps(event).encode())
        return json.loads(self._workers[name].invoke(call, int(seconds)).body)

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

    @cache  # noqa: B019
    def _deployed(self, name: str) -> faces_config.FunctionConfig:
        return faces_config.read(places.read(self._stack.environment).aws_url, f"candid-{name}")

    def _environment(self, name: str) -> dict[str, str]:
        here, config = places.read(self._stack.environment), self._deployed(name)
        own = {
            "PYTHONPATH": f"{self._folder / 'site'}:{faces_config.SERVICES}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self.temporary),
        }
        return config.environment(here.aws_url, here.models, here.deepface) | own | self._always | self.variables


@contextmanager
def unheard(stack: Stack) -> Iterator[None]:
    """The deployed functions hear no events meanwhile: those wait, for a test to take them."""
    client = stack.aws("lambda")
    with ExitStack() as after:
        for one in client.list_event_source_mappings()["EventSourceMappings"]:
            client.update_event_source_mapping(UUID=one["UUID"], Enabled=False)
            after.callback(client.update_event_source_mapping, UUID=one["UUID"], Enabled=True)
        yield
