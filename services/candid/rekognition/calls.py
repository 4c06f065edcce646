"""What an operation is given and gives: who calls, with what at hand; an answer, and what is said of it in headers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from candid import aws
from candid.access.principal import Permission
from candid.casework import answer
from candid.casework.credentials import Grant
from candid.casework.policy import Policy
from candid.casework.searches import Searches
from candid.faces.registry import ModelCard
from candid.faces.scores import Score
from candid.gallery.catalog import Catalog
from candid.gallery.collections import Collections
from candid.gallery.images import Images
from candid.gallery.index import Partition
from candid.gallery.indexes import Indexes
from candid.gallery.outcome import Stopwatch
from candid.gallery.places import Places
from candid.gallery.users import Users
from candid.rekognition.errors import Refused

NOTICE: Final = "X-Candid-Notice"
_VISIBLE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Work:
    """The use cases that operations call."""

    indexes: Indexes
    policy: Policy
    catalog: Catalog
    collections: Collections
    images: Images
    searches: Searches
    users: Users
    places: Places


@dataclass(frozen=True, slots=True)
class Call:
    """One call: whose, and its members as ``contract.read`` gives them."""

    work: Work
    grant: Grant
    asked: Mapping[str, Any]
    owner: str
    """The ARN of the account and region, up to the resource: ``arn:aws:rekognition:us-east-1:123456789012``."""
    watch: Stopwatch = field(default_factory=Stopwatch)

    def arn(self, collection: str) -> str:
        """A collection's ARN."""
        return f"{self.owner}:collection/{collection}"

    @property
    def model(self) -> str:
        """FaceModelVersion: the serving model's id."""
        return self.work.indexes.engine().card.id

    @property
    def agency(self) -> str:
        """Whose gallery it is about: never another's."""
        return self.grant.principal.agency


@dataclass(frozen=True, slots=True)
class Answer:
    """Members of the operation's output, and further headers; of a search how many ``candidates`` it found."""

    members: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    candidates: int | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """What carries an operation out, what its caller must be allowed to do, and whether it is done under a case alone."""

    carry_out: Callable[[Call], Answer]
    permission: Permission
    needs_case: bool = False


def answer_version(model: str | None) -> dict[str, str]:
    """IndexFacesModelVersion, which has digits and dots alone: the numbers in a model's id. Left out where it has none."""
    numbers = re.findall(r"[0-9]+", model or "")
    return {"IndexFacesModelVersion": ".".join(numbers)} if numbers else {}


def until_searches_find(call: Call, partition: Partition, wanted: UUID) -> None:
    """Clients search right after they have written, and OpenSearch shows what is new within a second."""
    index, end = call.work.indexes.serving().index, time.monotonic() + aws.at_most(_VISIBLE_SECONDS)
    while time.monotonic() < end:
        if any(label.id == wanted for label in index.members(partition, UUID(int=wanted.int - 1), 1)):
            return
        time.sleep(0.1)


def notice(card: ModelCard) -> dict[str, str]:
    """What every answer that holds a score says of itself."""
    return {NOTICE: answer.notice(card)}


def similarity(score: Score) -> float:
    """Rekognition's Similarity, 0 to 100, by the model's calibration. Raises ``Refused`` for a model that has none."""
    if score.similarity is None:
        raise Refused(
            "The gallery's model has no calibration, so that there is no Similarity to give. Use Candid's own API "
            "(POST /v1/searches, POST /v1/comparisons), or a model that has one."
        )
    return round(score.similarity, 4)
