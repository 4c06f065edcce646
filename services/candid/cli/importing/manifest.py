"""A manifest: a CSV file with a row a photo.

Columns: ``path`` (relative to the manifest's folder), ``booking_number``, ``subject_id``, ``booked_at`` (ISO 8601); optional
``view`` (frontal, left_profile, right_profile, other) and ``collection``; every other column is a field of the agency's own, its
name in lower case with underscores. Rows with one booking number are photos of one booking. UTF-8; comma, semicolon or tab.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import tzinfo
from pathlib import Path
from typing import Final, TextIO

from candid.cli import moments
from candid.cli.images import why
from candid.cli.importing.rows import BadRow, PhotoRow
from candid.errors import CandidError

REQUIRED: Final = ("path", "booking_number", "subject_id", "booked_at")
_OPTIONAL: Final = ("view", "collection")


class BadManifest(CandidError):
    """The file as a whole can't be read as a manifest."""


class Manifest:
    """The photos that a CSV file names. ``collection`` is for rows that name none; ``zone`` for times without an offset."""

    def __init__(self, path: Path, *, collection: str, zone: tzinfo) -> None:
        self._path = path
        self._collection = collection
        self._zone = zone
        with self._open() as file:
            header, self._delimiter = _header(file, path)
        self._columns = [_normalised(name) for name in header]
        while self._columns and not self._columns[-1]:
            self._columns.pop()  # Spreadsheets write empty columns on the right.
        self._check()

    def count(self) -> int:
        """How many rows there are, empty lines left out."""
        with self._open() as file:
            return sum(1 for _ in self._lines(file))

    def rows(self) -> Iterator[PhotoRow | BadRow]:
        """The rows, each with its line number."""
        with self._open() as file:
            for line, cells in self._lines(file):
                where = f"line {line}"
                if isinstance(cells, str):
                    yield BadRow(where, cells)
                    continue
                try:
                    yield self._row(where, cells)
                except ValueError as error:
                    yield BadRow(where, f"{error}.")

    def _row(self, where: str, cells: list[str]) -> PhotoRow:
        if any(cell.strip() for cell in cells[len(self._columns) :]):
            raise ValueError(f"the row has {len(cells)} cells and the header has {len(self._columns)}")
        told = {name: cell.strip() for name, cell in zip(self._columns, cells, strict=False) if cell.strip()}
        if missing := [name for name in REQUIRED if name not in told]:
            raise ValueError(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
        if any(not text.isprintable() for text in told.values()):
            raise ValueError("the row holds characters that are not UTF-8 or not printable")
        try:
            booked_at = moments.parse(told["booked_at"], self._zone)
        except ValueError as error:
            raise ValueError(f"booked_at: {error}") from None
        own = {name: text for name, text in told.items() if name not in REQUIRED and name not in _OPTIONAL}
        return PhotoRow(
            where=where,
            path=self._path.parent / told["path"],
            booking_number=told["booking_number"],
            subject_id=told["subject_id"],
            booked_at=booked_at,
            collection=told.get("collection", self._collection),
            view=told.get("view"),
            fields=own,
        )

    def _lines(self, file: TextIO) -> Iterator[tuple[int, list[str] | str]]:
        """The cells of each row that is not empty (or what is wrong with it) and its first line's number."""
        reader = csv.reader(file, delimiter=self._delimiter)
        next(reader, None)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, f"this is not CSV from here on ({error}); look for a quotation mark that is not closed."
                continue
            if any(cell.strip() for cell in cells):
                yield line, cells

    def _open(self) -> TextIO:
        try:
            # Bytes that are not UTF-8 become lone surrogates, which are not printable: their row is bad, the others are not.
            return self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
        except OSError as error:
            raise BadManifest(f"{self._path} can't be read: {why(error)}. Check the path.") from error

    def _check(self) -> None:
        if missing := [name for name in REQUIRED if name not in self._columns]:
            raise BadManifest(
                f"{self._path} has no column {', '.join(missing)}. Name {', '.join(REQUIRED)} in its first line."
            )
        if twice := sorted({name for name in self._columns if name and self._columns.count(name) > 1}):
            raise BadManifest(f"{self._path} has the column {', '.join(twice)} more than once. Name each once.")
        if not all(self._columns):
            raise BadManifest(f"{self._path} has a column without a name. Name each.")


def _header(file: TextIO, path: Path) -> tuple[list[str], str]:
    first = file.readline(65_536)
    if not first.strip():
        raise BadManifest(f"{path} is empty. Name the columns in its first line: {', '.join(REQUIRED)}.")
    delimiter = max(",;\t", key=first.count)
    return next(csv.reader([first], delimiter=delimiter)), delimiter


def _normalised(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "_", name.strip().lower()).strip("_")[:64]
