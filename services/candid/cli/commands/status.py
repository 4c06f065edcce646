"""``candid status``: what runs and what the gallery holds; with a booking number, where each of its photos stands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from candid.access.principal import Role
from candid.cli import config
from candid.cli.api import PAGE, Api
from candid.cli.client import Client
from candid.cli.options import Agency, Json, User
from candid.cli.output import Output
from candid.cli.problems import NotThere
from candid.cli.rendering import standing as rendering

_STATES = ("enrolled", "received", "awaiting_photo", "rejected", "deleting")


def command(
    booking: Annotated[
        str | None,
        typer.Argument(
            metavar="BOOKING_NUMBER", help="Show where the photos of this booking stand.", show_default=False
        ),
    ] = None,
    collection: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this collection.", show_default=False)
    ] = None,
    count_up_to: Annotated[
        int, typer.Option(min=PAGE, help="Stop counting a state's bookings here; the API counts by listing.")
    ] = 1000,
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Show what runs, at which addresses, and how many bookings stand where."""
    out = Output(as_json=json)
    target = config.target(agency=agency, user=user, roles=frozenset({Role.INVESTIGATOR}))
    client = Client(target.url, target.tokens, say=out.note)
    api = Api(client)
    if booking is not None:
        _booking(api, booking, collection, out)
        return

    def place(url: str) -> dict[str, Any]:
        return {"url": url, "answers": client.probe(url) is not None}

    parts: dict[str, Any] = {
        "api": place(target.url),
        "agency": target.agency,
    }
    if target.local and target.url == target.local.api_url:
        parts["issuer"] = place(target.local.issuer)
        if target.local.rekognition_url:
            parts["rekognition"] = place(target.local.rekognition_url)
        parts["stack"] = target.local.stack
        parts["aws_endpoint_url"] = target.local.aws_endpoint_url
        parts["photos_bucket"] = target.local.outputs.get("PhotosBucketName")
    out.show(rendering.running(parts))
    if not parts["api"]["answers"]:
        here = "Start the local stack with `make run`." if "issuer" in parts else "Check CANDID_URL and the network."
        out.note(f"The API does not answer. {here}")
        out.finish({**parts, "bookings": None})
        raise typer.Exit(1)
    counts = {state: _count(api, state, collection, count_up_to) for state in _STATES}
    out.show(*rendering.counts(counts, collection))
    told = {state: {"count": number, "more": more} for state, (number, more) in counts.items()}
    out.finish({**parts, "collection": collection, "bookings": told})


def _count(api: Api, state: str, collection: str | None, most: int) -> tuple[int, bool]:
    """How many bookings are in ``state``, and whether there are more than were counted."""
    number = 0
    for page in api.bookings(state=state, collection=collection):
        number += len(page)
        if number > most:
            return most, True
    return number, False


def _booking(api: Api, number: str, collection: str | None, out: Output) -> None:
    for page in api.bookings(booking_number=number, collection=collection):
        for found in page:
            told = api.booking(found.booking_id)
            out.show(*rendering.booking(told))
            out.finish(told.as_json())
            return
    where = f"the collection {collection}" if collection else "the collection bookings (name another with --collection)"
    raise NotThere(
        f"There is no booking of that number in {where}, or it is not one that you may see. Check the number.",
        status=404,
    )
