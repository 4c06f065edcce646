"""The doctor says of a JDK which OpenSearch it runs, and which one it lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from candid.cli import health, jdk
from candid.cli.health import Check, Verdict


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
