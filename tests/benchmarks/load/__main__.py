"""Sustained searches by 1, 4 and 16 clients, alone and while photos go on arriving: latency, errors, memory, the queue's age;
and what is answered where a limit is reached. Starts a Candid of its own. Needs Labeled Faces in the Wild (``CANDID_LFW``).

    python -m tests.benchmarks.load [--index opensearch] [--searches 10000] [--gallery 300]

Writes JSON and a plot to ``tests/benchmarks/results``, prints ratios, and ends with 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import uuid
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from infra.local.places import CHECKOUT
from infra.models.fetch import fetch
from tests.benchmarks.load import plot
from tests.benchmarks.load.asking import Searches
from tests.benchmarks.load.figures import Asked, failures
from tests.benchmarks.load.importing import Import
from tests.benchmarks.load.watching import Watch
from tests.e2e.stack import Stack
from tests.portraits import distinct

from candid.cli.api import Api

CLIENTS = (1, 4, 16)
OLDEST_SECONDS = 120.0
"""So long may a photo wait while sixteen clients search on the same two cores, at an import's pace that the machine can hold."""
UNLIMITED = (
    "UserFacesPerHour=10000000 AgencyFacesPerHour=10000000 UserRecordsPerHour=10000000 AgencyRecordsPerHour=10000000"
)
LIMIT = 20


def begun(root: Path, index: str, parameters: str) -> Stack:
    """A running Candid."""
    root.mkdir()
    stack = Stack.at(root, index)
    stack.environment["PARAMETERS"] = parameters
    stack.up()
    return stack


def case_of(api: Api) -> str:
    """An open case."""
    return api.open_case(f"LOAD-{uuid.uuid4().hex[:8]}", "criminal_investigation", "a benchmark").case_id


def on_record(api: Api, case_id: str) -> int:
    """How many searches of a case are stored."""
    found, cursor = 0, None
    while True:
        query = {"case_id": case_id, "limit": 100, "cursor": cursor}
        page = api.client.call("GET", "/v1/searches", query=query)
        found += len(page["searches"])
        if not (cursor := page.get("next_cursor")):
            return found


def sustained(stack: Stack, searches: int, gallery: int, pace: float) -> dict[str, Any]:
    """The main part."""
    agency = f"load-{uuid.uuid4().hex[:6]}"
    api = stack.api(agency)
    with Import(stack, agency, 1_000, most=gallery) as first:
        first.wait()
    print(f"  a gallery of {first.settled(api)[0].total()} photos")
    case_id = case_of(api)
    asking = Searches(stack, agency, case_id, list(islice(distinct(5), 200)))
    asking.ask(1, 50, importing=False)  # The workers load what they load at their first.
    rounds: list[Asked] = []
    share = (searches - asking.answered) // (2 * len(CLIENTS))
    stored: dict[str, float] = dict(first.stored)
    oldest, lost = 0.0, 0
    with Watch(stack, lambda: asking.answered) as watch:
        for clients in CLIENTS:
            rounds.append(asking.ask(clients, share, importing=False))
            print(f"  {_line(rounds[-1])}")
            with Import(stack, agency, pace) as going_on:
                rounds.append(asking.ask(clients, share, importing=True))
            states, waited = going_on.settled(api)
            stored |= going_on.stored
            oldest, lost = max(oldest, waited), lost + len(going_on.stored) - states["enrolled"] - states["rejected"]
            print(f"  {_line(rounds[-1])}; {dict(states)}, the longest wait {waited:.0f} s")
    memory = [one for one in watch.memory.values() if len(one.searches) > 10]
    recorded = on_record(api, case_id)
    broken = failures(
        rounds, memory, oldest=oldest, bound=OLDEST_SECONDS, lost=lost, unrecorded=asking.answered - recorded
    )
    return {
        "searches": asking.answered,
        "on_record": recorded,
        "photos": len(stored),
        "lost": lost,
        "oldest_wait_s": round(oldest, 1),
        "rounds": [one.as_json() for one in rounds],
        "memory": [one.as_json() for one in memory],
        "samples": {one.name: [one.searches, [round(size, 1) for size in one.megabytes]] for one in memory},
        "broken": broken,
    }


def limited(stack: Stack) -> dict[str, Any]:
    """A user's limit reached by four clients at a time, with photos arriving: what is answered."""
    agency = f"load-{uuid.uuid4().hex[:6]}"
    api = stack.api(agency)
    case_id = case_of(api)
    asking = Searches(stack, agency, case_id, list(islice(distinct(5), 20)))
    with Import(stack, agency, 5) as going_on:
        asked = asking.ask(4, 3 * LIMIT, importing=True)
    states, _ = going_on.settled(api)
    recorded = on_record(api, case_id)
    statuses: Counter[int] = asked.statuses
    broken = []
    if set(statuses) != {201, 429}:
        broken.append(f"Beyond the limit other answers came than 429: {dict(statuses)}.")
    if asked.without_retry_after:
        broken.append(f"{asked.without_retry_after} refusals came without Retry-After.")
    if recorded != statuses[201]:
        broken.append(f"{statuses[201]} searches were answered and {recorded} are on record.")
    if states["enrolled"] + states["rejected"] != len(going_on.stored):
        broken.append("Photos were lost.")
    return {
        "statuses": {str(status): count for status, count in statuses.items()},
        "on_record": recorded,
        "broken": broken,
    }


def _line(one: Asked) -> str:
    told = ", ".join(f"p{of} {one.percentile(of):.0f} ms" for of in (50, 95, 99))
    what = "and an import" if one.importing else "alone"
    return (
        f"{one.clients:>2} clients {what}: {told}, {len(one.seconds) / one.elapsed:.1f} a second, {dict(one.statuses)}"
    )


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", default="embedded", choices=["embedded", "opensearch"])
    parser.add_argument("--searches", type=int, default=10_000, help="in all")
    parser.add_argument("--gallery", type=int, default=300, help="photos that are there before")
    parser.add_argument("--pace", type=float, default=3.0, help="photos a second of the import")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "tests" / "benchmarks" / "results")
    told = parser.parse_args()
    fetch(CHECKOUT / ".candid" / "models", CHECKOUT / ".candid" / "samples")
    report: dict[str, Any] = {"index": told.index, "pace": told.pace, "gallery": told.gallery, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        for name, parameters, part in (
            ("sustained", UNLIMITED, lambda one: sustained(one, told.searches, told.gallery, told.pace)),
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
    broken = [*report["sustained"]["broken"], *report["limited"]["broken"]]
    for sentence in broken:
        print(f"BROKEN: {sentence}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
