"""Where words go: tables to stdout and notes to stderr; with ``--json`` all words to stderr and one object to stdout."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from typing import Any, Final

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from candid.errors import CandidError

_PLAIN_WIDTH: Final = 140
"""Columns where nobody has a terminal: a log keeps whole rows."""


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr. NO_COLOR and the absence of a terminal are honoured."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = max(_PLAIN_WIDTH, made.width)
    return made


class Output:
    """What one command says."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.notes = console(stderr=True)
        self.human = self.notes if as_json else console()

    def show(self, *parts: RenderableType) -> None:
        """Show a person tables and sentences. Plain strings are never read as markup."""
        for part in parts:
            _print(self.human, Text(part) if isinstance(part, str) else part)

    def note(self, sentence: str) -> None:
        """Say something beside the result, on stderr."""
        _print(self.notes, Text(sentence))

    def finish(self, result: Mapping[str, Any]) -> None:
        """The result for a program: one line, the last of stdout; nothing without ``--json``."""
        if self.as_json:
            print_json(result)


def ask(question: str) -> None:
    """Ask on stderr whether to delete something. Raises ``CandidError`` unless somebody is there and says yes; ``typer.Abort``
    for Ctrl-C."""
    try:
        # The question's last blank would go to stdout, which is a program's to read.
        with contextlib.redirect_stdout(sys.stderr):
            agreed = typer.confirm(question, err=True)
    except typer.Abort as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise
        print(file=sys.stderr)
        agreed = False
    if not agreed:
        raise CandidError("Nothing was deleted. Give --yes where nobody can be asked, or answer y.")


def complain(*parts: RenderableType) -> None:
    """Say on stderr why something was refused."""
    for part in parts:
        _print(console(stderr=True), part)


def _print(to: Console, part: RenderableType) -> None:
    # A sentence in a log or a pipe stays one line; a terminal gets it wrapped at words.
    to.print(part, soft_wrap=isinstance(part, Text) and not to.is_terminal)


def print_json(result: Mapping[str, Any]) -> None:
    """``result`` as the last line of stdout."""
    sys.stdout.write(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()
