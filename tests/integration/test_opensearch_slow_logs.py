"""What OpenSearch's own logs say of templates, on a real node of each version: why a stack publishes one of them and no other."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from infra.opensearch import node
from opensearchpy.exceptions import RequestError

from candid.gallery.index import Entry, Kind, Partition
from candid.gallery.opensearch import queries
from candid.gallery.opensearch.index import OpenSearchIndex
from tests import opensearch
from tests.template.system import properties

pytestmark = pytest.mark.slow

DIMENSION = 128
FACES = Partition("lakeside-pd", "bookings", Kind.FACE)
_APPEARS_SECONDS = 10


@dataclass(frozen=True)
class Logging:
    """An index on a node that logs whatever it can, and the folder that it logs to."""

    index: OpenSearchIndex
    home: Path

    def text(self, name: str, until: str) -> str:
        """A log of the node's, once ``until`` is in it."""
        place = self.home / "opensearch.log" if name == "error" else next(self.home.rglob(f"*_{name}_slowlog.log"))
        end = time.monotonic() + _APPEARS_SECONDS
        while until not in (found := place.read_text()):
            assert time.monotonic() < end, f"{until} never came into {place.name}"
            time.sleep(0.1)
        return found


@pytest.fixture(scope="module", params=opensearch.MAJORS)
def logging(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logging]:
    opensearch.require(request.param)
    home = tmp_path_factory.mktemp("logging")
    started = node.start(home, opensearch.free_port(), request.param)
    try:
        index = opensearch.index(started.url, DIMENSION)
        slow = {
            "index.search.slowlog.threshold.query.trace": "0ms",
            "index.search.slowlog.threshold.fetch.trace": "0ms",
            "index.indexing.slowlog.threshold.index.trace": "0ms",
        }
        index.client.indices.put_settings(index=index.name, body=slow)
        loggers = ("index.search.slowlog", "index.indexing.slowlog", "org.opensearch.action")
        index.client.cluster.put_settings(body={"persistent": {f"logger.{name}": "TRACE" for name in loggers}})
        yield Logging(index, home)
    finally:
        started.stop()


def _entry() -> Entry:
    drawn = np.random.default_rng(1).standard_normal(DIMENSION).astype(np.float32)
    booked = datetime(2026, 1, 1, tzinfo=UTC)
    return Entry(uuid.uuid4(), FACES, "booking-1", "subject-1", booked, drawn / np.linalg.norm(drawn))


def _printed(entry: Entry) -> str:
    """A part of the template as JSON has it."""
    return ",".join(str(value) for value in entry.template[3:7])


def test_the_log_that_is_published_names_slow_writes_by_opaque_ids_alone(logging: Logging) -> None:
    entry = _entry()
    logging.index.upsert([entry])
    text = logging.text("indexing", logging.index.name)
    assert "took[" in text
    for told in (_printed(entry), "source", entry.booking_id, entry.subject_id, FACES.agency, str(entry.id)):
        assert told not in text
    assert set(properties("Domain")["LogPublishingOptions"]) == {"INDEX_SLOW_LOGS"}


@pytest.mark.parametrize("exactly", [True, False])
def test_the_slow_log_of_searches_would_print_the_probes_template(logging: Logging, exactly: bool) -> None:
    """So it is not published. Once this fails, OpenSearch has learned to leave the source out, and it can be."""
    entry = _entry()
    logging.index.upsert([entry])
    logging.index.client.indices.refresh(index=logging.index.name)
    replace(logging.index, exactly=exactly).search([FACES], entry.template, 1)
    text = logging.text("search", '"knn_score"' if exactly else '"ef_search"')
    assert _printed(entry) in text


def test_the_error_log_would_print_the_template_of_a_search_that_fails(logging: Logging) -> None:
    """At the level DEBUG, of which AWS publishes failed searches too; so it is not published either."""
    template = _entry().template[: DIMENSION // 2]
    body = queries.approximate(template, 1, queries.lies_in([FACES], None), 100)
    with pytest.raises(RequestError):
        logging.index.client.search(index=logging.index.name, body=body)
    assert ",".join(str(value) for value in template[3:7]) in logging.text("error", "Failed to execute")
