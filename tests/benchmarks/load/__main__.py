"""Sustained searches by 1, 4 and 16 clients, alone and while photos go on arriving: latency, errors, memory, the queue's age;
and what is answered where a limit is reached. Starts a Candid of its own. Needs Labeled Faces in the Wild (``CANDID_LFW``).

    python -m tests.benchmarks.load [--index opensearch] [--searches 10000] [--clients 1 4 16] [--gallery 300] [--pace 3]

Writes JSON and a plot to ``tests/benchmarks/results``, prints ratios, and ends with 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import uuid
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from infra.local.places import CHECKOUT
from infra.models.fetch import fetch
from tests.benchmarks.load import plot
from tests.benchmarks.load.asking import Searches
from tests.benchmarks.load.figures import PERCENTILES, SEARCHED, Asked, failures, limit_failures, over_alone
from tests.benchmarks.load.importing import Import
from tests.benchmarks.load.later import status_after
from tests.benchmarks.load.records import case_of, on_record
from tests.benchmarks.load.starting import UNLIMITED, begun
from tests.benchmarks.load.watching import Watch
from tests.e2e.stack import Stack
from tests.portraits import distinct

CLIENTS = (1, 4, 16)
OLDEST_SECONDS = 120.0
"""So long may a photo wait while sixteen clients search on the same two cores, at an import's pace that the machine can hold."""
LIMIT = 20
FEWEST_SAMPLES = 10
"""A process that was there for no longer has no slope; the local AWS ends workers that it needs no more."""
TURNS = 3
"""Alone and with an import by turns, since a machine that others use too is not equally fast all the time."""


def sustained(stack: Stack, told: argparse.Namespace) -> dict[str, Any]:
    """The main part."""
    agency = f"load-{uuid.uuid4().hex[:6]}"
    api = stack.api(agency)
    with Import(stack, agency, 1_000, most=told.gallery) as first:
        first.wait()
    settled = first.settled(api)
    lost, photographed, waits = settled.unaccounted, settled.dropped, list[float]()
    print(f"  a gallery of {settled.states['enrolled']} photos")
    case_id = case_of(api)
    asking = Searches(stack, agency, case_id, list(islice(distinct(5), 200)))
    warming = asking.ask(Asked(1, False), 50)  # The workers load what they load at their first.
    pairs = [(Asked(clients, False), Asked(clients, True)) for clients in told.clients]
    share = math.ceil(told.searches / (2 * len(pairs) * TURNS))
    with Watch(stack, lambda: asking.answered) as watch:
        for alone, importing in pairs:
            for _ in range(TURNS):
                asking.ask(alone, share)
                with Import(stack, agency, told.pace) as going_on:
                    asking.ask(importing, share)
                settled = going_on.settled(api)
                lost, photographed = lost + settled.unaccounted, photographed + settled.dropped
                waits += settled.waited
            print(
                f"  {_line(alone)}\n  {_line(importing)}\n     an import makes it {over_alone(alone, importing)} times"
            )
    rounds = [one for pair in pairs for one in pair]
    memory = [one for one in watch.memory.values() if len(one.searches) > FEWEST_SAMPLES]
    brief = sorted(one.name for one in watch.memory.values() if one not in memory)
    recorded, answered = on_record(api, case_id), sum(one.statuses[SEARCHED] for one in (warming, *rounds))
    oldest = max(waits)
    broken = failures(
        [warming, *rounds],
        memory,
        oldest=oldest,
        bound=OLDEST_SECONDS,
        lost=lost,
        unrecorded=answered - recorded,
        ended=watch.ended(),
    )
    return {
        "searches": answered,
        "on_record": recorded,
        "photos": photographed,
        "lost": lost,
        "wait_s": {"p50": round(float(np.median(waits)), 1), "longest": round(oldest, 1), "bound": OLDEST_SECONDS},
        "rounds": [one.as_json() for one in rounds],
        "importing_over_alone": {alone.clients: over_alone(alone, importing) for alone, importing in pairs},
        "memory": [one.as_json() for one in memory],
        "seen_too_briefly": brief,
        "samples": {one.name: [one.searches, [round(size, 1) for size in one.megabytes]] for one in memory},
        "broken": broken,
    }


def limited(stack: Stack) -> dict[str, Any]:
    """A user's limit reached by four clients at a time, with photos arriving: what is answered, then and after the wait."""
    agency = f"load-{uuid.uuid4().hex[:6]}"
    api = stack.api(agency)
    case_id = case_of(api)
    asking = Searches(stack, agency, case_id, list(islice(distinct(5), 20)))
    with Import(stack, agency, 5) as going_on:
        asked = asking.ask(Asked(4, True), 3 * LIMIT)
    settled = going_on.settled(api)
    recorded = on_record(api, case_id)
    after = status_after(stack, asked.longest_retry_after, agency, asking.body(0))
    return {
        "statuses": {str(status): count for status, count in sorted(asked.statuses.items())},
        "on_record": recorded,
        "photos": settled.dropped,
        "lost": settled.unaccounted,
        "retry_after_s": asked.longest_retry_after,
        "status_after_the_wait": after,
        "broken": limit_failures(asked, recorded=recorded, unaccounted=settled.unaccounted, after_the_wait=after),
    }


def _line(one: Asked) -> str:
    told = ", ".join(f"p{of} {one.percentile(of):.0f} ms" for of in PERCENTILES)
    what = "and an import" if one.importing else "alone"
    return (
        f"{one.clients:>2} clients {what}: {told}, {len(one.seconds) / one.elapsed:.1f} a second, {dict(one.statuses)}"
    )


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", default="embedded", choices=["embedded", "opensearch"])
    parser.add_argument("--searches", type=int, default=10_000, help="in all")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS, help="at a time, one number after another")
    parser.add_argument("--gallery", type=int, default=300, help="photos that are there before")
    parser.add_argument("--pace", type=float, default=3.0, help="photos a second of the import")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "tests" / "benchmarks" / "results")
    told = parser.parse_args()
    fetch(CHECKOUT / ".candid" / "models", CHECKOUT / ".candid" / "samples")
    report: dict[str, Any] = {"index": told.index, "pace": told.pace, "gallery": told.gallery, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        for name, parameters, part in (
            ("sustained", UNLIMITED, lambda one: sustained(one, told)),
            ("limited", f"UserFacesPerHour={LIMIT}", limited),
        ):
            print(f"{name}, {told.index}:")
            stack = begun(Path(folder) / name, told.index, parameters)
            try:
                report[name] = part(stack)
            finally:
                stack.stop()
    samples = report["sustained"].pop("samples")
    path = told.output / f"load-{told.index}"
    path.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
    plot.draw(report, samples, path.with_suffix(".png"))
    print(f"limit reached: {report['limited']['statuses']}")
    for one in report["sustained"]["memory"]:
        print(
            f"  {one['process']}: {one['first_mb']} to {one['last_mb']} MB, {one['growth_mb_a_thousand']} a thousand searches"
        )
    print(f"  seen too briefly to judge: {', '.join(report['sustained']['seen_too_briefly']) or 'none'}")
    broken = [*report["sustained"]["broken"], *report["limited"]["broken"]]
    for sentence in broken:
        print(f"BROKEN: {sentence}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
