"""What an operator does with dead letters: list them, look at one, redrive them, or drop them with a reason.

Redriving puts a photo's event into the photos queue again, an event of Candid's own on the bus, and for a change of a booking
touches every change that is still open, so that the table's stream brings it once more: a stream forgets its records in a day,
the table does not forget its changes. It is done first and the letter is removed after, so a letter that is redriven by two, or
by one who was cut off, is at worst redriven twice; an event is a hint, and twice is as good as once. What fails again comes
back as a new letter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from candid import events
from candid.errors import NotFound
from candid.gallery.catalog import Catalog
from candid.gallery.collections import Collections, collection_ref
from candid.gallery.dead_letters.dropped import Dropped
from candid.gallery.dead_letters.letters import Letter, Way, own_event
from candid.gallery.dead_letters.queues import Queues
from candid.gallery.hints import ROOM, Hints
from candid.gallery.items import booking_ref
from candid.gallery.upkeep.pages import partitions_with
from candid.gallery.upkeep.steps import Budget, Cursor, Step
from candid.gallery.users import Users, user_ref
from candid.tables import moment, now, timestamp

LISTED: Final = 100
"""So many letters of a way a listing shows at most."""
_PAUSE: Final = 1.0
_SPARE: Final = 1_000
_LOOK, _REMIND, _REMOVE = "look", "remind", "remove"


@dataclass(slots=True)
class _State:
    """How far an operation has come. ``ways`` are those still to go through, ``looked`` at how many letters of the first;
    ``left`` are the ids not yet met, or None for all letters that were there when it ``begun``; ``queued`` how many photos wait
    in their queue, where that holds it up. The rest counts."""

    begun: str
    ways: list[str]
    left: list[str] | None
    looked: int = 0
    phase: str = _LOOK
    after: dict[str, str] | None = None
    done: dict[str, int] = field(default_factory=dict)
    reminded: int = 0
    foreign: int = 0
    queued: int = 0

    def wants(self, one: Letter) -> bool:
        return one.sent_at < moment(self.begun) if self.left is None else one.id in self.left

    def met(self, some: Sequence[Letter]) -> None:
        for one in some:
            self.done[one.way.value] = self.done.get(one.way.value, 0) + 1
        if self.left is not None:
            gone = {one.id for one in some}
            self.left = [one for one in self.left if one not in gone]

    def next_way(self) -> None:
        self.ways, self.looked, self.phase, self.after = self.ways[1:], 0, _LOOK, None

    def told(self) -> dict[str, Any]:
        return {
            "done_by_way": self.done,
            "letters": sum(self.done.values()),
            "reminded": self.reminded,
            "foreign": self.foreign,
            "queued": self.queued,
            "not_found": self.left or [],
        }


_CarryOut = Callable[[Sequence[Letter], _State, Budget], Sequence[Letter] | None]
"""Does something with letters; those that it is done with are removed. None: it can do nothing before the step ends."""


@dataclass(frozen=True, slots=True)
class Redriving:
    """The use case over the dead letters, the photos queue, the table and the bus. Every method raises ``DependencyUnavailable``;
    the same call can be made again."""

    queues: Queues
    hints: Hints
    catalog: Catalog
    dropped: Dropped
    bus: str

    def list(self, ways: Sequence[Way], budget: Budget) -> dict[str, Any]:
        """The letters of these ways, ``LISTED`` of each at most, and about how many there are."""
        listed = []
        for way in ways:
            found: dict[str, Letter] = {}
            number = self.queues.count(way)
            if number:
                for some in self.queues.walk(way):
                    found |= {one.id: one for one in some}
                    if len(found) >= LISTED or not budget.left():
                        break
                self.queues.put_back(list(found.values()))
            shown = sorted(found.values(), key=lambda one: one.sent_at)[:LISTED]
            listed.append(
                {"way": way.value, "count": max(number, len(shown)), "letters": [one.as_json() for one in shown]}
            )
        return {"ways": listed}

    def show(self, letter_id: str, budget: Budget) -> dict[str, Any]:
        """One letter. Raises ``NotFound``."""
        for way in Way:
            held: list[Letter] = []
            try:
                for some in self.queues.walk(way):
                    held += some
                    if found := next((one for one in some if one.id == letter_id), None):
                        return found.as_json()
                    if not budget.left():
                        break
            finally:
                self.queues.put_back(held)
        raise NotFound(
            "There is no such dead letter: it was redriven or dropped, it is over 14 days old, or somebody has it in hand. "
            "`candid redrive list` shows those there are."
        )

    def start(
        self, ways: Sequence[Way], letters: Collection[str] | None, cursor: Cursor | None, budget: Budget
    ) -> Step:
        """Redrive these letters, or all that are there now."""
        return self._go(_begin(ways, letters, cursor), budget, self._redrive)

    def drop(self, letters: Collection[str], reason: str, cursor: Cursor | None, budget: Budget) -> Step:
        """Remove these letters for good, and keep ``reason`` and what each was about."""

        def drop(some: Sequence[Letter], _: _State, __: Budget) -> list[Letter]:
            for one in some:
                self.dropped.record(one, reason)
            return list(some)

        return self._go(_begin(list(Way), letters, cursor), budget, drop, remind=False)

    def _go(self, state: _State, budget: Budget, carry_out: _CarryOut, *, remind: bool = True) -> Step:
        state.queued = 0
        while state.ways and state.left != []:
            way = Way(state.ways[0])
            if way is not Way.CHANGES or not remind:
                ended = self._each(way, state, budget, carry_out)
            elif state.phase == _LOOK:
                ended = not self._is_any(way, state, budget)
            elif state.phase == _REMIND:
                self._remind(state)
                ended = False
            else:
                ended = self._each(way, state, budget, lambda some, _, __: some)
            if ended:
                state.next_way()
            if not budget.left():
                break
        if state.ways and state.left != []:
            return Step(state.told(), asdict(state))
        return Step(state.told())

    def _each(self, way: Way, state: _State, budget: Budget, carry_out: _CarryOut) -> bool:
        """Go through the letters of a way; whether all have been seen. Where time ends before that, those that are not wanted
        stay in hand, so that the next step meets new ones."""
        held: list[Letter] = []
        most = 2 * self.queues.count(way) + _SPARE
        ended = True
        try:
            for some in self.queues.walk(way):
                held += some
                wanted = [one for one in some if state.wants(one)]
                done = carry_out(wanted, state, budget) if wanted else []
                if done is None:
                    # These lie where they were, and the next step meets them again.
                    self.queues.put_back(wanted)
                    ended, held = False, []
                    break
                state.looked += len(some)
                self.queues.remove(done)
                state.met(done)
                held = [one for one in held if one not in done]
                if state.left == [] or state.looked > most:
                    break
                if not budget.left():
                    ended = False
                    held = []
                    break
        finally:
            self.queues.put_back(held)
        return ended

    def _redrive(self, some: Sequence[Letter], state: _State, budget: Budget) -> Sequence[Letter] | None:
        """Send them; those that were sent, or None where the photos queue has no room for as long as the step lasts."""
        if some[0].way is not Way.EVENTS:
            # Photos that are booked now must not queue up behind all that failed once.
            while (queued := self.hints.waiting()) >= ROOM:
                if not budget.left():
                    state.queued = queued
                    return None
                budget.wait(_PAUSE)
            self.hints.again([one.body for one in some])
            return some
        own = [(one, event) for one in some if (event := own_event(one.body))]
        for _, (kind, detail) in own:
            events.publish_again(self.bus, kind, detail)
        state.foreign += len(some) - len(own)
        return [one for one, _ in own]

    def _is_any(self, way: Way, state: _State, budget: Budget) -> bool:
        """Whether a letter of this way is wanted; then changes are to be reminded of."""
        held: list[Letter] = []
        try:
            for some in self.queues.walk(way):
                held += some
                # Reminding does no harm: where there are too many to look at, it is done in any case.
                if any(state.wants(one) for one in some) or not budget.left():
                    state.phase = _REMIND
                    return True
        finally:
            self.queues.put_back(held)
        return False

    def _remind(self, state: _State) -> None:
        """Touch a page's open changes; after the last the letters go."""
        changes, state.after = partitions_with(self.catalog.table, ("CHANGE",), state.after)
        for pk in changes:
            if booking := booking_ref(pk):
                self.catalog.remind(*booking)
            elif collection := collection_ref(pk):
                Collections(self.catalog.table).remind(*collection)
            elif user := user_ref(pk):
                Users(self.catalog.table).remind(*user)
        state.reminded += len(changes)
        if state.after is None:
            state.phase = _REMOVE


def _begin(ways: Sequence[Way], letters: Collection[str] | None, cursor: Cursor | None) -> _State:
    if cursor:
        return _State(**cursor)
    left = None if letters is None else sorted(set(letters))
    return _State(timestamp(now()), [way.value for way in ways], left)
