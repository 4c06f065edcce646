"""Who may ask, and what the gateway itself says to those who may not: always a problem document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import urllib3

from candid.access.keys import LocalKeys
from candid.access.principal import Role
from candid.cli.problems import Refused
from tests.contract.openapi import conforms
from tests.e2e.stack import Stack, portrait


def problem(answer: urllib3.BaseHTTPResponse, status: int) -> Any:
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = answer.json()
    conforms(told, "Problem")
    assert told["status"] == status
    return told


def test_a_token_opens_the_api(stack: Stack) -> None:
    assert stack.ask("GET", "/v1/bookings", stack.tokens("lakeside-pd").token()).status == 200


@pytest.mark.parametrize("token", [None, "nonsense", "a.b.c"])
def test_no_token_or_nonsense_is_refused(stack: Stack, token: str | None) -> None:
    told = problem(stack.ask("GET", "/v1/bookings", token), 401)
    assert told["type"] == "urn:candid:problem:not-authenticated"


def test_a_token_that_another_key_signed_is_refused(stack: Stack, tmp_path: Path) -> None:
    LocalKeys.load_or_create(tmp_path)
    problem(stack.ask("GET", "/v1/bookings", stack.tokens("lakeside-pd", keys=tmp_path).token()), 401)


def test_an_unknown_route_is_not_found_with_and_without_a_token(stack: Stack) -> None:
    for token in (None, stack.tokens("lakeside-pd").token()):
        told = problem(stack.ask("GET", "/v1/nothing-here", token), 404)
        assert told["type"] == "urn:candid:problem:not-found"


def test_a_role_that_may_not_search_is_told_which_may(stack: Stack) -> None:
    clerk = stack.tokens("lakeside-pd", Role.RECORDS).token()
    told = problem(stack.ask("POST", "/v1/searches", clerk), 403)
    assert "investigator" in told["detail"]


def test_an_unknown_booking_is_not_found(stack: Stack) -> None:
    token = stack.tokens("lakeside-pd").token()
    problem(stack.ask("GET", "/v1/bookings/00000000-0000-4000-8000-000000000000", token), 404)


def test_a_search_without_a_case_is_refused(stack: Stack) -> None:
    from candid.cli.api import text

    api = stack.api("lakeside-pd")
    with pytest.raises(Refused) as refused:
        api.search({"probe": text(portrait("person_a_1.jpg")), "probe_source": "other_still"})
    assert refused.value.status == 400
