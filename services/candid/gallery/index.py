"""The one abstract seam: a store of templates that answers "which are nearest?".

Two real things stand behind it: exact search in an embedded file (``candid.gallery.exact``) and an OpenSearch k-NN index.
Not here: thresholds, who may search, what a score means. An implementation returns the top k and never cuts by score,
because server-side score cuts have had wrong-result bugs.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Template = NDArray[np.float32]
"""A face's embedding: shape (dimension,), unit length."""


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


@dataclass(frozen=True, slots=True)
class Entry:
    """One template with what a filter or a group needs. ``id`` is derived (design rule 6), so writing twice is one entry.

    ``booked_at`` is timezone-aware; ``template`` is (dimension,) float32 of unit length (±1e-3).
    """

    id: UUID
    partition: Partition
    booking_id: str
    subject_id: str
    booked_at: datetime
    template: Template


@dataclass(frozen=True, slots=True)
class Filter:
    """``booked_from`` ≤ booked_at < ``booked_before``; None leaves that side open."""

    booked_from: datetime | None = None
    booked_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A template found. ``score`` is the cosine to the probe, -1 to 1."""

    id: UUID
    partition: Partition
    booking_id: str
    subject_id: str
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
        """Write entries, replacing those of the same partition and id; all of one call or none of it. When it returns, a search by any
        process finds them within a second. Raises ``ValueError`` for a template of another dimension or not of unit length."""

    def relabel(self, partition: Partition, ids: Sequence[UUID], *, subject_id: str, booked_at: datetime) -> int:
        """Change what is stored beside the templates; returns how many entries were there to change."""

    def delete(self, partition: Partition, ids: Sequence[UUID]) -> int:
        """Erase templates; returns how many were there. When it returns, no later search finds them and no byte of them is
        left in the store's own files."""

    def drop(self, partition: Partition) -> int:
        """Erase a whole partition, as ``delete`` does; returns how many entries it held."""

    def get(self, partition: Partition, ids: Sequence[UUID]) -> tuple[Entry, ...]:
        """The entries that exist, in the order asked for."""

    def search(self, partitions: Sequence[Partition], probe: Template, k: int, where: Filter | None = None) -> Nearest:
        """The ``k`` (1 to 10,000) templates nearest to ``probe`` in all of ``partitions`` together."""

    def count(self, partition: Partition) -> int:
        """How many templates the partition holds."""

    def close(self) -> None:
        """Release files and connections."""
