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
from candid.cli.problems import NotThere
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

    The place has to say itself whose it is: put an object candid-agency.txt that holds your agency's name, as its tokens have it,
    at its beginning. In a folder below it another one counts for that folder. On AWS the stack's parameter ImageObjects has to
    name the bucket too.

    \b
    Example:
      echo -n lakeside-pd | aws s3 cp - s3://lakeside-photos/booking/candid-agency.txt
      candid place add s3://lakeside-photos/booking/
    """
    out = Output(as_json=json)
    bucket, prefix = _named(address)
    api = _connect(agency, user, out)
    told = api.create_place(bucket, prefix)
    out.show(
        rendering.place(told),
        Text(
            f"It is read once {rendering.address(told)}{MARKER} holds your agency's name, and on AWS once the stack's "
            "ImageObjects name the bucket."
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
        str,
        typer.Argument(metavar="PLACE", help="The place's id (candid place list), or its address.", show_default=False),
    ],
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Read nothing there any more. PLACE is its id, or its address."""
    out = Output(as_json=json)
    api = _connect(agency, user, out)
    if place_id.startswith("s3://"):
        bucket, prefix = _named(place_id)
        found = [one.place_id for one in api.places() if (one.bucket, one.prefix) == (bucket, prefix)]
        if not found:
            raise NotThere(
                "There is no such place of your agency's. See `candid place list` for those there are.", status=404
            )
        (place_id,) = found
    told = api.delete_place(place_id)
    wider = [one for one in api.places() if one.bucket == told.bucket and told.prefix.startswith(one.prefix)]
    if wider:
        out.show(Text(f"Removed. {rendering.address(told)} is still read, by way of {rendering.address(wider[0])}."))
    else:
        out.show(Text(f"Nothing is read from {rendering.address(told)} any more."))
    out.finish(told.as_json())


def _named(address: str) -> tuple[str, str]:
    """Bucket and prefix of an address."""
    named = urlsplit(address)
    if named.scheme != "s3" or not named.netloc or named.query or named.fragment:
        raise typer.BadParameter(
            "Name a place as s3://BUCKET/ or s3://BUCKET/PREFIX/.", param_hint="'S3://BUCKET/PREFIX/'"
        )
    prefix = named.path.removeprefix("/")
    if prefix and not prefix.endswith("/"):
        raise typer.BadParameter(f"A place ends with a /: did you mean {address}/?", param_hint="'S3://BUCKET/PREFIX/'")
    return named.netloc, prefix


def _connect(agency: str | None, user: str | None, out: Output) -> Api:
    return connect(agency=agency, user=user, role=Role.ADMIN, say=out.note)
