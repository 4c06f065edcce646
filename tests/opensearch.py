"""Real OpenSearch nodes for tests: one a version and session, started when first asked for.

``OPENSEARCH_URL`` names a node that runs already, instead. Where there is neither that nor a JDK with Maven the tests skip and
say so in one line; with ``CANDID_CI`` set they fail instead.
"""

from __future__ import annotations

import atexit
import os
import socket
import tempfile
import uuid
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest
from infra.opensearch import node

from candid.faces.registry import ModelCard
from candid.gallery.opensearch.client import connect
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.opensearch.layout import Layouts
from candid.gallery.opensearch.lifecycle import Lifecycle, Size
from candid.gallery.opensearch.names import Names
from candid.settings import OpenSearchSettings

MAPPING = Path(node.__file__).with_name("mapping.json")
MAJORS = [pytest.param(2, id="OpenSearch 2.19"), pytest.param(3, id="OpenSearch 3.2")]


def url(major: int) -> str:
    """Where a node of this version answers; skips the test where there can be none."""
    if given := os.environ.get("OPENSEARCH_URL"):
        told = node.ask(given, "/")
        assert told is not None, f"OPENSEARCH_URL is {given}, and nothing answers there."
        if not str(told["version"]["number"]).startswith(f"{major}."):
            _do_without(f"OPENSEARCH_URL names version {told['version']['number']}, not {major}.")
        return given
    require(major)
    return _started(major)


def require(major: int) -> None:
    """Skip the test where this machine can't run this version; with ``CANDID_CI`` set fail it."""
    if reason := node.missing(major):
        _do_without(reason)


def _do_without(reason: str) -> NoReturn:
    if os.environ.get("CANDID_CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A port that is free, as is the one a hundred above."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            if port > 65_000:
                continue
            try:
                other.bind(("127.0.0.1", port + 100))
            except OSError:
                continue
            return port


@cache
def _started(major: int) -> str:
    home = tempfile.TemporaryDirectory(prefix="candid-opensearch-", ignore_cleanup_errors=True)
    running = node.start(Path(home.name), free_port(), major)

    def end() -> None:
        running.kill()
        home.cleanup()

    atexit.register(end)
    return running.url


def card(dimension: int, model_id: str = "test-model") -> ModelCard:
    """A model that only its id and dimension are needed of."""
    return ModelCard(model_id, "Test", dimension, "none", "none")


def lifecycle(address: str, prefix: str | None = None) -> Lifecycle:
    """The lifecycle of a prefix that no other test has."""
    names = Names(prefix or f"test-{uuid.uuid4().hex[:12]}")
    client = connect(OpenSearchSettings(opensearch_endpoint=address))
    return Lifecycle(client, names, Layouts(client, names), MAPPING)


def index(address: str, dimension: int, *, exactly: bool | None = None, shards: int = 1) -> OpenSearchIndex:
    """A new, empty index that serves."""
    made = lifecycle(address)
    generation, _ = made.create("test", card(dimension), Size(shards))
    return OpenSearchIndex(made.client, made.layouts, generation.name, dimension, exactly)


def forget(made: OpenSearchIndex) -> None:
    """Delete an index of a test."""
    made.client.indices.delete(index=made.layouts.names.every)
