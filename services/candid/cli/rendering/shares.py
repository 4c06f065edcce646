"""Shares: one, or a list of them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from candid.cli.answers import Share
from candid.cli.rendering.tables import facts, row, table
from candid.cli.rendering.words import NONE, day, minute


def share(told: Share) -> Table:
    """All that is known of a share."""
    pairs = [
        ("Collection", f"{told.collection} of {told.agency}"),
        ("Reader", told.reader),
        ("State", _state(told)),
        ("Legal basis", told.legal_basis),
        ("Granted", f"{minute(told.granted_at)} by {told.granted_by}"),
    ]
    if told.revoked_at:
        pairs.append(("Revoked", f"{minute(told.revoked_at)} by {told.revoked_by or 'somebody'}"))
    return facts([*pairs, ("Id", told.share_id)])


def shares(told: Sequence[Share], *, received: bool, more: bool) -> list[RenderableType]:
    """Shares, newest first."""
    if not told:
        return [Text("No agency shares a collection with yours." if received else "Your agency shares no collection.")]
    made = table("Collection", "Of" if received else "Reader", "State", "Granted", "Revoked", "Legal basis", "Id")
    for one in told:
        other = one.agency if received else one.reader
        ended = day(one.revoked_at) if one.revoked_at else NONE
        row(made, one.collection, other, _state(one), day(one.granted_at), ended, one.legal_basis, one.share_id)
    return [made, *([Text("There are more: raise --limit.")] if more else [])]


def _state(told: Share) -> str:
    return told.state.replace("_", " ")
