"""What runs now. Both files are gone after a clean stop.

``processes.json`` names the processes from their first second; ``local.json`` tells other commands where everything is, once it
answers.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local import emulator
from infra.local.places import Places
from infra.local.processes import Process

_FACES_PATIENCE = 10
_OPENSEARCH_PATIENCE = 60


@dataclass(slots=True)
class Running:
    """The processes of one local Candid; None for one that is not ours or not started."""

    places: Places
    emulator: Process | None = None
    faces: Process | None = None
    opensearch: Process | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Those of an earlier command."""

    def any_lives(self) -> bool:
        """Whether at least one process runs."""
        return any(process.is_running() for process in self._named().values())

    def all_live(self) -> bool:
        """Whether everything that was started runs."""
        expected = {"faces"} if self.places.foreign_aws else {"faces", "emulator"}
        named = self._named()
        return expected <= named.keys() and all(process.is_running() for process in named.values())

    def ended(self) -> list[str]:
        """The names of those that were started and do not run."""
        return [name for name, process in self._named().items() if not process.is_running()]

    def save(self, *, stopping: bool = False) -> None:
        """Write down which processes are ours, whose gallery they serve, and whether somebody is ending them."""
        told = {name: process.to_json() for name, process in self._named().items()}
        _write(_record(self.places), {"processes": told, "settings": self.places.settings, "stopping": stopping})

    def describe(self, told: Mapping[str, Any]) -> None:
        """Tell other commands where everything is."""
        _write(self.places.description, told)

    def stop(self) -> bool:
        """End every process: the local AWS first, which saves its state and sends no more work, the index last.

        False if the local AWS could not save.
        """
        self.save(stopping=True)
        saved = emulator.stop(self.places, self.emulator) if self.emulator else True
        if self.faces:
            self.faces.stop(_FACES_PATIENCE)
        if self.opensearch:
            self.opensearch.stop(_OPENSEARCH_PATIENCE)
        _record(self.places).unlink(missing_ok=True)
        self.places.description.unlink(missing_ok=True)
        return saved

    def _named(self) -> dict[str, Process]:
        named = {"emulator": self.emulator, "faces": self.faces, "opensearch": self.opensearch}
        return {name: process for name, process in named.items() if process}


def recorded(places: Places) -> Running | None:
    """What an earlier command started here and has not ended, with the gallery that it serves; its processes may have died."""
    told = _read(_record(places))
    if told is None:
        return None
    found = {name: Process.from_json(process) for name, process in told["processes"].items()}
    settings = told.get("settings", {})
    theirs = dataclasses.replace(
        places,
        model=settings.get("MODEL", places.model),
        index_kind=settings.get("INDEX", places.index_kind),
        foreign_aws=settings.get("AWS_ENDPOINT_URL", "") if settings else places.foreign_aws,
    )
    return Running(theirs, found.get("emulator"), found.get("faces"), found.get("opensearch"), settings)


def is_being_stopped(places: Places) -> bool:
    """Whether some command ends, or has ended, what ran here."""
    told = _read(_record(places))
    return told is None or bool(told.get("stopping"))


def described(places: Places) -> dict[str, Any] | None:
    """``local.json``, if a stack is up."""
    return _read(places.description)


def _record(places: Places) -> Path:
    return places.home / "processes.json"


def _write(path: Path, told: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(told, indent=2) + "\n")
    part.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return told
