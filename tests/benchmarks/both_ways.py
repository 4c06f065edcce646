"""The same search by Candid's own API and by Rekognition's, in turn over HTTP: latency side by side, and whether both find the
same. Starts a Candid of its own. Needs Labeled Faces in the Wild (``CANDID_LFW``).

    python -m tests.benchmarks.both_ways [--index opensearch] [--searches 200] [--gallery 100]

Writes JSON to ``tests/benchmarks/results``, prints the ratio, and ends with 1 where an answer differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import urllib3
from infra.local.places import CHECKOUT
from infra.models.fetch import fetch
from tests.benchmarks.load.importing import Import
from tests.benchmarks.load.starting import UNLIMITED, begun
from tests.e2e.stack import Stack
from tests.portraits import distinct
from tests.rekognition import stock

from candid.cli.api import text

AGENCY = "both-ways"
PERCENTILES = (50, 95)


def measured(stack: Stack, told: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of each search by either API, and how many found other faces by one than by the other."""
    api = stack.api(AGENCY)
    with Import(stack, AGENCY, 1_000, most=told.gallery) as photos:
        photos.wait()
    enrolled = photos.settled(api).states["enrolled"]
    case = api.open_case("CASE-1", "criminal_investigation", "a measurement")
    given = api.case_credentials(case.case_id, "other_still", 3600).as_json()
    rekognition = stock(given)
    pool = urllib3.PoolManager(maxsize=1, retries=False)
    token = stack.tokens(AGENCY).token()

    def own(probe: bytes) -> set[str]:
        body = {
            "case_id": case.case_id,
            "probe": text(probe),
            "probe_source": "other_still",
            "face": "largest",
            "threshold": {"similarity": 80},
            "per_subject": False,
        }
        url = f"{stack.told['api_url']}/v1/searches"
        answer = pool.request("POST", url, json=body, headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 201, answer.data
        return {one["face_id"] for one in answer.json()["results"][0]["candidates"]}

    def theirs(probe: bytes) -> set[str]:
        answer = rekognition.search_faces_by_image(CollectionId="bookings", Image={"Bytes": probe})
        return {one["Face"]["FaceId"] for one in answer["FaceMatches"]}

    spent: dict[str, list[float]] = {"POST /v1/searches": [], "SearchFacesByImage": []}
    differing, found = 0, 0
    for number, probe in enumerate(islice(distinct(7), told.searches + 10)):
        answers = []
        for name, ask in zip(spent, (own, theirs), strict=True):
            began = time.perf_counter()
            answers.append(ask(probe))
            if number >= 10:  # The workers load what they load at their first.
                spent[name].append((time.perf_counter() - began) * 1000)
        differing += answers[0] != answers[1]
        found += len(answers[0])
    figures = {
        name: {f"p{of}_ms": round(float(np.percentile(times, of)), 1) for of in PERCENTILES}
        for name, times in spent.items()
    }
    first, second = (float(np.median(times)) for times in spent.values())
    return {
        "gallery": enrolled,
        "searches_each": told.searches,
        "candidates": found,
        "found_otherwise": differing,
        **figures,
        "rekognition_over_own": round(second / first, 3),
    }


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", choices=["embedded", "opensearch"], default="embedded")
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--gallery", type=int, default=100)
    parser.add_argument("--output", type=Path, default=CHECKOUT / "tests" / "benchmarks" / "results")
    told = parser.parse_args()
    fetch(CHECKOUT / ".candid" / "models", CHECKOUT / ".candid" / "samples")
    with tempfile.TemporaryDirectory() as folder:
        stack = begun(Path(folder) / "candid", told.index, UNLIMITED)
        try:
            figures = {"index": told.index, **measured(stack, told)}
        finally:
            stack.stop()
    path = told.output / f"both_ways-{told.index}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))
    return 1 if figures["found_otherwise"] else 0


if __name__ == "__main__":
    sys.exit(main())
