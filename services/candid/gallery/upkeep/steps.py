"""Upkeep takes longer than a function may run: it is done in steps, and a cursor says where the next one goes on.

A cursor is plain JSON that the caller carries; one that is lost costs the walk so far and nothing else, since each step looks
at what is there before it changes anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

STEP_SECONDS: Final = 15.0
SPARE_SECONDS: Final = 10.0
"""A step ends so long before the invocation does."""

Cursor = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Budget:
    """The time of one step."""

    seconds: float = STEP_SECONDS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _begun: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begun.append(self.clock())

    @classmethod
    def within(cls, seconds: float) -> Budget:
        """The time of a step in an invocation that has ``seconds`` left."""
        return cls(max(0.0, min(STEP_SECONDS, seconds - SPARE_SECONDS)))

    def left(self) -> float:
        """Seconds; at least 0."""
        return max(0.0, self.seconds - (self.clock() - self._begun[0]))

    def wait(self, most: float) -> None:
        """Wait for ``most`` seconds, or as long as the step lasts."""
        self.sleep(min(most, self.left()))


@dataclass(frozen=True, slots=True)
class Step:
    """What a step found. ``cursor`` begins the next one, and is None where all is done."""

    told: Mapping[str, Any]
    cursor: Cursor | None = None

    def as_json(self) -> dict[str, Any]:
        """As the function answers."""
        return {**self.told, "done": self.cursor is None, **({} if self.cursor is None else {"cursor": self.cursor})}
