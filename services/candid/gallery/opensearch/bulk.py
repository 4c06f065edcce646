"""Many documents in one request, with a report on each. What OpenSearch refuses for being busy is sent again, alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from opensearchpy import OpenSearch
from opensearchpy.helpers import streaming_bulk

from candid.gallery.opensearch.client import PATIENCE, the_index

CHUNK_DOCUMENTS: Final = 500
CHUNK_BYTES: Final = 5 * 2**20
BUSY_RETRIES: Final = 3
FIRST_PAUSE: Final = 1
"""Seconds; then 2 and 4. A refusal for being busy comes at once, so with one slow request this fits what embed has at least;
what is cut off all the same is done anew when its event comes again."""
SHARD_SECONDS: Final = 5
"""How long a write waits for a shard that is lost or moves: less than a request may take, so that a report comes on each
document instead of none on any."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one document. ``status`` is HTTP's, ``result`` OpenSearch's (created, updated, deleted, not_found),
    ``error`` the type of an exception, or empty."""

    index: str
    id: str
    status: int
    result: str
    error: str

    @property
    def done(self) -> bool:
        """Whether the store is as it was asked to be; a document that was not there to delete is deleted."""
        return (not self.error and self.status < 300) or self.result == "not_found"


def send(client: OpenSearch, actions: Iterable[dict[str, Any]], *, refresh: bool = False) -> Iterator[Report]:
    """Carry out bulk ``actions`` (opensearch-py's form), a report each, in their order but for those that were sent again.

    ``refresh`` makes them visible to searches at once. Raises ``DependencyUnavailable``: then any of them may have been done.
    """
    with the_index():
        for _, item in streaming_bulk(
            client,
            actions,
            chunk_size=CHUNK_DOCUMENTS,
            max_chunk_bytes=CHUNK_BYTES,
            raise_on_error=False,
            max_retries=BUSY_RETRIES,
            initial_backoff=FIRST_PAUSE,
            refresh="true" if refresh else "false",
            # opensearch-py takes ``timeout`` for its own where it is not told that too.
            request_timeout=PATIENCE,
            timeout=f"{SHARD_SECONDS}s",
        ):
            [told] = item.values()
            error = told.get("error", "")
            yield Report(
                index=told["_index"],
                id=told["_id"],
                status=int(told["status"]),
                result=str(told.get("result", "")),
                error=str(error.get("type", "unknown")) if isinstance(error, dict) else str(error),
            )
