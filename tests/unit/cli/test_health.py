"""The doctor says of a JDK which OpenSearch it runs and which one it lacks, and of the local stack's ways in which are closed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from candid.cli import health, jdk
from candid.cli.health import Check, Verdict
from tests.unit.cli.server import World, local_file, serving


def installed(folder: Path, *versions: int, compiler: bool = True) -> None:
    """Programs that say they are Java of these versions."""
    for version in versions:
        for name in ("java", *(["javac"] if compiler else [])):
            program = folder / str(version) / "bin" / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}.0.1\" 2026-01-20' >&2\n")
            program.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine keeps its JDKs; there is none anywhere else, and no Maven."""
    monkeypatch.setattr(jdk, "_FOLDERS", (str(tmp_path),))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return tmp_path


def check(name: str) -> Check:
    return next(one for one in health.all_checks() if one.name == name)


def test_with_two_jdks_each_version_of_opensearch_has_its_own(folder: Path) -> None:
    installed(folder, 17, 25)
    told = check("JDK")
    assert told.verdict is Verdict.GOOD
    assert told.sentence.startswith("Version 25 runs OpenSearch 3.2; version 17 runs OpenSearch 2.19.")
    assert "make run INDEX=opensearch" in told.sentence


@pytest.mark.parametrize(
    ("version", "start"),
    [
        (17, "Version 17 runs OpenSearch 2.19; OpenSearch 3.2 wants a JDK of 21 or later."),
        (24, "Version 24 runs OpenSearch 3.2; OpenSearch 2.19 wants a JDK of 17 to 23."),
        (11, "There is none that fits."),
    ],
)
def test_one_jdk_is_told_what_it_runs_and_what_it_does_not(folder: Path, version: int, start: str) -> None:
    installed(folder, version)
    told = check("JDK")
    assert told.verdict is Verdict.ABSENT
    assert told.sentence.startswith(start)


def test_one_jdk_of_21_runs_both(folder: Path) -> None:
    installed(folder, 21)
    assert check("JDK").verdict is Verdict.GOOD


def test_a_java_without_its_compiler_is_none(folder: Path) -> None:
    installed(folder, 21, compiler=False)
    assert check("JDK").sentence.startswith("There is none that fits.")


def test_without_maven_nothing_that_a_local_candid_needs_is_missing(folder: Path) -> None:
    told = check("Maven")
    assert told.verdict is Verdict.ABSENT
    assert told.sentence.startswith("It is not installed")


WAYS_IN = {
    "CANDID_AWS_PORT": "the local AWS",
    "CANDID_FACES_PORT": "the faces' functions",
    "CANDID_REKOGNITION_PORT": "Rekognition clients",
}


@pytest.mark.parametrize("variable", WAYS_IN)
def test_a_port_that_another_program_holds_is_told_with_the_variable_that_chooses_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("CANDID_HOME", str(tmp_path))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        monkeypatch.setenv(variable, str(port))
        told = check(f"Port {port}")
    assert told.verdict is Verdict.MISSING
    assert WAYS_IN[variable] in told.sentence
    assert told.sentence.endswith(f"choose another port by {variable}.")


@pytest.fixture
def world() -> Iterator[World]:
    with serving() as made:
        yield made


def test_a_running_stack_answers_on_each_of_its_ways_in(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = local_file(tmp_path, world)
    monkeypatch.setenv("CANDID_HOME", str(path.parent))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rekognition_url": world.url}))
    assert {check(name).verdict for name in ("Local stack", "Token issuer", "Rekognition")} == {Verdict.GOOD}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rekognition_url": "http://127.0.0.1:1"}))
    told = check("Rekognition")
    assert told.verdict is Verdict.MISSING
    assert told.sentence.startswith("Nothing answers at http://127.0.0.1:1, so no Rekognition client gets an answer.")
