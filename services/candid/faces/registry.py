"""The registry of models, typed: what ``models.toml`` says. Not here: loading weights (``engine``)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from candid.errors import UnknownModel
from candid.faces.alignment import CHIP
from candid.faces.quality import Thresholds
from candid.faces.scores import Calibration, load_calibration

DEEPFACE: Final = "deepface:"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model. ``id`` is lower-case a-z, 0-9 and hyphens; ``weights`` is a file name, None where DeepFace keeps them;
    ``deepface`` is DeepFace's name for it; ``calibration`` is None where nobody has measured one; ``input`` is what the model
    itself takes, (width, height) in px, fitted from the aligned chip."""

    id: str
    name: str
    dimension: int
    licence: str
    source: str
    weights: str | None = None
    sha256: str | None = None
    deepface: str | None = None
    calibration: Calibration | None = None
    version: str = "as DeepFace serves it"
    input: tuple[int, int] = (CHIP, CHIP)
    alignment: str = ""


@dataclass(frozen=True, slots=True)
class DetectorCard:
    """The face detector's weights."""

    weights: str
    sha256: str


def model_card(name: str) -> ModelCard:
    """The model called ``name``: ``sface``, or ``deepface:<Name>``. Raises ``UnknownModel`` with the names that there are."""
    told = _registry()
    if name.startswith(DEEPFACE):
        own = name.removeprefix(DEEPFACE)
        if own in told["deepface"]:
            return _deepface_card(own, told["deepface"][own])
    elif name in told["models"]:
        entry = dict(told["models"][name])
        entry["calibration"] = load_calibration(entry["calibration"]) if "calibration" in entry else None
        entry["input"] = tuple(entry["input"])
        return ModelCard(**entry)
    known = [*told["models"], *(f"{DEEPFACE}{own}" for own in told["deepface"])]
    raise UnknownModel(f"There is no model of that name. Name one of these: {', '.join(known)}.")


def detector_card() -> DetectorCard:
    """The detector."""
    entry = _registry()["detector"]
    return DetectorCard(entry["weights"], entry["sha256"])


def thresholds() -> Thresholds:
    """What a face must have to be enrolled."""
    return Thresholds(**_registry()["quality"])


def _deepface_card(own: str, entry: dict[str, Any]) -> ModelCard:
    if same := entry.get("same_templates_as"):
        # The same weights on the same chips: the same templates (to 1e-4), so the same id, index and calibration.
        twin = model_card(same)
        return ModelCard(
            twin.id,
            f"{own} by DeepFace",
            twin.dimension,
            entry["licence"],
            twin.source,
            twin.weights,
            twin.sha256,
            own,
            twin.calibration,
            twin.version,
            twin.input,
            twin.alignment,
        )
    slug = re.sub(r"[^a-z0-9]+", "-", own.lower())
    return ModelCard(
        id=f"deepface-{slug}",
        name=f"{own} by DeepFace",
        dimension=entry["dimension"],
        licence=entry["licence"],
        source="DeepFace's own weights",
        deepface=own,
        input=tuple(entry["input"]),
        alignment=_registry()["models"]["sface"]["alignment"],
    )


@cache
def _registry() -> dict[str, Any]:
    return tomllib.loads(resources.files("candid.faces").joinpath("models.toml").read_text("utf-8"))
