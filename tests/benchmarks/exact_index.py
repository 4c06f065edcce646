"""How fast and how large exact search is, side by side with bare NumPy (and faiss, where installed) on the same matrix.

    python -m tests.benchmarks.exact_index [--faces 300000] [--dimension 128] [--threads 1] [--out FILE]

Not a test: nothing passes or fails. Each figure is of this machine in this run; the ratios travel better. The process that
searches is not the one that writes, so memory is counted from before the file is opened.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

# A BLAS reads its number of threads once, when NumPy is first imported.
_THREADS = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv[:-1] else "1"
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = _THREADS

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from candid.gallery.exact.index import ExactIndex  # noqa: E402
from candid.gallery.index import Entry, Filter, Partition  # noqa: E402

BOOKINGS = Partition("benchmark", "bookings")
DAY = datetime(2000, 1, 1, tzinfo=UTC)
K = 100
BULK = 1000
PAGE = os.sysconf("SC_PAGE_SIZE")


def matrix(faces: int, dimension: int) -> NDArray[np.float32]:
    """Random unit vectors, (faces, dimension) float32, the same on every call."""
    vectors = np.random.default_rng(20190501).standard_normal((faces, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def entry(number: int, template: NDArray[np.float32]) -> Entry:
    booked = DAY + timedelta(minutes=number)
    return Entry(UUID(int=number), BOOKINGS, f"booking-{number}", f"subject-{number}", booked, template)


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    return {f"p{q}_ms": round(float(np.percentile(seconds, q)) * 1000, 3) for q in (50, 95, 99)}


def timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def write(path: Path, vectors: NDArray[np.float32]) -> dict[str, float]:
    index = ExactIndex(path, vectors.shape[1], "benchmark")
    faces = len(vectors)
    entries = [entry(number, vectors[number]) for number in range(faces)]
    bulk = timed(lambda: [index.upsert(entries[start : start + BULK]) for start in range(0, faces, BULK)])
    more = matrix(1000, vectors.shape[1])
    one_by_one = [timed(lambda n=n: index.upsert([entry(faces + n, more[n])])) for n in range(500)]
    erased = [timed(lambda n=n: index.delete(BOOKINGS, [UUID(int=faces + n)])) for n in range(500)]
    index.close()
    return {
        "bulk_upsert_per_second": round(faces / bulk),
        "single_upsert_per_second": round(500 / sum(one_by_one)),
        "single_upsert_p50_ms": percentiles(one_by_one)["p50_ms"],
        "delete_p50_ms": percentiles(erased)["p50_ms"],
        "delete_p99_ms": percentiles(erased)["p99_ms"],
        "file_to_vectors": round(path.stat().st_size / vectors.nbytes, 3),
    }


def search(path: Path, faces: int, dimension: int, searches: int) -> dict[str, Any]:
    """Run in a process of its own: memory first, then time, then the same with bare NumPy."""
    probes = matrix(searches, dimension)[:, ::-1].copy()
    np.dot(probes, probes[0])  # BLAS takes its own buffers at its first call
    before = resident()
    index = ExactIndex(path, dimension, "benchmark")
    load = timed(lambda: index.search([BOOKINGS], probes[0], K))
    loaded = resident() - before
    plain = [timed(lambda probe=probe: index.search([BOOKINGS], probe, K)) for probe in probes]
    percent = Filter(DAY + timedelta(minutes=faces // 2), DAY + timedelta(minutes=faces // 2 + faces // 100))
    assert index.search([BOOKINGS], probes[0], K, percent).searched == faces // 100
    filtered = [timed(lambda probe=probe: index.search([BOOKINGS], probe, K, percent)) for probe in probes]
    after = resident() - before

    vectors = matrix(faces, dimension)

    def bare(probe: NDArray[np.float32]) -> NDArray[np.intp]:
        scores = vectors @ probe
        best = np.argpartition(scores, faces - K)[faces - K :]
        return best[np.argsort(-scores[best])]

    numpy_alone = [timed(lambda probe=probe: bare(probe)) for probe in probes]
    wrong = 0
    doubles = vectors.astype(np.float64)
    for probe in probes[:50]:
        found = np.array([neighbour.score for neighbour in index.search([BOOKINGS], probe, K).neighbours])
        truth = np.sort(doubles @ probe.astype(np.float64))[::-1][:K]
        wrong += int(np.count_nonzero(np.abs(found - truth) > 1e-6))
    result: dict[str, Any] = {
        "load_and_first_search_seconds": round(load, 3),
        "search": percentiles(plain),
        "search_filter_1_percent": percentiles(filtered),
        "numpy_matmul_argpartition": percentiles(numpy_alone),
        "memory_to_vectors_after_load": round(loaded / vectors.nbytes, 3),
        "memory_to_vectors_after_searches": round(after / vectors.nbytes, 3),
        "ranks_whose_score_differs_from_float64_by_1e-6": wrong,
    }
    if importlib.util.find_spec("faiss"):
        import faiss

        faiss.omp_set_num_threads(int(_THREADS))
        flat = faiss.IndexFlatIP(dimension)
        flat.add(vectors)
        result["faiss_flat"] = percentiles([timed(lambda probe=probe: flat.search(probe[None], K)) for probe in probes])
    index.close()
    return result


def seen_after(path: Path, dimension: int) -> dict[str, float]:
    """Milliseconds from a write's return in another process until this one has found it, and its search included."""
    index = ExactIndex(path, dimension, "benchmark")
    index.search([BOOKINGS], matrix(1, dimension)[0], K)
    print("ready", flush=True)
    delays = []
    for line in sys.stdin:
        number, written = line.split()
        probe = matrix(int(number) + 1, dimension)[int(number)] * np.float32(-1)
        begin = time.monotonic()
        while index.search([BOOKINGS], probe, 1).neighbours[0].score < 0.999:
            pass
        delays.append(time.monotonic() - max(begin, float(written)))
        print("seen", flush=True)
    index.close()
    return percentiles(delays)


