"""A user's template: fused of the templates of its faces, and made again whenever they change.

It is the normalised mean of them, in each index of that index's own model, and nobody's but the index's: like a face's it lies
in no table, and can be made again. Beside it the index holds a digest of the faces that it was made of, so that a walk finds
one that is not of its user's faces (``upkeep``).

A hint, as everywhere, only says where to look. Under a lease of the user's: which of its faces stand by the table; the template
of these into every index that is written, or out of all of them; then the record. Where a face goes, the old template is erased
from every index first, so that none that is no longer written keeps it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from candid import correlation
from candid.gallery.catalog import Catalog
from candid.gallery.index import Entry, Partition, Template, VectorIndex
from candid.gallery.indexes import Indexes
from candid.gallery.outcome import Kind, Outcome
from candid.gallery.progress import Progress
from candid.gallery.search import standing
from candid.gallery.upkeep.records import is_held
from candid.gallery.users import User, UserBusy, UserMoved, Users, UserState
from candid.together import at_once


@dataclass(frozen=True, slots=True)
class Fusion:
    """The use case over table and indexes."""

    users: Users
    catalog: Catalog
    progress: Progress
    indexes: Indexes

    def follow(self, agency: str, collection: str, user_id: str, until: float) -> Outcome:
        """Make the user's template that of its faces; ``until`` is the worker's deadline (seconds since 1970). Raises
        ``DependencyUnavailable``: then the hint is to come again."""
        owner = str(uuid.uuid4())
        for _ in self.progress.turns():
            user = self.users.get(agency, collection, user_id)
            if user is None:
                self.users.forget(agency, collection, user_id)
                return Outcome(Kind.NOTHING)
            try:
                with self.users.holding(user, owner, until) as held:
                    if held is None:
                        continue
                    correlation.follow(held.request_id)
                    stands = self._standing(held)
                    self._write(held, stands, until)
                    self.users.settle(held, owner, stands)
                    return Outcome(Kind.ERASED if held.state is UserState.DELETING else Kind.FOLLOWED)
            except UserMoved:
                continue
        raise UserBusy("Another worker holds the user.")

    def _standing(self, user: User) -> dict[str, str]:
        """The user's faces that the table knows as such."""
        if user.state is UserState.DELETING:
            return {}
        ids = sorted(set(user.faces.values()))
        bookings = dict(zip(ids, at_once(lambda one: self.catalog.get(user.agency, one), ids), strict=True))
        return {
            face: booking
            for face, booking in user.faces.items()
            if standing(bookings[booking], user.collection, face) is not None
        }

    def _write(self, user: User, faces: Mapping[str, str], until: float) -> None:
        partition, entry = Partition.of_users(user.agency, user.collection), uuid.UUID(user.entry_id)
        serving, *others = self.indexes.written()
        made = [(one.index, fused(user, one.index, faces)) for one in (serving, *others)]
        if made[0][1] is None or made[0][1].booking_id != digest(faces):
            self._expect_settled(user, faces)
        if self.progress.clock() > until:
            raise UserBusy("The time for the user is over.")
        if user.held - faces.keys() or not faces:
            self.indexes.erase(partition, [entry])
        for index, new in made:
            if new is None:
                index.delete(partition, [entry])
            elif index.get(partition, [entry]) != (new,):
                index.upsert([new])

    def _expect_settled(self, user: User, faces: Mapping[str, str]) -> None:
        """A face that stands by the table and is not in the index: its photo may be in a worker's hands, who is about to say
        which of the two is so."""
        for booking_id in sorted(set(faces.values())):
            booking = self.catalog.get(user.agency, booking_id)
            if booking is not None and any(is_held(photo) for photo in booking.photos):
                raise UserBusy("A photo of the user's is being enrolled.")


def fused(user: User, index: VectorIndex, faces: Iterable[str]) -> Entry | None:
    """The user's entry for ``index``, of those of its ``faces`` that the index has; None where it has none."""
    wanted = [uuid.UUID(one) for one in sorted(faces)]
    held = index.get(Partition(user.agency, user.collection), wanted) if wanted else ()
    if not held:
        return None
    return Entry(
        id=uuid.UUID(user.entry_id),
        partition=Partition.of_users(user.agency, user.collection),
        booking_id=digest(str(one.id) for one in held),
        subject_id=user.user_id,
        booked_at=user.created_at,
        template=fuse([one.template for one in held]),
    )


def fuse(templates: Sequence[Template]) -> Template:
    """One template of several: (n, dimension) unit vectors to the unit vector of their mean. Of those whose mean has no direction
    the first."""
    mean = np.mean(np.asarray(templates, dtype=np.float64), axis=0)
    length = float(np.linalg.norm(mean))
    return templates[0] if length < 1e-6 else np.asarray(mean / length, dtype=np.float32)


def digest(faces: Iterable[str]) -> str:
    """What the index holds beside a user's template: of which faces it was made."""
    return sha256("\0".join(sorted(faces)).encode()).hexdigest()


def astray(index: VectorIndex, users: Iterable[User]) -> list[User]:
    """Those of the users whose template ``index`` has not as their faces make it, or has though they have none, or of whose faces
    it has not all."""
    by_partition: dict[Partition, list[User]] = {}
    for user in users:
        by_partition.setdefault(Partition.of_users(user.agency, user.collection), []).append(user)
    found: list[User] = []
    for partition, here in by_partition.items():
        held = {str(one.id): one for one in index.get(partition, [uuid.UUID(user.entry_id) for user in here])}
        wanted = [uuid.UUID(face) for user in here for face in user.faces]
        faces = Partition(partition.agency, partition.collection)
        there = {str(one.id) for one in index.get(faces, wanted)} if wanted else set()
        for user in here:
            entry = held.get(user.entry_id)
            made_of = None if entry is None else entry.booking_id
            if made_of != (digest(user.faces) if user.faces else None) or not there >= user.faces.keys():
                found.append(user)
    return found
