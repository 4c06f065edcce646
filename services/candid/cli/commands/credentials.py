"""``candid case credentials`` and ``candid credentials``: what a Rekognition client signs its calls with."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from candid.access.principal import Role
from candid.cli import aws_config, config
from candid.cli.answers import Credentials
from candid.cli.options import Agency, Json, User
from candid.cli.output import Output
from candid.cli.rendering import credentials as rendering
from candid.cli.session import connect

Minutes = Annotated[int, typer.Option(min=15, max=720, help="How long they are good for.")]
Export = Annotated[bool, typer.Option("--export", help='Print shell variables alone, for eval "$(…)".')]
Profile = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Write an AWS profile of that name, whose credentials come fresh each time; nothing secret is in it.",
        show_default=False,
    ),
]
Process = Annotated[bool, typer.Option("--process", help="Print what an AWS profile's credential_process prints.")]


def command(
    minutes: Minutes = 60,
    export: Export = False,
    profile: Profile = None,
    process: Process = False,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Take all of the agency's back that were given out.")
    ] = False,
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Credentials for a Rekognition client that indexes and reads faces. They search nothing: for that a case has its own.

    \b
    Example:
      eval "$(candid credentials --export)"
      aws rekognition list-collections
    """
    check(export=export, profile=profile, process=process, json=json, revoke=revoke)
    out = Output(as_json=json)
    api = connect(agency=agency, user=user, role=Role.RECORDS, say=out.note)
    if revoke:
        at = api.revoke_credentials()
        out.show("All credentials for records that were given out until now are of no use any more.")
        out.finish(at.as_json())
        return
    told = api.records_credentials(minutes * 60)
    arguments = ["credentials", "--minutes", str(minutes), *who(agency, user)]
    hand_over(out, told, arguments, export=export, profile=profile, process=process)


def check(*, export: bool, profile: str | None, process: bool, json: bool, revoke: bool) -> None:
    """Raise ``BadParameter`` for options that contradict each other, or a profile's name that is none."""
    if sum((export, profile is not None, process, revoke)) > 1 or ((export or process) and json):
        raise typer.BadParameter(
            "Give one of --export, --profile, --process and --revoke (and --json with no --export)."
        )
    if profile is not None and not aws_config.NAME.fullmatch(profile):
        raise typer.BadParameter("A profile's name is 1 to 64 of A-Z, a-z, 0-9, _, . and -.", param_hint="'--profile'")


def hand_over(
    out: Output, told: Credentials, arguments: Sequence[str], *, export: bool, profile: str | None, process: bool
) -> None:
    """Say credentials in the way that was asked for; ``arguments`` get them again."""
    if export:
        print(aws_config.exported(told))
    elif process:
        print(aws_config.process_answer(told))
    elif profile:
        path = aws_config.write_profile(profile, told, _again([*arguments, "--process"]))
        out.show(*rendering.profile(profile, path, told))
        out.finish({"profile": profile, "file": str(path), "endpoint": told.endpoint, "region": told.region})
    else:
        out.show(*rendering.credentials(told, ["candid", *arguments, "--export"]))
        out.finish(told.as_json())


def _again(arguments: Sequence[str]) -> list[str]:
    """A command that works from any folder: AWS's clients run it wherever they are."""
    program = shutil.which("candid") or str(Path(sys.executable).with_name("candid"))
    stack = config.local_stack()
    told = {"CANDID_URL": config.given_url()} if config.given_url() else {}
    if not told and stack is not None:
        told = {"CANDID_HOME": str(stack.home)}
    return [*(("env", *(f"{name}={value}" for name, value in told.items())) if told else ()), program, *arguments]


def who(agency: str | None, user: str | None) -> list[str]:
    """The options that say again who asks."""
    agency, user = agency or os.environ.get("CANDID_AGENCY"), user or os.environ.get("CANDID_USER")
    return [*(["--agency", agency] if agency else []), *(["--user", user] if user else [])]
