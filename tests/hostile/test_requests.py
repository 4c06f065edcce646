"""Bad requests, by every role, through the gateway's stand-in and the real functions: no answer of 5xx, and every refusal is a
problem document that says what is wrong and what to do.

Requests come from the contract: schemathesis makes valid ones, and ones that break it in one place or several. What is answered
is held to the contract again: status, media type, schema, headers.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from candid.access.principal import Role
from casework import app as casework_app
from ingest import app as ingest_app
from tests.conftest import MEASURED
from tests.contract.openapi import document, validator
from tests.hostile.front import Front
from tests.hostile.size import tries
from tests.integration.gallery import AGENCY, encoded, gallery
from tests.issuer import Issuer, issuing
from tests.portraits import portrait
from tests.refusals import wrong

pytestmark = pytest.mark.slow

SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
SETTINGS = settings(
    max_examples=tries(12, 500),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
    database=None,
)


@dataclass
class World:
    """Candid behind its front, with a face in the gallery."""

    issuer: Issuer
    front: Front = field(default_factory=Front)

    def send(self, case: schemathesis.Case, *roles: Role, agency: str = AGENCY) -> Any:
        """The answer to ``case`` by somebody with ``roles``."""
        token = self.issuer.token(agency=agency, roles=list(roles))
        return case.call(headers={"Authorization": f"Bearer {token}"}, app=self.front)

    def hold(self, case: schemathesis.Case, response: Any) -> None:
        """Hold the answer to the contract."""
        case.validate_response(response, checks=CHECKS)
        if response.status_code >= 400:
            problem = response.json()
            validator("Problem").validate(problem)
            assert response.headers["content-type"][0] == "application/problem+json"
            assert problem["status"] == response.status_code
            assert wrong(problem["detail"]) is None, problem["detail"]


def make_possible(case: schemathesis.Case) -> None:
    """Give a valid request what no schema can say: a purpose of the policy's, a date in the past, a photo with a face, the agency
    that asks."""
    if case.meta is None or case.meta.generation.mode is not schemathesis.GenerationMode.POSITIVE:
        return
    if isinstance(case.body, dict):
        said = {
            "purpose": "criminal_investigation",
            "booked_at": "2026-03-01T10:00:00Z",
            "probe_source": "surveillance_still",
            **dict.fromkeys(("probe", "image", "image_a", "image_b"), encoded(portrait("person_a_2"))),
        }
        case.body = {name: said.get(name, value) for name, value in case.body.items() if name not in OPTIONAL}
    if case.query:
        case.query.pop("agency", None)


OPTIONAL = {"filters", "threshold", "face", "probe_id"}
"""What most of its values make impossible of a search."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("requests")
    with gallery(folder) as made, issuing(folder / "keys") as issuer:
        ingest_app.work.cache_clear()
        made.enrol("person_a_1", "S-1")
        here = World(issuer)
        yield here
        ingest_app.work.cache_clear()
        casework_app.work.cache_clear()


@pytest.mark.parametrize("mode", schemathesis.GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
def test_an_operation_answers_whatever_it_is_asked_as_the_contract_says(
    world: World, operation: schemathesis.APIOperation, mode: schemathesis.GenerationMode
) -> None:
    @SETTINGS
    @given(case=operation.as_strategy(generation_mode=mode), role=st.sampled_from(Role))
    def asked(case: schemathesis.Case, role: Role) -> None:
        world.hold(case, world.send(case, role))

    asked()


def test_a_client_that_goes_from_one_answer_to_the_next_is_answered_as_the_contract_says(
    world: World, record_property: Callable[[str, str], None]
) -> None:
    """Stateful: what one operation answered (a booking's, a case's, a search's id) is what the next one names."""

    class Client(SCHEMA.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            # Of an agency that has nothing yet: else a number that an earlier client took would change how this one goes on.
            self.agency = f"agency-{uuid.uuid4().hex}"

        def call(self, case: schemathesis.Case, **_: Any) -> Any:
            make_possible(case)
            return world.send(case, Role.INVESTIGATOR, Role.RECORDS, Role.ADMIN, agency=self.agency)

        def validate_response(self, response: Any, case: schemathesis.Case, **_: Any) -> None:
            world.hold(case, response)

    Client.run(settings=settings(SETTINGS, max_examples=tries(10, 300), stateful_step_count=20))
    found = Counter(status for _, status in world.front.answers)
    told = ", ".join(f"{count:,} × {status}" for status, count in sorted(found.items()))
    routes = {route for route, status in world.front.answers if status < 400}
    assert len(routes) >= 8, "a client whose every request fails tries little"
    record_property(
        MEASURED,
        f"Requests from the contract, valid and broken, by every role: {sum(found.values()):,} tried, none of 5xx: {told}; "
        f"{len(routes)} of {len(OPERATIONS)} operations were carried out.",
    )
