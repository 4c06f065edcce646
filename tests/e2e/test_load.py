"""Sixteen clients search at once while photos arrive, and a user's limit is reached: whoever is refused is told when to come
again, and nothing is dropped. At length, with latencies and memory: ``python -m tests.benchmarks.load``.

Not here: a worker that dies at a search (``faults``); for it the local AWS itself answers, with 502.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice

import pytest
from infra.local import faces_config

from candid.access.limits import Kind
from candid.tables import key
from tests.benchmarks.load.asking import Searches
from tests.benchmarks.load.figures import SEARCHED, Asked, limit_failures
from tests.benchmarks.load.importing import Import
from tests.benchmarks.load.later import status_after
from tests.benchmarks.load.records import case_of, on_record
from tests.conftest import MEASURED
from tests.e2e.conftest import INDEXES
from tests.e2e.stack import Stack, eventually
from tests.e2e.test_photos import agency
from tests.hostile.size import tries
from tests.portraits import distinct

LEFT = 40
"""Searches that the user may still make."""
CLIENTS = 16


def minutes_left() -> int:
    """Of this hour."""
    return 60 - datetime.now(UTC).minute


def leave(stack: Stack, name: str, left: int) -> None:
    """Let the tester have made all searches of this hour but so many."""
    variables = dict(faces_config.read(stack.told["aws_endpoint_url"], "candid-search").variables)
    used = int(variables["USER_FACES_PER_HOUR"]) - left
    hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
    item = key(f"{name}#tester", f"{Kind.FACES.name}#{hour}") | {"used": {"N": str(used)}}
    stack.aws("dynamodb").put_item(TableName=variables["LIMITS_TABLE"], Item=item)


@pytest.mark.parametrize("index", INDEXES[: tries(1, len(INDEXES))], indirect=True)
def test_under_load_beyond_a_limit_each_is_told_when_to_come_again_and_nothing_is_dropped(
    stack: Stack, record_property: Callable[[str, str], None]
) -> None:
    eventually(lambda: minutes_left() > 3, 240)  # In a new hour counting would begin anew.
    name = agency()
    api = stack.api(name)
    case_id = case_of(api)
    asking = Searches(stack, name, case_id, list(islice(distinct(5), 10)))
    leave(stack, name, LEFT)
    asked = Asked(CLIENTS, True)
    with Import(stack, name, 4) as going_on:
        asking.ask(asked, 3 * LEFT)
        eventually(lambda: len(going_on.stored) >= 10)
    settled = going_on.settled(api)
    recorded = on_record(api, case_id)
    assert status_after(stack, 0, name, asking.body(0)) == 429
    after = status_after(stack, asked.longest_retry_after, name, asking.body(0))
    assert limit_failures(asked, recorded=recorded, unaccounted=settled.unaccounted, after_the_wait=after) == []
    assert asked.statuses.total() == 3 * LEFT
    # No two take the last place, and a search that failed has used up its own.
    assert LEFT - asked.statuses[503] <= asked.statuses[SEARCHED] <= LEFT
    record_property(
        MEASURED,
        f"{CLIENTS} clients beyond a limit, {settled.dropped} photos arriving ({stack.told['index']}): "
        f"{dict(sorted(asked.statuses.items()))}, each refusal with Retry-After; {recorded} searches on record, 0 photos lost.",
    )
