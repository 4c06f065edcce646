"""Where the API is and who asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from candid.access.keys import LocalKeys
from candid.access.principal import Role
from candid.cli import config
from candid.cli.options import ProbeSource
from candid.cli.problems import NotConfigured
from tests.contract.openapi import document

INVESTIGATOR = frozenset({Role.INVESTIGATOR})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder two below one with a local stack's file; no variable of Candid's is set."""
    for name in ("URL", "TOKEN", "AGENCY", "USER", "HOME"):
        monkeypatch.delenv(f"CANDID_{name}", raising=False)
    below = tmp_path / "some" / "where"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    folder = tmp_path / ".candid"
    LocalKeys.load_or_create(folder / "keys")
    told = {"api_url": "http://127.0.0.1:4566/api/", "issuer": "http://127.0.0.1:4567", "keys": ".candid/keys"}
    (folder / "local.json").write_text(json.dumps(told))
    return folder


def claims(token: str) -> dict[str, object]:
    import jwt

    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_the_local_stack_is_found_from_a_folder_below_and_gives_tokens(home: Path) -> None:
    target = config.target(agency="hood-river", user="det.1", roles=INVESTIGATOR)
    assert target.url == "http://127.0.0.1:4566/api"
    told = claims(target.tokens.token())
    assert (told["agency"], told["sub"], told["roles"]) == ("hood-river", "det.1", ["investigator"])


def test_without_an_agency_the_sentence_says_how_to_name_one(home: Path) -> None:
    with pytest.raises(NotConfigured, match="--agency"):
        config.target(agency=None, user=None, roles=INVESTIGATOR)


def test_a_stack_that_left_no_keys_is_told_and_none_are_made(home: Path) -> None:
    (home / "keys" / "token-signing-key.pem").unlink()
    target = config.target(agency="hood-river", user=None, roles=INVESTIGATOR)
    with pytest.raises(NotConfigured, match="make run"):
        target.tokens.token()
    assert not list((home / "keys").iterdir())


def test_a_damaged_file_is_one_sentence(home: Path) -> None:
    (home / "local.json").write_text('{"api_url": 1')
    with pytest.raises(NotConfigured, match="damaged"):
        config.local_stack()


@pytest.mark.parametrize("url", ["http://candid.example.org", "ftp://127.0.0.1", "candid"])
def test_a_token_never_travels_unprotected(home: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CANDID_URL", url)
    monkeypatch.setenv("CANDID_TOKEN", "x")
    with pytest.raises(NotConfigured, match="https"):
        config.target(agency=None, user=None, roles=INVESTIGATOR)


def test_a_local_token_is_not_sent_to_another_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDID_URL", "https://candid.example.org")
    with pytest.raises(NotConfigured, match="CANDID_TOKEN is not"):
        config.target(agency="hood-river", user=None, roles=INVESTIGATOR)


def test_the_probe_sources_are_the_contracts() -> None:
    assert [one.value for one in ProbeSource] == document()["components"]["schemas"]["ProbeSource"]["enum"]
