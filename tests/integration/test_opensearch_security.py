"""Who OpenSearch is and who asks it: certificates that are verified, a password that is told nobody, a signature that AWS would
find right. On a real node with the security plugin, through the function's own settings."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from infra.opensearch.secure import node as secure
from infra.opensearch.secure.certificates import Authority
from opensearchpy import OpenSearch

from candid.errors import DependencyUnavailable
from candid.gallery.indexes import OpenSearchIndexes
from candid.gallery.opensearch.client import IndexNotReady, connect
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.opensearch.layout import Layouts
from candid.gallery.opensearch.lifecycle import Lifecycle, Size
from candid.gallery.opensearch.names import Names
from candid.settings import OpenSearchSettings, SettingsError
from casework import app as casework_app
from search import app as search_app
from tests import opensearch
from tests.gateway import Caller
from tests.integration import aws
from tests.integration.gallery import AGENCY, request
from tests.integration.opensearch_faults.gallery import BOOKINGS, DIMENSION, Gallery
from tests.integration.opensearch_faults.network import HOST, proxy
from tests.integration.opensearch_faults.secrecy import LookOut, look_out
from tests.portraits import MODELS, engine

pytestmark = pytest.mark.slow

USER = "candid-functions"
UNVERIFIED = "The index's certificate can't be verified. Set OPENSEARCH_CA_FILE, or mend the certificate."
NOT_LET_IN = "OpenSearch does not let this function in."


@dataclass
class Guarded:
    """A node that lets one user in, whose password only the secret has."""

    node: secure.SecureNode
    password: str

    def secret(self, password: str | None = None) -> str:
        """The ARN of a new secret with the user's password, or with a wrong one."""
        kept = json.dumps({"username": USER, "password": password or self.password})
        made = boto3.client("secretsmanager").create_secret(
            Name=f"opensearch-{secrets.token_hex(4)}", SecretString=kept
        )
        return str(made["ARN"])

    def settings(self, *, url: str = "", ca: Path | None = None, secret: str = "") -> OpenSearchSettings:
        """What a function that may come in is told."""
        authority = str(ca or self.node.authority)
        return OpenSearchSettings(url or self.node.url, "candid", "basic", secret or self.secret(), authority)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    opensearch.require(secure.MAJOR)
    started = secure.start(tmp_path_factory.mktemp("guarded"), opensearch.free_port())
    try:
        with aws.stores():
            password = secrets.token_urlsafe(24)
            started.add_user(USER, password, ["functions"])
            started.api("PUT", "/rolesmapping/all_access", {"backend_roles": ["functions"]})
            yield Guarded(started, password)
    finally:
        started.node.kill()


@pytest.fixture
def heard() -> Iterator[LookOut]:
    with look_out(logging.INFO) as made:
        yield made


def gallery_of(client: OpenSearch, heard: LookOut, prefix: str = "candid") -> Gallery:
    """The index that serves under ``prefix``, made if there is none."""
    names = Names(prefix)
    lifecycle = Lifecycle(client, names, Layouts(client, names), opensearch.MAPPING)
    generation, _ = lifecycle.create("test", opensearch.card(DIMENSION), Size(1, 0))
    return Gallery(lifecycle, OpenSearchIndex(client, lifecycle.layouts, generation.name, DIMENSION), heard)


def test_the_password_comes_from_the_secret_and_is_told_nobody(guarded: Guarded, heard: LookOut) -> None:
    here = gallery_of(connect(guarded.settings()), heard)
    here.all_are_found(here.enrol(5))
    heard.hear(repr(here.index) + repr(here.lifecycle.client.transport.connection_pool.connections))
    here.assert_secret()
    heard.assert_silent_about({guarded.password, _basic(guarded.password)})
    here.index.drop(BOOKINGS)


def test_a_certificate_of_an_unknown_authority_is_refused(guarded: Guarded, heard: LookOut, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "somebody-else").certificate
    layouts = Layouts(connect(guarded.settings(ca=stranger)), Names("candid"))
    _refused(heard, layouts, UNVERIFIED)
    # And by the authorities that everybody trusts, where none is named.
    told = OpenSearchSettings(guarded.node.url, "candid", "basic", guarded.secret())
    _refused(heard, Layouts(connect(told), Names("candid")), UNVERIFIED)
    heard.assert_silent_about({guarded.password, _basic(guarded.password)})


def test_a_certificate_for_another_host_is_refused(guarded: Guarded, heard: LookOut) -> None:
    """It is for 127.0.0.1, and the endpoint says localhost."""
    url = guarded.node.url.replace(HOST, "localhost")
    _refused(heard, Layouts(connect(guarded.settings(url=url)), Names("candid")), UNVERIFIED)
    heard.assert_silent_about({guarded.password, _basic(guarded.password)})


def test_plain_http_is_refused_before_anything_is_sent(guarded: Guarded, heard: LookOut) -> None:
    told = guarded.settings(url="http://search-candid.us-east-1.es.amazonaws.com")
    with pytest.raises(SettingsError, match="must be https"):
        connect(told)


