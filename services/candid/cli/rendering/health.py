"""The doctor's findings, one a line, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from candid.cli.health import Check, Verdict
from candid.cli.rendering.tables import row, table
from candid.cli.rendering.words import plural

_WORDS: Final = {Verdict.GOOD: "good", Verdict.ABSENT: "optional", Verdict.MISSING: "missing"}
_STYLES: Final = {Verdict.GOOD: None, Verdict.ABSENT: "yellow", Verdict.MISSING: "bold red"}


def checks(found: Sequence[Check]) -> list[RenderableType]:
    """What is good, what is missing, and whether Candid can run here."""
    made = table("", "What", "Finding")
    for check in found:
        row(made, _WORDS[check.verdict], check.name, check.sentence, style=_STYLES[check.verdict])
    missing = sum(check.verdict is Verdict.MISSING for check in found)
    if missing:
        return [
            made,
            Text(f"{plural(missing, 'thing is', 'things are')} missing that a local Candid needs.", style="bold"),
        ]
    return [made, Text("Nothing that a local Candid needs is missing.", style="bold")]


def as_json(check: Check) -> dict[str, Any]:
    """A finding for a program."""
    return {"name": check.name, "verdict": _WORDS[check.verdict], "sentence": check.sentence}
