"""Asking the embed function to look at photos again, by the queue that S3's events come through.

A hint has no sequencer, so none is skipped as old; whoever gets it makes index and table conform to the bucket.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from candid import aws
from candid.aws import dependency
from candid.errors import DependencyUnavailable
from candid.gallery.photos import PhotoKey

ROOM: Final = 400
"""Hints are sent while fewer messages wait: photos that are booked now must not queue up behind a whole gallery."""

_BATCH: Final = 10
_REFUSED: Final = "The photos queue did not take every message. Try again in a minute."


@dataclass(frozen=True, slots=True)
class Hints:
    """The photos queue, for hints about ``bucket``. Every method raises ``DependencyUnavailable``."""

    queue_url: str
    bucket: str

    def send(self, keys: Sequence[PhotoKey | str]) -> None:
        """Ask for what lies under each key to be looked at."""
        self.again([self._body(key) for key in keys])

    def again(self, bodies: Sequence[str]) -> None:
        """Send messages that the queue had before."""
        left = iter(bodies)
        while batch := list(islice(left, _BATCH)):
            entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(batch)]
            with dependency("the photos queue"):
                told = aws.sqs().send_message_batch(QueueUrl=self.queue_url, Entries=entries)  # type: ignore[arg-type]
            if told.get("Failed"):
                raise DependencyUnavailable(_REFUSED)

    def waiting(self) -> int:
        """About how many messages the queue holds, those that are being worked on included."""
        names: Iterable[str] = (
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        )
        with dependency("the photos queue"):
            told = aws.sqs().get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=list(names))  # type: ignore[arg-type]
        return sum(int(told["Attributes"].get(name, 0)) for name in names)  # type: ignore[call-overload,misc]

    def _body(self, key: PhotoKey | str) -> str:
        detail = {"bucket": {"name": self.bucket}, "object": {"key": str(key)}}
        return json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail})
