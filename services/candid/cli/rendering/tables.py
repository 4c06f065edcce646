"""The one look of all tables: light, nothing cut off, what comes from outside never read as markup."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.table import Table
from rich.text import Text


def table(*columns: str, right: Iterable[str] = (), whole: Iterable[str] = (), title: str | None = None) -> Table:
    """An empty table. ``right`` names the columns of numbers, ``whole`` those that a narrow terminal must not break."""
    to_the_right, unbroken = set(right), set(whole)
    made = Table(
        box=box.SIMPLE_HEAD,
        title=Text(title) if title else None,
        title_justify="left",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in columns:
        made.add_column(
            Text(name),
            justify="right" if name in to_the_right else "left",
            overflow="fold",
            no_wrap=name in unbroken,
        )
    return made


def row(to: Table, *cells: str, style: str | None = None) -> None:
    """Add a row of plain text."""
    to.add_row(*(Text(cell) for cell in cells), style=style)


def facts(pairs: Iterable[tuple[str, str]]) -> Table:
    """Names and what they are, one a line."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(Text(name), Text(value))
    return made