def visibility(path: Path, dimension: int) -> dict[str, float]:
    index = ExactIndex(path, dimension, "benchmark")
    vectors = matrix(50, dimension) * np.float32(-1)
    reader = subprocess.Popen(_again("seen", path, dimension), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdin
    assert reader.stdout
    reader.stdout.readline()
    for number in range(50):
        index.upsert([entry(10**7 + number, vectors[number])])
        reader.stdin.write(f"{number} {time.monotonic()}\n")
        reader.stdin.flush()
        reader.stdout.readline()
    reader.stdin.close()
    answer: dict[str, float] = json.loads(reader.stdout.read())
    reader.wait()
    index.close()
    return answer


def _again(part: str, path: Path, dimension: int, faces: int = 0, searches: int = 0) -> list[str]:
    sizes = ["--faces", str(faces), "--dimension", str(dimension), "--searches", str(searches), "--threads", _THREADS]
    return [sys.executable, "-m", "tests.benchmarks.exact_index", *sizes, "--part", part, "--index", str(path)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--faces", type=int, default=300_000)
    options.add_argument("--dimension", type=int, default=128)
    options.add_argument("--searches", type=int, default=300)
    options.add_argument("--threads", type=int, default=1, help="of BLAS; searches are made by one thread")
    options.add_argument("--out", type=Path, default=Path(".build/benchmarks/exact_index.json"))
    options.add_argument("--part", choices=["search", "seen"], help=argparse.SUPPRESS)
    options.add_argument("--index", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.part == "search":
        print(json.dumps(search(given.index, given.faces, given.dimension, given.searches)))
        return
    if given.part == "seen":
        print(json.dumps(seen_after(given.index, given.dimension)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.db"
        result: dict[str, Any] = {
            "faces": given.faces,
            "dimension": given.dimension,
            "k": K,
            "blas_threads": given.threads,
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "numpy": np.__version__,
            "write": write(path, matrix(given.faces, given.dimension)),
        }
        part = _again("search", path, given.dimension, given.faces, given.searches)
        result |= json.loads(subprocess.run(part, check=True, capture_output=True, text=True).stdout)
        result["second_process_sees_a_face_after"] = visibility(path, given.dimension)
        index = ExactIndex(path, given.dimension, "benchmark")
        result["drop_seconds"] = round(timed(lambda: index.drop(BOOKINGS)), 3)
        index.close()
    bare = result["numpy_matmul_argpartition"]["p50_ms"]
    result["search_to_numpy_p50"] = round(result["search"]["p50_ms"] / bare, 2)
    result["filtered_search_to_numpy_p50"] = round(result["search_filter_1_percent"]["p50_ms"] / bare, 2)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
