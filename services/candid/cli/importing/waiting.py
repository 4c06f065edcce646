"""Waiting for enrolment, economically: one page of a listing settles up to a hundred photos.

A listing of enrolled bookings, bounded to the days of those that wait, is walked a few pages a sweep, for as long as its pages
show enough of them. It says a booking's state, which is a lone photo's own, and tells no reasons and no photos. So what was
rejected, bookings with several photos, and what the pages do not show (others' bookings of the same days lie between) are asked
for singly, those that wait longest first, until some in a row still wait. Sweeps that settle little come farther apart.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Condition, Event
from typing import Final

from candid.cli.answers import Booking, Photo
from candid.cli.api import Api
from candid.cli.importing.tally import Subject, Tally
from candid.cli.problems import NotThere

MOST_PENDING: Final = 10_000
"""More wait for an upload's turn instead: the time to the end is the same, and memory has a bound."""
_PAGES: Final = 5
_DENSE: Final = 5
_SINGLY: Final = 40
_IN_A_ROW: Final = 8
_SHORTEST: Final = 0.4
_LONGEST: Final = 6.0
_GONE: Final = {"removed", "deleting"}


@dataclass(frozen=True, slots=True)
class Pending:
    """A photo that was brought and whose end is not known. ``alone``: its booking is new and has no other photo."""

    about: Subject
    photo_id: str
    collection: str
    booked_at: datetime
    alone: bool


class Waiter:
    """Follows photos to their end. ``add`` from any thread, ``run`` in one of its own; ``close`` when no more come.

    Gives up when nothing settles for ``patience`` seconds though photos wait; what is left then is counted as waiting.
    """

    def __init__(self, api: Api, tally: Tally, stop: Event, *, patience: float) -> None:
        self._api = api
        self._tally = tally
        self._stop = stop
        self._patience = patience
        self._changed = Condition()
        # By booking, those that wait longest first. Only ``run`` takes out; ``add`` adds.
        self._waiting: dict[str, list[Pending]] = {}
        self._left = 0
        self._closed = False
        self._gave_up = False
        self._walks: dict[str, Iterator[tuple[Booking, ...]]] = {}
        self._requests = 0
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="candid-wait")

    def add(self, photo: Pending) -> None:
        """Follow one more; waits while very many are followed."""
        with self._changed:
            self._changed.wait_for(lambda: self._left < MOST_PENDING or self._gave_up or self._stop.is_set())
            self._waiting.setdefault(photo.about.booking_id, []).append(photo)
            self._left += 1
            self._changed.notify_all()

    def left(self) -> int:
        """How many are followed now."""
        return self._left

    def close(self) -> None:
        """No more come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wake(self) -> None:
        """Look at ``stop`` again."""
        with self._changed:
            self._changed.notify_all()

    def run(self) -> None:
        """Sweep until all have ended, or ``stop``, or patience ends. Raises what would fail for all (``Unreachable``, …)."""
        pause, moved = _SHORTEST, time.monotonic()
        try:
            while not self._stop.wait(pause):
                with self._changed:
                    if not self._left:
                        if self._closed:
                            return
                        self._changed.wait(0.5)
                        moved = time.monotonic()
                        continue
                before = self._tally.now().settled
                self._requests = 0
                self._sweep()
                settled = self._tally.now().settled - before
                if settled:
                    moved = time.monotonic()
                elif time.monotonic() - moved > self._patience:
                    return
                if 2 * settled >= self._requests:
                    pause = max(_SHORTEST, pause / 1.5)
                elif 6 * settled < self._requests:
                    pause = min(_LONGEST if self._left > 20 else _LONGEST / 3, pause * 1.5)
        finally:
            with self._changed:
                self._gave_up = True
                self._changed.notify_all()
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _sweep(self) -> None:
        for booking_id in self._walk("enrolled"):
            self._tally.enrolled(self._waiting[booking_id][0].about)
            self._forget(booking_id, [])
        rejected = set(self._walk("rejected"))
        with self._changed:
            longest = list(itertools.islice((one for one in self._waiting if one not in rejected), _SINGLY))
        ask = [*rejected, *longest]
        while ask and not self._stop.is_set():
            row, ask = ask[:_IN_A_ROW], ask[_IN_A_ROW:]
            self._requests += len(row)
            told = dict(zip(row, self._pool.map(self._booking, row), strict=True))
            ended = [self._settle(booking_id, booking) for booking_id, booking in told.items()]
            if not any(ended):
                return

    def _walk(self, state: str) -> list[str]:
        """Bookings with a lone waiting photo that the listing of ``state`` shows on its next pages."""
        # A listing that grows meanwhile may show one twice.
        found: dict[str, None] = {}
        for _ in range(_PAGES):
            walk = self._walks.get(state) or self._begin(state)
            if walk is None or self._stop.is_set():
                break
            self._requests += 1
            page = next(walk, None)
            if page is None:
                # The walk is over; the next one begins at the newest again.
                self._walks.pop(state, None)
                break
            shown = [one.booking_id for one in page if self._is_lone(one.booking_id)]
            found |= dict.fromkeys(shown)
            if len(shown) < _DENSE:
                break
        return list(found)

    def _begin(self, state: str) -> Iterator[tuple[Booking, ...]] | None:
        with self._changed:
            lone = [photos[0] for photos in self._waiting.values() if len(photos) == 1 and photos[0].alone]
        if not lone:
            return None
        of = [photo.booked_at for photo in lone if photo.collection == lone[0].collection]
        if len(of) < _DENSE:
            return None
        self._walks[state] = self._api.bookings(
            state=state,
            collection=lone[0].collection,
            booked_from=min(of),
            booked_before=max(of) + timedelta(microseconds=1),
        )
        return self._walks[state]

    def _is_lone(self, booking_id: str) -> bool:
        photos = self._waiting.get(booking_id, [])
        return len(photos) == 1 and photos[0].alone

    def _booking(self, booking_id: str) -> Booking | None:
        try:
            return self._api.booking(booking_id)
        except NotThere:
            return None

    def _settle(self, booking_id: str, booking: Booking | None) -> bool:
        """Count the ends of a booking's photos; False while none has one. Those that still wait go to the end of the queue."""
        with self._changed:
            photos = list(self._waiting[booking_id])
        still = [photo for photo in photos if not self._end(photo, booking)]
        self._forget(booking_id, still, seen=len(photos))
        return len(still) < len(photos)

    def _forget(self, booking_id: str, still: list[Pending], seen: int = 1) -> None:
        with self._changed:
            held = self._waiting.pop(booking_id)
            # What was added since it was looked at waits as well.
            keep = still + held[seen:]
            if keep:
                self._waiting[booking_id] = keep
            self._left -= len(held) - len(keep)
            self._changed.notify_all()

    def _end(self, photo: Pending, booking: Booking | None) -> bool:
        """Count the photo's end; False while it has none."""
        found = _photo(booking.photos, photo.photo_id) if booking else None
        state = found.state if found else None
        if booking is None or state in _GONE or booking.state in _GONE:
            self._tally.failed(photo.about, "somebody deleted it before it was enrolled.")
        elif found is not None and state == "enrolled":
            self._tally.enrolled(photo.about)
        elif found is not None and state == "rejected":
            self._tally.rejected(photo.about, found.reason or "UNKNOWN", found.sentence or "")
        else:
            return False
        return True


def _photo(photos: Iterable[Photo], photo_id: str) -> Photo | None:
    return next((one for one in photos if one.photo_id == photo_id), None)
