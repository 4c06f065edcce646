"""``candid compare``: two faces, one to one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from candid.access.principal import Role
from candid.cli import images
from candid.cli.options import Agency, Face, Json, User, face_choice
from candid.cli.output import Output
from candid.cli.rendering import faces as rendering
from candid.cli.session import connect


def command(
    a: Annotated[Path, typer.Argument(metavar="A", help="An image of one face.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help="An image of the other.", show_default=False)],
    face: Face = None,
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Compare two faces, one to one. Nothing is stored.

    \b
    Example:
      candid compare booking.jpg still.jpg
    """
    out = Output(as_json=json)
    choice = face_choice(face)
    first, second = images.inline(a, b)
    told = connect(agency=agency, user=user, role=Role.INVESTIGATOR, say=out.note).compare(first, second, choice)
    out.show(*rendering.comparison(told, a, b))
    out.finish(told.as_json())
