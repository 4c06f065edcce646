"""The casework function: cases opened, listed, closed; what the policy refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from candid.casework.policy import policy
from casework import app
from tests.contract.openapi import conforms
from tests.gateway import Caller
from tests.integration.aws import stores

CASE = {"number": "2026-CR-00417", "purpose": "criminal_investigation", "legal_basis": "Burglary I, ORS 164.225"}


@pytest.fixture
def officer() -> Iterator[Caller]:
    with stores():
        app.work.cache_clear()
        yield Caller(app.handler, "washington-county", "det.lee", "investigator")
    app.work.cache_clear()


def as_other(caller: Caller, **changes: str) -> Caller:
    told = {"agency": caller.agency, "user": caller.user, "roles": caller.roles} | changes
    return Caller(caller.handler, **told)


def test_a_case_carries_officer_and_agency_of_the_token_and_the_policys_digest(officer: Caller) -> None:
    answer = officer("POST", "/v1/cases", CASE)
    assert answer.status == 201
    assert conforms(answer.body, "Case")
    assert (answer.body["officer"], answer.body["agency"], answer.body["state"]) == (
        "det.lee",
        "washington-county",
        "open",
    )
    assert answer.body["policy"] == policy().mark
    assert officer("GET", f"/v1/cases/{answer.body['case_id']}").body == answer.body


@pytest.mark.parametrize("purpose", ["witness", "victim", "missing_person", "deceased", "incapacitated"])
def test_a_purpose_that_needs_approval_is_refused_until_approvals_exist(officer: Caller, purpose: str) -> None:
    answer = officer("POST", "/v1/cases", CASE | {"purpose": purpose})
    assert (answer.status, answer.body["policy"]) == (403, f"purposes.{purpose}.needs_approval")
    assert conforms(answer.body, "Problem")


def test_a_purpose_off_the_list_is_refused_with_the_list(officer: Caller) -> None:
    answer = officer("POST", "/v1/cases", CASE | {"purpose": "curiosity"})
    assert answer.status == 400
    assert "criminal_investigation" in answer.body["detail"]


def test_a_number_is_one_case_of_an_agency(officer: Caller) -> None:
    first = officer("POST", "/v1/cases", CASE).body["case_id"]
    again = officer("POST", "/v1/cases", CASE)
    assert (again.status, again.body["case_id"]) == (409, first)
    assert as_other(officer, agency="lane-county")("POST", "/v1/cases", CASE).status == 201


def test_an_idempotency_key_makes_a_retry_the_same_case(officer: Caller) -> None:
    key = {"Idempotency-Key": "k1"}
    first = officer("POST", "/v1/cases", CASE, headers=key)
    again = officer("POST", "/v1/cases", CASE, headers=key)
    assert (again.status, again.body["case_id"]) == (201, first.body["case_id"])
    assert officer("POST", "/v1/cases", CASE | {"number": "2"}, headers=key).status == 409


def test_closing_is_for_the_officer_or_a_supervisor_and_may_be_repeated(officer: Caller) -> None:
    case_id = officer("POST", "/v1/cases", CASE).body["case_id"]
    path = f"/v1/cases/{case_id}/close"
    assert as_other(officer, user="det.ray")("POST", path).status == 403
    closed = as_other(officer, user="sgt.moss", roles="supervisor")("POST", path)
    assert (closed.status, closed.body["state"], closed.body["closed_by"]) == (200, "closed", "sgt.moss")
    assert officer("POST", path).body == closed.body


def test_another_agencys_case_is_the_same_404_as_none(officer: Caller) -> None:
    case_id = officer("POST", "/v1/cases", CASE).body["case_id"]
    stranger = as_other(officer, agency="lane-county")
    for path in ("/v1/cases/{}", "/v1/cases/{}/close"):
        method = "POST" if path.endswith("close") else "GET"
        foreign = stranger(method, path.format(case_id))
        absent = stranger(method, path.format("00000000-0000-4000-8000-000000000000"))
        assert foreign.status == absent.status == 404
        assert foreign.body | {"instance": ""} == absent.body | {"instance": ""}


def test_cases_are_listed_by_state_and_officer_newest_first(officer: Caller) -> None:
    other = as_other(officer, user="det.ray")
    ids = [
        who("POST", "/v1/cases", CASE | {"number": str(i)}).body["case_id"]
        for i, who in enumerate([officer, other, officer])
    ]
    officer("POST", f"/v1/cases/{ids[0]}/close")

    def listed(**query: str) -> list[str]:
        page = officer("GET", "/v1/cases", query=query)
        assert conforms(page.body, "CasePage")
        return [case["case_id"] for case in page.body["cases"]]

    assert listed() == [ids[2], ids[1], ids[0]]
    assert listed(state="open") == [ids[2], ids[1]]
    assert listed(officer="det.lee") == [ids[2], ids[0]]
    assert listed(officer="det.lee", state="closed") == [ids[0]]
    cursor = officer("GET", "/v1/cases", query={"limit": "2"}).body["next_cursor"]
    assert listed(limit="2", cursor=cursor) == [ids[0]]
    assert officer("GET", "/v1/searches", query={"cursor": cursor}).status == 400


@pytest.mark.parametrize(
    "change", [{"number": ""}, {"number": "a\nb"}, {"legal_basis": "  "}, {"officer": "det.ray"}, {"purpose": 7}]
)
def test_a_wrong_member_is_refused(officer: Caller, change: dict[str, Any]) -> None:
    answer = officer("POST", "/v1/cases", CASE | change)
    assert answer.status == 400
    assert answer.body["fields"]


@pytest.mark.parametrize("roles", ["records", "auditor", "admin", "examiner"])
def test_who_may_not_open_cases_is_told_who_may(officer: Caller, roles: str) -> None:
    answer = as_other(officer, roles=roles)("POST", "/v1/cases", CASE)
    assert answer.status == 403
    assert "investigator" in answer.body["detail"]


def test_an_auditor_reads_and_changes_nothing(officer: Caller) -> None:
    case_id = officer("POST", "/v1/cases", CASE).body["case_id"]
    auditor = as_other(officer, user="aud.1", roles="auditor")
    assert auditor("GET", f"/v1/cases/{case_id}").status == 200
    assert auditor("GET", "/v1/searches").status == 200
    assert auditor("POST", f"/v1/cases/{case_id}/close").status == 403
    assert auditor("POST", "/v1/probes", {"content_type": "image/jpeg"}).status == 403


@pytest.mark.parametrize(
    "query",
    [
        {"searched_from": "2026"},
        {"searched_from": "20260101"},
        {"searched_from": "2026-01-01T00:00:00"},
        {"searched_from": "0001-01-01T00:00:00+14:00"},
        {"searched_before": "9999-12-31T23:59:59-14:00"},
        {"searched_from": "2026-02-01T00:00:00Z", "searched_before": "2026-01-01T00:00:00Z"},
        {"case_id": "17"},
        {"officer": ""},
        {"limit": "0"},
        {"limit": "101"},
        {"state": "open"},
        {"cursor": "bm9uc2Vuc2U"},
    ],
)
def test_a_listing_says_what_is_wrong_with_its_filter(officer: Caller, query: dict[str, str]) -> None:
    answer = officer("GET", "/v1/searches", query=query)
    assert answer.status == 400
    assert conforms(answer.body, "Problem")


def test_a_listing_takes_times_of_any_offset(officer: Caller) -> None:
    query = {"searched_from": "2026-01-01T00:00:00.123456789-08:00", "searched_before": "2026-01-02T00:00:00z"}
    assert officer("GET", "/v1/searches", query=query).body == {"searches": []}


def test_another_agencys_cases_are_never_listed(officer: Caller) -> None:
    officer("POST", "/v1/cases", CASE)
    stranger = as_other(officer, agency="washington")
    for query in ({}, {"state": "open"}, {"officer": "det.lee"}):
        assert stranger("GET", "/v1/cases", query=query).body == {"cases": []}
