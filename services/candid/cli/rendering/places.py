"""Places: one, or a list of them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from candid.cli.answers import Place
from candid.cli.rendering.tables import facts, row, table
from candid.cli.rendering.words import day, minute


def address(told: Place) -> str:
    """As the AWS command line names it."""
    return f"s3://{told.bucket}/{told.prefix}"


def place(told: Place) -> Table:
    """All that is known of a place."""
    return facts(
        [
            ("Place", address(told)),
            ("Registered", f"{minute(told.registered_at)} by {told.registered_by}"),
            ("Id", told.place_id),
        ]
    )


def places(told: Sequence[Place]) -> list[RenderableType]:
    """Places by bucket and prefix."""
    if not told:
        return [Text("Your agency has registered no place.")]
    made = table("Place", "Registered", "By", "Id")
    for one in told:
        row(made, address(one), day(one.registered_at), one.registered_by, one.place_id)
    return [made]
