"""Deleting a collection to its end: its users and bookings are tombstoned and erased one by one, then the shares of it end,
then its record goes. The tombstone came first.

What one invocation does not get done the next does: the note is written again, and the stream brings it behind the notes of users
and bookings, so that none waits for the other.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from candid.errors import Conflict
from candid.gallery.booking import Booking, BookingState
from candid.gallery.catalog import Catalog
from candid.gallery.collections import Collections, CollectionState
from candid.gallery.outcome import Kind, Outcome
from candid.gallery.sharing import Sharing
from candid.gallery.users import UserMoved, Users, UserState
from candid.tables import now

SPARE_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 2.0
_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_FORGOTTEN: Final = timedelta(minutes=10)
_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Dissolution:
    """The use case over the table. An erased booking has no face in any index any more."""

    collections: Collections
    catalog: Catalog
    sharing: Sharing
    users: Users
    settle: float = SETTLE_SECONDS
    clock: Callable[[], float] = field(default=time.time)
    sleep: Callable[[float], None] = field(default=time.sleep)

    def follow(self, agency: str, name: str, until: float) -> Outcome:
        """Do as much of a collection's deletion as there is time for; ``until`` is the worker's deadline (seconds since 1970)."""
        found = self.collections.get(agency, name)
        if found is None or found.state is not CollectionState.DELETING or found.changed_at is None:
            return Outcome(Kind.NOTHING)
        # Bookings are listed by an index of the table's, which shows within a second what was written before the tombstone.
        settled = (now() - found.changed_at).total_seconds() > self.settle
        if found.users > 0:
            self._mark_users(agency, name, until - SPARE_SECONDS)
        if self._mark(agency, name, until - SPARE_SECONDS) or found.users > 0 or not settled:
            # Those are erased by notes of their own, which lie before this one in the stream.
            self.sleep(min(_LONGEST_PAUSE, max(_PAUSE, (now() - found.changed_at).total_seconds() / 60)))
            self.collections.remind(agency, name)
            return Outcome(Kind.FOLLOWED)
        self.sharing.end(agency, name)
        self.collections.forget(found)
        return Outcome(Kind.ERASED)

    def _mark_users(self, agency: str, name: str, until: float) -> None:
        """Tombstone the collection's users; its record counts those that are not gone."""
        after: str | None = None
        while True:
            users = self.users.list(agency, name, after, _PAGE)
            for user in users:
                with contextlib.suppress(UserMoved):
                    self.users.mark_deleting(user)
            if len(users) < _PAGE or self.clock() > until:
                break
            after = users[-1].user_id
        # The records of these may have been too old for the stream before anybody could follow them.
        for user in self.users.list(agency, name, None, _PAGE, UserState.DELETING):
            if now() - user.changed_at > _FORGOTTEN:
                self.users.remind(agency, name, user.user_id)

    def _mark(self, agency: str, name: str, until: float) -> bool:
        """Tombstone the collection's bookings; whether there is one left that is not erased."""
        left = False
        start = None
        while True:
            page = self.catalog.list(agency, collection=name, limit=_PAGE, start=start)
            for listed in page.bookings:
                booking = self.catalog.get(agency, listed.booking_id)
                if booking is None or booking.state is BookingState.ERASED:
                    continue
                left = True
                if booking.state is BookingState.DELETING:
                    continue
                try:
                    self.catalog.mark_deleting(booking)
                except Conflict:
                    continue
            start = page.next_key
            if start is None or self.clock() > until:
                return left or start is not None


def take_back_unless_kept(catalog: Catalog, collections: Collections, booking: Booking) -> None:
    """Raise ``Conflict``, and tombstone the booking, where its collection is being deleted: that may have begun before the record
    was written, and not have seen it."""
    try:
        collections.ensure(booking.agency, booking.collection)
    except Conflict:
        with contextlib.suppress(Conflict):
            catalog.mark_deleting(booking)
        raise
