"""What Candid is made of: each package pinned with hashes, one version a package, licences known, a list that others can read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from infra.supply import audit, licences, locks, sbom

_LINE = re.compile(
    r"^[A-Za-z0-9._-]+(\[[\w,-]+\])?==\S+(?: ; [^\n\\]+)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+",
    re.MULTILINE,
)
_DIRECT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[\w,-]+\])?==(\S+)", re.MULTILINE)


def direct(path: Path) -> dict[str, str]:
    """What a set asks for itself, the sets that it includes too."""
    text = path.read_text(encoding="utf-8")
    included = [direct(path.parent / name) for name in re.findall(r"^-r (\S+)", text, re.MULTILINE)]
    own = {locks.normal(found[1]): found[2] for found in _DIRECT.finditer(text)}
    return {name: version for one in (*included, own) for name, version in one.items()}


@pytest.mark.parametrize("name", locks.SETS)
def test_a_lock_has_what_its_set_asks_for_and_every_package_has_hashes(name: str) -> None:
    pinned = locks.pins(locks.lock(name))
    assert direct(locks.SETS[name]).items() <= pinned.items(), "the set was changed: run `make lock`"
    text = locks.lock(name).read_text(encoding="utf-8")
    assert len(_LINE.findall(text)) == len(re.findall(r"^\S+==", text, re.MULTILINE))
    assert "http" not in text, "where a package came from is not for a lock to say"
    assert "--index" not in text


def test_every_requirement_is_of_one_set_and_exact() -> None:
    for path in locks.SETS.values():
        for line in path.read_text(encoding="utf-8").splitlines():
            assert line.startswith(("#", "-r ")) or _DIRECT.match(line), f"{path.name}: {line}"


def test_sets_that_share_an_environment_have_one_version_of_each_package() -> None:
    versions: dict[str, set[str]] = {}
    for name in locks.TOGETHER:
        for package, version in locks.pins(locks.lock(name)).items():
            versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


def test_installations_are_held_to_the_hashes() -> None:
    install = (locks.CHECKOUT / "infra" / "local" / "install.py").read_text(encoding="utf-8")
    assert '"--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement"' in install
    for line in (locks.IMAGES / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        assert "pip install" not in line or "--require-hashes --only-binary :all:" in line


@pytest.mark.slow
@pytest.mark.parametrize("machine", locks.MACHINES)
def test_every_lock_installs_from_wheels_alone_on_every_machine_that_candid_is_for(machine: str) -> None:
    for name in locks.SETS:
        lacking = locks.lacks(name, machine)
        if "Failed to fetch" in lacking:
            pytest.skip("PyPI is not reached.")
        if name in locks.IN_THE_IMAGE and machine.startswith("macOS"):
            assert "awslambdaric" in lacking, "what has no wheel is found"
        else:
            assert lacking == ""


def test_a_flaw_fails_the_audit_and_a_service_that_knows_nothing_is_said() -> None:
    flaw = {"name": "pillow", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}
    sound = {"name": "numpy", "version": "2.0", "vulns": []}
    unknown = {"name": "six", "skip_reason": "Dependency not found"}
    told = audit.judge([flaw, sound, unknown])
    assert told == audit.Audit(("pillow 1.0: CVE-1, mended in 1.1",), 2, 1)
    assert audit.judge([sound]).flaws == ()


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 OR BSD-3-Clause", True),
        ("GPL-3.0-only OR MIT", True),
        ("BSD-3-Clause AND 0BSD", True),
        ("BSD-3-Clause AND GPL-3.0-only", False),
        ("AGPL-3.0-only", False),
        ("says nothing", False),
    ],
)
def test_a_licence_is_allowed_if_each_that_binds_is_on_the_list(expression: str, allowed: bool) -> None:
    assert licences.Licence("a", "1", expression).allowed is allowed


def test_everything_that_is_deployed_has_a_licence_that_is_allowed() -> None:
    found = [*licences.packages(), *licences.weights()]
    assert [one.name for one in found if not one.allowed] == []
    assert {"numpy", "opensearch-py", "awslambdaric", "pydantic"} <= {one.name for one in found}


def test_the_bills_of_materials_are_valid_and_name_what_is_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["sbom", str(tmp_path)])
    assert sbom.main() == 0
    functions, faces = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("functions", "faces"))
    assert {one["name"] for one in functions["components"]} == set(locks.pins(sbom.LOCK))
    named = {one["name"]: one for one in faces["components"]}
    assert set(locks.pins(locks.lock("faces"))) - set(named) <= licences.ELSEWHERE
    for one in named.values():
        assert one["licenses"]
        if one["type"] == "machine-learning-model":
            assert one["hashes"][0]["alg"] == "SHA-256"
        else:
            assert one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}"
            assert one["properties"]
    assert sum(one["type"] == "machine-learning-model" for one in named.values()) == 2
