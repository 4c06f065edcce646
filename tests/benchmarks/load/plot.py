"""The picture of a run: latency by clients, and memory over searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def draw(report: dict[str, Any], samples: dict[str, list[list[float]]], path: Path) -> None:
    """Write the plot."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(15, 5), layout="constrained")
    for importing, style in ((False, "-o"), (True, "--s")):
        rounds = [one for one in report["sustained"]["rounds"] if one["importing"] == importing]
        for of, colour in ((50, "tab:blue"), (95, "tab:orange"), (99, "tab:red")):
            what = "while photos arrive" if importing else "alone"
            left.plot(
                [one["clients"] for one in rounds],
                [one[f"p{of}_ms"] for one in rounds],
                style,
                color=colour,
                label=f"p{of} {what}",
            )
    left.set(xscale="log", xlabel="clients", ylabel="ms a search", title=f"Searches over HTTP ({report['index']})")
    clients = sorted({one["clients"] for one in report["sustained"]["rounds"]})
    left.set_xticks(clients, [str(number) for number in clients])
    left.minorticks_off()
    left.set_ylim(bottom=0)
    left.legend()
    # More processes than the usual ten colours.
    right.set_prop_cycle(color=plt.get_cmap("tab20").colors)
    for name, (done, size) in samples.items():
        right.plot(done, size, label=name)
    right.set(xlabel="searches answered", ylabel="MB resident", title="Memory of each process")
    right.set_ylim(bottom=0)
    right.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(path, dpi=110)
    plt.close(figure)
