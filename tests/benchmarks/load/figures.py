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
SEARCHED = 201
UNANSWERED = 0
"""In the place of a status: the connection broke, or nothing came in time."""
REFUSALS = frozenset({429, 503})
"""What may be answered where a limit is reached."""
PERCENTILES = (50, 95, 99)


@dataclass
class Asked:
    """Searches of one number of clients: seconds each, and every answer's status."""

    clients: int
    importing: bool
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    elapsed: float = 0.0
    without_retry_after: int = 0
    longest_retry_after: int = 0

    def note(self, seconds: float, status: int, retry_after: str | None) -> None:
        """One answer. A refusal's Retry-After must be whole seconds, at least one."""
        self.seconds.append(seconds)
        self.statuses[status] += 1
        if status in REFUSALS:
            wait = int(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else 0
            self.without_retry_after += wait == 0
            self.longest_retry_after = max(self.longest_retry_after, wait)

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
            **{f"p{of}_ms": round(self.percentile(of), 1) for of in PERCENTILES},
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


def over_alone(alone: Asked, importing: Asked) -> dict[str, float]:
    """How many times as long a search takes while photos arrive, by percentile."""
    return {f"p{of}": round(importing.percentile(of) / alone.percentile(of), 2) for of in PERCENTILES}


def limit_failures(asked: Asked, *, recorded: int, unaccounted: int, after_the_wait: int) -> list[str]:
    """What did not hold where a limit was reached, a sentence each. A search whose worker ended before it could answer is refused
    with 503 and may be stored all the same, so that the same request again finds it; one that was answered must be."""
    found = []
    if wrong := {status: count for status, count in asked.statuses.items() if status not in {SEARCHED, *REFUSALS}}:
        found.append(f"Other answers came than searches, 429 and 503: {wrong}.")
    if not asked.statuses[SEARCHED] or not asked.statuses[429]:
        found.append(f"The limit was not reached from below: {dict(asked.statuses)}.")
    if asked.without_retry_after:
        found.append(f"{asked.without_retry_after} refusals came without Retry-After.")
    if not 0 <= recorded - asked.statuses[SEARCHED] <= asked.statuses[503]:
        found.append(f"{asked.statuses[SEARCHED]} searches were answered and {recorded} are on record.")
    if unaccounted:
        found.append(f"{unaccounted} imported photos are not accounted for.")
    if after_the_wait != SEARCHED:
        found.append(f"After as long as Retry-After said a search was answered with {after_the_wait}.")
    return found


def failures(
    asked: Sequence[Asked],
    memory: Sequence[Memory],
    *,
    oldest: float,
    bound: float,
    lost: int,
    unrecorded: int,
    ended: Sequence[str] = (),
) -> list[str]:
    """What did not hold, a sentence each."""
    found = []
    for one in asked:
        if wrong := {status: count for status, count in one.statuses.items() if status != SEARCHED}:
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
    # Whoever takes its place begins small, and what it had grown by would go unseen.
    found += [f"{name} ended while it was watched." for name in ended]
    return found
