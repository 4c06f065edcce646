"""Credentials of a Rekognition client, without what is secret of them; and the profile that gets them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from candid.cli.answers import Credentials
from candid.cli.rendering.tables import facts
from candid.cli.rendering.words import minute


def credentials(told: Credentials, export: Sequence[str]) -> list[RenderableType]:
    """Which they are, and how a client gets them."""
    pairs = [
        ("Access key", told.access_key_id),
        ("Good until", minute(told.expires_at)),
        ("Endpoint", told.endpoint),
        ("Region", told.region),
    ]
    return [
        facts(pairs),
        Text(f'To set them in a shell, give: eval "$({" ".join(map(shlex.quote, export))})"'),
    ]


def profile(name: str, path: Path, told: Credentials) -> list[RenderableType]:
    """What was written, and how it is used."""
    return [
        Text(f"Profile {name} is in {path}. Its credentials come fresh each time, and nothing secret is in the file."),
        Text(f"Try it: aws rekognition list-collections --profile {shlex.quote(name)}   (it goes to {told.endpoint})"),
    ]
