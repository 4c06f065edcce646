"""``candid detect``: the faces of an image, and whether each is fit for the gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from candid.access.principal import Role
from candid.cli import images
from candid.cli.options import Agency, Json, User
from candid.cli.output import Output
from candid.cli.rendering import faces as rendering
from candid.cli.session import connect


def command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The image.", show_default=False)],
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Find the faces of an image with pose and quality. Nothing is stored and nobody is searched for."""
    out = Output(as_json=json)
    [data] = images.inline(image)
    told = connect(agency=agency, user=user, role=Role.INVESTIGATOR, say=out.note).detect(data)
    out.show(*rendering.detections(told, image))
    out.finish(told.as_json())
