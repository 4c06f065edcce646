"""Credentials of a case and of records: given out, told apart, expired, revoked; nothing secret is kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from candid import aws
from candid.casework import credentials as rules
from candid.casework.cases import Cases
from candid.casework.credentials import CredentialIssuer, ExpiredToken, Revoked, UnknownToken
from candid.casework.policy import policy
from candid.errors import DependencyUnavailable
from casework import app
from tests.contract.openapi import conforms
from tests.gateway import Answer, Caller
from tests.integration.aws import CASEWORK_TABLE, REGION, REKOGNITION_ENDPOINT, stores
from tests.refusals import wrong

AGENCY = "washington-county"
CASE = {"number": "2026-CR-00417", "purpose": "criminal_investigation", "legal_basis": "Burglary I, ORS 164.225"}
STILL = {"probe_source": "surveillance_still"}


@pytest.fixture
def officer() -> Iterator[Caller]:
    with stores():
        app.work.cache_clear()
        yield Caller(app.handler, AGENCY, "det.lee", "investigator")
    app.work.cache_clear()


def issuer() -> CredentialIssuer:
    return app.work().credentials


def opened(officer: Caller) -> str:
    return str(officer("POST", "/v1/cases", CASE).body["case_id"])


def given(officer: Caller, case_id: str, **members: Any) -> dict[str, Any]:
    answer = officer("POST", f"/v1/cases/{case_id}/credentials", STILL | members)
    assert answer.status == 201, answer
    assert conforms(answer.body, "Credentials")
    body: dict[str, Any] = answer.body
    return body


def token_of(told: dict[str, Any]) -> dict[str, Any]:
    text = told["SessionToken"]
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return read


def coded(told: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")


def test_a_case_gives_credentials_in_the_words_of_sts(officer: Caller) -> None:
    case_id = opened(officer)
    before = datetime.now(UTC)
    told = given(officer, case_id)
    assert told.keys() == {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "region", "endpoint"}
    assert (told["region"], told["endpoint"]) == (REGION, REKOGNITION_ENDPOINT)
    lasts = datetime.fromisoformat(told["Expiration"]) - before
    assert 3_590 < lasts.total_seconds() <= 3_601
    grant = issuer().read(told["SessionToken"])
    assert (grant.principal.agency, grant.principal.user, sorted(grant.principal.roles)) == (
        AGENCY,
        "det.lee",
        ["investigator"],
    )
    assert (grant.case_id, grant.purpose, grant.probe_source) == (case_id, CASE["purpose"], "surveillance_still")
    assert grant.access_key_id == told["AccessKeyId"]
    issuer().check(grant)


def test_the_secret_is_made_of_the_token_and_is_nowhere_else(officer: Caller) -> None:
    told = given(officer, opened(officer))
    assert issuer().secret(told["SessionToken"]) == told["SecretAccessKey"]
    rules._secret.cache_clear()
    assert issuer().secret(told["SessionToken"]) == told["SecretAccessKey"]
    items = json.dumps(aws.dynamodb().scan(TableName=CASEWORK_TABLE)["Items"], default=str)
    for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"):
        assert told[name] not in items
    other = given(officer, opened_again(officer))
    assert other["SecretAccessKey"] != told["SecretAccessKey"]
    assert other["AccessKeyId"] != told["AccessKeyId"]


def opened_again(officer: Caller) -> str:
    return str(officer("POST", "/v1/cases", CASE | {"number": "another"}).body["case_id"])


@pytest.mark.parametrize(
    "change",
    [
        {"agency": "lane-county"},
        {"user": "sheriff"},
        {"roles": ["admin"]},
        {"case_id": "00000000-0000-4000-8000-000000000000"},
        {"probe_source": "identity_document"},
        {"expires_at": "2036-01-01T00:00:00.000000Z"},
    ],
)
def test_a_changed_token_has_another_secret(officer: Caller, change: dict[str, Any]) -> None:
    told = given(officer, opened(officer))
    forged = coded(token_of(told) | change)
    issuer().read(forged)
    assert issuer().secret(forged) != told["SecretAccessKey"]


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "é",
        "x" * 5_000,
        coded({}),
        base64.urlsafe_b64encode(b"[" * 1_000).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_what_was_not_given_out_is_no_token(officer: Caller, token: str) -> None:
    with pytest.raises(UnknownToken) as refused:
        issuer().read(token)
    assert wrong(str(refused.value)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"key": "another-key"},
        {"version": 2},
        {"version": True},
        {"agency": "A B"},
        {"agency": "washington-county\n"},
        {"user": ""},
        {"roles": ["king"]},
        {"roles": "admin"},
        {"issued_at": "yesterday"},
        {"expires_at": "2036-13-01T00:00:00.000000Z"},
        {"expires_at": 9_999_999_999},
        {"case_id": None},
        {"purpose": None},
        {"more": 1},
        {"access_key_id": "AKIAAAAAAAAAAAAAAAAA"},
    ],
)
def test_a_token_of_another_form_or_key_is_none(officer: Caller, change: dict[str, Any]) -> None:
    told = token_of(given(officer, opened(officer)))
    with pytest.raises(UnknownToken):
        issuer().read(coded(told | change))


def test_another_stacks_token_is_none(officer: Caller) -> None:
    told = given(officer, opened(officer))
    key = aws.kms().create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    other = CredentialIssuer(Cases(CASEWORK_TABLE, policy()), policy(), key)
    with pytest.raises(UnknownToken):
        other.read(told["SessionToken"])


def test_credentials_end(officer: Caller) -> None:
    told = given(officer, opened(officer), duration_seconds=900)
    with (
        time_machine.travel(datetime.fromisoformat(told["Expiration"]), tick=False),
        pytest.raises(ExpiredToken) as over,
    ):
        issuer().read(told["SessionToken"])
    assert wrong(str(over.value)) is None


def test_a_closed_case_ends_its_credentials(officer: Caller) -> None:
    case_id = opened(officer)
    grant = issuer().read(given(officer, case_id)["SessionToken"])
    assert officer("POST", f"/v1/cases/{case_id}/close").status == 200
    with pytest.raises(Revoked, match="The case is closed"):
        issuer().check(grant)
    refused = officer("POST", f"/v1/cases/{case_id}/credentials", STILL)
    assert (refused.status, refused.body["detail"]) == (409, "The case is closed. Open another to search under.")


def test_revoking_ends_those_given_out_before_and_none_after(officer: Caller) -> None:
    case_id = opened(officer)
    grant = issuer().read(given(officer, case_id)["SessionToken"])
    path = f"/v1/cases/{case_id}/credentials/revoke"
    stranger = Caller(app.handler, AGENCY, "det.ray", "investigator")
    assert stranger("POST", path).status == 403
    issuer().check(grant)
    revoked = officer("POST", path)
    assert revoked.status == 200
    assert conforms(revoked.body, "Case")
    assert (revoked.body["credentials_revoked_by"], revoked.body["state"]) == ("det.lee", "open")
    with pytest.raises(Revoked, match="were revoked") as told:
        issuer().check(grant)
    assert wrong(str(told.value)) is None
    issuer().check(issuer().read(given(officer, case_id)["SessionToken"]))
    supervisor = Caller(app.handler, AGENCY, "sgt.moss", "supervisor")
    assert supervisor("POST", path).body["credentials_revoked_by"] == "sgt.moss"
    # Closing keeps what was revoked.
    closed = officer("POST", f"/v1/cases/{case_id}/close").body
    assert (closed["state"], closed["credentials_revoked_by"]) == ("closed", "sgt.moss")
    assert officer("POST", path).body == closed


def test_a_forbidden_source_gets_no_credentials(officer: Caller) -> None:
    answer = officer("POST", f"/v1/cases/{opened(officer)}/credentials", {"probe_source": "live_stream"})
    assert (answer.status, answer.body["policy"]) == (403, "probe_sources.live_stream.allowed")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "probe_source"),
        (STILL | {"duration_seconds": 899}, "duration_seconds"),
        (STILL | {"duration_seconds": 43_201}, "duration_seconds"),
        (STILL | {"duration_seconds": "900"}, "duration_seconds"),
        (STILL | {"roles": ["admin"]}, "roles"),
    ],
)
def test_what_is_asked_for_is_bounded(officer: Caller, body: dict[str, Any], field: str) -> None:
    answer = officer("POST", f"/v1/cases/{opened(officer)}/credentials", body)
    assert (answer.status, [one["field"] for one in answer.body["fields"]]) == (400, [field])


def test_credentials_for_records_name_no_case(officer: Caller) -> None:
    clerk = Caller(app.handler, AGENCY, "clerk.1", "records")
    answer = clerk("POST", "/v1/credentials", {})
    assert answer.status == 201
    assert conforms(answer.body, "Credentials")
    grant = issuer().read(answer.body["SessionToken"])
    assert (grant.case_id, grant.purpose, grant.probe_source) == (None, None, None)
    issuer().check(grant)
    assert officer("POST", "/v1/credentials", {}).status == 403
    others = Caller(app.handler, "lane-county", "clerk.9", "records")
    theirs = issuer().read(others("POST", "/v1/credentials", {}).body["SessionToken"])
    revoked: Answer = clerk("POST", "/v1/credentials/revoke")
    assert revoked.status == 200
    assert conforms(revoked.body, "Revoked")
    with pytest.raises(Revoked):
        issuer().check(grant)
    issuer().check(theirs)
    issuer().check(issuer().read(clerk("POST", "/v1/credentials", {}).body["SessionToken"]))


def test_where_the_key_does_not_answer_nothing_is_given_out(officer: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id = opened(officer)

    class Away:
        def generate_mac(self, **_: Any) -> Any:
            from botocore.exceptions import EndpointConnectionError

            raise EndpointConnectionError(endpoint_url="https://kms")

    monkeypatch.setattr(aws, "kms", Away)
    answer = officer("POST", f"/v1/cases/{case_id}/credentials", STILL)
    assert (answer.status, answer.body["detail"]) == (
        503,
        "Candid can't reach the key of the credentials now. Try again in a minute.",
    )
    with pytest.raises(DependencyUnavailable):
        issuer().secret("another token")
