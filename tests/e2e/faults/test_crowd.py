"""A crowd of photos comes through everything that can go wrong at random: workers killed by SIGKILL at any call, stores that fail
by spells, clocks ten minutes off, a full disk. None is lost, none is there twice, each is accounted for, and the queue is empty.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from candid.cli.api import Api
from candid.gallery.booking_face import read_face
from candid.gallery.outcome import Rejection, Stopwatch
from tests.conftest import MEASURED, counted
from tests.contract.events import photo_batch
from tests.e2e.conftest import INDEXES
from tests.e2e.faults.scene import SITE, unfinished
from tests.e2e.faults.weather import Fault, Weather, weather
from tests.e2e.functions import Functions, unheard
from tests.e2e.stack import BOOKED_AT, Stack, eventually
from tests.e2e.test_operating import agrees, redrive
from tests.e2e.test_photos import agency, search
from tests.hostile.size import tries
from tests.portraits import distinct, engine

PHOTOS = tries(60, 10_000)
CONSUMERS = 3
INVOCATION_SECONDS = 9.0
VISIBLE_SECONDS = 16
"""A message comes again, if nobody said that it is done: a little later than its worker may run."""
SPELL_SECONDS = 2.0
FAIR_SECONDS = tries(0, 12)
"""Between two spells. Ten thousand photos that had no fair weather at all would take a day."""
FAULT_CHANCE = 0.02 if PHOTOS < 1_000 else 0.002
"""Of each request, in any weather."""
BATCHES = 30
"""So many a worker follows before another takes its place: a disk is full and a clock wrong for a while."""
AHEAD, BEHIND = tries(30, 600), -600
"""Seconds by which a worker's clock is wrong. A lease of one that is ahead and is killed lasts so much longer for all others, and
a short run does not wait for ten minutes."""
VISIBLE, IN_HAND = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
KILL_CHANCE = 0.007 if PHOTOS < 1_000 else 0.0005
"""Of each call, before it and after it: a photo has about twelve."""


def spells(sky: Weather, chance: random.Random, over: threading.Event) -> None:
    """Fair weather and foul in turns, a service at a time; and a little of everything always."""
    faults = [fault for fault in Fault if fault is not Fault.HANG]

    def now_and_then(_: str) -> Fault | None:
        return chance.choice(faults) if chance.random() < FAULT_CHANCE else None

    while not over.is_set():
        store, worst = chance.choice(["dynamodb", "s3", "sqs", "events", ""]), chance.choice(faults)

        def befalls(service: str, store: str = store, worst: Fault = worst) -> Fault | None:
            return worst if service == store else now_and_then(service)

        sky.fault = befalls
        over.wait(chance.uniform(0.5, 2) * SPELL_SECONDS)
        sky.fault = now_and_then
        over.wait(FAIR_SECONDS)
    sky.fault = lambda _: None


@dataclass
class Consumer:
    """Takes messages of the photos queue in hand and lets a worker follow them, as Lambda does. The worker's clock may be wrong,
    its disk full; and it may be killed at any call."""

    stack: Stack
    folder: Path
    sky: Weather
    chance: random.Random
    seen: Counter[str] = field(default_factory=Counter)
    kind: str = ""
    """What is wrong with its worker."""

    def work(self, over: threading.Event, foul: bool) -> None:
        """Until nothing is waiting and it is ``over``."""
        sqs, queue = self.stack.aws("sqs"), self.stack.told["outputs"]["PhotosQueueUrl"]
        workers, batches = self._workers(foul), 0
        while True:
            if batches == BATCHES:
                workers.end()
                workers, batches = self._workers(foul), 0
            taken = sqs.receive_message(
                QueueUrl=queue,
                MaxNumberOfMessages=5,
                VisibilityTimeout=VISIBLE_SECONDS,
                WaitTimeSeconds=1,  # Lambda would wait for the queue's twenty.
                AttributeNames=["All"],
            ).get("Messages", [])
            if not taken:
                if over.is_set():
                    break
                continue
            batches += 1
            self.seen["delivered"] += len(taken)
            answer = workers.invoke("embed", _batch(taken), seconds=INVOCATION_SECONDS)
            if "batchItemFailures" not in answer:
                self.seen["workers killed" if "SIGKILL" in answer["errorMessage"] else answer["errorType"]] += 1
                workers.end()
                workers, batches = self._workers(foul), 0
                continue
            failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
            self.seen["failed"] += len(failed)
            self.seen[f"followed by {self.kind}"] += len(taken) - len(failed)
            for one in taken:
                if one["MessageId"] not in failed:
                    sqs.delete_message(QueueUrl=queue, ReceiptHandle=one["ReceiptHandle"])
        workers.end()

    def _workers(self, foul: bool) -> Functions:
        variables = {
            **{"BUSY_SECONDS": "5", "LEAST_SECONDS": "3", "ATTEMPT_SECONDS": "1"},
            "AWS_ENDPOINT_URL": self.sky.url,
        }
        self.kind = "workers"
        if foul:
            variables["KILL_CHANCE"] = str(KILL_CHANCE)
            wrong = self.chance.choice(["", "", "ahead", "behind", "full"])
            if wrong in {"ahead", "behind"}:
                variables["CLOCK_SECONDS"] = str(AHEAD if wrong == "ahead" else BEHIND)
                self.kind = f"workers whose clock is {wrong}"
            if wrong == "full":
                largest = max((path.stat().st_size for path in self._index_files()), default=0)
                variables["LARGEST_FILE"] = str(largest + 8192)
                self.kind = "workers whose disk is full"
            self.seen[self.kind] += 1
        return Functions(self.stack, self.folder / uuid.uuid4().hex, SITE, **variables)

    def _index_files(self) -> list[Path]:
        return [path for path in (self.stack.root / ".candid" / "index").rglob("*.sqlite*") if path.is_file()]


def _batch(taken: list[dict[str, Any]]) -> dict[str, Any]:
    """What Lambda is invoked with for these messages."""
    batch = photo_batch(*(one["Body"] for one in taken))
    for record, message in zip(batch["Records"], taken, strict=True):
        record |= {"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"]}
        record["attributes"] |= {"ApproximateReceiveCount": message["Attributes"]["ApproximateReceiveCount"]}
    return batch


def states_of(api: Api) -> Counter[str]:
    """How many bookings are in which state."""
    return Counter(booking.state for page in api.bookings() for booking in page)


def wrongly_rejected(api: Api, photos: Sequence[bytes]) -> dict[str, tuple[str | None, str | None]]:
    """Bookings whose photo was rejected for another reason than it is where nothing goes wrong: both reasons, by number."""
    wrong = {}
    for booking in (one for page in api.bookings(state="rejected") for one in page):
        assert booking.booking_number is not None
        (shown,) = api.booking(booking.booking_id).photos
        alone = read_face([engine()], photos[int(booking.booking_number.removeprefix("N"))], Stopwatch())
        reason = alone.reason if isinstance(alone, Rejection) else None
        if shown.reason != reason:
            wrong[booking.booking_number] = (shown.reason, reason)
    return wrong


def waiting(stack: Stack, *which: str) -> int:
    """Messages of the photos queue that are waiting (``VISIBLE``) or in somebody's hand (``IN_HAND``)."""
    told = stack.aws("sqs").get_queue_attributes(QueueUrl=stack.told["outputs"]["PhotosQueueUrl"], AttributeNames=which)
    return sum(int(count) for count in told["Attributes"].values())


