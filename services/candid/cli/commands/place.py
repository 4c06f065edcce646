"""``candid place``: say where Rekognition calls may read images from."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.text import Text

from candid.access.principal import Role
from candid.cli.api import Api
from candid.cli.options import Agency, Json, User
from candid.cli.output import Output
from candid.cli.rendering import places as rendering
from candid.cli.session import connect

MARKER = "candid-agency.txt"
"""As ``candid.gallery.places`` has it, which a command line need not load."""

app = typer.Typer(
    help="Say which buckets Rekognition calls may read images from (S3Object). For administrators.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("add", no_args_is_help=True)
def add(
    address: Annotated[
        str,
        typer.Argument(metavar="S3://BUCKET/PREFIX/", help="The bucket, and what keys begin with.", show_default=False),
    ],
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Let your agency's Rekognition calls read images there.

    The place has to say itself whose it is: put an object candid-agency.txt with your agency's name at its beginning.

    \b
    Example:
      echo -n lakeside-pd | aws s3 cp - s3://lakeside-photos/booking/candid-agency.txt
      candid place add s3://lakeside-photos/booking/
    """
    out = Output(as_json=json)
    named = urlsplit(address)
    if named.scheme != "s3" or not named.netloc or named.query or named.fragment:
        raise typer.BadParameter(
            "Name a place as s3://BUCKET/ or s3://BUCKET/PREFIX/.", param_hint="'S3://BUCKET/PREFIX/'"
        )
    api = _connect(agency, user, out)
    told = api.create_place(named.netloc, named.path.removeprefix("/"))
    out.show(
        rendering.place(told),
        Text(
            f"It is read once {rendering.address(told)}{MARKER} holds your agency's name, and the stack's ImageObjects name "
            "the bucket."
        ),
    )
    out.finish(told.as_json())


@app.command("list")
def list_(agency: Agency = None, user: User = None, json: Json = False) -> None:
    """List your agency's places."""
    out = Output(as_json=json)
    told = _connect(agency, user, out).places()
    out.show(*rendering.places(told))
    out.finish({"places": [one.as_json() for one in told]})


@app.command("remove", no_args_is_help=True)
def remove(
    place_id: Annotated[
        str, typer.Argument(metavar="PLACE", help="The place's id (candid place list).", show_default=False)
    ],
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Read nothing there any more."""
    out = Output(as_json=json)
    told = _connect(agency, user, out).delete_place(place_id)
    out.show(Text(f"Nothing is read from {rendering.address(told)} any more."))
    out.finish(told.as_json())


def _connect(agency: str | None, user: str | None, out: Output) -> Api:
    return connect(agency=agency, user=user, role=Role.ADMIN, say=out.note)
