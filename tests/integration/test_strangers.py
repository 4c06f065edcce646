"""Route × role × agency: who is let in where, written by hand; and a stranger is told of another agency's thing what he is told
of nothing: the same bytes after the same calls to the stores.

The routes come from the published document, so one that is not in the table fails.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import botocore.client
import pytest

from candid.access.principal import Role
from casework import app as casework_app
from ingest import app as ingest_app
from search import app as search_app
from tests.gateway import Answer, Caller
from tests.integration.gallery import AGENCY, Gallery, encoded, gallery, request, search
from tests.operations import HANDLERS, OPERATIONS, Operation
from tests.portraits import portrait

STRANGER: Final = "lane-county"
NOTHING: Final = "00000000-0000-4000-8000-000000000000"

RECORDS, INVESTIGATOR, EXAMINER, SUPERVISOR, AUDITOR, ADMIN = Role
ALL: Final = frozenset(Role)
CLERKS: Final = frozenset({RECORDS, ADMIN})
CASEWORKERS: Final = frozenset({INVESTIGATOR, SUPERVISOR})
SEARCHERS: Final = CASEWORKERS | {EXAMINER}
READERS: Final = SEARCHERS | {AUDITOR}

TABLE: Final[dict[str, tuple[int, frozenset[Role]]]] = {
    "createBooking": (201, CLERKS),
    "createBookings": (200, CLERKS),
    "changeBooking": (200, CLERKS),
    "deleteBooking": (202, CLERKS),
    "addPhoto": (201, CLERKS),
    "createShare": (201, frozenset({ADMIN})),
    "revokeShare": (200, frozenset({ADMIN})),
    "listShares": (200, READERS | {ADMIN}),
    "createPlace": (201, frozenset({ADMIN})),
    "listPlaces": (200, frozenset({ADMIN})),
    "deletePlace": (200, frozenset({ADMIN})),
    "listBookings": (200, ALL),
    "getBooking": (200, ALL),
    "openCase": (201, CASEWORKERS),
    "closeCase": (200, CASEWORKERS),
    "createCaseCredentials": (201, SEARCHERS),
    "revokeCaseCredentials": (200, CASEWORKERS),
    "createRecordsCredentials": (201, CLERKS),
    "revokeRecordsCredentials": (200, CLERKS),
    "listCases": (200, READERS),
    "getCase": (200, READERS),
    "createProbe": (201, SEARCHERS),
    "search": (201, SEARCHERS),
    "listSearches": (200, READERS),
    "getSearch": (200, READERS),
    "compare": (200, SEARCHERS),
    "detect": (200, SEARCHERS),
}
"""What an operation answers, and to whom. Everybody else gets 403. An entry more here is a decision, not a repair of a test."""

NAMING: Final = {
    "changeBooking": "booking_id",
    "deleteBooking": "booking_id",
    "addPhoto": "booking_id",
    "getBooking": "booking_id",
    "revokeShare": "share_id",
    "deletePlace": "place_id",
    "closeCase": "case_id",
    "createCaseCredentials": "case_id",
    "revokeCaseCredentials": "case_id",
    "getCase": "case_id",
    "search": "case_id",
    "getSearch": "search_id",
}
"""The operations that name a thing that belongs to an agency, and which kind. The others name none."""


@dataclass
class County:
    """An agency with a booking, a case and a search, and what must not be told of them to others."""

    gallery: Gallery
    subject: str
    case_id: str
    search_id: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def booking(self) -> str:
        """One of its own that no other test changes."""
        clerk = Caller(ingest_app.handler, AGENCY, "clerk", "records")
        answer = clerk("POST", "/v1/bookings", self.body("createBooking", {}) | {"subject_id": self.subject})
        assert answer.status == 201, answer
        return str(answer.body["booking_id"])

    def share(self) -> str:
        """One that no other test revokes."""
        administrator = Caller(ingest_app.handler, AGENCY, "chief", "admin")
        answer = administrator("POST", "/v1/shares", self.body("createShare", {}))
        assert answer.status == 201, answer
        return str(answer.body["share_id"])

    def place(self) -> str:
        """One that no other test withdraws."""
        administrator = Caller(ingest_app.handler, AGENCY, "chief", "admin")
        answer = administrator("POST", "/v1/places", {"bucket": "lakeside-photos", "prefix": f"{uuid.uuid4()}/"})
        assert answer.status == 201, answer
        return str(answer.body["place_id"])

    def things(self, operation: str) -> dict[str, str]:
        """What the operation names, in being and of this agency; what it changes is made for it."""
        named = {"case_id": self.case_id, "search_id": self.search_id}
        if NAMING.get(operation) == "booking_id":
            named["booking_id"] = self.booking()
        if operation == "revokeShare":
            named["share_id"] = self.share()
        if operation == "deletePlace":
            named["place_id"] = self.place()
        if operation in {"closeCase", "revokeCaseCredentials"}:
            named["case_id"] = self.gallery.case(f"CR-{next(self.numbers)}-{uuid.uuid4()}")
        return named

    def body(self, operation: str, named: dict[str, str]) -> Any:
        """A valid request's; None where there is none."""
        booking = {"booking_number": str(uuid.uuid4()), "subject_id": "S-1", "booked_at": "2026-03-01T10:00:00Z"}
        case = {"number": str(uuid.uuid4()), "purpose": "criminal_investigation", "legal_basis": "ORS 133.000"}
        image = encoded(portrait("person_a_2"))
        bodies = {
            "createBooking": booking,
            "createBookings": {"bookings": [booking]},
            "changeBooking": {"disposition": "acquitted"},
            "addPhoto": {"content_type": "image/jpeg"},
            "createShare": {
                "collection": "bookings",
                "reader": f"agency-{uuid.uuid4().hex[:8]}",
                "legal_basis": "ORS 190.010",
            },
            "createPlace": {"bucket": "lakeside-photos", "prefix": f"{uuid.uuid4()}/"},
            "openCase": case,
            "createCaseCredentials": {"probe_source": "surveillance_still"},
            "createRecordsCredentials": {},
            "createProbe": {"content_type": "image/jpeg"},
            "search": request(named.get("case_id", NOTHING)),
            "compare": {"image_a": image, "image_b": image},
            "detect": {"image": image},
        }
        return bodies.get(operation)


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[County]:
    with gallery(tmp_path_factory.mktemp("strangers")) as made:
        ingest_app.work.cache_clear()
        subject = f"S-{uuid.uuid4()}"
        made.enrol("person_a_1", subject)
        case_id = made.case("2026-CR-1")
        found = search(made, request(case_id))
        assert found.status == 201
        county = County(made, subject, case_id, found.body["search_id"])
        # An agency's first booking makes its collection.
        first = Caller(ingest_app.handler, STRANGER, "clerk", "records")
        assert first("POST", "/v1/bookings", county.body("createBooking", {})).status == 201
        yield county
        ingest_app.work.cache_clear()


