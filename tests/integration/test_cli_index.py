"""``candid index`` in a process of its own, against the real index function behind a server that speaks Lambda's Invoke."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.invoking import Invoked, invoked
from tests.integration.operating import HERE, Deployment, deployment
from tests.unit.cli.running import Ran, candid

pytestmark = pytest.mark.slow


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Deployment]:
    with deployment(tmp_path, None) as made:
        yield made


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Invoked]:
    with invoked(tmp_path) as server:
        yield server


def run(folder: Path, *arguments: str) -> Ran:
    return candid("index", *arguments, cwd=folder)


def test_what_an_operator_of_an_embedded_file_reads(embedded: Deployment, served: Invoked, tmp_path: Path) -> None:
    (key,) = embedded.enrol("person_a_1")
    ran = run(tmp_path, "status")
    assert (ran.code, ran.err) == (0, "")
    for said in ("an embedded file", "green", "serving", "sface"):
        assert said in ran.out
    assert run(tmp_path, "create", "--json").json["made"] is False
    ran = run(tmp_path, "swap")
    assert (ran.code, ran.out) == (1, "")
    assert "embedded file" in ran.err
    assert "nothing deleted is left in its file" in run(tmp_path, "purge").out
    ran = run(tmp_path, "verify")
    assert (ran.code, "Table, index and bucket agree." in ran.out) == (0, True)
    embedded.index.delete(HERE, [embedded.face(key)])
    ran = run(tmp_path, "verify")
    assert ran.code == 1
    assert "an enrolled photo's face is not in the index" in ran.out
    assert "`candid index verify --repair`" in ran.out
    ran = run(tmp_path, "verify", "--repair", "--json")
    assert (ran.code, ran.json["asked"], ran.json["sound"]) == (1, 1, False)
    assert embedded.drain() == 1
    assert run(tmp_path, "verify").code == 0


def test_what_an_operator_of_opensearch_reads(tmp_path: Path) -> None:
    with deployment(tmp_path, 3) as here, invoked(tmp_path) as server:
        here.enrol("person_a_1", "person_b_1")
        server.between = here.drain
        ran = run(tmp_path, "reembed", "--model", "sface")
        assert (ran.code, "has all 2 enrolled photos" in ran.out) == (0, True)
        assert "Looked at 2 enrolled photos: 2 not in" in ran.err
        ran = run(tmp_path, "status")
        assert ("serving" in ran.out, "standby" in ran.out, "washington-county/bookings" in ran.out) == (True,) * 3
        ran = run(tmp_path, "swap")
        assert (ran.code, "000002 (sface) serves" in ran.out) == (0, True)
        standby = run(tmp_path, "status", "--json").json["indexes"][0]
        assert standby["role"] == "standby"
        assert run(tmp_path, "drop", standby["index"], "--yes").code == 0
        assert "is deleted" not in run(tmp_path, "drop", standby["index"], "--yes").out


def test_a_step_that_finds_no_dependency_is_tried_again_from_its_cursor(
    embedded: Deployment, served: Invoked, tmp_path: Path
) -> None:
    embedded.enrol("person_a_1")
    problem = {"type": "urn:candid:problem:dependency-unavailable", "status": 503, "detail": "Try again in a minute."}
    served.between = lambda: served.refusals.append((200, "", {"problem": problem})) if len(served.asked) == 1 else None
    ran = run(tmp_path, "verify")
    assert ran.code == 0, ran.err
    assert "trying again in" in ran.err
    assert "cursor" not in served.asked[0]
    assert "cursor" in served.asked[1]


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((403, "AccessDeniedException", {"Message": "no"}), "Ask your administrator for lambda:InvokeFunction on it."),
        ((200, "Unhandled", {"errorMessage": "Smith"}), "The function candid-index failed. Look at its log"),
        (
            (200, "", {"problem": {"status": 409, "type": "x:conflict", "detail": "This index serves."}}),
            "This index serves.",
        ),
    ],
)
def test_a_refusal_is_one_sentence(served: Invoked, tmp_path: Path, refusal: Any, said: str) -> None:
    served.refusals.append(refusal)
    ran = run(tmp_path, "status")
    assert (ran.code, ran.out) == (1, "")
    assert said in ran.err
    assert "Smith" not in ran.err


def test_a_stack_that_is_not_there_is_named(served: Invoked, tmp_path: Path) -> None:
    env = {"AWS_ENDPOINT_URL_LAMBDA": served.url, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": ""}
    env |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    ran = candid("index", "status", "--stack", "county", cwd=tmp_path, env=env)
    assert (ran.code, "There is no function county-index in this account and Region." in ran.err) == (1, True)
    ran = candid("index", "status", cwd=tmp_path, env=env | {"CANDID_STACK": "state"})
    assert "state-index" in ran.err


def test_without_a_stack_it_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = candid("index", "status", cwd=tmp_path)
    assert ran.code == 1
    assert "--stack (or CANDID_STACK)" in ran.err
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    ran = candid("index", "status", "--stack", "county", cwd=tmp_path)
    assert (ran.code, "Set the Region (AWS_REGION)" in ran.err) == (1, True)


def test_dropping_asks_first(served: Invoked, tmp_path: Path) -> None:
    assert "CANDID_DEBUG" not in os.environ
    ran = run(tmp_path, "drop", "candid_x_000001")
    assert (ran.code, served.asked) == (1, [])
    asked, said = ran.err.strip().splitlines()
    assert asked.startswith("Delete candid_x_000001 with all its templates?")
    assert said == "Nothing was deleted. Give --yes where nobody can be asked, or answer y."
