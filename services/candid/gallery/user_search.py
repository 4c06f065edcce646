"""Searching users: the nearest of their templates, made true by the table, each with the face of it that is most like the probe.

The index gives the order; what counts is the template of the faces that the user has now and the table knows as such, so a
deleted booking is out of searches at once. Not here: who may search, or what is stored of it (``casework``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import numpy as np

from candid.gallery.catalog import Catalog
from candid.gallery.fusion import fuse, standing_faces
from candid.gallery.index import MAX_K, Neighbour, Partition, Template, VectorIndex
from candid.gallery.outcome import Stopwatch
from candid.gallery.search import Candidate, Facts, Found
from candid.gallery.thresholds import Threshold
from candid.gallery.users import User, Users, UserState
from candid.together import at_once

_CHUNK: Final = 20
"""Users that are looked up together: each with all its faces' bookings."""


@dataclass(frozen=True, slots=True)
class UserSearch:
    """The use case over an index and the gallery table. ``watch`` learns how long each of them took."""

    index: VectorIndex
    catalog: Catalog
    watch: Stopwatch = field(default_factory=Stopwatch)

    def find(
        self,
        partition: Partition,
        probe: Template,
        *,
        threshold: Callable[[int], Threshold],
        most: int,
        without: str | None = None,
    ) -> Found:
        """Up to ``most`` users of a partition of faces for ``probe`` (dimension,), with the score of each one's fused template
        and the face of it that is nearest. ``threshold`` gives the cut for the number of templates searched. ``without`` is the
        id of a user that is none.

        Raises ``DependencyUnavailable``.
        """
        users = Partition.of_users(partition.agency, partition.collection)
        k = max(4 * most, 50)
        while True:
            with self.watch.part("index"):
                nearest = self.index.search([users], probe, k)
            cut = threshold(nearest.searched)
            above = [one for one in nearest.neighbours if one.score >= cut.cosine and one.subject_id != without]
            with self.watch.part("records"):
                found = self._candidates(partition, above, probe, cut.cosine, most)
            if len(found) == most or len(above) < k - 1 or k == MAX_K:
                return Found(tuple(found), cut, nearest.searched, nearest.exact)
            k = min(4 * k, MAX_K)

    def _candidates(
        self, partition: Partition, above: Sequence[Neighbour], probe: Template, cut: float, most: int
    ) -> list[Candidate]:
        found: list[Candidate] = []
        for first in range(0, len(above), _CHUNK):
            found += [one for one in self._some(partition, above[first : first + _CHUNK], probe) if one.cosine >= cut]
            if len(found) >= most:
                break
        return sorted(found, key=lambda one: -one.cosine)[:most]

    def _some(self, partition: Partition, neighbours: Sequence[Neighbour], probe: Template) -> list[Candidate]:
        known, named = Users(self.catalog.table), {str(one.id): one.subject_id for one in neighbours}
        read = at_once(lambda one: known.get(partition.agency, partition.collection, one), list(named.values()))
        users = [
            user for user in read if user is not None and user.state is UserState.ACTIVE and user.entry_id in named
        ]
        stands = standing_faces(self.catalog, users)
        made = at_once(lambda one: self._candidate(partition, one, stands[one.entry_id], probe), users)
        return [one for one in made if one is not None]

    def _candidate(
        self, partition: Partition, user: User, stands: Mapping[str, Facts], probe: Template
    ) -> Candidate | None:
        held = self.index.get(partition, [UUID(one) for one in sorted(stands)]) if stands else ()
        if not held:
            return None
        cosine = float(np.clip(fuse([one.template for one in held]) @ probe, -1.0, 1.0))
        like = max(held, key=lambda one: float(one.template @ probe))
        return Candidate(*stands[str(like.id)], cosine, user.user_id)
