"""OpenSearch for a local Candid: a node of its own, or one that runs already (``OPENSEARCH_URL``); and the index in it.

Not here: how a node is assembled and started (``infra.opensearch``), and what is in an index (``candid.gallery.opensearch``).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from candid.cli.operators import Operators
from candid.errors import CandidError
from candid.gallery.opensearch.client import connect, the_index
from candid.gallery.opensearch.layout import Layouts
from candid.gallery.opensearch.lifecycle import Lifecycle
from candid.gallery.opensearch.names import Names
from candid.settings import OpenSearchSettings
from infra.local.aws import client
from infra.local.places import HOST, STACK, Places
from infra.local.problems import LocalError
from infra.local.progress import step
from infra.opensearch import kept, node
from infra.opensearch.node import Node

MAPPING: Final = node.HERE / "mapping.json"
_LOOPBACK: Final = {HOST, "localhost", "::1"}


def start(places: Places) -> Node:
    """Start a node of our own; it is not waited for. Raises ``LocalError``."""
    major = kept.choose(places.index, places.opensearch_major, "make run INDEX=opensearch FRESH=1")
    if not node.is_assembled(major):
        with step(f"fetching OpenSearch {kept.VERSIONS[major]} with Maven, once"):
            node.assemble(major)
    with step(f"starting OpenSearch {kept.VERSIONS[major]} on port {places.opensearch_port}"):
        return kept.start(places.index, major, places, "make run INDEX=opensearch")


def require_foreign(places: Places) -> None:
    """Raise ``LocalError`` unless an OpenSearch with the k-NN plugin answers at ``OPENSEARCH_URL``."""
    place = urlsplit(places.foreign_opensearch)
    if place.scheme != "http" or place.hostname not in _LOOPBACK:
        raise LocalError(
            "OPENSEARCH_URL must begin with http:// and name this machine (127.0.0.1): a local Candid has no password for it, "
            "and over http anybody on the way could read templates."
        )
    if node.ask(places.foreign_opensearch, "/") is None:
        raise LocalError(f"OPENSEARCH_URL is {places.foreign_opensearch}, and no OpenSearch answers there.")
    if node.ask(places.foreign_opensearch, "/_plugins/_knn/stats") is None:
        raise LocalError(f"The OpenSearch at {places.foreign_opensearch} has no k-NN plugin.")


def version(places: Places) -> str:
    """The version that answers, as in 3.2.0; empty with the embedded index, or where nothing answers."""
    told = node.ask(places.opensearch_url, "/") if places.opensearch_url else None
    return str(told["version"]["number"]) if told else ""


def create_index(places: Places) -> bool:
    """Make the index that serves, if there is none, as `candid index create` does. True if it was made. Raises ``LocalError``."""
    operators = Operators(STACK, client(places.aws_url, "lambda"), print)
    try:
        told = operators.carry_out({"operation": "create"}, lambda _: None)
    except CandidError as error:
        raise LocalError(f"The index can't be made. {error}") from None
    return bool(told["made"])


def forget(places: Places) -> None:
    """Delete every index of this gallery from an OpenSearch that is not ours. Raises ``LocalError``."""
    ours = lifecycle(places)
    try:
        for generation in ours.layouts.fresh().generations.values():
            for name in (*generation.own.values(), generation.name):
                with the_index():
                    ours.client.indices.delete(index=name, params={"ignore_unavailable": "true"}, request_timeout=60)
    except CandidError as error:
        raise LocalError(f"The indexes can't be deleted. {error}") from None


def lifecycle(places: Places) -> Lifecycle:
    """The indexes of this gallery."""
    connection = connect(OpenSearchSettings(places.opensearch_url, places.opensearch_prefix))
    names = Names(places.opensearch_prefix)
    return Lifecycle(connection, names, Layouts(connection, names), MAPPING)
