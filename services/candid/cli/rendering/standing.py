"""What runs, how many bookings stand where, and where the photos of one stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from candid.cli.answers import Booking
from candid.cli.rendering.tables import facts, row, table
from candid.cli.rendering.words import NONE, count, minute, state

_MEANING: Final = {
    "enrolled": "at least one photo is searchable",
    "received": "a photo is being enrolled",
    "awaiting_photo": "no photo has been taken up yet",
    "rejected": "no photo could be enrolled",
    "deleting": "being erased",
}


def running(parts: Mapping[str, Any]) -> Table:
    """Addresses, and whether something answers there."""
    pairs = [("API", _place(parts["api"]))]
    if "rekognition" in parts:
        pairs.append(("Rekognition", _place(parts["rekognition"])))
    if "issuer" in parts:
        pairs += [
            ("Token issuer", _place(parts["issuer"])),
            ("Stack", f"{parts['stack'] or NONE}, local, on {parts['aws_endpoint_url'] or NONE}"),
        ]
        if parts.get("photos_bucket"):
            pairs.append(("Photos bucket", str(parts["photos_bucket"])))
    pairs.append(("Agency", parts["agency"] or "as the token says"))
    return facts(pairs)


def counts(by_state: Mapping[str, tuple[int, bool]], collection: str | None) -> list[RenderableType]:
    """Bookings by state."""
    if not any(number for number, _ in by_state.values()):
        return [Text("The gallery is empty. Fill it with: candid import DIR --agency NAME")]
    made = table(
        "Bookings",
        "State",
        "Which means",
        right=("Bookings",),
        title=f"Collection {collection}" if collection else None,
    )
    for name, (number, more) in by_state.items():
        if number:
            row(made, f"over {count(number)}" if more else count(number), state(name), _MEANING.get(name, ""))
    return [made]


def booking(told: Booking) -> list[RenderableType]:
    """A booking and where each of its photos stands."""
    pairs = [
        ("Booking", told.booking_number or NONE),
        ("Id", told.booking_id),
        ("Subject", told.subject_id or NONE),
        ("Booked", minute(told.booked_at)),
        ("Collection", told.collection),
        ("Disposition", state(told.disposition or NONE)),
        ("State", state(told.state)),
        *sorted(told.fields.items()),
    ]
    made = table("Photo", "View", "State", "Since", "Why")
    for photo in told.photos:
        why = ": ".join(part for part in (photo.reason, photo.sentence) if part)
        row(made, photo.photo_id, state(photo.view), state(photo.state), minute(photo.updated_at), why)
    return [facts(pairs), made if told.photos else Text("The booking has no photo.")]


def _place(part: Mapping[str, Any]) -> str:
    return f"{part['url']}  ({'answers' if part['answers'] else 'does not answer'})"
