"""Asks the advisory service (PyPI's, by pip-audit) whether a locked package has a known flaw: ``python -m infra.supply.audit``.

A flaw fails the check. A service that is not reached does not, and is said: nothing was learnt then, neither good nor bad.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.supply.locks import APART, TOGETHER, lock, pins

ACCEPTED: Final[dict[str, str]] = {}
"""Flaws (by id) that do not touch Candid, each with the reason."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found: flaws in sentences, how many packages were looked up, how many could not be."""

    flaws: tuple[str, ...]
    looked_up: int
    unknown: int


def judge(told: Sequence[dict[str, Any]]) -> Audit:
    """pip-audit's list of dependencies, judged."""
    flaws = {
        f"{one['name']} {one['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version yet'}"
        for one in told
        for flaw in one.get("vulns", ())
        if flaw["id"] not in ACCEPTED
    }
    names = {one["name"]: "skip_reason" in one for one in told}
    return Audit(tuple(sorted(flaws)), sum(not skipped for skipped in names.values()), sum(names.values()))


def main() -> int:
    """1 where a package has a known flaw."""
    told: list[dict[str, Any]] = []
    for sets in (TOGETHER, APART):  # Each has one version of a package, which is what pip-audit takes.
        every = {f"{name}=={version}" for one in sets for name, version in pins(lock(one)).items()}
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
            listed.write("\n".join(sorted(every)))
            listed.flush()
            command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--format", "json"]
            command += ["--progress-spinner", "off", "--timeout", "10", "--requirement", listed.name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            told += json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            print(done.stderr.strip().rpartition("\n")[2])
            print("The advisory service is not reached from here: nothing was learnt.")
            return 0
    found = judge(told)
    for flaw in found.flaws:
        print(flaw)
    if found.looked_up:
        print(f"{found.looked_up} packages were looked up; of {found.unknown} the advisory service knows nothing.")
    else:
        print(f"The advisory service knows none of {found.unknown} packages from here: nothing was learnt.")
    return 1 if found.flaws else 0


if __name__ == "__main__":
    sys.exit(main())