def ask(county: County, operation: Operation, who: Caller, named: dict[str, str]) -> Answer:
    """The operation by somebody, on these things."""
    return who(operation.method, operation.path.format(**named), county.body(operation.id, named))


def caller(operation: Operation, agency: str, role: Role, user: str = "det.lee") -> Caller:
    return Caller(HANDLERS[operation.function], agency, user, role.value)


def test_every_operation_of_the_contract_is_in_the_table_and_no_other() -> None:
    assert sorted(one.id for one in OPERATIONS) == sorted(TABLE)
    placed = {one.id for one in OPERATIONS if "{" in one.path}
    assert placed == set(NAMING) - {"search"}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.id)
def test_each_role_may_do_what_the_table_says(county: County, operation: Operation, role: Role) -> None:
    status, allowed = TABLE[operation.id]
    answer = ask(county, operation, caller(operation, AGENCY, role), county.things(operation.id))
    assert answer.status == (status if role in allowed else 403), answer
    if role not in allowed:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.body["detail"].endswith(f"one that does: {', '.join(one for one in Role if one in allowed)}.")


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.id)
def test_a_stranger_is_told_of_anothers_thing_what_he_is_told_of_nothing(
    county: County, operation: Operation, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    call = botocore.client.BaseClient._make_api_call

    def counted(client: Any, name: str, parameters: Any) -> Any:
        calls.append(f"{name} {parameters.get('TableName', '')}{parameters.get('IndexName', '')}")
        return call(client, name, parameters)

    status, allowed = TABLE[operation.id]
    named = county.things(operation.id)
    absent = dict.fromkeys(named, NOTHING)
    stranger = caller(operation, STRANGER, role)
    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)
    foreign, calls_for_foreign = ask(county, operation, stranger, named), list(calls)
    calls.clear()
    nothing = ask(county, operation, stranger, absent)
    if role not in allowed:
        assert foreign.status == 403
        assert calls_for_foreign == [], "who may not is refused before anything is looked up"
    elif operation.id in NAMING:
        assert foreign.status == 404
    else:
        assert foreign.status == status
    assert calls_for_foreign == calls
    if operation.id in NAMING or role not in allowed:
        assert _bytes(foreign) == _bytes(nothing)
    said = json.dumps(foreign.body) + json.dumps(foreign.headers)
    for secret in (county.subject, *named.values(), AGENCY):
        assert secret not in said


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if "{" in one.path], ids=lambda one: one.id)
def test_what_is_no_id_is_answered_as_an_id_of_nothing(county: County, operation: Operation) -> None:
    _, allowed = TABLE[operation.id]
    somebody = caller(operation, AGENCY, next(role for role in Role if role in allowed))
    nothing, no_id = (
        ask(county, operation, somebody, dict.fromkeys(county.things(operation.id), one))
        for one in (NOTHING, "x" * 5000)
    )
    assert (nothing.status, _bytes(nothing)) == (404, _bytes(no_id))


def test_an_investigator_closes_no_other_officers_case_and_a_supervisor_does(county: County) -> None:
    (operation,) = [one for one in OPERATIONS if one.id == "closeCase"]
    named = county.things("closeCase")
    assert ask(county, operation, caller(operation, AGENCY, INVESTIGATOR, "det.ray"), named).status == 403
    assert ask(county, operation, caller(operation, AGENCY, SUPERVISOR, "sgt.kim"), named).status == 200


def test_a_listing_that_names_anothers_thing_is_as_empty_as_one_that_names_nothing(county: County) -> None:
    reader = Caller(casework_app.handler, "linn-county", "det.lee", "supervisor")
    for path, query in (
        ("/v1/searches", {"case_id": county.case_id}),
        ("/v1/searches", {"officer": "det.lee"}),
        ("/v1/cases", {"officer": "det.lee"}),
    ):
        nothing = {name: NOTHING if name == "case_id" else "nobody" for name in query}
        assert _bytes(reader("GET", path, query=query)) == _bytes(reader("GET", path, query=nothing))
    clerk = Caller(ingest_app.handler, "linn-county", "clerk", "records")
    for query in ({"booking_number": "B1"}, {"state": "enrolled"}, {"collection": "bookings"}):
        listed = clerk("GET", "/v1/bookings", query=query)
        assert listed.body == {"bookings": []}


def test_a_probe_and_a_gallery_of_another_agency_are_not_there(county: County) -> None:
    probe = county.gallery.casework("POST", "/v1/probes", {"content_type": "image/jpeg"}).body["probe_id"]
    stranger = Gallery(
        casework=Caller(casework_app.handler, STRANGER, "det.ray", "investigator"),
        search=Caller(search_app.handler, STRANGER, "det.ray", "investigator"),
    )
    case_id = stranger.case(f"CR-{uuid.uuid4()}")
    body = {"case_id": case_id, "probe_source": "surveillance_still"}
    foreign, nothing = (search(stranger, body | {"probe_id": one}) for one in (probe, NOTHING))
    assert (foreign.status, _bytes(foreign)) == (404, _bytes(nothing))
    foreign, nothing = (
        search(stranger, request(case_id, filters={"agency": one})) for one in (AGENCY, "no-such-county")
    )
    assert (foreign.status, _bytes(foreign)) == (404, _bytes(nothing))


def _bytes(answer: Answer) -> str:
    """The answer but for what names the request itself."""
    body = answer.body | {"instance": ""} if isinstance(answer.body, dict) else answer.body
    return json.dumps([answer.status, answer.headers, body])