def test_a_wrong_password_is_a_clear_sentence_and_a_503(
    guarded: Guarded, heard: LookOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = secrets.token_urlsafe(24)
    told = guarded.settings(secret=guarded.secret(wrong))
    _refused(heard, Layouts(connect(told), Names("candid")), NOT_LET_IN)

    engine()
    output = io.StringIO()
    for name, value in {
        "CANDID_MODELS": str(MODELS),
        "OPENSEARCH_ENDPOINT": told.opensearch_endpoint,
        "OPENSEARCH_AUTH": "basic",
        "OPENSEARCH_SECRET_ARN": told.opensearch_secret_arn,
        "OPENSEARCH_CA_FILE": told.opensearch_ca_file,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(search_app.edge.logger.registered_handler, "stream", output)
    with _cases() as case_id, redirect_stdout(output):
        answer = Caller(search_app.handler, AGENCY, "det.lee", "investigator")("POST", "/v1/searches", request(case_id))
    assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)
    assert answer.body["detail"].startswith(NOT_LET_IN)
    heard.hear(output.getvalue() + json.dumps(answer.body))
    heard.assert_silent_about({wrong, _basic(wrong), guarded.password, told.opensearch_secret_arn})


@pytest.mark.parametrize("kept", ["not JSON", '{"user": "x"}', "[]"])
def test_a_secret_of_another_form_is_said_to_be_one_without_its_content(guarded: Guarded, kept: str) -> None:
    made = boto3.client("secretsmanager").create_secret(Name=f"odd-{secrets.token_hex(4)}", SecretString=kept)
    with pytest.raises(SettingsError, match="no JSON object with username and password") as refused:
        connect(guarded.settings(secret=made["ARN"]))
    assert kept not in str(refused.value)


@dataclass(frozen=True)
class Received:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def test_every_request_is_signed_as_aws_would_find_it_right(heard: LookOut, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature of each is made again, by botocore, from what came over the wire, and compared."""
    key = secrets.token_urlsafe(24)
    credentials = Credentials("AKIDEXAMPLE", key, "a-session-token")
    for name, value in {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": key,
        "AWS_SESSION_TOKEN": credentials.token,
        "AWS_DEFAULT_REGION": "us-west-2",
    }.items():
        monkeypatch.setenv(name, value)
    target = urlsplit(opensearch.url(2)).port
    assert target
    with proxy(target) as network:
        network.recorded = bytearray()
        prefix = f"signed-{secrets.token_hex(4)}"
        client = connect(OpenSearchSettings(network.url, prefix, "sigv4"))
        here = gallery_of(client, heard, prefix)
        faces = here.enrol(30)
        here.all_are_found(faces[:1])
        here.index.relabel(BOOKINGS, [faces[0].id], subject_id="Ö'Neil +~*", booked_at=faces[0].booked_at)
        here.index.scan(None, 10)
        here.index.delete(BOOKINGS, [faces[0].id])
        assert here.index.drop(BOOKINGS) == 29
        client.indices.delete(index=here.index.name)
        received = list(_requests(bytes(network.recorded)))
    assert {one.method for one in received} >= {"GET", "POST", "PUT", "DELETE"}
    assert any("_bulk" in one.target for one in received)
    for one in received:
        assert one.headers["host"] == f"{HOST}:{network.port}"
        scope = one.headers["authorization"].split("Credential=")[1].split(",")[0]
        assert scope == f"AKIDEXAMPLE/{one.headers['x-amz-date'][:8]}/us-west-2/es/aws4_request"
        signed = one.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
        assert {"host", "x-amz-date", "x-amz-security-token"} <= set(signed)
        assert one.headers["x-amz-security-token"] == "a-session-token"
        assert one.headers["x-amz-content-sha256"] == hashlib.sha256(one.body).hexdigest()
        assert _signature(one, signed, credentials) == one.headers["authorization"].rpartition("Signature=")[2]
    print(f"{len(received)} requests, each signed right")
    heard.assert_silent_about({key, "a-session-token"})
    here.assert_secret()


def _signature(one: Received, signed: list[str], credentials: Credentials) -> str:
    """SigV4's signature of what was received, made from its bytes and the secret key alone."""
    headers = {name: one.headers[name] for name in signed}
    again = AWSRequest(one.method, f"http://{one.headers['host']}{one.target}", headers=headers, data=one.body)
    again.context["timestamp"] = one.headers["x-amz-date"]
    signer = SigV4Auth(credentials, "es", "us-west-2")
    canonical = signer.canonical_request(again)
    return str(signer.signature(signer.string_to_sign(again, canonical), again))


def _requests(stream: bytes) -> Iterator[Received]:
    """HTTP/1.1 requests that came one behind the other on one connection."""
    while stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        yield Received(method, target, headers, rest[:length])
        stream = rest[length:]


def _refused(heard: LookOut, layouts: Layouts, sentence: str) -> None:
    indexes = OpenSearchIndexes(layouts, lambda _: engine(), "sface")
    with pytest.raises(DependencyUnavailable, match=sentence) as refused:
        indexes.written()
    assert isinstance(refused.value, IndexNotReady)
    heard.see(refused.value)


def _basic(password: str) -> str:
    """The password as it stands in a header."""
    return base64.b64encode(f"{USER}:{password}".encode()).decode()


@contextmanager
def _cases() -> Iterator[str]:
    """A case to search under; search is wired anew before and after."""
    made = (search_app.work, casework_app.work)
    for one in made:
        one.cache_clear()
    body = {"number": "2026-CR-1", "purpose": "criminal_investigation", "legal_basis": "ORS 133.000"}
    try:
        opened = Caller(casework_app.handler, AGENCY, "det.lee", "investigator")("POST", "/v1/cases", body)
        yield str(opened.body["case_id"])
    finally:
        for one in made:
            one.cache_clear()
