"""A command's session: the API to ask, as whom, and how its waits are told. Built from ``config`` and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from candid.access.principal import Role
from candid.cli import config
from candid.cli.api import Api
from candid.cli.client import Client


def connect(*, agency: str | None, user: str | None, role: Role, say: Callable[[str], None]) -> Api:
    """The API as ``config`` finds it. On a local stack the token gets ``role``, what the command needs and no more."""
    target = config.target(agency=agency, user=user, roles=frozenset({role}))
    return Api(Client(target.url, target.tokens, say=say))
