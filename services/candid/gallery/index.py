"""The one abstract seam: a store of templates that answers "which are nearest?".

Two real things stand behind it: exact search in an embedded file (``candid.gallery.exact``) and a k-NN index of OpenSearch
(``candid.gallery.opensearch``).
Not here: thresholds, who may search, what a score means. An implementation returns the top k and never cuts by score,
because server-side score cuts have had wrong-result bugs.

What every implementation refuses is decided here once (``checked_template``, ``checked_k``, ``microseconds``), so that both
refuse the same; ``tests/contract/vector_index.py`` runs every call on any of them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol, Self
from uuid import UUID

import numpy as np
from numpy.typing import ArrayLike, NDArray

from candid.errors import DependencyUnavailable

Template = NDArray[np.float32]
"""A face's embedding: shape (dimension,), unit length."""

UNIT_TOLERANCE = 1e-3
"""How far a template's length may be from 1."""

MAX_K = 10_000
"""The most neighbours of one search: OpenSearch's limit."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Kind(enum.StrEnum):
    """What a template stands for: one face of one photo, or a user's fused template."""

    FACE = "face"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Partition:
    """What every call is keyed by. Two agencies may both have a collection ``bookings``."""

    agency: str
    collection: str
    kind: Kind = Kind.FACE

    @classmethod
    def of_users(cls, agency: str, collection: str) -> Self:
        """Where the templates of a collection's users are."""
        return cls(agency, collection, Kind.USER)


@dataclass(frozen=True, slots=True)
class Entry:
    """One template with what a filter or a group needs. ``id`` is derived (design rule 6), so writing twice is one entry.

    ``booked_at`` is timezone-aware and kept to the microsecond (an answer gives it in UTC); ``template`` is (dimension,)
    float32 of unit length (±1e-3). What must not reach a log is not in ``repr``; equality looks at all but the template.
    """

    id: UUID
    partition: Partition
    booking_id: str = field(repr=False)
    subject_id: str = field(repr=False)
    booked_at: datetime
    template: Template = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Label:
    """An entry without its template: what ``scan`` lists. ``booked_at`` is in UTC."""

    id: UUID
    partition: Partition
    booking_id: str = field(repr=False)
    subject_id: str = field(repr=False)
    booked_at: datetime


@dataclass(frozen=True, slots=True)
class Scanned:
    """A page of a listing; ``after`` continues it, and is None where it ends."""

    labels: tuple[Label, ...]
    after: str | None


class NotAllWritten(DependencyUnavailable):
    """Some entries of a call are not in the store; the same call again writes them. ``failures`` has a word for each id."""

    def __init__(self, sentence: str, failures: Mapping[UUID, str]) -> None:
        super().__init__(sentence)
        self.failures = dict(failures)


