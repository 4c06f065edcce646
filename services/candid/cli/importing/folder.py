"""A folder of photos without a manifest: what is not said is read from names.

The file's name without its ending is the booking number. The subject is the name of the folder that the photo lies in, or the
file's name where the photo lies at the top. ``booked_at`` is the file's modification time, or one time given for all. Files
whose names do not end as an image's, and hidden ones, are left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from candid.cli.images import has_image_suffix, why
from candid.cli.importing.rows import BadRow, PhotoRow


class Folder:
    """The photos below a folder, in the order of their names. ``booked_at``, if given, is for all of them."""

    def __init__(self, path: Path, *, collection: str, booked_at: datetime | None) -> None:
        self._path = path
        self._collection = collection
        self._booked_at = booked_at

    def count(self) -> int:
        """How many files there are that look like photos."""
        return sum(1 for _ in self._files(self._path))

    def rows(self) -> Iterator[PhotoRow | BadRow]:
        """The photos."""
        for found in self._files(self._path):
            if isinstance(found, BadRow):
                yield found
                continue
            where = str(found.relative_to(self._path))
            try:
                booked_at = self._booked_at or datetime.fromtimestamp(found.stat().st_mtime, UTC)
            except (OSError, OverflowError, ValueError):
                yield BadRow(where, "its modification time can't be read.")
                continue
            subject = found.stem if found.parent == self._path else found.parent.name
            if not (found.stem.isprintable() and subject.isprintable()):
                yield BadRow(ascii(where), "its name is not printable text.")
                continue
            yield PhotoRow(where, found, found.stem, subject, booked_at, self._collection)

    def _files(self, folder: Path) -> Iterator[Path | BadRow]:
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        except OSError as error:
            yield BadRow(str(folder), f"the folder can't be read: {why(error)}.")
            return
        for name in names:
            path = folder / name
            # A linked folder is not entered: it may lead back up.
            if path.is_dir():
                if not path.is_symlink():
                    yield from self._files(path)
            elif has_image_suffix(path):
                yield path
