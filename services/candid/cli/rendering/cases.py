"""Cases: one, or a list of them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from candid.cli.answers import Case
from candid.cli.rendering.tables import facts, row, table
from candid.cli.rendering.words import day, minute


def case(told: Case) -> Table:
    """All that is known of a case."""
    pairs = [
        ("Case", told.number),
        ("Id", told.case_id),
        ("State", told.state),
        ("Purpose", told.purpose),
        ("Legal basis", told.legal_basis),
        ("Officer", told.officer),
        ("Agency", told.agency),
        ("Opened", minute(told.opened_at)),
    ]
    if told.closed_at:
        pairs.append(("Closed", f"{minute(told.closed_at)} by {told.closed_by or 'somebody'}"))
    if told.credentials_revoked_at:
        pairs.append(("Credentials", f"revoked {minute(told.credentials_revoked_at)}"))
    return facts(pairs)


def cases(told: Sequence[Case], *, more: bool) -> list[RenderableType]:
    """Cases, newest first."""
    if not told:
        return [Text("There is no such case. Open one with: candid case open")]
    made = table("Number", "State", "Purpose", "Officer", "Opened", "Id")
    for one in told:
        row(made, one.number, one.state, one.purpose, one.officer, day(one.opened_at), one.case_id)
    return [made, *([Text("There are more: raise --limit.")] if more else [])]