@dataclass(frozen=True, slots=True)
class Filter:
    """``booked_from`` ≤ booked_at < ``booked_before``, both timezone-aware; None leaves that side open."""

    booked_from: datetime | None = None
    booked_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A template found. ``score`` is its dot product with the probe, cut to -1..1: the cosine, since both are unit vectors."""

    id: UUID
    partition: Partition
    booking_id: str = field(repr=False)
    subject_id: str = field(repr=False)
    score: float


@dataclass(frozen=True, slots=True)
class Nearest:
    """An answer: neighbours in descending score, how many templates were searched (after the filter), and whether every
    one of them was compared (exact) or a graph was walked (approximate)."""

    neighbours: tuple[Neighbour, ...]
    searched: int
    exact: bool


class VectorIndex(Protocol):
    """Templates of one model. Every method raises ``DependencyUnavailable`` when the store does not answer."""

    @property
    def dimension(self) -> int:
        """Length of the templates of this index."""

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Write entries, replacing those of the same partition and id. Of two with the same partition and id the later one
        counts. When it returns, a search by any process finds them within a second (in OpenSearch later where a node has more
        to do than it can: each copy of a shard shows what is new when it gets to it). Raises ``ValueError`` for a template of
        another dimension or not of unit length, and for a ``booked_at`` without a timezone: then nothing is written; and
        ``NotAllWritten`` with the entries that are not in the store, where it can't promise all or nothing."""

    def relabel(self, partition: Partition, ids: Sequence[UUID], *, subject_id: str, booked_at: datetime) -> int:
        """Change what is stored beside the templates; returns how many entries were there to change. Raises ``ValueError``
        for a ``booked_at`` without a timezone."""

    def delete(self, partition: Partition, ids: Sequence[UUID]) -> int:
        """Erase templates; returns how many were there. When it returns, no later search finds them, and the embedded file
        holds no byte of them (nor, after ``upsert``, of a replaced one). OpenSearch drops the bytes of both when segments
        merge, which ``candid index purge`` forces. A call that raised may have erased them without being able to vouch for
        it: call again until it returns (it then counts 0)."""

    def drop(self, partition: Partition) -> int:
        """Erase a whole partition, as ``delete`` does; returns how many entries it held."""

    def get(self, partition: Partition, ids: Sequence[UUID]) -> tuple[Entry, ...]:
        """The entries that exist, in the order asked for; an id asked for twice is answered twice."""

    def search(self, partitions: Sequence[Partition], probe: Template, k: int, where: Filter | None = None) -> Nearest:
        """The ``k`` (1 to 10,000) templates nearest to ``probe`` in all of ``partitions`` together; fewer where there are
        fewer. A partition named twice is searched once; one that is unknown is empty. Equal scores come in any order.
        Raises ``ValueError`` for a probe of another dimension or not of unit length, another k, a filter's time without a
        timezone."""

    def count(self, partition: Partition) -> int:
        """How many templates the partition holds."""

    def members(self, partition: Partition, after: UUID | None, limit: int) -> tuple[Label, ...]:
        """Up to ``limit`` (1 to 10,000) labels of one partition, in the order of their ids, from behind ``after``; fewer than
        ``limit`` are the last. In OpenSearch what was written within the last second may be missing."""

    def scan(self, after: str | None, limit: int) -> Scanned:
        """Up to ``limit`` (1 to 10,000) labels of all partitions, in an order of the store's own, from behind ``after``. What is
        there from the listing's begin to its end is listed once; what comes or goes meanwhile may be."""

    def close(self) -> None:
        """Release files and connections."""


def checked_template(template: ArrayLike, dimension: int) -> Template:
    """``template`` as contiguous float32 of shape (dimension,). Raises ``ValueError`` for another shape or kind, a number
    that is not finite, or a length outside 1 ± ``UNIT_TOLERANCE``; its sentence never holds the template's numbers."""
    given = np.asarray(template)
    if given.dtype.kind != "f" or given.shape != (dimension,):
        raise ValueError(f"A template of this index is {dimension} floating-point numbers in one dimension.")
    vector = np.ascontiguousarray(given, dtype=np.float32)
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not abs(length - 1.0) <= UNIT_TOLERANCE:
        raise ValueError("A template is a unit vector; this one's length is not 1.")
    return vector


def checked_k(k: int) -> int:
    """``k`` if it is 1 to ``MAX_K``, else ``ValueError``."""
    if not 1 <= k <= MAX_K:
        raise ValueError(f"k is 1 to {MAX_K:,}.")
    return k


def microseconds(moment: datetime) -> int:
    """Whole microseconds from 1970-01-01T00:00Z to ``moment``, exactly. Raises ``ValueError`` where it has no timezone."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError("A booking's time needs a timezone.")
    return (moment - _EPOCH) // _MICROSECOND


def moment(since_epoch: int) -> datetime:
    """The UTC time that ``microseconds`` made into ``since_epoch``."""
    return _EPOCH + since_epoch * _MICROSECOND
