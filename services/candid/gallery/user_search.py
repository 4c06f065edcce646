"""Searching users: the nearest of their templates, made true by the table, each with the face of it that is most like the probe.

The index gives the order; what counts is the template of the faces that the user has now, and a face whose photo is gone is shown
to nobody. Not here: who may search, or what is stored of it (``casework``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from candid.gallery.catalog import Catalog
from candid.gallery.fusion import fuse
from candid.gallery.index import MAX_K, Neighbour, Partition, Template, VectorIndex
from candid.gallery.outcome import Stopwatch
from candid.gallery.search import Candidate, Found, standing
from candid.gallery.thresholds import Threshold
from candid.gallery.users import Users, UserState
from candid.together import at_once


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
        for first in range(0, len(above), most):
            some = at_once(lambda one: self._candidate(partition, one, probe), above[first : first + most])
            found += [one for one in some if one is not None and one.cosine >= cut]
            if len(found) >= most:
                break
        return sorted(found, key=lambda one: -one.cosine)[:most]

    def _candidate(self, partition: Partition, neighbour: Neighbour, probe: Template) -> Candidate | None:
        user = Users(self.catalog.table).get(partition.agency, partition.collection, neighbour.subject_id)
        if user is None or user.state is UserState.DELETING or user.entry_id != str(neighbour.id):
            return None
        held = self.index.get(partition, [UUID(one) for one in sorted(user.faces)]) if user.faces else ()
        if not held:
            return None
        cosine = float(np.clip(fuse([one.template for one in held]) @ probe, -1.0, 1.0))
        for entry in sorted(held, key=lambda one: -float(one.template @ probe)):
            booking = self.catalog.get(partition.agency, entry.booking_id)
            if facts := standing(booking, partition.collection, str(entry.id)):
                return Candidate(*facts, cosine, user.user_id)
        return None
