"""The benchmark of the vector index, side by side in one run.

    python -m tests.benchmarks.vector_index [--sizes 10000,100000,300000,1000000] [--quick] [--only PART,…] [--out FILE]

Parts: ``main`` (OpenSearch 3.2 beside the embedded file and FAISS; at 100,000 faces OpenSearch 2.19 too), ``tune`` (other m and
ef_construction at 100,000 and 300,000), ``deepface`` (``DeepFace.find`` on LFW's photos), ``report`` (tables and a plot).

Each cell is written as soon as it is measured, and what is there is not measured again: the run can be stopped and goes on.
Absolute times are this machine's at that moment (the load average is beside them); ratios are of turns that were taken right
after each other. Needs Labeled Faces in the Wild (``CANDID_LFW``) and ``infra/requirements/benchmarks.txt``. Not a test.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Final

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from tests.benchmarks.vector_index import comparison, deepface_find, galleries, plot, report, tuning  # noqa: E402
from tests.benchmarks.vector_index.results import Results  # noqa: E402

ROOT: Final = Path(__file__).parents[3]
BUILD: Final = ROOT / ".build" / "benchmarks"
RESULTS: Final = ROOT / "tests" / "benchmarks" / "results" / "vector_index.json"
PARTS: Final = ("main", "tune", "deepface", "report")


def main() -> None:
    """Measure what is not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000,300000,1000000")
    parser.add_argument("--quick", action="store_true", help="10,000 faces and 200 photos, into a file of its own")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument(
        "--data", type=Path, default=BUILD / "vector_index", help="where nodes and files keep galleries"
    )
    parser.add_argument("--merge-up-to", type=int, default=300_000, help="merge galleries so large to one segment")
    asked = parser.parse_args()
    # A run that is ended stops its nodes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    only = set(asked.only.split(","))
    if unknown := only - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    sizes = [10_000] if asked.quick else [int(one) for one in asked.sizes.split(",")]
    out = asked.out or (BUILD / "vector_index-quick.json" if asked.quick else RESULTS)
    asked.data.mkdir(parents=True, exist_ok=True)
    results = Results(out)
    known = galleries.real(BUILD / "lfw.npz")
    if "deepface" in only:
        deepface_find.measure(results, asked.data, 200 if asked.quick else None)
    for size in sizes:
        held = galleries.gallery(size, known)
        if "main" in only:
            comparison.measure(results, held, asked.data, merge=size <= asked.merge_up_to)
        if "tune" in only and not asked.quick:
            tuning.measure(results, held, asked.data)
    if "report" in only:
        out.with_suffix(".md").write_text(report.render(results.cells), encoding="utf-8")
        plot.draw(results.cells, out.with_suffix(".png"))


if __name__ == "__main__":
    main()
