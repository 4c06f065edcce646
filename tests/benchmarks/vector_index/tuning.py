"""Other m and ef_construction than the mapping's: what they find, and in what time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.benchmarks.vector_index import comparison
from tests.benchmarks.vector_index.galleries import Gallery
from tests.benchmarks.vector_index.node import Made, running
from tests.benchmarks.vector_index.results import Results

TRIED: Final = {100_000: ((16, 128), (32, 256), (64, 256), (48, 128)), 300_000: ((16, 128), (32, 256))}


def measure(results: Results, held: Gallery, data: Path) -> None:
    """All of one size that is not there yet."""
    size = len(held.templates)
    for m, ef_construction in TRIED.get(size, ()):
        name = f"{size}/OpenSearch 3 m{m} e{ef_construction}"
        if results.has(f"{name}/fresh/by ef"):
            continue
        with running(data / f"opensearch-3-tuning-{size}", 3, comparison.heap(size)) as machine:
            made = Made(machine, size, m, ef_construction, held.templates.shape[1])
            comparison.load(results, made, held, name)
            results.cell(f"{name}/fresh/weight", made.weight)
            comparison.by_ef(results, held, made, f"{name}/fresh")
            made.forget()
