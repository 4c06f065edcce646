"""A store that fails, throttles, hangs or loses its answers: who asks is told to try again, never that Candid failed or that
something is taken; and what was begun is whole once the store is back.
"""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MEASURED, counted
from tests.contract.openapi import conforms
from tests.e2e.conftest import INDEXES
from tests.e2e.faults.scene import SITE, Scene, own, state, unfinished
from tests.e2e.faults.weather import Fault, Weather, weather
from tests.e2e.functions import Functions, unheard
from tests.e2e.stack import BOOKED_AT, Stack
from tests.e2e.test_operating import agrees
from tests.e2e.test_photos import search, text
from tests.gateway import Answer, Caller
from tests.hostile.size import tries

FAULTS = [Fault.ERROR, Fault.LOSE, Fault.THROTTLE, Fault.REFUSE, Fault.DELAY, Fault.HANG]
STORES = ["dynamodb", "s3", "sqs", "events"]
ALL = [*itertools.product(STORES, FAULTS, (1, 2))]
SOME = [
    ("dynamodb", Fault.LOSE, 1),
    # Each is tried again by its client, to which the store then says that it is done already.
    ("dynamodb", Fault.LOSE, 2),
    ("dynamodb", Fault.THROTTLE, 1),
    ("s3", Fault.ERROR, 1),
    ("events", Fault.LOSE, 1),
]
TRIED = ALL if tries(0, 1) else SOME


@pytest.fixture
def sky(stack: Stack) -> Iterator[Weather]:
    with weather(stack.told["aws_endpoint_url"]) as made:
        yield made


def asked(scene: Scene, case_id: str) -> Iterator[tuple[str, Answer]]:
    """A request of each function that writes, and one that reads."""
    for function, method, path, body in (
        (
            "ingest",
            "POST",
            "/v1/bookings",
            {"booking_number": uuid.uuid4().hex, "subject_id": "S", "booked_at": BOOKED_AT},
        ),
        ("ingest", "GET", "/v1/bookings", None),
        (
            "casework",
            "POST",
            "/v1/cases",
            {"number": uuid.uuid4().hex, "purpose": "criminal_investigation", "legal_basis": "B"},
        ),
        (
            "search",
            "POST",
            "/v1/searches",
            {"case_id": case_id, "probe_source": "other_still", "probe": text(own("person_a_2"))},
        ),
    ):
        caller = Caller(scene.workers.handler(function), scene.agency, "tester")
        yield f"{method} {path}", caller(method, path, body)


@pytest.mark.parametrize("index", INDEXES[: tries(1, len(INDEXES))], indirect=True)
def test_while_a_store_fails_answers_say_try_again_and_afterwards_all_is_whole(
    stack: Stack, sky: Weather, tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    workers = Functions(stack, tmp_path / "functions", SITE, AWS_ENDPOINT_URL=sky.url)
    answered: Counter[int] = Counter()
    late: list[dict[str, Any]] = []
    with unheard(stack):
        scene = Scene(stack, workers)
        case = scene.api.open_case("CASE-1", "criminal_investigation", "reasonable suspicion")
        expected = {scene.enrolled(own("person_a_1"))[0]: "enrolled"}
        for store, fault, every in TRIED:
            booking_id, event = scene.booked(own("person_a_1"))
            expected[booking_id] = "enrolled"
            with sky.failing(store, fault, every):
                for what, answer in asked(scene, case.case_id):
                    answered[answer.status] += 1
                    assert answer.status in {200, 201, 503}, (store, fault, what, answer)
                    if answer.status == 503:
                        assert conforms(answer.body, "Problem")
                        assert int(answer.headers["Retry-After"]) > 0
                failed = workers.invoke("embed", event)["batchItemFailures"]
            if failed:
                late.append(event)
        for event in late:
            assert workers.invoke("embed", event) == {"batchItemFailures": []}
        assert {answer.status for _, answer in asked(scene, case.case_id)} <= {200, 201}
        workers.end()
    assert {booking_id: state(scene, booking_id) for booking_id in expected} == expected
    assert search(scene.api, "person_a_2.jpg").gallery_size == len(expected)
    assert unfinished(stack, scene.agency) == {}
    agrees(stack)
    assert answered[503] >= 4
    assert late
    record_property(
        MEASURED,
        f"Stores that fail: {sum(sky.befallen.values())} faults ({counted(sky.befallen)}): {answered[503]} answers of 503 with "
        f"Retry-After, {answered[200] + answered[201]} whole, 0 of 500; {len(late)} enrolments came again: 0 lost, 0 doubled.",
    )
