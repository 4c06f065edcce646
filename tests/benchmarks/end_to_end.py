"""The whole against its bare parts, in one run: import and identification over HTTP beside the bare model and the bare index.

Needs a running Candid that lets one user search so often, with ``INDEX=opensearch`` or without, and Labeled Faces in the Wild
(``CANDID_LFW``). Each search over HTTP is followed by the same in this process, on the same index: decode, detect, embed, search.
Prints ratios and writes JSON; ends where a limit stops its searches:

    make run DETACH=1 PARAMETERS="UserFacesPerHour=100000 AgencyFacesPerHour=100000"
    python -m tests.benchmarks.end_to_end [--index opensearch] --output .build/benchmarks/end_to_end.json
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import urllib3
from infra.local import places
from tests.portraits import engine, lfw

from candid.cli.config import local_stack
from candid.errors import PhotoRefused
from candid.faces.image import decode
from candid.faces.selection import booking_face, probe_face
from candid.gallery.exact.index import ExactIndex
from candid.gallery.index import Partition, VectorIndex
from candid.gallery.opensearch.client import connect
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.opensearch.layout import Layouts
from candid.gallery.opensearch.names import Names
from candid.settings import OpenSearchSettings

AGENCY = "benchmark-county"
DEFAULT_FMR = 1e-4
START = 'make run DETACH=1 PARAMETERS="UserFacesPerHour=100000 AgencyFacesPerHour=100000"'
"""An agency's limit stops what its user's lets through: all of LFW is 7,484 probes."""
NEIGHBOURS = 80
"""What Candid's search asks the index for when twenty candidates are wanted, as the policy's default is."""


@dataclass(frozen=True)
class Photo:
    person: str
    path: Path
    first: bool


def photos() -> list[Photo]:
    seen: set[str] = set()
    found = []
    for person, path in lfw():
        found.append(Photo(person, path, person not in seen))
        seen.add(person)
    return found


def bare_loop(sample: list[Photo]) -> dict[str, float]:
    """Decode, detect, measure and embed in one thread of this process: seconds a photo by part, and photos/s."""
    parts: Counter[str] = Counter()

    def timed(part: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        parts[part] += time.perf_counter() - started
        return result

    engine().load()
    started = time.perf_counter()
    for photo in sample:
        data = timed("read", photo.path.read_bytes)
        image = timed("decode", lambda data=data: decode(data))
        faces = timed("detect", lambda image=image: engine().detect(image))
        try:
            face = booking_face(image, faces)
        except PhotoRefused:
            continue
        timed("measure", lambda image=image, face=face: engine().measure(image, face))
        timed("embed", lambda image=image, face=face: engine().templates(image, [face]))
    elapsed = time.perf_counter() - started
    return {"photos_per_s": len(sample) / elapsed} | {
        f"{part}_ms": 1000 * seconds / len(sample) for part, seconds in parts.items()
    }


def manifest(folder: Path, collections: tuple[str, str], found: list[Photo]) -> Path:
    """Person = subject, file = booking; first photos in one collection and later ones in another."""
    path = folder / "manifest.csv"
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "booking_number", "subject_id", "booked_at", "collection"])
        for i, photo in enumerate(found):
            booked = (start + timedelta(minutes=i)).isoformat()
            rows.writerow([photo.path, photo.path.stem, photo.person, booked, collections[0 if photo.first else 1]])
    return path


def run_import(path: Path) -> dict[str, Any]:
    started = time.perf_counter()
    done = subprocess.run(
        [Path(sys.executable).with_name("candid"), "import", path, "--agency", AGENCY, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    elapsed = time.perf_counter() - started
    if not done.stdout.strip():
        raise SystemExit(f"The import failed: {done.stderr[-2000:]}")
    return {"exit_code": done.returncode, "seconds": elapsed, "summary": json.loads(done.stdout.splitlines()[-1])}


class Api:
    """The public API with a token of the benchmark's agency, over one kept connection."""

    def __init__(self) -> None:
        stack = local_stack()
        if stack is None:
            raise SystemExit("Candid is not running here. Start it with: make run DETACH=1")
        self._url = stack.api_url
        token = subprocess.run(
            [Path(sys.executable).with_name("candid"), "token", "--agency", AGENCY, "--role", "investigator"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        self._pool = urllib3.PoolManager(maxsize=4, headers={"Authorization": f"Bearer {token}"})

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = self._pool.request("POST", f"{self._url}{path}", json=body, timeout=60.0)
        return answer.status, json.loads(answer.data)


def bare_index(kind: str) -> tuple[str, VectorIndex]:
    """The index that the running stack searches, opened in this process, and what it is. Exits where the stack's is not of this
    ``kind`` (embedded, opensearch, or empty: whichever it is)."""
    where = places.read(os.environ)
    if not where.description.is_file():
        raise SystemExit("Candid is not running here. Start it with: make run DETACH=1")
    told = json.loads(where.description.read_text(encoding="utf-8"))
    if kind and told["index"] != kind:
        raise SystemExit(
            f"The Candid that runs here has the index {told['index']}. Start it with: make run INDEX={kind}"
        )
    where = places.read(os.environ | {"INDEX": told["index"], "MODEL": told["model"]})
    card = engine().card
    if told["index"] == places.EMBEDDED:
        return "embedded", ExactIndex(where.index / f"{card.id}.sqlite", card.dimension, card.id)
    client = connect(OpenSearchSettings(opensearch_endpoint=told["opensearch_url"]))
    layouts = Layouts(client, Names(where.opensearch_prefix))
    name = layouts.fresh().the_serving().name
    return f"OpenSearch {told['opensearch_version']}", OpenSearchIndex(client, layouts, name, card.dimension)


class Bare:
    """What a search over HTTP does with faces, in one thread of this process; seconds a part."""

    def __init__(self, index: VectorIndex, collection: str) -> None:
        self._index, self._where = index, Partition(AGENCY, collection)
        self.model: list[float] = []
        self.index: list[float] = []

    def search(self, photo: bytes) -> float:
        """Seconds of decoding, detection, template and index search, which asks for as many neighbours as the API does."""
        started = time.perf_counter()
        image = decode(photo)
        face = probe_face(engine().detect(image), "largest")
        template = engine().templates(image, [face])[0]
        embedded = time.perf_counter()
        self._index.search([self._where], template, NEIGHBOURS)
        ended = time.perf_counter()
        self.model.append(embedded - started)
        self.index.append(ended - embedded)
        return ended - started


def search_all(api: Api, probes: list[Photo], collection: str, enrolled_people: int, bare: Bare) -> dict[str, Any]:
    status, case = api.post(
        "/v1/cases",
        {"number": f"B-{uuid.uuid4()}", "purpose": "criminal_investigation", "legal_basis": "benchmark"},
    )
    if status != 201:
        raise SystemExit(f"No case could be opened: {case}")
    first, above_default, refused, milliseconds, ratios = 0, 0, Counter[str](), [], []
    for probe in probes:
        photo = probe.path.read_bytes()
        body = {
            "case_id": case["case_id"],
            "probe": base64.b64encode(photo).decode(),
            "probe_source": "booking_photo",
            "collection": collection,
            "face": "largest",
            # The loosest that the policy allows: rank-1 is about order, not about the threshold.
            "threshold": {"fmr": 0.01},
        }
        started = time.perf_counter()
        status, answer = api.post("/v1/searches", body)
        if status == 429:
            raise SystemExit(f"{answer['detail']} Start Candid with: {START}")
        milliseconds.append(1000 * (time.perf_counter() - started))
        if status != 201:
            refused[f"{status} {answer.get('reason', answer.get('title'))}"] += 1
            continue
        ratios.append(milliseconds[-1] / (1000 * bare.search(photo)))
        candidates = answer["results"][0]["candidates"]
        if candidates and candidates[0]["subject_id"] == probe.person:
            first += 1
            above_default += candidates[0]["score"]["fmr"] <= DEFAULT_FMR
    return {
        "probes": len(probes),
        "people": enrolled_people,
        "rank_1": first / len(probes),
        "rank_1_above_default_threshold": above_default / len(probes),
        "refused": dict(refused),
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p95_ms": float(np.percentile(milliseconds, 95)),
        "p99_ms": float(np.percentile(milliseconds, 99)),
        "bare_model_p50_ms": 1000 * float(np.median(bare.model)),
        "bare_index_p50_ms": 1000 * float(np.median(bare.index)),
        "over_bare_model_and_index": float(np.median(ratios)),
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(".build/benchmarks/end_to_end.json"))
    parser.add_argument("--photos", type=int, default=0, help="only so many people's photos (0: all)")
    parser.add_argument("--index", default="", choices=["", "embedded", "opensearch"], help="which the stack must have")
    arguments = parser.parse_args()
    kind, index = bare_index(arguments.index)
    found = photos()
    if arguments.photos:
        people = sorted({photo.person for photo in found})[: arguments.photos]
        found = [photo for photo in found if photo.person in set(people)]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    run = uuid.uuid4().hex[:8]
    collections = (f"firsts-{run}", f"laters-{run}")
    sample = found[:: max(1, len(found) // 300)]
    bare_before = bare_loop(sample)
    imported = run_import(manifest(arguments.output.parent, collections, found))
    bare_after = bare_loop(sample)
    bare = {name: (bare_before[name] + bare_after[name]) / 2 for name in bare_before}
    rate = len(found) / imported["seconds"]
    probes = [photo for photo in found if not photo.first]
    searched = search_all(
        Api(), probes, collections[0], sum(photo.first for photo in found), Bare(index, collections[0])
    )
    report = {
        "index": kind,
        "photos": len(found),
        "bare": bare,
        "import": imported | {"photos_per_s": rate, "of_bare": rate / bare["photos_per_s"]},
        "search": searched,
    }
    arguments.output.write_text(json.dumps(report, indent=2))
    print(json.dumps(report, indent=2))
    print(
        f"import: {rate:.1f} photos/s beside {bare['photos_per_s']:.1f} of the bare loop ({rate / bare['photos_per_s']:.0%})"
    )
    print(
        f"rank-1: {searched['rank_1']:.2%} of {len(probes)} probes among {searched['people']} people, "
        f"{searched['rank_1_above_default_threshold']:.2%} above the default threshold"
    )
    print(
        f"search ({kind}): p50 {searched['p50_ms']:.0f} ms, p95 {searched['p95_ms']:.0f} ms, "
        f"{searched['over_bare_model_and_index']:.1f} times the bare model ({searched['bare_model_p50_ms']:.0f} ms) "
        f"and index ({searched['bare_index_p50_ms']:.1f} ms)"
    )


if __name__ == "__main__":
    main()
