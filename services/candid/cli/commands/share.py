"""``candid share``: let other agencies read a collection, see which may, and take it back."""

from __future__ import annotations

from typing import Annotated

import typer

from candid.access.principal import Role
from candid.cli.api import Api, first
from candid.cli.options import Agency, Json, User
from candid.cli.output import Output
from candid.cli.rendering import shares as rendering
from candid.cli.session import connect

app = typer.Typer(
    help="Let other agencies read a collection, see which may, and take it back. For administrators.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("grant", no_args_is_help=True)
def grant(
    collection: Annotated[
        str, typer.Argument(metavar="COLLECTION", help="The collection, such as bookings.", show_default=False)
    ],
    reader: Annotated[
        str, typer.Option("--to", metavar="AGENCY", help="The agency that may read it.", show_default=False)
    ],
    legal_basis: Annotated[
        str, typer.Option(metavar="TEXT", help="What allows it: a statute, an agreement.", show_default=False)
    ],
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Let another agency search a collection and read its bookings. It can change nothing.

    \b
    Example:
      candid share grant bookings --to ridgeport-so \\
          --legal-basis "Mutual aid agreement of 2026-04-01"
    """
    out = Output(as_json=json)
    told = _connect(agency, user, out).grant_share(collection, reader, legal_basis)
    out.show(rendering.share(told))
    out.finish(told.as_json())


@app.command("list")
def list_(
    received: Annotated[
        bool, typer.Option("--received", help="Those that your agency was given, not those that it gave.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """List shares, newest first, revoked ones too."""
    out = Output(as_json=json)
    shown, more = first(_connect(agency, user, out).shares("received" if received else "given"), limit)
    out.show(*rendering.shares(shown, received=received, more=more))
    out.finish({"shares": [one.as_json() for one in shown], "more": more})


@app.command("revoke", no_args_is_help=True)
def revoke(
    share_id: Annotated[
        str, typer.Argument(metavar="SHARE", help="The share's id (candid share list).", show_default=False)
    ],
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Take a share back. From then on the other agency finds nothing, and sees no photo of earlier candidates."""
    out = Output(as_json=json)
    told = _connect(agency, user, out).revoke_share(share_id)
    out.show(rendering.share(told))
    out.finish(told.as_json())


def _connect(agency: str | None, user: str | None, out: Output) -> Api:
    return connect(agency=agency, user=user, role=Role.ADMIN, say=out.note)
