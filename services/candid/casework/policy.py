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
from types import MappingProxyType
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from candid.errors import InvalidRequest, PolicyRefusal

LEAST_LIST: Final = 2
MOST_LIST: Final = 50
"""A list of one would be taken for an identification (FBI NGI guide)."""

Text = Annotated[str, Field(min_length=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Length = Annotated[int, Field(ge=LEAST_LIST, le=MOST_LIST)]


class _Table(BaseModel):
    """A table of the file. Strict, because a rule read loosely is another rule: ``allowed = "false"`` must not allow."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Purpose(_Table):
    """What a case may be for. One that ``needs_approval`` is refused until approvals exist."""

    title: Text
    needs_approval: bool = False


class Source(_Table):
    """Where a probe may come from, or ``why`` it may not."""

    allowed: bool
    why: str = ""

    @model_validator(mode="after")
    def _explained(self) -> Self:
        if not self.allowed and not self.why:
            raise ValueError("a source that is not allowed says why")
        return self


class _List(_Table):
    cap: Length
    default: Length

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.default > self.cap:
            raise ValueError("default is at most cap")
        return self


class _Threshold(_Table):
    fmr: Rate
    expected_false_candidates: Annotated[float, Field(gt=0)]
    loosest_fmr: Rate

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fmr > self.loosest_fmr:
            raise ValueError("fmr is at most loosest_fmr")
        return self


class _Faces(_Table):
    all: bool


class _File(_Table):
    version: Text
    purposes: Annotated[dict[str, Purpose], Field(min_length=1)]
    probe_sources: Annotated[dict[str, Source], Field(min_length=1)]
    list: _List
    threshold: _Threshold
    faces: _Faces


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
                f"There is no such purpose. Name one of the policy's: {', '.join(self.purposes)}.",
                fields=[{"field": "purpose", "problem": "must be one of the policy's purposes"}],
            )
        if purpose.needs_approval:
            raise PolicyRefusal(
                f"The purpose {name} needs a supervisor's approval, which this version of Candid can't record yet. "
                "Do without a search until it can.",
                policy=f"purposes.{name}.needs_approval",
            )

    def require_purpose_still(self, name: str) -> None:
        """``require_purpose`` for a case opened under an earlier policy: what the list has lost is a ``PolicyRefusal`` too."""
        if name not in self.purposes:
            raise PolicyRefusal(
                "The case's purpose is not one of the policy's any more. Open a case with one of these: "
                f"{', '.join(self.purposes)}.",
                policy="purposes",
            )
        self.require_purpose(name)

    def require_source(self, name: str) -> None:
        """Raise ``PolicyRefusal`` for a source that probes may not come from."""
        source = self.sources.get(name)
        if source is None or not source.allowed:
            why = source.why if source else "The policy does not name this source."
            allowed = ", ".join(own for own, one in self.sources.items() if one.allowed)
            raise PolicyRefusal(
                f"{why} Use a probe that comes from one of these: {allowed}.", policy=f"probe_sources.{name}.allowed"
            )

    def require_threshold(self, fmr: float | None) -> None:
        """Raise ``PolicyRefusal`` for a threshold looser than any search may have."""
        if fmr is not None and fmr > self.loosest_fmr * (1 + 1e-9):
            raise PolicyRefusal(
                f"The threshold is looser than a false match rate of {self.loosest_fmr:g}, which the policy allows at most. "
                "Ask for a stricter one.",
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
            return self.list_default
        if asked > self.list_cap:
            raise PolicyRefusal(
                f"A candidate list has at most {self.list_cap} candidates. Ask for a shorter one.", policy="list.cap"
            )
        return asked


@cache
def policy() -> Policy:
    """The process's policy, from ``policy.toml``. Raises ``ValueError`` for a file that is not one, naming what is wrong."""
    return parse(resources.files("candid.casework").joinpath("policy.toml").read_bytes())


def parse(data: bytes) -> Policy:
    """The policy that a file's bytes hold. Raises ``ValueError`` whose sentence names the member and what is wrong with it."""
    try:
        told = _File.model_validate(tomllib.loads(data.decode("utf-8")))
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False))
        raise ValueError(f"policy.toml is not a policy. {'; '.join(wrong)}.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"policy.toml is not TOML. {error}.") from error
    return Policy(
        version=told.version,
        sha256=hashlib.sha256(data).hexdigest(),
        purposes=MappingProxyType(told.purposes),
        sources=MappingProxyType(told.probe_sources),
        list_cap=told.list.cap,
        list_default=told.list.default,
        default_fmr=told.threshold.fmr,
        default_expected_false_candidates=told.threshold.expected_false_candidates,
        loosest_fmr=told.threshold.loosest_fmr,
        all_faces=told.faces.all,
    )
