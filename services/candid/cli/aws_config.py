"""Handing credentials to AWS's clients: as variables of a shell, as a ``credential_process``'s answer, or as a profile.

A profile is two sections of the file that the AWS CLI and the SDKs read (``AWS_CONFIG_FILE``, else ``~/.aws/config``): how to get
credentials, and where Rekognition is. The caller's own credentials and profiles stay as they are.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from candid.cli.answers import Credentials
from candid.errors import CandidError

NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_COMMENT: Final = re.compile(r"\s*[#;]")
_SECTION: Final = re.compile(r"^\s*\[(?P<name>[^\]]*)\]")


class ConfigNotWritten(CandidError):
    """The file of AWS's profiles can't be written."""


class NotOurs(CandidError):
    """There is a profile of that name already, which is somebody else's."""


def exported(told: Credentials) -> str:
    """Lines for ``eval`` in a POSIX shell."""
    variables = {
        "AWS_ACCESS_KEY_ID": told.access_key_id,
        "AWS_SECRET_ACCESS_KEY": told.secret_access_key,
        "AWS_SESSION_TOKEN": told.session_token,
        "AWS_REGION": told.region,
        "AWS_DEFAULT_REGION": told.region,
        "AWS_ENDPOINT_URL_REKOGNITION": told.endpoint,
    }
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def process_answer(told: Credentials) -> str:
    """What a ``credential_process`` prints (https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html)."""
    return json.dumps(
        {
            "Version": 1,
            "AccessKeyId": told.access_key_id,
            "SecretAccessKey": told.secret_access_key,
            "SessionToken": told.session_token,
            "Expiration": told.as_json()["Expiration"],
        }
    )


def write_profile(
    name: str, told: Credentials, command: Sequence[str], environ: Mapping[str, str] = os.environ
) -> Path:
    """Make the profile, or make it anew, whose credentials ``command`` prints; the file. Raises ``ConfigNotWritten``,
    ``NotOurs``."""
    path = Path(environ.get("AWS_CONFIG_FILE") or Path.home() / ".aws" / "config").expanduser()
    sections = {
        f"profile {name}": [
            f"credential_process = {' '.join(map(shlex.quote, command))}",
            f"region = {told.region}",
            f"services = {name}",
        ],
        f"services {name}": ["rekognition =", f"  endpoint_url = {told.endpoint}"],
    }
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if name == "default" or _has_keys(name, environ) or not _is_ours(before, name):
            raise NotOurs(
                f"The profile {name} is not one that Candid made, and stays as it is. Name another one with --profile."
            )
        text = _without(before, sections.keys())
        text += "".join(f"\n[{title}]\n" + "\n".join(lines) + "\n" for title, lines in sections.items())
        _replace(path, text.lstrip("\n"))
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigNotWritten(f"{path} can't be written ({why}). Set AWS_CONFIG_FILE to another file.") from None
    return path


def _is_ours(text: str, name: str) -> bool:
    """Whether what stands under the profile's titles, if anything does, is what this module writes."""
    told: dict[str, dict[str, str]] = {}
    title = ""
    for line in text.splitlines():
        if found := _SECTION.match(line):
            title = found["name"].strip()
            told.setdefault(title, {})
        elif line.strip() and not _COMMENT.match(line):
            member, _, value = line.partition("=")
            told.setdefault(title, {})[member.rstrip()] = value.strip()
    profile, services = told.get(f"profile {name}"), told.get(f"services {name}")
    made = profile is None or (
        profile.keys() == {"credential_process", "region", "services"}
        and profile["services"] == name
        and "candid" in profile["credential_process"]
        and profile["credential_process"].endswith("--process")
    )
    return made and (services is None or services.keys() == {"rekognition", "  endpoint_url"})


def _has_keys(name: str, environ: Mapping[str, str]) -> bool:
    """Whether the file of credentials has a profile of that name, which would count before ours."""
    path = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials").expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return False
    return any((found := _SECTION.match(line)) and found["name"].strip() == name for line in text.splitlines())


def _without(text: str, titles: object) -> str:
    kept, leaving_out = [], False
    for line in text.splitlines():
        if found := _SECTION.match(line):
            leaving_out = found["name"].strip() in titles  # type: ignore[operator]
        if not leaving_out or _COMMENT.match(line):
            kept.append(line)
    return "\n".join(kept).rstrip("\n") + ("\n" if kept else "")


def _replace(path: Path, text: str) -> None:
    """In one step, and for its owner alone: no reader sees half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", delete=False) as part:
        part.write(text)
    target = path.resolve() if path.is_symlink() else path
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    Path(part.name).chmod(mode)
    Path(part.name).replace(target)
