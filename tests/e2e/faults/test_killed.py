"""Embed's worker killed by SIGKILL between any two of its writes: once the photo's event is delivered again, table, index and
bucket agree, every photo stands as it should, and no template is there twice.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from candid.gallery.progress import LEASE_MARGIN_SECONDS
from tests.conftest import MEASURED
from tests.contract.events import change_batch
from tests.e2e.conftest import INDEXES
from tests.e2e.faults.scene import SITE, Scene, own, state, unfinished
from tests.e2e.functions import Functions, unheard
from tests.e2e.stack import Stack
from tests.e2e.test_operating import agrees
from tests.e2e.test_photos import noise, search
from tests.hostile.size import tries

STEP = tries(2, 1)
"""Between points at which a worker is killed."""
INVOCATION_SECONDS = 8.0
SHORT = {"LEAST_SECONDS": "3", "ATTEMPT_SECONDS": "1"}
LEASE_SECONDS = INVOCATION_SECONDS + LEASE_MARGIN_SECONDS + 1


def enrol(scene: Scene) -> tuple[str, dict[str, Any]]:
    return scene.booked(own("person_a_1"))


def refuse(scene: Scene) -> tuple[str, dict[str, Any]]:
    return scene.booked(noise() + uuid.uuid4().bytes)


def replace(scene: Scene) -> tuple[str, dict[str, Any]]:
    booking_id, photo_id = scene.enrolled(own("person_b_1"))
    key = f"{scene.agency}/bookings/{booking_id}/{photo_id}"
    scene.stack.aws("s3").put_object(Bucket=scene.stack.photos_bucket, Key=key, Body=own("person_a_1"))
    return booking_id, scene.arrived(booking_id, photo_id)


def correct(scene: Scene) -> tuple[str, dict[str, Any]]:
    booking_id, _ = scene.enrolled(own("person_a_1"))
    scene.api.client.call("PATCH", f"/v1/bookings/{booking_id}", body={"subject_id": "corrected"})
    return booking_id, change_batch(scene.agency, booking_id)


def erase(scene: Scene) -> tuple[str, dict[str, Any]]:
    booking_id, _ = scene.enrolled(own("person_a_1"))
    scene.api.client.call("DELETE", f"/v1/bookings/{booking_id}")
    return booking_id, change_batch(scene.agency, booking_id)


SCENARIOS: dict[str, tuple[Callable[[Scene], tuple[str, dict[str, Any]]], str]] = {
    "enrol": (enrol, "enrolled"),
    "replace": (replace, "enrolled"),
    "refuse": (refuse, "rejected"),
    "correct": (correct, "enrolled"),
    "erase": (erase, "gone"),
}
"""What embed does, and how the booking's photo stands then."""


@pytest.fixture
def workers(stack: Stack, tmp_path: Path) -> Iterator[Functions]:
    made = Functions(stack, tmp_path / "functions", SITE)
    with unheard(stack):
        yield made
        made.end()


@pytest.mark.parametrize("index", INDEXES[: tries(1, len(INDEXES))], indirect=True)
def test_a_worker_killed_between_any_two_writes_leaves_nothing_that_the_next_delivery_does_not_mend(
    stack: Stack, workers: Functions, tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    scene = Scene(stack, workers)
    notes = tmp_path / "writes"
    expected: dict[str, str] = {}
    killed: list[dict[str, Any]] = []
    told = []
    for number, (name, (begin, ends)) in enumerate(SCENARIOS.items()):
        workers.variables = {}
        booking_id, event = begin(scene)
        workers.end()
        workers.variables = {"NOTED_WRITES": str(notes)}
        assert workers.invoke("embed", event) == {"batchItemFailures": []}
        expected[booking_id] = ends
        writes = notes.read_text().split()
        notes.unlink()
        workers.end()
        for point in range(number % STEP, len(writes) + 1, STEP):
            workers.variables = {}
            booking_id, event = begin(scene)
            victim = Functions(stack, tmp_path / f"{name}-{point}", SITE, KILL_AFTER=str(point), **SHORT)
            answer = victim.invoke("embed", event, seconds=INVOCATION_SECONDS)
            assert "SIGKILL" in answer["errorMessage"], answer
            expected[booking_id] = ends
            killed.append(event)
        told.append(f"{name} ({', '.join(writes)})")
    time.sleep(LEASE_SECONDS)
    for event in killed:
        assert workers.invoke("embed", event) == {"batchItemFailures": []}
    assert {booking_id: state(scene, booking_id) for booking_id in expected} == expected
    subjects = {scene.api.booking(one).subject_id for one, ends in expected.items() if ends == "enrolled"}
    assert subjects == {"somebody", "corrected"}
    assert search(scene.api, "person_a_2.jpg").gallery_size == list(expected.values()).count("enrolled")
    assert unfinished(stack, scene.agency) == {}
    agrees(stack)
    record_property(
        MEASURED,
        f"Killed by SIGKILL between two writes: {len(killed)} workers, {'at each' if STEP == 1 else 'at every second'} point "
        f"before, between and after {'; '.join(told)}: 0 lost, "
        f"0 doubled.",
    )
