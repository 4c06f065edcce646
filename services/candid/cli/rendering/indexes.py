"""Indexes and what is done with them, in tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from candid.cli.rendering.tables import facts, row, table
from candid.cli.rendering.words import NONE, count, plural

_FINDINGS: Final = {
    "face-not-in-index": ("an enrolled photo's face is not in the index, or has old labels", "enrolled again"),
    "face-without-record": ("a template in the index that no booking and no user has", "deleted"),
    "user-not-of-its-faces": ("a user whose template is not that of its faces", "made again"),
    "photo-differs": ("the bucket holds another version than was enrolled, or none", "looked at again"),
    "work-left-open": ("an enrolment that was begun over an hour ago and not ended", "looked at again"),
    "change-not-followed": ("a correction or deletion that the index has not followed for over an hour", "reminded"),
    "object-without-record": ("an object in the bucket that no booking knows", "looked at again"),
    "object-of-erased-booking": ("an object of a booking that was erased", "erased again"),
}
_STAGES: Final = {
    "flush": "writing the log of operations to segments",
    "leases": "waiting for OpenSearch to let go of old operations, which takes it half a minute",
    "merge": "merging what has deletions",
    "count": "counting",
    "settle": "waiting for writes that began before",
    "copy": "copying",
    "remove": "comparing",
    "alias": "switching",
    "searches": "waiting for searches that began before",
    "first": "deleting from the shared index",
    "writes": "waiting for writes that began before",
    "last": "deleting from the shared index",
}


def status(told: Mapping[str, Any]) -> list[RenderableType]:
    """The indexes, the queue and the largest collections."""
    opensearch = told["store"] == "opensearch"
    pairs = [
        (
            "Index",
            f"OpenSearch {told['version']}, names begin with {told['prefix']}_" if opensearch else "an embedded file",
        ),
        ("Health", str(told["health"])),
        ("Waiting photos", count(told["waiting"])),
    ]
    if not told["indexes"]:
        return [facts(pairs), Text("There is no index yet. `candid index create` makes one.")]
    made = table("Index", "Role", "Model", "Templates", "Deleted", "Size", right=("Templates", "Deleted", "Size"))
    for one in told["indexes"]:
        row(made, one["index"], one["role"], one["model"], *_numbers(one))
        for own in one["own"]:
            row(made, f"  {own['agency']}/{own['collection']}", own["state"], "", *_numbers(own))
    parts: list[RenderableType] = [facts(pairs), made]
    if told["health"] == "red" and not opensearch:
        parts.append(Text("The file is damaged. `candid index verify --repair` makes it again from the photos."))
    if told.get("largest"):
        largest = table("Largest collections", "Templates", right=("Templates",))
        for one in told["largest"]:
            row(largest, f"{one['agency']}/{one['collection']}", count(one["templates"]))
        parts.append(largest)
    if any(one["deleted"] for one in told["indexes"]):
        parts.append(
            Text("Deleted templates are found by no search; `candid index purge` forces them out of the files.")
        )
    return parts


def created(told: Mapping[str, Any], roles: bool) -> list[RenderableType]:
    """The first index."""
    what = f"{told['index']} {'is made and' if told['made'] else 'is there and'} serves, for the model {told['model']}."
    mapped = "OpenSearch knows what each function may do." if roles else ""
    return [Text(" ".join(part for part in (what, mapped) if part))]


def filling(told: Mapping[str, Any]) -> str:
    """A step of re-embedding."""
    return (
        f"Looked at {plural(told['photos'], 'enrolled photo')}: {count(told['absent'])} not in {told['index']} yet; "
        f"{count(told['waiting'])} in the queue."
    )


def filled(told: Mapping[str, Any]) -> list[RenderableType]:
    """The end of re-embedding."""
    if not told["complete"]:
        left = "more" if told["more_open"] else count(told["open"])
        return [
            Text(
                f"{told['index']} is not complete: of {plural(told['photos'], 'photo')} and the users' templates {left} did not "
                "arrive in it although the queue is empty. The embed function's log and the dead letters say why; then run this "
                "again."
            )
        ]
    parts = [
        f"{told['index']} has all {plural(told['photos'], 'enrolled photo')}. `candid index swap` lets searches look at it."
    ]
    if not told["calibrated"]:
        parts.append(
            f"Nobody has measured how often {told['model']} mistakes strangers for each other: searches will have to name a "
            "cosine."
        )
    return [Text(part) for part in parts]


def comparing(told: Mapping[str, Any]) -> str:
    """A step of the look before a swap."""
    return f"Compared {plural(told['photos'], 'enrolled photo')} with the index that stands by."


def swapped(told: Mapping[str, Any]) -> list[RenderableType]:
    """A swap."""
    if "standby" not in told:
        return [Text(f"{told['serving']} ({told['model']}) serves, and nothing stands by.")]
    return [
        Text(f"{told['serving']} ({told['model']}) serves; {told['standby']} ({told['standby_model']}) stands by."),
        Text(
            f"Back: `candid index swap`. When it is not needed any more: `candid index drop {told['standby']}`, which is final."
        ),
    ]


def verifying(told: Mapping[str, Any]) -> str:
    """A step of a comparison."""
    found = sum(one["count"] for one in told["findings"].values())
    return (
        f"Looked at {plural(told['bookings'], 'booking')}, {plural(told['objects'], 'object')} and "
        f"{plural(sum(told['faces'].values()), 'face')}; {plural(found, 'difference')} so far."
    )


def verified(told: Mapping[str, Any], *, repair: bool) -> list[RenderableType]:
    """The end of a comparison."""
    faces = ", ".join(f"{name}: {count(number)}" for name, number in sorted(told["faces"].items()))
    pairs = [
        ("Bookings", f"{count(told['bookings'])} with {plural(told['photos'], 'photo')}"),
        ("Objects in the bucket", count(told["objects"])),
        ("Templates in the index", faces or NONE),
        ("Under way", count(told["under_way"])),
    ]
    parts: list[RenderableType] = [facts(pairs)]
    if told["rebuilt"]:
        parts.append(Text("The index file was damaged; a new one is being filled from the photos."))
    if told["sound"]:
        return [*parts, Text("Table, index and bucket agree.")]
    made = table("Found", "Which means", "Repair" if repair else "Would be", "Example", right=("Found",))
    for kind, about in sorted(told["findings"].items()):
        meaning, mended = _FINDINGS.get(kind, (kind, NONE))
        row(made, count(about["count"]), meaning, mended, next(iter(about["examples"]), NONE))
    parts.append(made)
    if repair:
        parts.append(
            Text(
                f"Asked for {plural(told['asked'], 'photo')} to be looked at again; reminded of "
                f"{plural(told['reminded'], 'change')}; deleted {plural(told['deleted'], 'face')}. When the queue is empty, "
                "`candid index verify` shows whether all agrees."
            )
        )
    else:
        parts.append(Text("`candid index verify --repair` brings them together."))
    return parts


def purging(told: Mapping[str, Any]) -> str:
    """A step of a purge."""
    return f"{told['left'][0]}: {_STAGES.get(told['stage'], told['stage'])}." if told["left"] else "Counting."


def purged(told: Mapping[str, Any]) -> list[RenderableType]:
    """The end of a purge."""
    if not told["before"]:
        return [
            Text("The embedded index overwrites a template when it is deleted: nothing deleted is left in its file.")
        ]
    made = table(
        "Index",
        "Deleted before",
        "after",
        "Size before",
        "after ",
        right=("Deleted before", "after", "Size before", "after "),
    )
    for index, before in sorted(told["before"].items()):
        after = told["after"][index]
        row(
            made,
            index,
            count(before["deleted"]),
            count(after["deleted"]),
            _size(before["bytes"]),
            _size(after["bytes"]),
        )
    words = (
        "No deleted document is left in any segment of any copy, and the logs of operations are empty."
        if told["purged"]
        else "Deletions went on meanwhile, so some are left. Run it again."
    )
    return [made, Text(words), Text("Snapshots keep what they hold until they roll off (README, Deploying to AWS).")]


def moving(told: Mapping[str, Any]) -> str:
    """A step of a move."""
    return f"{_STAGES.get(told['stage'], told['stage']).capitalize()}; {plural(told['copied'], 'face')} copied so far."


def moved(told: Mapping[str, Any], agency: str, collection: str) -> list[RenderableType]:
    """The end of a move."""
    return [Text(f"{agency}/{collection} has an index of its own ({plural(told['copied'], 'face')} copied).")]


def _numbers(one: Mapping[str, Any]) -> tuple[str, str, str]:
    templates = NONE if one["templates"] is None else count(one["templates"])
    return templates, count(one["deleted"]), _size(one["bytes"])


def _size(number: int) -> str:
    """Bytes in words: 640 kB, 12.3 MB, 1.4 GB."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit in {"B", "kB"} else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError
