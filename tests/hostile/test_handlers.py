"""Invocations such as no gateway should make, straight into the functions that answer requests: valid bodies with something
broken, bytes, nesting, ids of every kind, headers that contradict each other. None fails a function, and every refusal is a
problem document.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from candid.access.principal import Role
from ingest import app as ingest_app
from tests.conftest import MEASURED
from tests.contract.openapi import validator
from tests.gateway import Context
from tests.hostile.breaking import ODD_TEXT, broken
from tests.hostile.size import tries
from tests.integration.gallery import AGENCY, encoded, gallery
from tests.operations import HANDLERS, OPERATIONS
from tests.portraits import portrait
from tests.refusals import wrong

pytestmark = pytest.mark.slow

NUMBER: Final = tries(600, 80_000)
"""Of invocations, one a case."""

IDS: Final = [str(uuid.UUID(int=0)), str(uuid.uuid4()), str(uuid.uuid4()).upper(), "{%s}" % uuid.UUID(int=0), *ODD_TEXT]  # noqa: UP031
TYPES: Final = [
    "application/json",
    "application/json; charset=utf-7",
    "APPLICATION/JSON",
    "text/plain",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "multipart/form-data; boundary=" + "x" * 5_000,
    "multipart/mixed; boundary=x",
    "",
    "\0",
]


@dataclass
class World:
    """The functions over stores that hold a booking, a case and a search."""

    made: dict[str, str]
    answered: Counter[int] = field(default_factory=Counter)

    def bodies(self) -> dict[str, Any]:
        """A valid body of each operation that has one."""
        booking = {
            "booking_number": str(uuid.uuid4()),
            "subject_id": "S-1",
            "booked_at": "2026-03-01T10:00:00Z",
            "collection": "bookings",
            "fields": {"facility": "annex"},
            "photos": [{"content_type": "image/jpeg", "view": "frontal", "sha256": "0" * 64}],
        }
        image = encoded(portrait("person_a_2")[:3_000])
        return {
            "createBooking": booking,
            "createBookings": {"bookings": [booking]},
            "changeBooking": {"disposition": "acquitted", "subject_id": "S-2", "booked_at": "2026-03-01T10:00:00Z"},
            "addPhoto": {"content_type": "image/jpeg", "view": "frontal"},
            "createShare": {"collection": "bookings", "reader": "lane-county", "legal_basis": "ORS 190.010"},
            "createPlace": {"bucket": "lakeside-photos", "prefix": "booking/"},
            "openCase": {"number": "1", "purpose": "criminal_investigation", "legal_basis": "ORS 133.000"},
            "createCaseCredentials": {"probe_source": "surveillance_still", "duration_seconds": 900},
            "createRecordsCredentials": {"duration_seconds": 900},
            "createProbe": {"content_type": "image/jpeg"},
            "search": {
                "case_id": self.made["case_id"],
                "probe_source": "surveillance_still",
                "probe": image,
                "collection": "bookings",
                "filters": {"agency": AGENCY, "booked_from": "2026-01-01T00:00:00Z"},
                "threshold": {"fmr": 1e-4},
                "max_candidates": 5,
                "per_subject": True,
                "face": "only",
            },
            "compare": {"image_a": image, "image_b": image, "face": 0},
            "detect": {"image": image},
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with gallery(tmp_path_factory.mktemp("handlers")) as made:
        ingest_app.work.cache_clear()
        booking_id = made.enrol("person_a_1", "S-1")
        yield World({"booking_id": booking_id, "case_id": made.case(), "search_id": str(uuid.uuid4())})
        ingest_app.work.cache_clear()


@st.composite
def invocations(draw: st.DrawFn, bodies: dict[str, Any], made: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """The function and an event for it."""
    operation = draw(st.sampled_from(OPERATIONS))
    method, route = operation.method, operation.path
    path = route
    for name in ("booking_id", "case_id", "search_id", "share_id", "place_id"):
        if f"{{{name}}}" in route:
            value = draw(st.sampled_from([made.get(name, "x")] * 20 + IDS) | st.text(max_size=40))
            path = path.replace(f"{{{name}}}", value)
    data = draw(broken(bodies.get(operation.id)))
    coded = draw(st.sampled_from([False, False, True]))
    text = (
        base64.b64encode(data).decode()
        if coded
        else data.decode("utf-8", "surrogatepass" if data.isascii() else "replace")
    )
    if coded and draw(st.booleans()):
        text = text[:-1] + draw(st.sampled_from(["", "=", "*", "é"]))
    headers = {"Content-Type": draw(st.sampled_from([*["application/json"] * 40, *TYPES]))}
    if draw(st.booleans()):
        headers["Idempotency-Key"] = draw(
            st.sampled_from(["k", "", "x" * 129, "é", "a b", "\0"]) | st.text(max_size=10)
        )
    names = st.sampled_from(
        ["limit", "cursor", "state", "collection", "agency", "booked_from", "booked_before", "officer"]
    )
    texts = st.sampled_from([one for one in ODD_TEXT if len(one) < 1_000] + ["0", "-1", "1e3", "101", "e30", "open"])
    query = draw(st.none() | st.dictionaries(names | st.text(max_size=8), texts | st.text(max_size=30), max_size=3))
    everybody = {"agency": AGENCY, "user": "u", "roles": " ".join(Role)}
    nobody = [None, {}, {"agency": "A B", "user": "u"}, {"agency": AGENCY}, {"agency": 1, "user": None}]
    authorizer = draw(st.sampled_from([*[everybody] * 45, *nobody]))
    event = {
        "resource": route,
        "path": path,
        "httpMethod": method,
        "headers": draw(st.sampled_from([headers, headers, headers, None])),
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
        "pathParameters": None,
        "requestContext": {"requestId": str(uuid.uuid4()), "httpMethod": method, "authorizer": authorizer},
        "body": draw(st.sampled_from([text, text, text, None])),
        "isBase64Encoded": coded,
    }
    return operation.function, event


def test_whatever_a_function_is_handed_it_answers_and_never_with_5xx(
    world: World, record_property: Callable[[str, str], None]
) -> None:
    @settings(
        max_examples=NUMBER,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        database=None,
    )
    @given(invocation=invocations(world.bodies(), world.made))
    def handed(invocation: tuple[str, dict[str, Any]]) -> None:
        function, event = invocation
        told = HANDLERS[function](event, Context())
        json.dumps(told, ensure_ascii=False).encode()  # As Lambda's runtime hands it on.
        status = int(told["statusCode"])
        assert status < 500, told["body"]
        world.answered[status] += 1
        answer = json.loads(told["body"])
        if status >= 400:
            validator("Problem").validate(answer)
            assert wrong(answer["detail"]) is None, answer["detail"]
        for item in answer.get("results", []) if "bookings" in event["path"] else []:
            assert item["status"] < 500, item
            assert "problem" not in item or wrong(item["problem"]["detail"]) is None, item

    handed()
    told = ", ".join(f"{count:,} × {status}" for status, count in sorted(world.answered.items()))
    record_property(
        MEASURED, f"Invocations with something broken: {sum(world.answered.values()):,} tried, none of 5xx: {told}."
    )
