"""``candid case``: open, show, list and close the cases that searches need; credentials to search under one."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from candid.access.principal import Role
from candid.cli.answers import Case
from candid.cli.api import Api, first
from candid.cli.commands import credentials as handing
from candid.cli.options import Agency, CaseState, Json, ProbeSource, User
from candid.cli.output import Output
from candid.cli.problems import NotThere
from candid.cli.rendering import cases as rendering
from candid.cli.session import connect
from candid.errors import CandidError

app = typer.Typer(
    help="Open, show, list and close cases. No search is made without one.", no_args_is_help=True, rich_markup_mode=None
)
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
Which = Annotated[str, typer.Argument(metavar="CASE", help="The case's number or its id.", show_default=False)]


class Ambiguous(CandidError):
    """Several cases have the number."""


@app.command("open", no_args_is_help=True)
def open_(
    number: Annotated[
        str, typer.Argument(metavar="NUMBER", help="The case's number in your agency.", show_default=False)
    ],
    purpose: Annotated[
        str,
        typer.Option(
            metavar="WORD",
            help="What the search is for, such as criminal_investigation. The policy's list is closed; "
            "a word that is not on it is answered with the list.",
            show_default=False,
        ),
    ],
    legal_basis: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="What allows the search: a statute, a warrant, an order. In your words.",
            show_default=False,
        ),
    ],
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Open a case.

    \b
    Example:
      candid case open 26-4410 --purpose criminal_investigation \\
          --legal-basis "warrant 26-W-118"
    """
    out = Output(as_json=json)
    told = _connect(agency, user, out).open_case(number, purpose, legal_basis)
    out.show(rendering.case(told))
    out.finish(told.as_json())


@app.command("show", no_args_is_help=True)
def show(case: Which, agency: Agency = None, user: User = None, json: Json = False) -> None:
    """Show a case."""
    out = Output(as_json=json)
    told = find(_connect(agency, user, out), case)
    out.show(rendering.case(told))
    out.finish(told.as_json())


@app.command("list")
def list_(
    state: Annotated[CaseState | None, typer.Option(help="Only open or only closed cases.", show_default=False)] = None,
    officer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only cases of this officer.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """List the agency's cases, newest first."""
    out = Output(as_json=json)
    shown, more = first(_connect(agency, user, out).cases(state=state, officer=officer), limit)
    out.show(*rendering.cases(shown, more=more))
    out.finish({"cases": [one.as_json() for one in shown], "more": more})


@app.command("close", no_args_is_help=True)
def close(case: Which, agency: Agency = None, user: User = None, json: Json = False) -> None:
    """Close a case: no search names it afterwards."""
    out = Output(as_json=json)
    api = _connect(agency, user, out)
    told = api.close_case(case_id(api, case))
    out.show(rendering.case(told))
    out.finish(told.as_json())


@app.command("credentials", no_args_is_help=True)
def credentials(
    case: Which,
    source: Annotated[
        ProbeSource | None,
        typer.Option(help="Where the probes come from. The policy refuses some sources.", show_default=False),
    ] = None,
    minutes: handing.Minutes = 60,
    export: handing.Export = False,
    profile: handing.Profile = None,
    process: handing.Process = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take all of the case's back that were given out.")] = False,
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Credentials for a Rekognition client that searches under a case.

    \b
    Example:
      eval "$(candid case credentials 26-4410 --source surveillance_still --export)"
      aws rekognition search-faces-by-image --collection-id bookings \\
          --image-bytes fileb://still.jpg
    """
    handing.check(export=export, profile=profile, process=process, json=json, revoke=revoke)
    out = Output(as_json=json)
    api = _connect(agency, user, out)
    found = case_id(api, case)
    if revoke:
        told = api.revoke_case_credentials(found)
        out.show("All credentials of the case that were given out until now are of no use any more.")
        out.finish(told.as_json())
        return
    if source is None:
        raise typer.BadParameter("Say where the probes come from.", param_hint="'--source'")
    arguments = ["case", "credentials", found, "--source", source.value, "--minutes", str(minutes)]
    given = api.case_credentials(found, source.value, minutes * 60)
    handing.hand_over(
        out, given, [*arguments, *handing.who(agency, user)], export=export, profile=profile, process=process
    )


def find(api: Api, case: str) -> Case:
    """The case with this id or number. Raises ``NotThere``; ``Ambiguous`` where several have the number."""
    if _ID.fullmatch(case):
        return api.case(case)
    found = [one for page in api.cases() for one in page if one.number == case]
    if not found:
        raise NotThere(
            "There is no case of that number that you may see. `candid case list` shows those there are.", status=404
        )
    if len(found) > 1 and len(still_open := [one for one in found if one.state == CaseState.OPEN]) == 1:
        return still_open[0]
    if len(found) > 1:
        ids = ", ".join(one.case_id for one in found)
        raise Ambiguous(f"{len(found)} cases have that number. Give the id of one: {ids}.")
    return found[0]


def case_id(api: Api, case: str) -> str:
    """The id of the case with this id or number; an id is not looked up."""
    return case if _ID.fullmatch(case) else find(api, case).case_id


def _connect(agency: str | None, user: str | None, out: Output) -> Api:
    return connect(agency=agency, user=user, role=Role.INVESTIGATOR, say=out.note)
