"""The real weights and the six sample portraits, fetched and checked by the project's own set-up; and LFW where it is."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
from infra.models.fetch import fetch

from candid.faces.engine import FaceEngine, load_engine

ROOT = Path(__file__).parents[1]
MODELS = ROOT / ".candid" / "models"
SAMPLES = ROOT / ".candid" / "samples"


@cache
def engine() -> FaceEngine:
    """The default model, for real."""
    fetch(MODELS, SAMPLES)
    return load_engine("sface", MODELS)


def portrait(name: str) -> bytes:
    """``person_a_1``, ``person_a_2`` (one person), ``person_b_1``, ``person_b_2`` (another), ``impostor_1``, ``impostor_2``."""
    engine()
    return (SAMPLES / f"{name}.jpg").read_bytes()


def lfw() -> list[tuple[str, Path]]:
    """(person, photo) of Labeled Faces in the Wild, each person's photos in order; skips the test where it is absent."""
    folder = Path(os.environ.get("CANDID_LFW") or ROOT.parent / "shared" / "faces" / "lfw")
    photos = [(path.parent.name, path) for path in sorted(folder.glob("*/*.jpg"))]
    if not photos:
        pytest.skip("Labeled Faces in the Wild is not here; name its folder in CANDID_LFW.")
    return photos
