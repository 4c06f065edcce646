"""A failure as a person reads it (its sentence, and what the server added) and as a program reads it."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError
from rich.console import RenderableType
from rich.text import Text

from candid.cli.answers import FaceBox
from candid.cli.problems import Refused
from candid.cli.rendering.faces import boxes
from candid.errors import CandidError


def explained(error: CandidError) -> list[RenderableType]:
    """The sentence; then the wrong members, where there are more than one; then the faces, where there were several."""
    parts: list[RenderableType] = [Text(str(error))]
    fields = error.members.get("fields")
    if isinstance(fields, list) and len(fields) > 1:
        parts += [Text(f"  {one.get('field')}: {one.get('problem')}") for one in fields if isinstance(one, dict)]
    try:
        faces = TypeAdapter(list[FaceBox]).validate_python(error.members.get("faces", []))
    except ValidationError:
        faces = []
    if faces:
        parts += [boxes(faces), Text("Choose one by its index, or the largest: --face 0, --face largest.")]
    return parts


def as_json(error: CandidError) -> dict[str, Any]:
    """The same for a program."""
    told: dict[str, Any] = {"sentence": str(error)}
    if isinstance(error, Refused):
        told |= {"status": error.status, "kind": error.kind}
    return told | error.members
