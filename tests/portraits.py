"""The real weights and the six sample portraits, fetched and checked by the project's own set-up; and LFW where it is."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from infra.models.fetch import fetch
from PIL import Image

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


def distinct(seed: int) -> Iterator[bytes]:
    """Endless photos of distinct bytes: faces of Labeled Faces in the Wild, a few pixels of each changed."""
    paths, chance = [path for _, path in lfw()], random.Random(seed)  # noqa: S311
    while True:
        pixels = np.array(Image.open(chance.choice(paths)).convert("RGB"))
        for _ in range(6):
            pixels[chance.randrange(pixels.shape[0]), chance.randrange(pixels.shape[1])] = chance.randbytes(1)[0]
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=chance.randrange(85, 96))
        yield out.getvalue()
