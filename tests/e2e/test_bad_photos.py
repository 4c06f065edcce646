"""Bad photos through the whole: bucket, event, queue, embed, either index. Each is enrolled or rejected with a reason, the good
ones among them are enrolled, and no worker dies of any.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from candid.cli.answers import Booking
from candid.cli.api import Api
from candid.cli.problems import Refused
from tests.conftest import MEASURED
from tests.e2e.processes import processes
from tests.e2e.stack import BOOKED_AT, Stack, eventually
from tests.e2e.test_operating import operate
from tests.e2e.test_photos import agency
from tests.hostile import photos
from tests.hostile.test_photos import BAD

REFUSED = {"IMAGE_TOO_LARGE", "IMAGE_UNREADABLE"}


def embed_workers(stack: Stack) -> set[int]:
    """Their process ids; where there is no /proc, none are seen."""
    return {pid for pid, name in processes(stack).items() if name.startswith("candid-embed")}


def looked(api: Api, booking_id: str) -> Booking | None:
    """The booking, once its photo is enrolled or rejected."""
    try:
        booking = api.booking(booking_id)
    except Refused:
        return None
    return booking if booking.state in {"enrolled", "rejected"} else None


def test_each_bad_photo_is_enrolled_or_rejected_and_the_good_ones_among_them_are_enrolled(
    stack: Stack, record_property: Callable[[str, str], None]
) -> None:
    name = agency()
    api, s3 = stack.api(name), stack.aws("s3")
    before = embed_workers(stack)
    assert before or not Path("/proc").is_dir()
    tried = {what: (made(), expected) for what, (made, expected) in BAD.items()}
    tried |= {f"bomb: {what}": (made(), REFUSED) for what, made in photos.BOMBS.items()}
    bookings: dict[str, set[str]] = {}
    for number, (data, expected) in enumerate(tried.values()):
        for photo, outcomes in (
            (data, expected),
            (photos.saved(photos.opened(), quality=90 + number % 9), {"enrolled"}),
        ):
            booking_id = str(uuid.uuid4())
            fields = {"booking-number": booking_id, "subject-id": booking_id, "booked-at": BOOKED_AT}
            key = f"{name}/bookings/{booking_id}/{uuid.uuid4()}"
            s3.put_object(Bucket=stack.photos_bucket, Key=key, Body=photo, Metadata=fields)
            bookings[booking_id] = outcomes
    became: dict[str, str] = {}
    for booking_id in bookings:
        (photo,) = eventually(lambda booking_id=booking_id: looked(api, booking_id), 120).photos
        became[booking_id] = photo.reason or photo.state
        assert photo.state == "enrolled" or (photo.sentence or "").endswith(".")
    wrong = {one: (became[one], outcomes) for one, outcomes in bookings.items() if became[one] not in outcomes}
    assert not wrong
    assert embed_workers(stack) == before
    assert operate(stack, "verify").code == 0
    record_property(
        MEASURED,
        f"Bad photos through bucket, event and queue: {len(tried)} kinds, each beside a good one: "
        f"{list(became.values()).count('enrolled')} enrolled, the others rejected with a reason; no worker died.",
    )
