"""What an import came to, as a table and a sentence, and as one object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from candid.cli.importing.tally import Counts
from candid.cli.rendering.tables import row, table
from candid.cli.rendering.words import count, duration, plural


def summary(counts: Counts, seconds: float, *, waited: bool) -> list[RenderableType]:
    """The table at an import's end."""
    made = table("Photos", "", right=("Photos",))
    row(made, count(counts.uploaded), "uploaded")
    row(made, count(counts.already_there), "already there")
    row(made, count(counts.enrolled), "enrolled", style="bold")
    for reason, number in sorted(counts.rejected.items(), key=lambda item: (-item[1], item[0])):
        row(made, count(number), f"rejected: {reason}")
    if counts.waiting:
        row(made, count(counts.waiting), "still waiting for enrolment")
    row(made, count(counts.failed + counts.bad_rows), _failed(counts))
    done = counts.uploaded + counts.already_there
    rate = f" ({done / seconds:.1f} photos/s)" if done and seconds >= 1 else ""
    said: list[RenderableType] = [made, Text(f"{plural(done, 'photo')} in {duration(seconds)}{rate}.")]
    if not waited:
        said.append(Text("Enrolment goes on by itself; `candid status` shows how far it is."))
    return said


def as_json(
    counts: Counts, failures: Sequence[dict[str, str]], seconds: float, *, interrupted: bool, stopped_by: str | None
) -> dict[str, Any]:
    """The same for a program; ``failures`` are the first hundred."""
    told: dict[str, Any] = {
        "total": counts.total,
        "uploaded": counts.uploaded,
        "already_there": counts.already_there,
        "enrolled": counts.enrolled,
        "rejected": dict(counts.rejected),
        "waiting": counts.waiting,
        "failed": counts.failed,
        "bad_rows": counts.bad_rows,
        "failures": list(failures),
        "seconds": round(seconds, 2),
        "photos_per_second": round((counts.uploaded + counts.already_there) / seconds, 2) if seconds else 0.0,
        "interrupted": interrupted,
    }
    return told | ({"stopped_by": stopped_by} if stopped_by else {})


def _failed(counts: Counts) -> str:
    if not counts.bad_rows:
        return "failed"
    return f"failed ({plural(counts.bad_rows, 'bad row')} among them)"
