"""An index of a test's own behind a network that may fail, what was written to it, and what was heard meanwhile."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from opensearchpy.exceptions import OpenSearchException

from candid.errors import DependencyUnavailable
from candid.gallery.index import Entry, Partition
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.opensearch.lifecycle import Lifecycle, Size
from tests import opensearch
from tests.contract.vector_index import DAY, unit
from tests.integration.opensearch_faults.secrecy import LookOut, digits, look_out

DIMENSION = 128
SLACK = 2.0
"""Seconds that a test allows beyond a stated bound, for a machine that does other things as well."""

BOOKINGS = Partition("washington-county", "bookings")


@dataclass
class Gallery:
    """``index`` serves; ``written`` are the entries that tests drew, stored or not."""

    lifecycle: Lifecycle
    index: OpenSearchIndex
    heard: LookOut
    written: list[Entry] = field(default_factory=list)
    secret: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Is in every label."""

    def entry(self, number: int, partition: Partition = BOOKINGS) -> Entry:
        """Entry ``number``; what it must keep secret is remembered."""
        made = Entry(
            uuid.uuid5(uuid.NAMESPACE_OID, f"{partition}{number}"),
            partition,
            f"booking-{self.secret}-{number}",
            f"subject-{self.secret}-{number}",
            DAY + timedelta(seconds=number),
            unit(number, DIMENSION),
        )
        self.written.append(made)
        return made

    def entries(self, count: int, partition: Partition = BOOKINGS, first: int = 0) -> list[Entry]:
        """So many of them."""
        return [self.entry(number, partition) for number in range(first, first + count)]

    def enrol(self, count: int, partition: Partition = BOOKINGS, first: int = 0) -> list[Entry]:
        """Write so many entries and make them visible."""
        some = self.entries(count, partition, first)
        self.index.upsert(some)
        self.refresh()
        return some

    def refresh(self) -> None:
        """Make all that is written visible to searches."""
        self.index.client.indices.refresh(index=self.lifecycle.names.every, request_timeout=30)

    def refused(self, call: Callable[[], Any], sentence: str, within: float) -> DependencyUnavailable:
        """The failure that ``call`` ends with, in ``within`` seconds and with ``sentence`` in it."""
        started = time.monotonic()
        with pytest.raises(DependencyUnavailable) as caught:
            call()
        took = time.monotonic() - started
        self.heard.see(caught.value)
        assert sentence in str(caught.value), str(caught.value)
        assert took < within + SLACK, f"took {took:.1f} s"
        return caught.value

    def assert_secret(self) -> None:
        """No label was said, and no template of the first hundred (of more, some number would look like any other)."""
        templates = [digits(one.template) for one in self.written[:100]]
        self.heard.assert_silent_about({self.secret}.union(*templates))

    def all_are_stored(self, some: Sequence[Entry]) -> None:
        """Each entry is there with its labels, each template with its numbers."""
        for partition in {one.partition for one in some}:
            wanted = [one for one in some if one.partition == partition]
            assert self.index.get(partition, [one.id for one in wanted]) == tuple(wanted)

    def all_are_found(self, some: Sequence[Entry]) -> None:
        """Each entry is its own nearest neighbour, with its labels, a second after it was written."""
        time.sleep(1)
        for one in some:
            nearest = self.index.search([one.partition], one.template, 1).neighbours
            assert [(found.id, found.subject_id) for found in nearest] == [(one.id, one.subject_id)]


@contextmanager
def gallery(address: str, *, shards: int = 1, replicas: int = 0) -> Iterator[Gallery]:
    """A new index at ``address`` for the length of a ``with``. Fails the test if anything of its entries was said meanwhile, by
    any logger at any level or by an exception."""
    with look_out() as heard:
        lifecycle = opensearch.lifecycle(address)
        generation, _ = lifecycle.create("test", opensearch.card(DIMENSION), Size(shards, replicas))
        made = Gallery(
            lifecycle, OpenSearchIndex(lifecycle.client, lifecycle.layouts, generation.name, DIMENSION), heard
        )
        try:
            yield made
            made.assert_secret()
        finally:
            with suppress(OpenSearchException):  # A node that a failed test left down.
                lifecycle.client.indices.delete(index=lifecycle.names.every)
