"""Where the API is and who asks: the environment, else the local stack's ``local.json``. Nothing else looks there.

``CANDID_URL`` and ``CANDID_TOKEN`` name a deployment and a token. Without them the file is looked for in the ``.candid`` of the
current folder and its parents, and tokens are issued on the fly from the laptop's own key pair. ``CANDID_AGENCY`` and
``CANDID_USER`` are defaults of ``--agency`` and ``--user``, ``CANDID_STACK`` of ``--stack``; ``CANDID_DEBUG=1`` shows
tracebacks. ``CANDID_HOME``, ``CANDID_MODELS``, ``CANDID_AWS_PORT``, ``CANDID_FACES_PORT`` and ``CANDID_REKOGNITION_PORT`` mean
what they mean to ``make run``.
"""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from candid.access.principal import AGENCY, Role
from candid.cli.problems import NotConfigured
from candid.cli.tokens import GivenToken, LocalTokens, TokenSource

_HOME: Final = Path(".candid")
_FILE: Final = "local.json"
_LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class LocalStack:
    """A stack on this machine, as ``make run`` describes it."""

    api_url: str
    issuer: str
    keys: Path
    home: Path
    aws_endpoint_url: str = ""
    rekognition_url: str = ""
    stack: str = ""
    agency: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a local stack: what for, the variable that chooses another, and its number."""

    use: str
    variable: str
    number: int


@dataclass(frozen=True, slots=True)
class Target:
    """An API and the token to ask it with. ``agency`` is the token's; None where the token does not show it."""

    url: str
    tokens: TokenSource
    agency: str | None
    local: LocalStack | None


def debugging() -> bool:
    """Whether a traceback is wanted."""
    return os.environ.get("CANDID_DEBUG", "") not in {"", "0"}


def given_url() -> str:
    """``CANDID_URL``, or nothing."""
    return os.environ.get("CANDID_URL", "").rstrip("/")


def given_stack() -> str:
    """``CANDID_STACK``, or nothing."""
    return os.environ.get("CANDID_STACK", "").strip()


def models_folder() -> Path:
    """Where the weights lie on this machine."""
    named = os.environ.get("CANDID_MODELS", "")
    return Path(named) if named else (checkout() or Path.cwd()) / _HOME / "models"


def ports() -> list[Port]:
    """The ports that a local stack would listen on."""
    told = [
        ("the local AWS", "CANDID_AWS_PORT", 4566),
        ("the faces' functions", "CANDID_FACES_PORT", 4567),
        ("Rekognition clients", "CANDID_REKOGNITION_PORT", 4568),
    ]
    given = [(use, variable, os.environ.get(variable, ""), usual) for use, variable, usual in told]
    return [
        Port(use, variable, int(text) if text.isascii() and text.isdigit() else usual)
        for use, variable, text, usual in given
    ]


def checkout() -> Path | None:
    """The checkout that this program was installed from, else the one that the current folder lies in."""
    here = Path.cwd()
    return next(
        (one for one in (Path(__file__).parents[3], here, *here.parents) if (one / "template.yaml").is_file()), None
    )


def local_stack() -> LocalStack | None:
    """The stack whose file lies nearest: in ``CANDID_HOME``, else in ``.candid`` of the current folder or the closest parent.

    Raises ``NotConfigured`` for a damaged file.
    """
    if home := os.environ.get("CANDID_HOME", ""):
        return _read(Path(home)) if (Path(home) / _FILE).is_file() else None
    here = Path.cwd()
    return next((_read(one / _HOME) for one in (here, *here.parents) if (one / _HOME / _FILE).is_file()), None)


def target(*, agency: str | None, user: str | None, roles: frozenset[Role]) -> Target:
    """Where to ask and as whom. ``agency`` and ``user`` win over the environment; ``roles`` are what a local token gets.

    Raises ``NotConfigured`` with what to do about it.
    """
    agency = agency or os.environ.get("CANDID_AGENCY") or None
    stack = local_stack()
    url, token = given_url(), os.environ.get("CANDID_TOKEN", "").strip()
    if not url:
        if stack is None:
            raise NotConfigured(
                "No Candid is known here. Start one with `make run`, or set CANDID_URL and CANDID_TOKEN to use one elsewhere."
            )
        url = stack.api_url
    _check_url(url)
    if token:
        return _with_token(url, token, agency, stack)
    if stack is None or url != stack.api_url:
        raise NotConfigured("CANDID_URL is set and CANDID_TOKEN is not. Set it to a token of your agency's issuer.")
    tokens = local_tokens(stack, agency=agency, user=user, roles=roles)
    return Target(url, tokens, tokens.agency, stack)


def local_tokens(stack: LocalStack, *, agency: str | None, user: str | None, roles: frozenset[Role]) -> LocalTokens:
    """Tokens of the local stack's own issuer. Raises ``NotConfigured``."""
    agency = agency or os.environ.get("CANDID_AGENCY") or stack.agency
    if not agency:
        raise NotConfigured("It is not known which agency you work for. Name it with --agency, or set CANDID_AGENCY.")
    if not AGENCY.fullmatch(agency):
        raise NotConfigured(
            "An agency's name is 2 to 64 of a-z, 0-9 and hyphens, with no hyphen at either end. Check it."
        )
    return LocalTokens(stack.issuer, stack.keys, agency, user or os.environ.get("CANDID_USER") or _login(), roles)


def _with_token(url: str, token: str, agency: str | None, stack: LocalStack | None) -> Target:
    given = GivenToken(token)
    if agency and given.agency and agency != given.agency:
        raise NotConfigured(
            f"The token in CANDID_TOKEN is {given.agency}'s, and you asked for {agency}. "
            f"Unset CANDID_TOKEN, or set it to a token of {agency}."
        )
    return Target(url, given, given.agency, stack)


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NotConfigured(
            "CANDID_URL is not an address. Set it to the stack's output ApiUrl, which begins with https://."
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise NotConfigured(
            "CANDID_URL must be https: over http anybody on the way could read the token and the photos. "
            "Set it to the stack's output ApiUrl."
        )


def _read(home: Path) -> LocalStack:
    path = home / _FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        keys = Path(told["keys"])
        return LocalStack(
            api_url=str(told["api_url"]).rstrip("/"),
            issuer=str(told["issuer"]),
            # A relative folder is the checkout's, which holds ``.candid``.
            keys=keys if keys.is_absolute() else home.absolute().parent / keys,
            home=home.absolute(),
            aws_endpoint_url=str(told.get("aws_endpoint_url") or ""),
            rekognition_url=str(told.get("rekognition_url") or ""),
            stack=str(told.get("stack") or ""),
            agency=str(told.get("agency") or ""),
            outputs=dict(told.get("outputs") or {}),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise NotConfigured(
            f"{path} is damaged. Stop the local stack and start it again (`make stop`, `make run`)."
        ) from None


def _login() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        name = ""
    return re.sub(r"[^\x21-\x7e]", "-", name)[:128] or "local"
