"""A user's template: fused of the templates of its faces, and made again whenever they change.

It is the normalised mean of them, in each index of that index's own model, and nobody's but the index's: like a face's it lies in
no table, and can be made again. Beside it the index holds a digest of the faces that it was made of, so that a walk finds one
that is not of its user's faces (``upkeep``).

A hint, as everywhere, only says where to look. Under a lease of the user's: which of its faces stand by the table; the template
of these into every index that is written, or out of all of them; then the record. A face whose photo is in a worker's hands
neither stands nor does not: then the hint comes again. Where a face goes, the old template is erased from every index first, so
that none that is no longer written keeps it.

A worker that outlives its lease can write a template when another has made a newer one. It learns it from the record, and makes
it anew, or erases it where the user is gone, or lets the stream bring the user once more where it has no time for either.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from botocore.exceptions import ClientError

from candid import correlation
from candid.errors import DependencyUnavailable
from candid.gallery.catalog import Catalog
from candid.gallery.index import Entry, Partition, Template, VectorIndex
from candid.gallery.indexes import Indexes
from candid.gallery.outcome import Kind, Outcome
from candid.gallery.progress import Progress
from candid.gallery.search import Facts, standing
from candid.gallery.upkeep.records import is_held
from candid.gallery.users import User, UserBusy, UserMoved, Users, UserState


class _PhotoHeld(Exception):
    """A photo of one of the user's faces is in a worker's hands."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """The use case over table and indexes."""

    users: Users
    catalog: Catalog
    progress: Progress
    indexes: Indexes

    def follow(self, agency: str, collection: str, user_id: str, until: float) -> Outcome:
        """What the stream's record of a user's note asks for: ``make``, and the newest change's id is followed from here on."""
        if user := self.users.get(agency, collection, user_id):
            correlation.follow(user.request_id)
        return self.make(agency, collection, user_id, until)

    def make(self, agency: str, collection: str, user_id: str, until: float, *, mine: str | None = None) -> Outcome:
        """Make the user's template that of its faces; ``until`` is the worker's deadline (seconds since 1970), ``mine`` the id of
        a photo that the caller itself has in its hands. Raises ``DependencyUnavailable``: then the hint is to come again."""
        owner, moved = str(uuid.uuid4()), False
        written: User | None = None
        try:
            for _ in self.progress.turns():
                user = self.users.get(agency, collection, user_id)
                if written is not None and (user is None or user.entry_id != written.entry_id):
                    # Gone meanwhile, and this worker's template of it may have come later.
                    self._erase(written)
                    written = None
                if user is None:
                    self.users.forget(agency, collection, user_id)
                    return Outcome(Kind.NOTHING)
                try:
                    with self.users.holding(user, owner, until) as held:
                        if held is None:
                            continue
                        stands = self._standing(held, mine)
                        written = held
                        self._write(held, stands, until)
                        self.users.settle(held, owner, stands)
                        return Outcome(Kind.ERASED if held.state is UserState.DELETING else Kind.FOLLOWED)
                except UserMoved:
                    moved = True
                except _PhotoHeld:
                    continue
            raise UserBusy("Another worker holds the user, or a photo of one of its faces.")
        except Exception:
            if written is not None and (moved or self.progress.clock() > until):
                # The lease may have been another's by then, and its note be followed already.
                with suppress(DependencyUnavailable, ClientError):
                    self.users.remind(agency, collection, user_id)
            raise

    def _standing(self, user: User, mine: str | None) -> dict[str, str]:
        """The user's faces that the table knows as such. Raises ``_PhotoHeld`` where a photo of one is in a worker's hands."""
        if user.state is UserState.DELETING:
            return {}
        found = standing_faces(self.catalog, [user])[user.entry_id]
        if any(is_held(photo, self.progress.clock()) and photo.photo_id != mine for _, photo, _ in found.values()):
            raise _PhotoHeld
        return {face: booking.booking_id for face, (booking, _, _) in found.items()}

    def _erase(self, user: User) -> None:
        self.indexes.erase(Partition.of_users(user.agency, user.collection), [uuid.UUID(user.entry_id)])

    def _write(self, user: User, faces: Mapping[str, str], until: float) -> None:
        partition, entry = Partition.of_users(user.agency, user.collection), uuid.UUID(user.entry_id)
        made = [(one.index, fused(user, one.index, faces)) for one in self.indexes.written()]
        if self.progress.clock() > until:
            raise UserBusy("The time for the user is over.")
        if user.held - faces.keys() or not faces:
            self._erase(user)
        for index, new in made:
            if new is None:
                index.delete(partition, [entry])
            elif index.get(partition, [entry]) != (new,):
                index.upsert([new])


def standing_faces(catalog: Catalog, users: Sequence[User]) -> dict[str, dict[str, Facts]]:
    """Of each user of an agency (by its ``entry_id``) the faces that the table knows as such, with what it knows of them."""
    if not users:
        return {}
    bookings = catalog.several(users[0].agency, (booking for user in users for booking in user.faces.values()))
    return {
        user.entry_id: {
            face: facts
            for face, booking in user.faces.items()
            if (facts := standing(bookings[booking], user.collection, face)) is not None
        }
        for user in users
    }


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
