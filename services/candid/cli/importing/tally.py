"""The count of an import, kept by many threads: what became of each photo, and the first failures in words."""

from __future__ import annotations

import csv
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from candid.cli.images import why
from candid.errors import CandidError

_KEPT_FAILURES: Final = 100


@dataclass(frozen=True, slots=True)
class Subject:
    """What an outcome is about: a photo, by where its row is, its file and its booking."""

    where: str
    path: str = ""
    booking_number: str = ""
    booking_id: str = ""


@dataclass(slots=True)
class Counts:
    """How many photos came to what. ``waiting`` were uploaded and neither enrolled nor rejected when the import ended."""

    total: int = 0
    uploaded: int = 0
    already_there: int = 0
    enrolled: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    bad_rows: int = 0
    waiting: int = 0

    @property
    def handled(self) -> int:
        """Photos that need nothing more from this side."""
        return self.uploaded + self.already_there + self.failed + self.bad_rows

    @property
    def settled(self) -> int:
        """Photos whose enrolment has ended, one way or the other."""
        return self.enrolled + self.rejected.total()


class Tally:
    """Counts and tells. ``say`` gets a line for each failure; ``report``, if open, a row for each photo's end."""

    def __init__(self, total: int, say: Callable[[str], None], report: TextIO | None = None) -> None:
        self.failures: list[dict[str, str]] = []
        self._counts = Counts(total=total)
        self._say = say
        self._lock = threading.Lock()
        self._report: Any = csv.writer(report) if report else None
        self._row("where", "path", "booking_number", "booking_id", "outcome", "reason", "sentence")

    def now(self) -> Counts:
        """The counts at this moment, a copy."""
        with self._lock:
            held = self._counts
            return Counts(
                held.total,
                held.uploaded,
                held.already_there,
                held.enrolled,
                Counter(held.rejected),
                held.failed,
                held.bad_rows,
                held.waiting,
            )

    def uploaded(self) -> None:
        """A photo was taken by the photo store."""
        with self._lock:
            self._counts.uploaded += 1

    def already_there(self) -> None:
        """A photo had arrived before."""
        with self._lock:
            self._counts.already_there += 1

    def enrolled(self, photo: Subject) -> None:
        """A photo is searchable."""
        with self._lock:
            self._counts.enrolled += 1
            self._row(photo.where, photo.path, photo.booking_number, photo.booking_id, "enrolled", "", "")

    def rejected(self, photo: Subject, reason: str, sentence: str) -> None:
        """A photo could not be enrolled, with the server's reason."""
        with self._lock:
            self._counts.rejected[reason] += 1
            self._row(photo.where, photo.path, photo.booking_number, photo.booking_id, "rejected", reason, sentence)

    def failed(self, photo: Subject, sentence: str) -> None:
        """A photo did not get in."""
        self._fail(photo, sentence, "failed")

    def bad_row(self, where: str, sentence: str) -> None:
        """A row could not be read."""
        self._fail(Subject(where), sentence, "bad row")

    def waiting(self, number: int) -> None:
        """So many were left waiting at the end."""
        with self._lock:
            self._counts.waiting = number

    def _fail(self, photo: Subject, sentence: str, outcome: str) -> None:
        with self._lock:
            if outcome == "failed":
                self._counts.failed += 1
            else:
                self._counts.bad_rows += 1
            if len(self.failures) < _KEPT_FAILURES:
                self.failures.append({"where": photo.where, "path": photo.path, "sentence": sentence})
            self._row(photo.where, photo.path, photo.booking_number, photo.booking_id, outcome, "", sentence)
        self._say(f"{photo.where}: {sentence}")

    def _row(self, *cells: str) -> None:
        if self._report is not None:
            self._report.writerow([_harmless(cell) for cell in cells])


def open_report(path: Path) -> TextIO:
    """A CSV file for ``Tally``. Raises ``CandidError`` where there can be none."""
    try:
        return path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise CandidError(f"The report can't be written to {path}: {why(error)}. Name another file.") from error


def _harmless(cell: str) -> str:
    # A spreadsheet would run a cell that begins as a formula does.
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t"} else cell
