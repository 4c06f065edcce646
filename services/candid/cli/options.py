"""Options that several commands share, and the closed lists of the contract that help pages show."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout; words go to stderr.")]
Agency = Annotated[
    str | None,
    typer.Option(
        "--agency", metavar="NAME", help="The agency that you work for (or CANDID_AGENCY).", show_default=False
    ),
]
User = Annotated[
    str | None,
    typer.Option("--user", metavar="NAME", help="Who you are, on a local stack (or CANDID_USER).", show_default=False),
]
Stack = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="The stack on AWS (or CANDID_STACK). Default: the local one.",
        show_default=False,
    ),
]
Face = Annotated[
    str | None,
    typer.Option(
        "--face",
        metavar="only|largest|all|INDEX",
        help="Which face, where an image shows several. By default they are listed and nothing is compared.",
        show_default=False,
    ),
]


class ProbeSource(enum.StrEnum):
    """Where a probe comes from. The policy refuses some."""

    BOOKING_PHOTO = "booking_photo"
    IDENTITY_DOCUMENT = "identity_document"
    SURVEILLANCE_STILL = "surveillance_still"
    WITNESS_PHOTO = "witness_photo"
    SOCIAL_MEDIA = "social_media"
    SKETCH = "sketch"
    OTHER_STILL = "other_still"
    BODY_WORN_CAMERA = "body_worn_camera"
    LIVE_STREAM = "live_stream"


class CaseState(enum.StrEnum):
    """Whether searches may still name a case."""

    OPEN = "open"
    CLOSED = "closed"


def face_choice(given: str | None) -> str | int | None:
    """``--face`` as the API takes it. Raises ``BadParameter``."""
    if given is None or given in {"only", "largest", "all"}:
        return given
    if given.isascii() and given.isdigit() and len(given) <= 2:
        return int(given)
    raise typer.BadParameter("Give only, largest, all, or a face's index from 0 to 99.", param_hint="'--face'")
