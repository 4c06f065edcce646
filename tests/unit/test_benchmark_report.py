"""What the repository shows as measured is what was measured."""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks.vector_index import report

RESULTS = Path(report.__file__).parents[1] / "results"


def test_the_tables_of_the_vector_index_are_those_of_the_cells() -> None:
    cells = json.loads((RESULTS / "vector_index.json").read_text(encoding="utf-8"))["cells"]
    assert (RESULTS / "vector_index.md").read_text(encoding="utf-8") == report.render(cells)
