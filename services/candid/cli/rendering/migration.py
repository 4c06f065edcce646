"""Leaving Rekognition: what a collection holds, how far it is, and what became of the photos."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.text import Text

from candid.cli.migration import Listed, Tally
from candid.cli.rendering.tables import facts
from candid.cli.rendering.words import count, plural


def found(what: Listed, collection: str) -> list[RenderableType]:
    """What there is to migrate."""
    parts = [
        f"{collection} holds {plural(what.faces, 'face')} of {plural(len(what.photos), 'photo')} with an ExternalImageId."
    ]
    if what.unnamed:
        parts.append(f"{plural(len(what.unnamed), 'face')} without one: nothing says which photo they are from.")
    if what.ambiguous:
        parts.append(
            f"{plural(len(what.ambiguous), 'ExternalImageId')} with several images each: the one photo under that name is "
            "enrolled."
        )
    return [Text(part) for part in parts]


def progress(tally: Tally) -> str:
    """How far it is."""
    done, left = count(tally.done()), count(len(tally.left))
    return f"{done} of {plural(tally.ids, 'photo')}: {count(tally.enrolled)} enrolled, {left} left."


def summary(tally: Tally) -> list[RenderableType]:
    """What became of the photos."""
    pairs = [
        ("Enrolled", f"{plural(tally.enrolled, 'photo')} ({plural(tally.faces, 'face')})"),
        *([("Missing", plural(tally.missing, "face") + " of them")] if tally.missing else []),
        ("There already", plural(tally.there, "photo")),
        *(
            (f"Left: {reason}", plural(number, "face" if reason == "NO_EXTERNAL_IMAGE_ID" else "photo"))
            for reason, number in tally.reasons.most_common()
        ),
    ]
    if (open_ones := tally.ids - tally.done()) > 0:
        pairs.append(("Not looked at", plural(open_ones, "photo")))
    return [facts(pairs)]


def as_json(what: Listed, tally: Tally | None) -> dict[str, Any]:
    """The same for a program."""
    told: dict[str, Any] = {
        "faces": what.faces,
        "faces_without_external_image_id": len(what.unnamed),
        "photos": len(what.photos),
        "ambiguous": what.ambiguous,
    }
    if tally is not None:
        told |= {
            "enrolled": tally.enrolled,
            "faces_enrolled": tally.faces,
            "faces_missing": tally.missing,
            "stopped_by": str(tally.failure) if tally.failure else None,
            "there_already": tally.there,
            "left": [
                {"external_image_id": one.external, "reason": one.reason, "sentence": one.sentence}
                for one in tally.left
            ],
        }
    return told
