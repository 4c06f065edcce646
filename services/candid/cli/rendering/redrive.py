"""Dead letters and what was done with them, in tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from candid.cli.rendering.tables import facts, row, table
from candid.cli.rendering.words import NONE, count, minute, plural

_WAYS: Final = {
    "photos": ("photo", "to enrolment"),
    "photo-events": ("photo event", "to the queue"),
    "changes": ("change", "of bookings"),
    "events": ("event", "of Candid's own"),
}
"""What a way carries, and where it goes or whose it is."""
_ABOUT: Final = {
    "agency": "Agency",
    "collection": "Collection",
    "booking_id": "Booking",
    "photo_id": "Photo",
    "key_sha256": "SHA-256 of its key",
    "event": "Event",
}


def listed(told: Mapping[str, Any]) -> list[RenderableType]:
    """The letters of each way."""
    letters = [one for way in told["ways"] for one in way["letters"]]
    if not letters:
        there = sum(way["count"] for way in told["ways"])
        if not there:
            return [Text("There are no dead letters.")]
        return [
            Text(
                f"There are about {plural(there, 'dead letter')}, which somebody has in hand. Look again in 5 minutes."
            )
        ]
    made = table("Letter", "Way", "Sent first", "Reason", "", whole=("Letter",))
    for one in letters:
        row(made, one["id"], one["way"], _minute(one["sent_at"]), one["reason"], one["sentence"])
    return [made, *_ends(told)]


def _ends(told: Mapping[str, Any]) -> Iterator[RenderableType]:
    for way in told["ways"]:
        if way["count"] > len(way["letters"]):
            yield Text(f"{count(len(way['letters']))} of about {_of_way(way['count'], way['way'])} are shown.")
    yield Text("When the reason is mended: `candid redrive start LETTER…`, or --all. They are kept for 14 days.")


def shown(one: Mapping[str, Any]) -> list[RenderableType]:
    """One letter."""
    pairs = [
        ("Letter", str(one["id"])),
        ("Way", "s ".join(_WAYS[one["way"]])),
        ("Sent first", _minute(one["sent_at"])),
        ("Reason", str(one["reason"])),
        ("", str(one["sentence"])),
        *((_ABOUT.get(name, name), str(value)) for name, value in one["about"].items()),
    ]
    return [facts(pairs)]


def going_on(told: Mapping[str, Any]) -> str:
    """A step of redriving or dropping."""
    said = f"{plural(told['letters'], 'letter')} so far"
    if told.get("queued"):
        return f"{said}; the next follow when enrolment has worked off some of the {count(told['queued'])} photos in its queue."
    return f"{said}."


def started(told: Mapping[str, Any]) -> list[RenderableType]:
    """The end of redriving."""
    by_way = ", ".join(_of_way(number, way) for way, number in told["done_by_way"].items())
    parts = [f"Sent again: {by_way}." if by_way else "Nothing was sent again."]
    if "changes" in told["done_by_way"]:
        parts.append(f"{plural(told['reminded'], 'change')} of bookings still open, which come once more.")
    if told["foreign"]:
        parts.append(f"{plural(told['foreign'], 'event')} not of Candid's, left where they are.")
    parts += _not_found(told)
    if by_way:
        parts.append("What fails again is back within the hour: `candid redrive list`.")
    return [Text(part) for part in parts]


def was_dropped(told: Mapping[str, Any]) -> list[RenderableType]:
    """The end of dropping."""
    return [Text(part) for part in [f"{plural(told['letters'], 'letter')} dropped.", *_not_found(told)]]


def dropped(told: Mapping[str, Any]) -> list[RenderableType]:
    """What was dropped."""
    if not told["letters"]:
        return [Text("No dead letter was dropped.")]
    made = table("Letter", "Way", "Dropped", "Because", "Had failed by", whole=("Letter",))
    for one in told["letters"]:
        row(made, one["id"], one["way"], _minute(one["dropped_at"]), one["dropped_because"], one["reason"])
    return [made]


def _not_found(told: Mapping[str, Any]) -> list[str]:
    if not told["not_found"]:
        return []
    return [
        f"Not among the dead letters: {', '.join(told['not_found'])}. They were redriven or dropped before, are over 14 days "
        "old, or somebody has them in hand."
    ]


def _of_way(number: int, way: str) -> str:
    """So many of what a way carries: ``1 photo to enrolment``."""
    carried, whither = _WAYS[way]
    return f"{plural(number, carried)} {whither}"


def _minute(text: str) -> str:
    return minute(datetime.fromisoformat(text)) if text else NONE
