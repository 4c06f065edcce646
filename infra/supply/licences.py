"""The licence of everything that is deployed, and whether an agency may run it: ``python -m infra.supply.licences``.

Deployed are the packages of the functions' zip and of the image, and the default model's weights. A package says its licence in
its metadata, each in a way of its own; what can't be read there is written below, as looked up in its sources.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

from infra.supply.locks import CHECKOUT, lock, normal, pins

ALLOWED: Final = frozenset(
    {
        *("MIT", "MIT-0", "MIT-CMU", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "ISC", "Zlib"),
        *("Apache-2.0", "PSF-2.0", "MPL-2.0", "CC0-1.0", "CNRI-Python"),
    }
)
"""SPDX identifiers of licences that ask nothing of who runs the code."""
CARRIED: Final = {
    # libx265; libheif and libde265: LICENSES_bundled.txt of the wheel, whose own metadata name BSD alone.
    "pillow-heif": "GPL-2.0-only AND LGPL-3.0-only",
    # FFmpeg: LICENSE-3RD-PARTY.txt of the wheel.
    "opencv-contrib-python-headless": "LGPL-2.1-or-later",
}
"""Libraries inside a wheel, under licences that ask something of who passes them on. Running them asks nothing."""

READ: Final = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "3 clause bsd license": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "mit license": "MIT",
    "python software foundation license": "PSF-2.0",
}
"""Names in metadata that are no SPDX identifiers."""

LOOKED_UP: Final = {
    "awslambdaric": "Apache-2.0",
    "simplejson": "MIT",
    "snapshot-restore-py": "Apache-2.0",
}
"""Packages that are in the image alone and installed nowhere else."""


@dataclass(frozen=True, slots=True)
class Licence:
    """Of one thing that is deployed: an SPDX expression; and one of the libraries that it carries, if they have others."""

    name: str
    version: str
    expression: str
    carried: str | None = None

    @property
    def whole(self) -> str:
        """Its own and those of what it carries, as one expression."""
        return f"({self.expression}) AND {self.carried}" if self.carried else self.expression

    @property
    def allowed(self) -> bool:
        """Whether each licence that binds is on the list: one is enough where there is a choice (OR)."""
        choices = self.expression.replace("(", "").replace(")", "").split(" OR ")
        return any(all(one.strip() in ALLOWED for one in choice.split(" AND ")) for choice in choices)


def packages() -> Iterator[Licence]:
    """Of every package of the zip and the image."""
    deployed = pins(lock("functions")) | pins(lock("faces")) | pins(lock("runtime"))
    for name, version in sorted(deployed.items()):
        if name in ELSEWHERE:
            continue
        yield Licence(name, version, LOOKED_UP.get(name) or _of(name), CARRIED.get(name))


def default_weights() -> tuple[dict[str, Any], dict[str, Any]]:
    """What ``models.toml`` says of the default detector and model."""
    told = tomllib.loads((CHECKOUT / "services" / "candid" / "faces" / "models.toml").read_text(encoding="utf-8"))
    return told["detector"], told["models"]["sface"]


def weights() -> Iterator[Licence]:
    """Of the default detector and model."""
    for one in default_weights():
        yield Licence(one["weights"], one["sha256"][:12], one["licence"])


ELSEWHERE: Final = frozenset({"colorama", "tzdata", "win32-setctime"})
"""What locks hold for systems that Candid is not deployed on."""


def _of(name: str) -> str:
    try:
        told = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return "not installed here"
    if expression := told.get("License-Expression"):
        return str(expression)
    named = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier", []) if line.startswith("License ::")]
    short = str(told.get("License") or "").strip()
    for said in (short, *named):
        if said in ALLOWED:
            return said
        if known := READ.get(normal(said.split("\n")[0]).replace("-", " ").replace("2 0", "2.0")):
            return known
    return short.split("\n")[0][:40] or ", ".join(named) or "says nothing"


def main() -> int:
    """Print them; 1 where one is not allowed."""
    found = [*packages(), *weights()]
    for one in found:
        carried = f" (and, of libraries inside: {one.carried})" if one.carried else ""
        print(f"{one.name:<40} {one.version:<18} {one.expression}{carried}{'' if one.allowed else '   NOT ALLOWED'}")
    if wrong := [one.name for one in found if not one.allowed]:
        print(
            f"Licences not on the list of infra/supply/licences.py: {', '.join(wrong)}. Look at them before they are deployed."
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
