"""The policy: what a search may be for, and with what. A file (``policy.toml``), read once, its digest in every record.

Not here: enforcing it on a request (``cases``, ``searches``); this says what the rules are, and refuses in their words.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from candid.errors import InvalidRequest, PolicyRefusal

LEAST_LIST: Final = 2
MOST_LIST: Final = 50
"""A list of one would be taken for an identification (FBI NGI guide)."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a case may be for. One that ``needs_approval`` is refused until approvals exist."""

    title: str
    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Where a probe may come from, or ``why`` it may not."""

    allowed: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules. ``sha256`` is of the file's bytes, hexadecimal."""

    version: str
    sha256: str
    purposes: Mapping[str, Purpose]
    sources: Mapping[str, Source]
    list_cap: int
    list_default: int
    default_fmr: float
    default_expected_false_candidates: float
    loosest_fmr: float
    all_faces: bool

    @property
    def mark(self) -> dict[str, str]:
        """What records keep of the policy that they were made under."""
        return {"version": self.version, "sha256": self.sha256}

    def require_purpose(self, name: str) -> None:
        """Raise ``InvalidRequest`` for a purpose that is not on the list, ``PolicyRefusal`` for one that needs approval."""
        purpose = self.purposes.get(name)
        if purpose is None:
            raise InvalidRequest(
                f"There is no such purpose. The policy's are: {', '.join(self.purposes)}.",
                fields=[{"field": "purpose", "problem": "is not one of the policy's purposes"}],
            )
        if purpose.needs_approval:
            raise PolicyRefusal(
                f"The purpose {name} needs a supervisor's approval, which this version of Candid can't record yet.",
                policy=f"purposes.{name}.needs_approval",
            )

    def require_source(self, name: str) -> None:
        """Raise ``PolicyRefusal`` for a source that probes may not come from."""
        source = self.sources.get(name)
        if source is None or not source.allowed:
            why = source.why if source else "The policy does not name this source."
            raise PolicyRefusal(why, policy=f"probe_sources.{name}.allowed")

    def require_threshold(self, fmr: float | None) -> None:
        """Raise ``PolicyRefusal`` for a threshold looser than any search may have."""
        if fmr is not None and fmr > self.loosest_fmr * (1 + 1e-9):
            raise PolicyRefusal(
                f"The threshold is looser than the policy allows: a false match rate of {self.loosest_fmr:g} at most.",
                policy="threshold.loosest_fmr",
            )

    def require_all_faces(self) -> None:
        """Raise ``PolicyRefusal`` where every face of a probe may not be searched."""
        if not self.all_faces:
            raise PolicyRefusal(
                "Searching every face of an image is not allowed: bystanders are suspected of nothing. Name one face.",
                policy="faces.all",
            )

    def list_length(self, asked: int | None) -> int:
        """How long a candidate list may be. Raises ``PolicyRefusal`` for a longer one than the cap."""
        if asked is None:
            return min(self.list_default, self.list_cap)
        if asked > self.list_cap:
            raise PolicyRefusal(f"A candidate list has at most {self.list_cap} candidates.", policy="list.cap")
        return asked


@cache
def policy() -> Policy:
    """The process's policy, from ``policy.toml``. Raises ``ValueError`` for a file that is not one, naming what is wrong."""
    return parse(resources.files("candid.casework").joinpath("policy.toml").read_bytes())


def parse(data: bytes) -> Policy:
    """The policy that a file's bytes hold. Raises ``ValueError``."""
    try:
        told: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
        parsed = Policy(
            version=str(told["version"]),
            sha256=hashlib.sha256(data).hexdigest(),
            purposes={name: Purpose(**entry) for name, entry in told["purposes"].items()},
            sources={name: Source(**entry) for name, entry in told["probe_sources"].items()},
            list_cap=int(told["list"]["cap"]),
            list_default=int(told["list"]["default"]),
            default_fmr=float(told["threshold"]["fmr"]),
            default_expected_false_candidates=float(told["threshold"]["expected_false_candidates"]),
            loosest_fmr=float(told["threshold"]["loosest_fmr"]),
            all_faces=bool(told["faces"]["all"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"policy.toml is not a policy: {error}") from error
    if not LEAST_LIST <= parsed.list_default <= parsed.list_cap <= MOST_LIST:
        raise ValueError("policy.toml: a list has 2 to 50 candidates, and the default is at most the cap.")
    if not 0 < parsed.default_fmr <= parsed.loosest_fmr <= 1 or parsed.default_expected_false_candidates <= 0:
        raise ValueError(
            "policy.toml: 0 < threshold.fmr ≤ threshold.loosest_fmr ≤ 1, and expected_false_candidates above 0."
        )
    return parsed