@pytest.mark.parametrize("index", INDEXES[: tries(1, len(INDEXES))], indirect=True)
def test_a_crowd_of_photos_comes_through_everything_that_can_go_wrong(
    stack: Stack, tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    chance = random.Random(20261127)  # noqa: S311
    photos = list(islice(distinct(7), PHOTOS))
    name = agency()
    api = stack.api(name)
    s3 = stack.aws("s3")
    over = threading.Event()
    with unheard(stack), weather(stack.told["aws_endpoint_url"]) as sky:
        consumers = [Consumer(stack, tmp_path / str(number), sky, random.Random(number)) for number in range(CONSUMERS)]  # noqa: S311
        threads = [threading.Thread(target=spells, args=(sky, chance, over), daemon=True)]
        threads += [threading.Thread(target=one.work, args=(over, True), daemon=True) for one in consumers]
        for one in threads:
            one.start()
        try:
            for number, photo in enumerate(photos):
                key = f"{name}/bookings/{uuid.uuid4()}/{uuid.uuid4()}"
                fields = {"booking-number": f"N{number}", "subject-id": f"S{number}", "booked-at": BOOKED_AT}
                s3.put_object(Bucket=stack.photos_bucket, Key=key, Body=photo, Metadata=fields)
            eventually(lambda: not waiting(stack, VISIBLE), tries(600, 10_800))
        finally:
            over.set()
        for one in threads:
            one.join()
        letters = _fair(stack, consumers, over)
        for _ in range(5):
            # An event may have been on its way to the queue just then.
            if (states := states_of(api)).total() == PHOTOS:
                break
            time.sleep(2)
            letters += _fair(stack, consumers, over)
    seen: Counter[str] = sum((one.seen for one in consumers), Counter())
    assert states.total() == PHOTOS
    assert set(states) <= {"enrolled", "rejected"}, states
    assert search(api, "person_a_2.jpg").gallery_size == states["enrolled"]
    assert states["enrolled"] > 0.9 * PHOTOS
    assert wrongly_rejected(api, photos) == {}
    assert unfinished(stack, name) == {}
    agrees(stack)
    assert min(seen["workers killed"], sky.befallen.total()) > 0
    if PHOTOS >= 1_000:
        assert min(seen[f"followed by workers whose clock is {wrong}"] for wrong in ("ahead", "behind")) > PHOTOS / 100
    record_property(
        MEASURED,
        f"A crowd of {PHOTOS:,} photos: {states['enrolled']:,} enrolled, {states['rejected']:,} rejected, 0 lost, 0 doubled, the "
        f"queue empty. On the way: {counted(seen)}; {letters} dead letters redriven; faults of stores: "
        f"{counted(sky.befallen)}.",
    )


def _fair(stack: Stack, consumers: list[Consumer], over: threading.Event) -> int:
    """What is left, in fair weather: the queue worked off, dead letters sent again. How many those were."""
    letters = 0
    end = time.monotonic() + tries(300, 3_600)
    while True:
        assert time.monotonic() < end
        while waiting(stack, VISIBLE, IN_HAND):
            assert time.monotonic() < end
            consumers[0].work(over, False)
            time.sleep(1)
        listed = sum(way["count"] for way in redrive(stack, "list", "--json").json["ways"])
        if not listed:
            return letters
        letters += listed
        # Of hundreds the last are sent when the first are worked off.
        sent = threading.Event()
        worker = threading.Thread(target=consumers[0].work, args=(sent, False), daemon=True)
        worker.start()
        try:
            assert redrive(stack, "start", "--all").code == 0
        finally:
            sent.set()
            worker.join()
