"""What became of a photo or a change, in words that may be logged: kinds, reason words, milliseconds."""

from __future__ import annotations

import enum
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from candid.errors import PhotoRefused


class Kind(enum.StrEnum):
    """What was done about a hint."""

    ENROLLED = "enrolled"
    REJECTED = "rejected"
    REMOVED = "removed"
    UNCHANGED = "unchanged"
    ERASED = "erased"
    FOLLOWED = "followed"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, why (a reason word), and how long each part took (milliseconds)."""

    kind: Kind
    reason: str | None = None
    milliseconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a photo is not enrolled: data of its record, not a failure. ``reason`` is one word, ``sentence`` is for a clerk;
    ``reasons`` and ``quality`` hold what was measured, as the API shows it."""

    reason: str
    sentence: str
    reasons: Sequence[Mapping[str, Any]] = ()
    quality: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, refusal: PhotoRefused) -> Rejection:
        """What a refusal by ``candid.faces`` or ``candid.storage`` leaves in the record."""
        members = refusal.members
        return cls(refusal.reason, str(refusal), tuple(members.get("reasons", ())), members.get("quality"))


class Stopwatch:
    """Milliseconds by part of the work; a part that comes up again is added to."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time inside the ``with`` to ``name``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - started) * 1000
            self.milliseconds[name] = self.milliseconds.get(name, 0.0) + spent
