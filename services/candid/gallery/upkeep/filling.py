"""Filling an index from the stored photos, by the queue that new photos come through, while searches go on against another.

A walk over the table asks for every enrolled photo that the index does not hold to be looked at again (``hints``); enrolment
writes it to all indexes that are written. A user whose template the index has not, or not of all its faces, is reminded of, and
fused of those that are there by then. Nothing else is remembered: a walk that is begun again asks for what is still missing.

Complete means: each photo that the walk found enrolled was in the index, each user's template was that of its faces, and none was
in the hands of a worker that may have begun before the index was there. A worker takes the photo's (or user's) lease before it
reads which indexes are written, so one that nobody holds and that the index has, or that is enrolled later, is in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from candid.gallery.booking import Booking, PhotoState
from candid.gallery.fusion import astray
from candid.gallery.hints import ROOM, Hints
from candid.gallery.index import VectorIndex
from candid.gallery.photos import PhotoKey
from candid.gallery.upkeep.records import Records, absent, enrolled, is_held
from candid.gallery.upkeep.steps import Budget, Cursor, Step
from candid.gallery.users import User, user_pk, user_ref
from candid.tables import now

_KEPT: Final = 200
"""So many photos that were open are looked at again by themselves; of more the whole table is."""
_TRIES: Final = 3
_STUCK: Final = timedelta(minutes=10)
_PAUSE: Final = 1.0
_BETWEEN: Final = (2.0, 15.0, 45.0, 60.0)
"""Seconds between two rounds, by how many were fruitless: SQS counts its messages up to a minute late."""


@dataclass(frozen=True, slots=True)
class _Walk:
    """How far it has come. ``open`` are photos (keys) and users (partitions) to look at again, ``more`` whether there were too
    many of them to keep; ``fruitless`` counts the rounds that ended with as many absent as the one before (``last``);
    ``next_at``: not before."""

    after: dict[str, str] | None = None
    ended: bool = False
    photos: int = 0
    absent: int = 0
    users_absent: int = 0
    open: list[str] = field(default_factory=list)
    more: bool = False
    last: int = -1
    fruitless: int = 0
    next_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Filling:
    """The use case over table, queue and an index. ``step`` raises ``DependencyUnavailable``; the same step can be made again."""

    records: Records
    hints: Hints
    clock: Callable[[], float] = time.time

    def step(self, index: VectorIndex, cursor: Cursor | None, budget: Budget, *, ask: bool = True) -> Step:
        """Go on from ``cursor``; None begins. Tells how many photos were looked at and were absent, how many users' templates
        were not of their faces, how many messages wait, and, with the last step, whether the index is complete. Without ``ask``
        it is only compared."""
        walk = _Walk(**cursor) if cursor else _Walk()
        while True:
            waiting = self.hints.waiting() if ask else 0
            if not walk.ended:
                if waiting < ROOM:
                    walk = self._page(index, walk, ask)
                else:
                    budget.wait(_PAUSE)
            elif not walk.open and not walk.more:
                return Step(_told(walk, waiting, complete=True))
            elif walk.fruitless >= _TRIES or (not ask and walk.absent):
                return Step(_told(walk, waiting, complete=False))
            elif waiting or self.clock() < walk.next_at:
                budget.wait(_PAUSE)
            elif walk.more:
                walk = _Walk(last=walk.last, fruitless=walk.fruitless)
            else:
                walk = self._again(index, walk, ask)
            if not budget.left():
                return Step(_told(walk, waiting, complete=False), asdict(walk))

    def _page(self, index: VectorIndex, walk: _Walk, ask: bool) -> _Walk:
        page = self.records.page(walk.after)
        photos, gone, busy = self._look(index, page.bookings, page.users, ask)
        left = [*walk.open, *sorted({*gone, *busy})]
        walk = replace(
            walk,
            after=page.after,
            ended=page.after is None,
            photos=walk.photos + photos,
            absent=walk.absent + len(gone),
            users_absent=walk.users_absent + sum(user_ref(one) is not None for one in gone),
            open=left[:_KEPT],
            more=walk.more or len(left) > _KEPT,
        )
        return self._ended(walk, walk.absent) if walk.ended else walk

    def _again(self, index: VectorIndex, walk: _Walk, ask: bool) -> _Walk:
        keys = [key for text in walk.open if (key := PhotoKey.parse(text))]
        bookings = self.records.get({(key.agency, key.booking_id) for key in keys})
        users = self.records.users([ref for text in walk.open if (ref := user_ref(text))])
        _, gone, busy = self._look(index, bookings, users, ask, frozenset(walk.open))
        return self._ended(replace(walk, open=sorted({*gone, *busy})), len(gone))

    def _look(
        self,
        index: VectorIndex,
        bookings: Sequence[Booking],
        users: Sequence[User],
        ask: bool,
        only: frozenset[str] | None = None,
    ) -> tuple[int, list[str], list[str]]:
        """How many enrolled photos there are, which of them and of the users the index lacks, and which a worker or a correction
        is at."""
        busy = {
            booking.key_of(photo.photo_id)
            for booking in bookings
            for photo in booking.photos
            if is_held(photo) or (booking.change is not None and photo.state is PhotoState.ENROLLED)
        }
        photos = list(enrolled(bookings))
        if only is not None:
            busy = {key for key in busy if str(key) in only}
            photos = [one for one in photos if str(one[0].key_of(one[1].photo_id)) in only]
        # The labels of what is being corrected differ for a moment: it is looked at again.
        gone = absent(index, [one for one in photos if one[0].change is None])
        settled = [user for user in users if user.revision == user.settled]
        unlike = astray(index, settled)
        open_ones = [user for user in users if user.revision != user.settled]
        # One whose change nobody follows for so long is no progress.
        stuck = [user for user in open_ones if now() - user.changed_at > _STUCK]
        unlike += stuck
        if ask:
            self.hints.send(gone)
            for user in unlike:
                self.records.remind_of(user)
        moving = [_name(user) for user in open_ones if user not in stuck]
        return len(photos), [*map(str, gone), *map(_name, unlike)], [*map(str, busy), *moving]

    def _ended(self, walk: _Walk, gone: int) -> _Walk:
        """A round is over: were fewer absent than after the last one? Photos in a worker's hands are no lack of progress."""
        fruitless = walk.fruitless + 1 if gone and 0 <= walk.last <= gone else 0
        pause = _BETWEEN[min(fruitless, len(_BETWEEN) - 1)]
        return replace(walk, last=gone, fruitless=fruitless, next_at=self.clock() + pause)


def _name(user: User) -> str:
    return user_pk(user.agency, user.collection, user.user_id)


def _told(walk: _Walk, waiting: int, *, complete: bool) -> dict[str, Any]:
    left: Sequence[str] = walk.open
    return {
        "photos": walk.photos,
        "absent": walk.absent - walk.users_absent,
        "users_absent": walk.users_absent,
        "open": len(left),
        "more_open": walk.more,
        "waiting": waiting,
        "complete": complete,
    }
