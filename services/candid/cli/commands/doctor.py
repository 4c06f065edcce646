"""``candid doctor``: what this machine lacks, in sentences."""

from __future__ import annotations

import typer

from candid.cli import health
from candid.cli.options import Json
from candid.cli.output import Output
from candid.cli.rendering import health as rendering


def command(json: Json = False) -> None:
    """Say what is missing on this machine, and what to do about it.

    Ends with 1 if something is missing that a local Candid needs; what only some things need is said and does no harm.
    """
    out = Output(as_json=json)
    checks = health.all_checks()
    missing = [check for check in checks if check.verdict is health.Verdict.MISSING]
    out.show(*rendering.checks(checks))
    out.finish({"ready": not missing, "checks": [rendering.as_json(check) for check in checks]})
    if missing:
        raise typer.Exit(1)
