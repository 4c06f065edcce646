"""The authorizer over a real JWKS endpoint: real keys, real HTTP on the loopback interface."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from authorizer import app
from candid.access.keys import LocalKeys
from candid.access.principal import Role
from candid.access.tokens import TokenVerifier
from candid.errors import DependencyUnavailable
from tests.gateway import Context
from tests.issuer import Issuer, issuing

ARN = "arn:aws:execute-api:us-east-1:123456789012:abc123/candid/POST/v1/searches"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One key pair for all tests: making one takes long."""
    return tmp_path_factory.mktemp("keys")


@pytest.fixture
def issuer(keys: Path) -> Iterator[Issuer]:
    with issuing(keys) as running:
        yield running


def authorize(token: str) -> dict[str, Any]:
    return app.handler({"type": "TOKEN", "authorizationToken": token, "methodArn": ARN}, Context())  # type: ignore[arg-type]


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def refused(token: str) -> bool:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(f"Bearer {token}")
    return True


def test_a_valid_token_yields_its_agency_user_and_roles(issuer: Issuer) -> None:
    answer = authorize(f"Bearer {issuer.token()}")
    assert answer["context"] == {"agency": "washington-county", "user": "det.lee", "roles": "investigator"}


def test_the_policy_covers_every_route_because_the_gateway_keeps_it(issuer: Issuer) -> None:
    statement = authorize(f"Bearer {issuer.token()}")["policyDocument"]["Statement"][0]
    assert statement["Effect"] == "Allow"
    assert statement["Resource"] == "arn:aws:execute-api:us-east-1:123456789012:abc123/candid/*"


def test_the_gateway_is_told_which_agencys_key_of_the_usage_plan_counts(issuer: Issuer) -> None:
    keys = {
        agency: authorize(f"Bearer {issuer.token(agency=agency)}")["usageIdentifierKey"] for agency in ("ab", "a" * 64)
    }
    assert keys == {agency: f"candid-usage-plan-candid-{agency}" for agency in keys}
    # API Gateway's own bounds on a key's value.
    assert all(20 <= len(key) <= 128 for key in keys.values())


def test_a_laptops_own_token_is_valid(issuer: Issuer) -> None:
    token = issuer.keys.issue(
        issuer=issuer.url, audience="candid", user="clerk.1", agency="lane-county", roles=[Role.RECORDS, Role.ADMIN]
    )
    assert authorize(f"bearer {token}")["context"]["roles"] == "admin records"


def test_roles_of_other_systems_are_left_out(issuer: Issuer) -> None:
    token = issuer.token(roles=["investigator", "payroll-clerk"])
    assert authorize(f"Bearer {token}")["context"]["roles"] == "investigator"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"exp": str(int(time.time()) + 100)},
        {"iat": str(int(time.time()))},
        {"iat": None},
        {"iat": int(time.time()) + 3600},
        {"exp": int(time.time()) + 13 * 3600},
        {"aud": "another-system"},
        {"aud": None},
        {"iss": "https://elsewhere.example"},
        {"agency": None},
        {"agency": "../x"},
        {"agency": "Washington County"},
        {"agency": ["washington-county"]},
        {"sub": ""},
        {"sub": "a b"},
        {"roles": None},
        {"roles": 7},
        {"roles": [7]},
        {"nbf": int(time.time()) + 3600},
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(issuer: Issuer, changes: dict[str, Any]) -> None:
    assert refused(issuer.token(**changes))


def test_an_unsigned_token_is_refused(issuer: Issuer) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    for header in ({"alg": "none", "kid": issuer.keys.key_id}, {"alg": "None", "kid": issuer.keys.key_id}):
        assert refused(".".join([*(encoded(json.dumps(part).encode()) for part in (header, claims)), ""]))


def test_a_token_signed_with_another_key_is_refused(issuer: Issuer) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    other = generate_private_key(public_exponent=65537, key_size=2048)
    assert refused(jwt.encode(claims, other, algorithm="RS256", headers={"kid": issuer.keys.key_id}))


def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(issuer: Issuer) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    header = {"alg": "HS256", "typ": "JWT", "kid": issuer.keys.key_id}
    signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    secret = json.dumps(issuer.keys.jwks()["keys"][0]).encode()
    assert refused(f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}")


@pytest.mark.parametrize("kid", ["unknown", "../../etc/passwd", "' OR 1=1", ""])
def test_a_key_id_that_the_issuer_does_not_publish_is_refused(issuer: Issuer, kid: str) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    assert refused(jwt.encode(claims, issuer.keys._private, algorithm="RS256", headers={"kid": kid}))


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic abc", "Bearer a.b.c", "Bearer é", "Bearer \ud800", "Bearer " + "x" * 10_000],
)
def test_a_header_that_holds_no_token_is_refused(issuer: Issuer, header: str) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(header)


def test_an_issuer_that_does_not_answer_is_not_the_callers_fault(issuer: Issuer) -> None:
    token = issuer.token()
    issuer.server.shutdown()
    issuer.server.server_close()
    with pytest.raises(DependencyUnavailable):
        authorize(f"Bearer {token}")


def test_keys_are_fetched_over_tls_alone_except_on_a_laptop() -> None:
    with pytest.raises(ValueError, match="https"):
        TokenVerifier("https://issuer.example", "candid", "http://issuer.example/jwks")


def test_a_laptops_key_is_its_owners_alone_and_stays_the_same(tmp_path: Path) -> None:
    first = LocalKeys.load_or_create(tmp_path / "keys")
    again = LocalKeys.load_or_create(tmp_path / "keys")
    assert first.jwks() == again.jwks()
    assert "d" not in first.jwks()["keys"][0]
    [file] = (tmp_path / "keys").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0
