"""Hard limits a user and an agency, counted in the table by every function that answers requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import EndpointConnectionError

from candid import aws
from candid.access import limits
from candid.access.principal import Permission, Principal, Role
from candid.http import edge
from casework import app as casework_app
from ingest import app as ingest_app
from tests.gateway import Answer, Caller
from tests.integration.aws import LIMITS_TABLE, stores

LEE = Caller(casework_app.handler, user="det.lee", roles="investigator")
RAY = Caller(casework_app.handler, user="det.ray", roles="investigator")
STRANGER = Caller(casework_app.handler, agency="lane-county", user="det.lee", roles="investigator")


@pytest.fixture(autouse=True)
def limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with stores():
        for variable, most in (
            ("USER_FACES_PER_HOUR", 2),
            ("AGENCY_FACES_PER_HOUR", 3),
            ("USER_RECORDS_PER_HOUR", 4),
            ("AGENCY_RECORDS_PER_HOUR", 6),
        ):
            monkeypatch.setenv(variable, str(most))
        for made in (edge.limits, casework_app.work, ingest_app.work):
            made.cache_clear()
        yield
        for made in (edge.limits, casework_app.work, ingest_app.work):
            made.cache_clear()


def listed(who: Caller) -> Answer:
    return who("GET", "/v1/cases")


def probe(who: Caller) -> Answer:
    """A request that is counted with the searches."""
    return who("POST", "/v1/probes", {"content_type": "image/jpeg"})


def test_a_user_who_has_reached_the_limit_is_told_until_when_and_others_go_on() -> None:
    assert [listed(LEE).status for _ in range(5)] == [200] * 4 + [429]
    refused = listed(LEE)
    assert refused.body["type"] == "urn:candid:problem:limit-reached"
    assert refused.body["detail"] == (
        "You have made 4 requests for bookings, cases and stored searches in this hour, the most that one user may. "
        "Send this request again after the full hour."
    )
    now = datetime.now(UTC)
    left = (now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1) - now).total_seconds()
    assert left <= int(refused.headers["Retry-After"]) <= left + 5
    assert listed(RAY).status == 200
    assert listed(STRANGER).status == 200


def test_an_agencys_users_share_its_limit_and_another_agency_has_its_own() -> None:
    assert [listed(LEE).status for _ in range(4)] == [200] * 4
    assert [listed(RAY).status for _ in range(3)] == [200, 200, 429]
    assert listed(RAY).body["detail"].startswith("Your agency has made 6 requests")
    assert listed(STRANGER).status == 200


def test_who_has_reached_his_own_limit_uses_up_nothing_of_his_agencys() -> None:
    for _ in range(10):
        listed(LEE)
    assert [listed(RAY).status for _ in range(3)] == [200, 200, 429]


def test_searches_are_counted_apart() -> None:
    assert [probe(LEE).status for _ in range(3)] == [201, 201, 429]
    assert "2 searches, comparisons and detections" in probe(LEE).body["detail"]
    assert listed(LEE).status == 200


def test_every_function_counts_alike() -> None:
    clerk = Caller(ingest_app.handler, user="det.lee", roles="investigator")
    assert [clerk("GET", "/v1/bookings").status for _ in range(4)] == [200] * 4
    assert listed(LEE).status == 429


def test_a_refusal_for_a_role_is_not_counted_and_a_wrong_request_is() -> None:
    auditor = Caller(casework_app.handler, user="det.lee", roles="auditor")
    assert probe(auditor).status == 403
    assert [LEE("POST", "/v1/probes", {}).status for _ in range(3)] == [400, 400, 429]


def test_a_new_hour_counts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [probe(LEE).status for _ in range(3)] == [201, 201, 429]
    later = datetime.now(UTC) + timedelta(hours=1)
    monkeypatch.setattr(limits, "now", lambda: later)
    assert probe(LEE).status == 201


def test_a_request_is_counted_by_one_conditional_write_each_so_that_no_two_can_take_the_last_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[str, bool]] = []
    call = botocore.client.BaseClient._make_api_call

    def noted(client: Any, name: str, parameters: Any) -> Any:
        calls.append((name, "used < :most" in parameters.get("ConditionExpression", "")))
        return call(client, name, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
    who = Principal("washington-county", "det.lee", frozenset({Role.INVESTIGATOR}))
    edge.limits().spend(who, Permission.SEARCH)
    assert calls == [("UpdateItem", True)] * 2


def test_where_it_cant_be_counted_nothing_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Down:
        def __getattr__(self, name: str) -> Any:
            raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(aws, "dynamodb", Down)
    answer = listed(LEE)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
    assert answer.body["detail"] == "Candid can't reach the table of limits now. Try again in a minute."


def test_counts_expire() -> None:
    listed(LEE)
    items = aws.dynamodb().scan(TableName=LIMITS_TABLE)["Items"]
    assert len(items) == 2
    for item in items:
        assert int(item["expires_at"]["N"]) > datetime.now(UTC).timestamp() + 3600
        assert re.fullmatch(r"RECORDS#\d{4}-\d\d-\d\dT\d\d", item["sk"]["S"])
