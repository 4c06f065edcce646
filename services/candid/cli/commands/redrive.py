"""``candid redrive``: what an operator does with dead letters."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from candid.cli.operators import Operators, connect, nothing
from candid.cli.options import Json, Stack
from candid.cli.output import Output, ask
from candid.cli.rendering import redrive as rendering

app = typer.Typer(
    help="Dead letters: photos, changes and events that failed for good on their way. For operators: AWS credentials instead of "
    "a token (none on a local stack).",
    no_args_is_help=True,
    rich_markup_mode=None,
)
FUNCTION = "redrive"


class Way(enum.StrEnum):
    """What the letters were on their way to."""

    PHOTOS = "photos"
    PHOTO_EVENTS = "photo-events"
    CHANGES = "changes"
    EVENTS = "events"


OneWay = Annotated[
    Way | None,
    typer.Option(
        "--way",
        help="Only those on this way: photos to enrolment, photo-events to its queue, changes of bookings, Candid's own events.",
        show_default=False,
    ),
]
Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="[LETTER]...", help="Their ids, as `candid redrive list` shows them.", show_default=False),
]


@app.command("list")
def list_(
    way: OneWay = None,
    dropped: Annotated[bool, typer.Option("--dropped", help="What was dropped instead, and why.")] = False,
    stack: Stack = None,
    json: Json = False,
) -> None:
    """List the dead letters with the reason of each; up to a hundred of each way.

    Looking takes letters in hand for a moment, so two who look at once may each see a part.
    """
    out = Output(as_json=json)
    asked = {"operation": "dropped"} if dropped else {"operation": "list", **_way(way)}
    told = _carry_out(connect(stack, out.note), asked, out)
    out.show(*(rendering.dropped(told) if dropped else rendering.listed(told)))
    out.finish(told)


@app.command("show", no_args_is_help=True)
def show(
    letter: Annotated[
        str, typer.Argument(metavar="LETTER", help="Its id, as `candid redrive list` shows it.", show_default=False)
    ],
    stack: Stack = None,
    json: Json = False,
) -> None:
    """Show one dead letter: why it is there and what it is about, by opaque ids."""
    out = Output(as_json=json)
    told = _carry_out(connect(stack, out.note), {"operation": "show", "letter": letter}, out)
    out.show(*rendering.shown(told["letter"]))
    out.finish(told)


@app.command("start", no_args_is_help=True)
def start(
    letters: Ids = None,
    all_: Annotated[bool, typer.Option("--all", help="All that are there now.")] = False,
    way: OneWay = None,
    stack: Stack = None,
    json: Json = False,
) -> None:
    """Send dead letters their way again, once what stopped them is mended. Doing it twice does no harm.

    A photo is looked at again as if it had just arrived. For a change of a booking every change that is still open is brought
    once more. What fails again comes back as a new letter.
    """
    if bool(letters) == all_:
        raise typer.BadParameter("Name the letters, or give --all.", param_hint="'[LETTER]...'")
    out = Output(as_json=json)
    asked = {"operation": "start", **({} if all_ else {"letters": letters}), **_way(way)}
    told = _carry_out(connect(stack, out.note), asked, out)
    out.show(*rendering.started(told))
    out.finish(told)


@app.command("drop", no_args_is_help=True)
def drop(
    letters: Ids = None,
    reason: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Why, in 3 to 200 characters; kept. No names or numbers.", show_default=False
        ),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    stack: Stack = None,
    json: Json = False,
) -> None:
    """Delete dead letters for good, and keep the reason. Photos and bookings stay as they are.

    `candid index verify` goes on finding a photo that was never enrolled; what is dropped is the message alone.
    """
    if not letters:
        raise typer.BadParameter("Name the letters.", param_hint="'[LETTER]...'")
    if not 3 <= len(reason) <= 200:
        raise typer.BadParameter("Say why, in 3 to 200 characters.", param_hint="'--reason'")
    out = Output(as_json=json)
    if not yes:
        ask(f"Drop {len(letters)} dead letter{'s' * (len(letters) > 1)} for good?")
    asked = {"operation": "drop", "letters": letters, "reason": reason}
    told = _carry_out(connect(stack, out.note), asked, out)
    out.show(*rendering.was_dropped(told))
    out.finish(told)


def _carry_out(operators: Operators, asked: Mapping[str, Any], out: Output) -> dict[str, Any]:
    watch = (lambda told: out.note(rendering.going_on(told))) if asked["operation"] in {"start", "drop"} else nothing
    return operators.carry_out(asked, watch, FUNCTION)


def _way(way: Way | None) -> dict[str, str]:
    return {} if way is None else {"way": way.value}
