"""What the functions run from: the zip, built here as for AWS, and the image, as far as it can be known without Docker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from infra import build as builder
from infra.build import BuildError, Built, build, estimated_image_bytes

from tests.template.system import CHECKOUT, ZIPS

pytestmark = pytest.mark.slow

_MACHINES = {"x86_64": 62, "arm64": 183}
"""e_machine of an ELF file (System V ABI)."""
_RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "urllib3", "dateutil", "six.py")
"""What `builder.RUNTIME_HAS` is called on disk."""

_IMPORT = """
import sys
runtime, folder, *modules = sys.argv[1:]
sys.path[:] = [path for path in sys.path if "site-packages" not in path] + [folder, runtime]
import importlib
for module in modules:
    importlib.import_module(module)
strangers = {
    name for name, module in sys.modules.items()
    if "site-packages" in (getattr(module, "__file__", None) or "") and runtime not in module.__file__
}
sys.exit(f"imported from elsewhere: {sorted(strangers)}" if strangers else 0)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The zip functions' package for this machine, in a folder of its own."""
    return build(tmp_path_factory.mktemp("package") / "functions")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """boto3 and what it needs, as Lambda's runtime has them: in a folder behind the package's."""
    folder = tmp_path_factory.mktemp("runtime")
    installed = Path(sysconfig.get_path("purelib"))
    for name in _RUNTIME_PACKAGES:
        source = installed / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / name)
    return folder


def _edges(folder: Path) -> list[str]:
    return sorted(f"{app.parent.name}.app" for app in folder.glob("*/app.py"))


def _import(folder: Path, runtime: Path, modules: list[str]) -> subprocess.CompletedProcess[str]:
    """In a Python that sees the standard library, the package and the runtime's boto3, and nothing that is installed here."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", _IMPORT, str(runtime), str(folder), *modules],
        capture_output=True,
        text=True,
        check=False,
        env={"AWS_DEFAULT_REGION": "us-east-1", "PATH": os.environ["PATH"]},
    )


def test_every_edge_in_the_zip_imports_from_the_zip_and_the_runtime_alone(package: Built, runtime: Path) -> None:
    edges = _edges(package.folder)
    there = {f"{name}.app" for name in ZIPS if (CHECKOUT / "services" / name / "app.py").is_file()}
    assert there
    assert set(edges) == there
    for edge in edges:
        done = _import(package.folder, runtime, [edge])
        assert done.returncode == 0, f"{edge}: {done.stderr}"


@pytest.mark.parametrize("missing", ["jwt", "aws_lambda_powertools", "pydantic_core", "candid/access"])
def test_an_edge_does_not_import_without_what_it_needs(
    package: Built, runtime: Path, tmp_path: Path, missing: str
) -> None:
    broken = tmp_path / "functions"
    shutil.copytree(package.folder, broken, symlinks=True)
    shutil.rmtree(broken / missing)
    assert any(_import(broken, runtime, [edge]).returncode for edge in _edges(broken))


def test_the_zip_is_small_and_lambda_takes_it(package: Built) -> None:
    assert package.unzipped < 60e6
    assert package.zipped < 20e6
    assert package.zipped == package.archive.stat().st_size


def test_the_zip_holds_no_faces_library_no_command_line_and_nothing_that_the_runtime_has(package: Built) -> None:
    names = {path.name for path in package.folder.iterdir()}
    assert not names & {"cv2", "numpy", "PIL", "rich", "typer", "boto3", "botocore", "embed", "search"}
    assert not (package.folder / "candid" / "cli").exists()
    assert not [path for path in package.folder.rglob("*") if path.name in {"__pycache__", "tests"}]
    assert (package.folder / "candid" / "py.typed").is_file()


@pytest.fixture
def own_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources that nobody else edits; builds read it."""
    checkout = tmp_path / "checkout"
    for name in (*ZIPS, "candid"):
        if (CHECKOUT / "services" / name).is_dir():
            shutil.copytree(CHECKOUT / "services" / name, checkout / "services" / name)
    monkeypatch.setattr(builder, "CHECKOUT", checkout)
    return checkout


def test_the_same_sources_give_the_same_bytes_and_are_not_built_twice(own_checkout: Path, tmp_path: Path) -> None:
    first, second = build(tmp_path / "one" / "functions"), build(tmp_path / "two" / "functions")
    assert first.changed
    assert second.changed
    assert first.archive.read_bytes() == second.archive.read_bytes()
    assert not build(tmp_path / "one" / "functions").changed
    (own_checkout / "services" / "candid" / "errors.py").write_text("changed = True\n")
    third = build(tmp_path / "one" / "functions")
    assert third.changed
    assert (third.folder / "candid" / "errors.py").read_text() == "changed = True\n"


def test_a_package_that_lambda_would_refuse_is_refused_here_and_the_last_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(tmp_path / "functions")
    monkeypatch.setattr(builder, "LIMIT_BYTES", 1000)
    (tmp_path / "functions.json").unlink()
    with pytest.raises(BuildError, match="Lambda takes"):
        build(tmp_path / "functions")
    assert built.folder.is_dir()
    assert built.archive.is_file()


@pytest.mark.parametrize("architecture", sorted(_MACHINES))
def test_compiled_parts_are_for_the_architecture_and_load_on_the_runtimes_c_library(
    architecture: str, tmp_path: Path
) -> None:
    folder = build(tmp_path / "functions", architecture).folder
    libraries = [path.read_bytes() for path in folder.rglob("*.so*")]
    assert libraries
    for library in libraries:
        assert int.from_bytes(library[18:20], "little") == _MACHINES[architecture]
        # Amazon Linux 2, which the python3.11 runtime is, has glibc 2.26.
        assert max((int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", library)), default=0) <= 26


def test_every_dependency_of_the_zip_is_pinned_by_its_hash() -> None:
    pinned = re.findall(
        r"^([a-z0-9-]+)==\S+ \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", builder.LOCK.read_text(), re.M
    )
    lines = [line for line in builder.LOCK.read_text().splitlines() if line[:1].isalnum()]
    assert len(pinned) == len(lines)
    assert not {name for name, _ in pinned} & builder.RUNTIME_HAS


def test_the_lock_has_the_versions_that_functions_txt_names() -> None:
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", builder.LOCK.read_text(), re.M))
    for line in (builder.REQUIREMENTS / "functions.txt").read_text().splitlines():
        if found := re.match(r"([a-z0-9-]+)(?:\[\w+\])?==(\S+)", line):
            name, version = found.groups()
            assert name in builder.RUNTIME_HAS or locked[name] == version


def test_the_image_without_tensorflow_stays_under_600_megabytes() -> None:
    parts = estimated_image_bytes(CHECKOUT / ".candid" / "models")
    # The weights may not be fetched yet on this machine; they have 38.7 MB.
    assert sum(parts.values()) - parts["weights"] + 39e6 < builder.IMAGE_LIMIT_BYTES
    assert parts["packages of infra/requirements/faces.txt"] > 200e6


def test_the_image_runs_as_nobody_and_says_where_its_weights_are() -> None:
    lines = (CHECKOUT / "infra" / "images" / "Dockerfile").read_text().splitlines()
    last_stage = lines[max(n for n, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert "USER 65534:65534" in last_stage
    assert any("CANDID_MODELS=/opt/models" in line for line in last_stage)
    assert not [line for line in last_stage if line.startswith("RUN ")]
    for name in ("runtime.txt", "weights.txt"):
        for line in (CHECKOUT / "infra" / "images" / name).read_text().splitlines():
            assert line.startswith("#") or "==" in line
