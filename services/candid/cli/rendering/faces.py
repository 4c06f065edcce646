"""Faces of an image: where they are and how good, and two of them compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from candid.cli.answers import Comparison, Detections, Face, FaceBox
from candid.cli.rendering.tables import facts, row, table
from candid.cli.rendering.words import NONE, odds, plural, similarity


def place(box: FaceBox) -> str:
    """ "96 × 124 at 40, 61"."""
    return f"{box.width:.0f} × {box.height:.0f} at {box.left:.0f}, {box.top:.0f}"


def boxes(faces: Sequence[FaceBox]) -> Table:
    """The faces that the server found, by index."""
    made = table("Face", "Pixels (width × height at left, top)", "Confidence", right=("Face", "Confidence"))
    for face in faces:
        row(made, str(face.index), place(face), f"{face.confidence:.2f}")
    return made


def detections(found: Detections, path: Path) -> list[RenderableType]:
    """All faces of an image with pose, quality and what would keep each out of the gallery."""
    size = f"{path.name}: {found.width} × {found.height} pixels, {plural(len(found.faces), 'face')}."
    if not found.faces:
        return [
            Text(size),
            Text("No face was found. A face should be at least about 40 pixels wide and look to the front."),
        ]
    made = table(
        "Face",
        "Pixels (width × height at left, top)",
        "Confidence",
        "Quality",
        "Yaw",
        "Pitch",
        "Roll",
        "Fit for the gallery",
        right=("Face", "Confidence", "Quality", "Yaw", "Pitch", "Roll"),
    )
    for face in found.faces:
        row(
            made,
            str(face.box.index),
            place(face.box),
            f"{face.box.confidence:.2f}",
            f"{face.quality.score:.0f}",
            _degrees(face.quality.yaw),
            _degrees(face.quality.pitch),
            _degrees(face.quality.roll),
            _fit(face),
        )
    said = [Text(f"Face {face.box.index}: {reason.sentence}") for face in found.faces for reason in face.reasons]
    return [Text(size), made, *said]


def comparison(told: Comparison, a: Path, b: Path) -> list[RenderableType]:
    """How alike two faces are, and how little that proves."""
    pairs = [
        ("Similarity", f"{similarity(told.score.similarity)} of 100"),
        ("False match rate", _rate(told)),
        ("Cosine", f"{told.score.cosine:.3f}"),
        (a.name, f"face of {place(told.face_a.box)}, quality {told.face_a.quality.score:.0f}"),
        (b.name, f"face of {place(told.face_b.box)}, quality {told.face_b.quality.score:.0f}"),
        ("Model", told.model.id),
    ]
    parts: list[RenderableType] = [facts(pairs)]
    if told.model.calibration:
        parts.append(Text(told.model.calibration, style="dim"))
    return [*parts, Text(told.notice, style="bold")]


def _rate(told: Comparison) -> str:
    rate = told.score.fmr
    if rate is None:
        return "not calibrated: this model's cosine can't be read as a rate"
    if rate > 0.5:
        return "most pairs of strangers score this high"
    beyond = " (beyond what was measured)" if told.score.extrapolated else ""
    return f"{odds(rate)} would score this high against this face{beyond}"


def _fit(face: Face) -> str:
    return "yes" if not face.reasons else "no: " + ", ".join(reason.reason for reason in face.reasons)


def _degrees(angle: float | None) -> str:
    return NONE if angle is None else f"{angle:.0f}°"
