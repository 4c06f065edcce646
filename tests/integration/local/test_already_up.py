"""``make run`` beside a running Candid shows that one; where something else is asked for, it says what, and ends nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from infra.local import places, up
from infra.local.problems import LocalError
from infra.local.processes import Process
from infra.local.running import Running

HERE = Process(os.getpid(), "python")
"""A process that lives."""
TOLD = {"api_url": "http://127.0.0.1:1"}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in places.read({"AWS_ENDPOINT_URL": "x", "INDEX": "opensearch"}).settings.keys() | {"CANDID_AWS_PORT"}:
        monkeypatch.delenv(name, raising=False)


def running(home: Path, **environ: str) -> None:
    """Candid as it was started with these variables."""
    where = places.read({"CANDID_HOME": str(home), **environ})
    now = Running(where, None if where.foreign_aws else HERE, HERE, HERE if where.opensearch_url else None)
    now.save()
    now.describe(TOLD)


def seen(home: Path, monkeypatch: pytest.MonkeyPatch, *, fresh: bool = False, **environ: str) -> Any:
    """What another ``make run`` with these variables sees."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return up.already_up(places.read({"CANDID_HOME": str(home), **environ}), up.Wishes(fresh=fresh))


@pytest.mark.parametrize(
    "started",
    [
        {},
        {"CANDID_AWS_PORT": "4570", "FACES_WORKERS_SEARCH": "2"},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"},
    ],
)
def test_who_asks_for_nothing_else_is_shown_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: dict[str, str]
) -> None:
    running(tmp_path, **started)
    assert seen(tmp_path, monkeypatch) == TOLD
    assert seen(tmp_path, monkeypatch, **started) == TOLD


@pytest.mark.parametrize(
    ("started", "asked", "others"),
    [
        ({}, {"CANDID_REKOGNITION_PORT": "4570"}, "CANDID_REKOGNITION_PORT"),
        ({}, {"PARAMETERS": "UserFacesPerHour=5", "INDEX": "opensearch"}, "INDEX"),
        ({}, {"PARAMETERS": "UserFacesPerHour=5", "FACES_WORKERS_EMBED": "4"}, "PARAMETERS, FACES_WORKERS_EMBED"),
        ({"INDEX": "opensearch"}, {}, "INDEX"),
        ({}, {"MODEL": "deepface:Facenet512"}, "MODEL"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, {"CANDID_AWS_PORT": "4570"}, "CANDID_AWS_PORT"),
        (
            {"INDEX": "opensearch"},
            {"INDEX": "opensearch", "CANDID_OPENSEARCH_PORT": "9500", "OPENSEARCH": "2", "OPENSEARCH_PREFIX": "x"},
            "OPENSEARCH_PREFIX, CANDID_OPENSEARCH_PORT, OPENSEARCH",
        ),
        ({"INDEX": "opensearch"}, {"INDEX": "opensearch", "OPENSEARCH_URL": "http://127.0.0.1:9500"}, "OPENSEARCH_URL"),
    ],
)
def test_who_asks_for_something_else_is_told_what_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: dict[str, str], asked: dict[str, str], others: str
) -> None:
    running(tmp_path, **started)
    with pytest.raises(LocalError) as refused:
        seen(tmp_path, monkeypatch, **asked)
    assert str(refused.value).startswith(f"Candid is already running here, with another {others}. End it with")


def test_a_variable_without_an_effect_is_no_other_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running(tmp_path)
    assert seen(tmp_path, monkeypatch, OPENSEARCH_URL="http://127.0.0.1:9500", OPENSEARCH_HEAP="2g") == TOLD


def test_a_fresh_start_is_none_beside_a_running_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running(tmp_path)
    with pytest.raises(LocalError, match=r"^Candid is already running here\. End it with `make stop`"):
        seen(tmp_path, monkeypatch, fresh=True)


def test_a_record_of_an_earlier_candid_says_nothing_of_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(tmp_path)
    record = tmp_path / "processes.json"
    told = json.loads(record.read_text())
    del told["settings"]
    record.write_text(json.dumps(told))
    assert seen(tmp_path, monkeypatch, CANDID_REKOGNITION_PORT="4570") == TOLD


def test_what_has_ended_runs_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(tmp_path, monkeypatch) is None
    running(tmp_path)
    record = tmp_path / "processes.json"
    told = json.loads(record.read_text())
    told["processes"]["faces"]["mark"] = "another program's"
    record.write_text(json.dumps(told))
    assert seen(tmp_path, monkeypatch) is None
