"""``candid token``: a bearer token of the local stack's own issuer, alone on stdout."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from candid.access.principal import Role
from candid.cli import config
from candid.cli.options import Agency, Json, User
from candid.cli.output import Output
from candid.cli.problems import NotConfigured


def command(
    agency: Agency = None,
    role: Annotated[
        list[Role] | None,
        typer.Option(
            help="What the user may do; may be given several times; investigator if not given.",
            metavar="ROLE",
            show_default=False,
        ),
    ] = None,
    user: User = None,
    hours: Annotated[float, typer.Option(min=0.01, max=12, help="How long it lives.")] = 8.0,
    json: Json = False,
) -> None:
    """Issue a token for the local stack. In AWS your agency's own issuer does that.

    \b
    Example:
      TOKEN=$(candid token --agency washington-county --role records)
    """
    out = Output(as_json=json)
    stack = config.local_stack()
    if stack is None:
        raise NotConfigured(
            "There is no local stack here, and only one of those has an issuer of its own. Start it with `make run`; "
            "in AWS your agency's issuer gives tokens."
        )
    roles = frozenset(role or [Role.INVESTIGATOR])
    tokens = config.local_tokens(stack, agency=agency, user=user, roles=roles)
    lifetime = round(hours * 3600)
    issued = tokens.issue(lifetime)
    if not json:
        print(issued)
    out.finish(
        {
            "token": issued,
            "agency": tokens.agency,
            "user": tokens.user,
            "roles": sorted(roles),
            "expires_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lifetime)),
        }
    )
