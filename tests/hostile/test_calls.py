"""Calls of Rekognition's API with something broken, signed as they are: every operation, valid requests with members and bytes
changed. None fails the function, and every refusal is an exception of the operation's with a sentence.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from candid.rekognition import contract, operations
from casework import app as casework_app
from embed import wiring
from rekognition import app
from tests.conftest import MEASURED
from tests.gateway import Caller
from tests.hostile.breaking import broken
from tests.hostile.size import tries
from tests.integration.delivering import delivering
from tests.integration.gallery import AGENCY, gallery
from tests.portraits import portrait
from tests.refusals import wrong
from tests.rekognition import client, signed, valid_requests

pytestmark = pytest.mark.slow

COLLECTION: Final = "bookings"
NUMBER: Final = tries(500, 10_000)
"""Of calls, one a case."""


@dataclass
class World:
    """A collection with a face in it, and the credentials of who calls."""

    credentials: dict[str, Any]
    arn: str
    face_id: str
    answered: Counter[str] = field(default_factory=Counter)

    def bodies(self) -> dict[str, Any]:
        """A valid request of each operation that is carried out, as JSON has it."""
        return valid_requests(COLLECTION, self.arn, self.face_id)

    def call(self, target: str, body: bytes) -> dict[str, Any]:
        """What the function answers to this body, signed."""
        return signed(self.credentials, app.handler, target, body)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with gallery(tmp_path_factory.mktemp("calls")) as made, delivering():
        app.wired.cache_clear()
        officer = Caller(casework_app.handler, AGENCY, "det.lee", "investigator records")
        path = f"/v1/cases/{made.case()}/credentials"
        credentials = officer("POST", path, {"probe_source": "surveillance_still"}).body
        one = client(credentials, app.handler)
        arn = one.create_collection(CollectionId=COLLECTION)["CollectionArn"]
        told = one.index_faces(CollectionId=COLLECTION, Image={"Bytes": portrait("person_a_1")})
        yield World(credentials, arn, told["FaceRecords"][0]["Face"]["FaceId"])
        app.wired.cache_clear()
        wiring.work.cache_clear()


def test_every_operation_has_a_valid_request_here(world: World) -> None:
    bodies = world.bodies()
    assert bodies.keys() == operations.CARRIED_OUT.keys()
    for name, body in bodies.items():
        told = world.call(f"{contract.PREFIX}{name}", json.dumps(body).encode())
        assert told["statusCode"] == 200, (name, told["body"])


def test_whatever_is_broken_of_a_call_is_answered_and_never_with_5xx(
    world: World, record_property: Callable[[str, str], None]
) -> None:
    bodies = world.bodies()
    calls = st.sampled_from(sorted(bodies)).flatmap(lambda name: st.tuples(st.just(name), broken(bodies[name])))

    @settings(
        max_examples=NUMBER,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        database=None,
    )
    @given(call=calls)
    def called(call: tuple[str, bytes]) -> None:
        name, body = call
        told = world.call(f"{contract.PREFIX}{name}", body)
        answer = json.loads(told["body"])
        assert told["statusCode"] in {200, 400}, (name, told["body"])
        if told["statusCode"] == 400:
            asked = contract.model().operation_model(name)
            # API Gateway hands on text: other bytes arrive as something else than was signed.
            other = "SerializationException" if _is_text(body) else "InvalidSignatureException"
            assert answer["__type"] in contract.errors_of(asked) | {other}, name
            assert wrong(answer["message"]) is None, answer["message"]
        world.answered[answer.get("__type", "answered")] += 1

    called()
    counts = ", ".join(f"{count:,} {what}" for what, count in world.answered.most_common())
    record_property(
        MEASURED,
        f"Rekognition's calls with something broken: {sum(world.answered.values()):,} tried, none of 5xx: {counts}.",
    )


def _is_text(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
