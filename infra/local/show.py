"""What a newcomer reads at the end of ``make run``: the two searches, the addresses, a token, and commands to try."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from candid.cli.answers import Search
from candid.cli.output import console
from candid.cli.rendering import candidates
from infra.local.demo import FIRST_CASE, LAKESIDE, RIDGEPORT
from infra.local.places import CHECKOUT


def searches(enrolled: Search, stranger: Search) -> None:
    """Both answers, each under a sentence that says what was asked."""
    out = console()
    _search(out, "Search 1: another photo of a person whom Lakeside has booked", enrolled)
    _search(out, "Search 2: a person whom Lakeside has never booked", stranger)
    out.print(f"({RIDGEPORT} has booked that person; an agency's gallery is its own until it shares it.)", style="dim")


def summary(
    told: Mapping[str, Any], token_file: Path, logs: Path, *, stays: bool, searchable: bool, case: str | None
) -> None:
    """Addresses, the token, commands to try, and how to end it. ``searchable``: whether the model is calibrated; ``case``: the
    number of one that is open."""
    out = console()
    out.print()
    out.print(Rule("Candid is up", style="green", align="left"))
    rows = [
        ("API", told["api_url"]),
        ("Rekognition", f"{told['rekognition_url']}   (AWS_ENDPOINT_URL_REKOGNITION; `candid case credentials`)"),
        ("Token issuer", f"{told['issuer']}/.well-known/jwks.json"),
        ("Local AWS", f"{told['aws_endpoint_url']}   (AWS_ENDPOINT_URL; any credentials, region us-east-1)"),
        ("Index", _index(told)),
        ("Photos bucket", told["outputs"].get("PhotosBucketName", "")),
        ("Token", f"{_short(token_file)}   (user det.rivera of {LAKESIDE}, investigator and records, 8 hours)"),
        ("Logs", f"make logs   ({_short(logs)}/)"),
    ]
    for name, value in rows:
        out.print(Text.assemble((f"  {name:<14}", "bold"), value), soft_wrap=True)
    candid = _short(CHECKOUT / ".venv/bin/candid")
    probe = _short(CHECKOUT / ".candid/samples/person_a_2.jpg")
    opening = f'{candid} case open {FIRST_CASE} --purpose criminal_investigation --legal-basis "warrant 26-W-118"'
    search = f"{candid} search {probe} --case {case or FIRST_CASE} --source surveillance_still --agency {LAKESIDE}"
    commands = [
        (
            "Ask the API",
            f'curl -s -H "Authorization: Bearer $(cat {shlex.quote(_short(token_file))})" {told["api_url"]}/v1/bookings',
        ),
        *([("Open a case", f"{opening} --agency {LAKESIDE}")] if searchable and not case else []),
        ("Search a face", search) if searchable else ("Find faces", f"{candid} detect {probe} --agency {LAKESIDE}"),
        ("Import a folder", f"{candid} import FOLDER --agency {LAKESIDE}"),
    ]
    out.print("\n  Try, in another terminal:" if stays else "\n  Try:")
    for name, command in commands:
        out.print(Text.assemble((f"  {name:<16}", "bold"), command), soft_wrap=True)
    out.print()
    end = "Ctrl-C ends it and keeps the gallery" if stays else "`make stop` ends it and keeps the gallery"
    out.print(f"  {end}; `make run FRESH=1` starts with an empty one.", markup=False, highlight=False)
    out.print(
        "  The gallery's tables are saved when it ends: a kill -9 of the local AWS loses what came since the last clean end."
    )


def _search(out: Console, title: str, answer: Search) -> None:
    out.print()
    out.print(Rule(title, style="cyan", align="left"))
    for part in candidates.search(answer, links=False):
        out.print(part, soft_wrap=isinstance(part, Text) and not out.is_terminal)


def _index(told: Mapping[str, Any]) -> str:
    if url := told["opensearch_url"]:
        return f"OpenSearch {told['opensearch_version']} at {url}   (INDEX=embedded: a file, a gallery of its own)"
    return "embedded   (INDEX=opensearch: a real OpenSearch node, and a gallery of its own)"


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
