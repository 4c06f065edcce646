"""``DeepFace.find`` beside Candid's whole search in process, on the same photos with the same detector and weights.

``DeepFace.find`` takes a photo and a folder; so what is compared begins with a photo and ends with a list of people. Its file of
embeddings is built before anything is timed. Each call reads that file again, and (unless told not to refresh) lists the folder
and looks at every file in it. Not here: accuracy; DeepFace aligns otherwise, which costs it more than its index (README).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from tests.benchmarks.vector_index.galleries import BOOKINGS, entry
from tests.benchmarks.vector_index.results import Results, load_average
from tests.portraits import MODELS, engine, lfw

from candid.errors import PhotoRefused
from candid.faces.image import decode
from candid.faces.selection import booking_face, probe_face
from candid.gallery.exact.index import ExactIndex

_PROBES = 100
_OPTIONS = {"model_name": "SFace", "detector_backend": "yunet", "silent": True}


def measure(results: Results, data: Path, most: int | None) -> None:
    """The cell of a gallery of everybody's first photo in LFW, or of ``most`` of them."""
    firsts: dict[str, Path] = {}
    probes: list[tuple[str, Path]] = []
    for person, path in lfw():
        if person not in firsts:
            firsts[person] = path
        elif len(probes) < _PROBES and (not probes or probes[-1][0] != person):
            probes.append((person, path))
    # Those who are probed are among the first photos, whatever ``most`` says.
    people = [person for person, _ in probes] + [one for one in firsts if one not in dict(probes)]
    chosen = {person: firsts[person] for person in people[:most]}
    key = f"{len(chosen)} photos/DeepFace.find"
    if not results.has(key):
        asked = [(person, path) for person, path in probes if person in chosen]
        results.cell(key, lambda: _measured(data / f"deepface-{len(chosen)}", chosen, asked))


def _measured(folder: Path, chosen: dict[str, Path], probes: list[tuple[str, Path]]) -> dict[str, Any]:
    find, represent = _deepface(folder)
    gallery = folder / "gallery"
    gallery.mkdir(parents=True, exist_ok=True)
    for person, path in chosen.items():
        link = gallery / f"{person}.jpg"
        if not link.is_symlink():
            link.symlink_to(path.resolve())
    before = load_average()
    begin = time.monotonic()
    find(img_path=str(probes[0][1]), db_path=str(gallery), **_OPTIONS)
    built = time.monotonic() - begin
    index, people = _candid(folder, chosen)
    taken: dict[str, list[float]] = {}
    right: dict[str, int] = {}
    without_face = 0

    def timed(name: str, person: str, call: Callable[[], str]) -> None:
        started = time.perf_counter()
        found = call()
        taken.setdefault(name, []).append(time.perf_counter() - started)
        right[name] = right.get(name, 0) + (found == person)

    def default(path: Path) -> str:
        [found] = find(img_path=str(path), db_path=str(gallery), **_OPTIONS)[:1]
        return Path(found.iloc[0]["identity"]).stem if len(found) else ""

    def leanest(path: Path) -> str:
        told = find(img_path=str(path), db_path=str(gallery), refresh_database=False, return_type="dict", **_OPTIONS)
        return Path(str(told[0][0]["identity"])).stem if told[0] else ""

    def embedding(path: Path) -> str:
        represent(img_path=str(path), model_name="SFace", detector_backend="yunet")
        return ""

    def whole(path: Path) -> str:
        image = decode(path.read_bytes())
        face = probe_face(engine().detect(image), "largest")
        return searched(engine().templates(image, [face])[0])

    def searched(template: Any) -> str:
        return people[index.search([BOOKINGS], template, 100).neighbours[0].id.int]

    for person, path in [*probes[:3], *probes]:
        try:
            image = decode(path.read_bytes())
            template = engine().templates(image, [probe_face(engine().detect(image), "largest")])[0]
            embedding(path)
        except (PhotoRefused, ValueError):
            without_face += 1
            continue
        timed("DeepFace.find", person, lambda path=path: default(path))
        timed("Candid in process", person, lambda path=path: whole(path))
        timed("DeepFace.find, no refresh, dict", person, lambda path=path: leanest(path))
        timed("DeepFace.represent", person, lambda path=path: embedding(path))
        timed("Candid's index alone", person, lambda template=template: searched(template))
    index.close()
    # The first three are a warm-up.
    medians = {name: float(np.median(one[3:])) * 1000 for name, one in taken.items()}
    return {
        "photos": len(chosen),
        "probes": len(probes),
        "probes_without_a_face": without_face,
        "build_seconds": round(built, 1),
        "load_average": [before, load_average()],
        "contenders": {
            name: {f"p{q}_ms": round(float(np.percentile(one[3:], q)) * 1000, 2) for q in (50, 95, 99)}
            for name, one in taken.items()
        },
        "find_to_candid": round(medians["DeepFace.find"] / medians["Candid in process"], 1),
        "find_less_represent_to_candids_index": round(
            (medians["DeepFace.find"] - medians["DeepFace.represent"]) / medians["Candid's index alone"], 1
        ),
        "rank_1_of_faces_found": {
            name: round(right[name] / len(taken[name]), 3) for name in ("DeepFace.find", "Candid in process")
        },
    }


def _deepface(folder: Path) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """DeepFace's find and represent, on the project's weights under the names that DeepFace looks for."""
    engine()
    weights = folder / "home" / ".deepface" / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    for ours in MODELS.glob("*.onnx"):
        link = weights / ours.name.replace("_int8bq", "")
        if not link.is_symlink():
            link.symlink_to(ours.resolve())
    os.environ["DEEPFACE_HOME"] = str(folder / "home")
    os.environ["DEEPFACE_LOG_LEVEL"] = "40"  # Else it says at each call that the folder may have changed.
    from deepface import DeepFace

    return DeepFace.find, DeepFace.represent


def _candid(folder: Path, chosen: dict[str, Path]) -> tuple[ExactIndex, dict[int, str]]:
    path = folder / "candid.sqlite"
    path.unlink(missing_ok=True)
    index = ExactIndex(path, 128, "benchmark")
    people: dict[int, str] = {}
    for number, (person, photo) in enumerate(chosen.items()):
        image = decode(photo.read_bytes())
        try:
            face = booking_face(image, engine().detect(image))
        except PhotoRefused:
            continue
        index.upsert([entry(number, engine().templates(image, [face])[0])])
        people[UUID(int=number).int] = person
    return index, people
