"""Photos that go on arriving, and how long each waited until it was enrolled."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from tests.e2e.stack import BOOKED_AT, Stack
from tests.portraits import distinct

from candid.cli.api import Api


@dataclass
class Settled:
    """Photos dropped: how many are enrolled, or rejected with a reason; and the seconds that each waited for that."""

    dropped: int
    states: Counter[str] = field(default_factory=Counter)
    waited: list[float] = field(default_factory=list)

    @property
    def unaccounted(self) -> int:
        """Photos of which neither can be said."""
        return self.dropped - self.states.total()


@dataclass
class Import:
    """Drops ``a_second`` photos a second until it is told to stop, or has dropped ``most``. ``stored`` by booking: when its photo
    was put there."""

    stack: Stack
    agency: str
    a_second: float
    most: int | None = None
    stored: dict[str, float] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Import:
        pool = ThreadPoolExecutor(1)
        self._work: Future[None] = pool.submit(self._run)
        pool.shutdown(wait=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.wait()

    def wait(self) -> None:
        """Until ``most`` are dropped. Raises what dropping failed by."""
        self._work.result()

    def _run(self) -> None:
        s3, due = self.stack.aws("s3"), time.monotonic()
        seed = random.getrandbits(32)  # Another import's photos are not to be these.
        for number, photo in enumerate(islice(distinct(seed), self.most)):
            due += 1 / self.a_second
            if self._over.wait(max(0.0, due - time.monotonic())):
                return
            booking_id = str(uuid.uuid4())
            fields = {"booking-number": f"N{seed}-{number}", "subject-id": f"S{seed}-{number}", "booked-at": BOOKED_AT}
            key = f"{self.agency}/bookings/{booking_id}/{uuid.uuid4()}"
            s3.put_object(Bucket=self.stack.photos_bucket, Key=key, Body=photo, Metadata=fields)
            self.stored[booking_id] = time.time()

    def settled(self, api: Api, patience: float = 600) -> Settled:
        """What became of the photos, once all are through or patience is over."""
        end = time.monotonic() + patience
        while True:
            found = [booking for page in api.bookings() for booking in page if booking.booking_id in self.stored]
            states = Counter(booking.state for booking in found)
            if states["enrolled"] + states["rejected"] == len(self.stored) or time.monotonic() > end:
                break
            time.sleep(1)
        told = Settled(len(self.stored))
        for booking in found:
            for photo in api.booking(booking.booking_id).photos:
                through = photo.state == "enrolled" or bool(photo.state == "rejected" and photo.reason)
                told.states[photo.state] += through
                done = photo.updated_at if through and photo.updated_at else datetime.now(UTC)
                told.waited.append(done.timestamp() - self.stored[booking.booking_id])
        return told
