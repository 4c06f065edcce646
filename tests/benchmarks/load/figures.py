"""What the samples of a run amount to, and what must hold of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

FLAT_MB_A_THOUSAND = 1.0
"""So much may a process of Candid's grow, a thousand searches, over the last half of its life: what it warmed up with is over."""
EMULATORS = ("local AWS", "OpenSearch")
"""Not Candid's: the local AWS keeps every object and item in memory."""


@dataclass
class Asked:
    """Searches of one number of clients: seconds each, and every answer's status."""

    clients: int
    importing: bool
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    elapsed: float = 0.0
    without_retry_after: int = 0

    def percentile(self, of: float) -> float:
        """Milliseconds."""
        return 1000 * float(np.percentile(self.seconds, of))

    def as_json(self) -> dict[str, object]:
        """For the report."""
        return {
            "clients": self.clients,
            "importing": self.importing,
            "searches": len(self.seconds),
            "a_second": round(len(self.seconds) / self.elapsed, 2),
            **{f"p{of}_ms": round(self.percentile(of), 1) for of in (50, 95, 99)},
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
        }


@dataclass
class Memory:
    """Resident megabytes of one process, by how many searches had been answered."""

    name: str
    searches: list[int] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def growth(self) -> float:
        """Megabytes a thousand searches, over the last half: the slope of a line through the samples."""
        middle = (self.searches[0] + self.searches[-1]) / 2
        half = [(done, size) for done, size in zip(self.searches, self.megabytes, strict=True) if done >= middle]
        done, size = np.array(half, float).T
        if np.ptp(done) == 0:
            return 0.0
        return 1000 * float(np.polyfit(done, size, 1)[0])

    @property
    def is_candids(self) -> bool:
        """Whether it must be flat."""
        return not self.name.startswith(EMULATORS)

    def as_json(self) -> dict[str, object]:
        """For the report."""
        return {
            "process": self.name,
            "first_mb": round(self.megabytes[0], 1),
            "last_mb": round(self.megabytes[-1], 1),
            "growth_mb_a_thousand": round(self.growth(), 2),
            "must_be_flat": self.is_candids,
        }


def failures(
    asked: Sequence[Asked], memory: Sequence[Memory], *, oldest: float, bound: float, lost: int, unrecorded: int
) -> list[str]:
    """What did not hold, a sentence each."""
    found = []
    for one in asked:
        if wrong := {status: count for status, count in one.statuses.items() if status != 201}:
            found.append(f"{one.clients} clients got other answers than searches: {wrong}.")
    found += [
        f"{one.name} grows by {one.growth():.1f} MB a thousand searches, more than {FLAT_MB_A_THOUSAND:g}."
        for one in memory
        if one.is_candids and one.growth() > FLAT_MB_A_THOUSAND
    ]
    if oldest > bound:
        found.append(f"A photo waited for {oldest:.0f} seconds, longer than {bound:.0f}.")
    if lost:
        found.append(f"{lost} imported photos are not accounted for.")
    if unrecorded:
        found.append(f"{unrecorded} searches are not on record.")
    return found
