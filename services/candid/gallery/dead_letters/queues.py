"""The queues that dead letters wait in. SQS shows a message only by receiving it, which hides it from others for a while.

So every look takes letters in hand for ``HOLD_SECONDS``; whoever is done with one puts it back or removes it, and a look that
is cut off puts them back by that time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from candid import aws
from candid.aws import dependency
from candid.errors import DependencyUnavailable
from candid.gallery.dead_letters.letters import Letter, Way, letter

HOLD_SECONDS: Final = 300
_BATCH: Final = 10
_WAIT_SECONDS: Final = 1
"""Longer than none: then SQS asks all of its servers, and an empty answer means empty."""
_EMPTY: Final = 2
"""So many empty answers in a row end a look."""
_NAME: Final = "the dead letters"


@dataclass(frozen=True, slots=True)
class Queues:
    """``urls`` of the queue of each way. Every method raises ``DependencyUnavailable``."""

    urls: Mapping[Way, str]

    def count(self, way: Way) -> int:
        """About how many letters wait, those that somebody has in hand included."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        with dependency(_NAME):
            told = aws.sqs().get_queue_attributes(QueueUrl=self.urls[way], AttributeNames=names)
        return sum(int(told["Attributes"].get(name, 0)) for name in names)

    def take(self, way: Way) -> list[Letter]:
        """Up to ten letters, in hand from now on."""
        with dependency(_NAME):
            told = aws.sqs().receive_message(
                QueueUrl=self.urls[way],
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=HOLD_SECONDS,
                WaitTimeSeconds=_WAIT_SECONDS,
                MessageSystemAttributeNames=["SentTimestamp"],
                MessageAttributeNames=["All"],
            )
        return [letter(way, message) for message in told.get("Messages", [])]

    def walk(self, way: Way) -> Iterator[list[Letter]]:
        """All letters that nobody has in hand, some at a time, each in hand from then on."""
        empty = 0
        while empty < _EMPTY:
            some = self.take(way)
            empty = 0 if some else empty + 1
            if some:
                yield some

    def put_back(self, letters: Sequence[Letter]) -> None:
        """Let others see them again, now. One that is not in hand any more is seen by others already."""
        for way, some in _by_way(letters):
            entries: Any = [
                {"Id": str(number), "ReceiptHandle": one.receipt, "VisibilityTimeout": 0}
                for number, one in enumerate(some)
            ]
            try:
                with dependency(_NAME):
                    aws.sqs().change_message_visibility_batch(QueueUrl=self.urls[way], Entries=entries)
            except (DependencyUnavailable, ClientError):
                return  # They come back by themselves.

    def remove(self, letters: Sequence[Letter]) -> None:
        """Delete them; one that is gone already is no failure."""
        for way, some in _by_way(letters):
            entries: Any = [{"Id": str(number), "ReceiptHandle": one.receipt} for number, one in enumerate(some)]
            with dependency(_NAME):
                told = aws.sqs().delete_message_batch(QueueUrl=self.urls[way], Entries=entries)
            if told.get("Failed"):
                raise DependencyUnavailable("Not every dead letter could be deleted. Give the same command again.")


def _by_way(letters: Sequence[Letter]) -> Iterator[tuple[Way, list[Letter]]]:
    for way, some in itertools.groupby(letters, key=lambda one: one.way):
        left = list(some)
        for start in range(0, len(left), _BATCH):
            yield way, left[start : start + _BATCH]
