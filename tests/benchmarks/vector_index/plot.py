"""The cells as a picture: time by gallery, recall by time, what the choice between exact search and the graph costs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

Cells = Mapping[str, Any]

COLOURS: Final = {
    "FAISS flat": "tab:green",
    "FAISS HNSW": "tab:olive",
    "embedded": "tab:purple",
    "OpenSearch 3 exact": "tab:blue",
    "OpenSearch 3 graph": "tab:orange",
    "OpenSearch 2 exact": "tab:cyan",
    "OpenSearch 2 graph": "tab:red",
}


def draw(cells: Cells, path: Path) -> None:
    """Write a PNG. Needs matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, ((times, cores), (tuned, busy)) = pyplot.subplots(2, 2, figsize=(12, 9))
    _by_size(times, cells, "p50_ms", 1, "p50 of a search, ms (1 client)")
    _by_size(cores, cells, "cpu_ms", 1, "time of all cores a search, ms (1 client)")
    _by_size(busy, cells, "searches_per_second", 16, "searches a second (16 clients, 2 cores)")
    _by_ef(tuned, cells)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _by_size(axes: Any, cells: Cells, what: str, clients: int, title: str) -> None:
    for name, colour in COLOURS.items():
        for state, style in (("fresh", "o-"), ("merged", "s--")):
            points = []
            for key, told in cells.items():
                found = re.fullmatch(rf"(\d+)/{state}/times/{clients}", key)
                if found and name in told["contenders"]:
                    points.append((int(found[1]), told["contenders"][name][what]))
            if points:
                sizes, values = zip(*sorted(points), strict=True)
                label = name if state == "fresh" else f"{name}, merged"
                axes.loglog(sizes, values, style, color=colour, label=label, markersize=5)
    axes.set(xlabel="faces", title=title)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=7)


def _by_ef(axes: Any, cells: Cells) -> None:
    """Recall@20 by the time of all cores, a point for each ef_search."""
    for key, told in sorted(cells.items()):
        found = re.fullmatch(r"(\d+)/OpenSearch 3 (m\d+ e\d+)/(fresh|merged)/by ef", key)
        if not found:
            continue
        points = [
            (one["cpu_ms"], 1 - cells[f"{key.removesuffix('/by ef')}/{ef}/recall"]["recall@20"])
            for ef, one in told["contenders"].items()
            if ef != "exact"
        ]
        style = "o-" if found[3] == "fresh" else "s--"
        label = f"{int(found[1]):,} faces, {found[2]}, {found[3]}"
        axes.loglog(*zip(*((time, max(lost, 1e-4)) for time, lost in points), strict=True), style, label=label)
    axes.axhline(0.01, color="k", linewidth=0.8, linestyle=":")
    axes.set(
        xlabel="time of all cores a search, ms",
        ylabel="1 - recall@20",
        title="the graph at ef_search 100, 200, 400, 800",
    )
    axes.grid(alpha=0.3, which="both")
    if axes.get_legend_handles_labels()[0]:
        # Room above the curves: 1 is as bad as recall can be.
        axes.set_ylim(top=20)
        axes.legend(fontsize=7, ncols=2, loc="upper center")
