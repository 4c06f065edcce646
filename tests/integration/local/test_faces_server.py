"""The faces server over HTTP: who may invoke, what it refuses, and the token issuer's keys."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from infra.local import faces_config, faces_server, places
from infra.local.faces_config import FunctionConfig
from infra.local.faces_pool import LIMIT_BYTES
from infra.local.faces_server import JWKS, NAMED, REFRESH, FacesServer

from candid.access.keys import LocalKeys
from candid.access.principal import Role
from candid.access.tokens import TokenVerifier

PATH = "/2015-03-31/functions/candid-echo/invocations"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FacesServer]:
    (tmp_path / "echo.py").write_text("def handler(event, context):\n    return {'got': event} if event else 1 / 0\n")
    monkeypatch.setattr(faces_config, "SERVICES", tmp_path)

    def read(_: str, name: str) -> FunctionConfig:
        if name != "candid-echo":
            raise KeyError(name)
        return FunctionConfig(name, "arn", "echo.handler", 10, 512, ())

    monkeypatch.setattr(faces_server.faces_config, "read", read)
    where = places.read({"CANDID_HOME": str(tmp_path), "CANDID_FACES_PORT": str(free_port())})
    where.logs.mkdir()
    made = FacesServer(where, "127.0.0.1")
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.functions.close()
    made.server_close()


def ask(server: FacesServer, path: str, body: bytes = b"{}", **headers: str) -> urllib3.BaseHTTPResponse:
    sent = {NAMED: "candid-echo"} | {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"http://127.0.0.1:{server.server_address[1]}{path}"
    return urllib3.request("POST", url, body=body, headers={k: v for k, v in sent.items() if v}, retries=False)


def test_an_invocation_is_answered_by_the_function(server: FacesServer) -> None:
    answer = ask(server, PATH, b'{"a": "\xc3\xa9"}')
    assert (answer.status, answer.json()) == (200, {"got": {"a": "é"}})


def test_a_function_that_failed_is_told_by_status_and_header(server: FacesServer) -> None:
    answer = ask(server, PATH, b"null")
    assert answer.status == 500
    assert answer.headers["X-Amz-Function-Error"] == "Unhandled"
    assert answer.json()["errorType"] == "ZeroDivisionError"


@pytest.mark.parametrize("headers", [{NAMED.replace("-", "_"): ""}, {"Host": "attacker.example"}])
def test_a_web_page_cannot_invoke_a_function(server: FacesServer, headers: dict[str, str]) -> None:
    """A page can't send the header without asking first, and a name that it controls is not this host."""
    assert ask(server, PATH, **headers).status == 403


def test_an_event_over_six_megabytes_is_refused_as_lambda_does(server: FacesServer) -> None:
    fits = json.dumps("x" * (LIMIT_BYTES - 2)).encode()
    assert ask(server, PATH, fits).status != 413
    answer = ask(server, PATH, fits + b" ")
    assert (answer.status, answer.json()["errorType"]) == (413, "RequestTooLargeException")


def test_a_function_that_is_not_deployed_is_said_not_to_be_there(server: FacesServer) -> None:
    answer = ask(server, PATH.replace("echo", "other"))
    assert (answer.status, answer.json()["errorType"]) == (500, "ResourceNotFoundException")
    assert ask(server, "/elsewhere").status == 404


def test_a_refresh_starts_the_workers_before_anybody_asks(server: FacesServer) -> None:
    assert ask(server, REFRESH, b'["candid-echo"]').status == 200
    started = time.monotonic()
    assert ask(server, PATH, b'{"a": 1}').status == 200
    assert time.monotonic() - started < 0.1
    assert ask(server, REFRESH, b'["candid-gone"]').status == 502


def test_the_keys_it_publishes_check_the_tokens_of_the_laptops_own_key_pair(
    server: FacesServer, tmp_path: Path
) -> None:
    issuer = f"http://127.0.0.1:{server.server_address[1]}"
    token = LocalKeys.load_or_create(tmp_path / "keys").issue(
        issuer=issuer, audience="candid", user="u", agency="lakeside-pd", roles=[Role.INVESTIGATOR]
    )
    assert TokenVerifier(issuer, "candid", issuer + JWKS).verify(token).agency == "lakeside-pd"


def test_a_payload_is_never_logged(server: FacesServer, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ask(server, PATH, b'{"name": "somebody"}')
    told: Any = capfd.readouterr()
    logs = "".join(path.read_text() for path in (tmp_path / "logs").iterdir())
    assert "candid-echo" in told.out
    assert "somebody" not in told.out + told.err + logs
