"""Builds what the functions run from: the zip of those that never see a face or a template, the image of those that do.

    python -m infra.build functions [--architecture arm64|x86_64]   .build/functions and .build/functions.zip
    python -m infra.build image [--full] [--tag NAME]               the container image; without Docker, its estimated size
    python -m infra.build image-size                                the estimate alone
    python -m infra.build lock                                      pins the zip's dependencies again, with their hashes

Only the standard library and pip: it runs on a fresh checkout. Not here: uploading or deploying.

boto3 and what only boto3 needs are left out of the zip, which they would double: Lambda's runtime has them and AWS mends them
there; Candid uses no call that is younger than the runtime. The image brings its own, since it is not made from AWS's base.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CHECKOUT: Final = Path(__file__).resolve().parents[1]
BUILD: Final = CHECKOUT / ".build"
FUNCTIONS: Final = BUILD / "functions"
REQUIREMENTS: Final = CHECKOUT / "infra" / "requirements"
LOCK: Final = REQUIREMENTS / "functions.lock"

ZIP_FUNCTIONS: Final = ("authorizer", "ingest", "casework", "redrive")
IMAGE_FUNCTIONS: Final = ("embed", "search", "rekognition", "index")
LEFT_OUT: Final = ("candid/cli",)
"""Of the sources: the command line is no part of a function."""
RUNTIME_HAS: Final = frozenset({"boto3", "botocore", "s3transfer", "urllib3", "python-dateutil", "six"})

PLATFORMS: Final = {"arm64": "manylinux2014_aarch64", "x86_64": "manylinux2014_x86_64"}
"""Lambda's python3.11 runtime is Amazon Linux 2 (glibc 2.26): a wheel for manylinux_2_28 installs there and does not load."""
PYTHON: Final = "3.11"
LIMIT_BYTES: Final = 250 * 2**20
"""AWS Lambda's, of an unzipped package."""
_EPOCH: Final = 315_532_800
"""1980-01-01, the first moment that a zip can name: the same content gives the same bytes."""

BASE_IMAGE_BYTES: Final = 150 * 10**6
"""python:3.11-slim-bookworm unpacked: what is published of it, at the upper end (125 to 150 MB); not measured here."""
RUNTIME_CLIENT_BYTES: Final = 2 * 10**6
"""awslambdaric (0.9 MB) with simplejson and snapshot-restore-py, unpacked."""
IMAGE_LIMIT_BYTES: Final = 600 * 10**6


class BuildError(Exception):
    """What could not be built, in a sentence."""


@dataclass(frozen=True, slots=True)
class Built:
    """The zip functions' package: ``folder`` is what template.yaml's CodeUri names, ``archive`` the same as a zip."""

    folder: Path
    archive: Path
    architecture: str
    unzipped: int
    zipped: int
    changed: bool


def host_architecture() -> str:
    """This machine's, in Lambda's words."""
    return "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"


def build(folder: Path = FUNCTIONS, architecture: str | None = None) -> Built:
    """Make ``folder`` the package of the zip functions, for this machine unless told otherwise; nothing if it is that already.

    Raises ``BuildError`` where pip fails or the package is larger than Lambda takes.
    """
    architecture = architecture or host_architecture()
    archive, mark = folder.with_suffix(".zip"), folder.with_suffix(".json")
    sources = list(_sources(ZIP_FUNCTIONS))
    digest = _digest(sources, architecture)
    if (earlier := _read_mark(mark)) and earlier.get("digest") == digest and folder.is_dir() and archive.is_file():
        return Built(folder, archive, architecture, earlier["unzipped"], earlier["zipped"], changed=False)
    dependencies = _dependencies(architecture)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".functions-") as scratch:
        fresh = Path(scratch) / "functions"
        shutil.copytree(dependencies, fresh)
        for name, source in sources:
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, fresh / name)
        unzipped = _settle(fresh)
        if unzipped > LIMIT_BYTES:
            raise BuildError(f"The functions' package has {_mb(unzipped)} unzipped; Lambda takes {_mb(LIMIT_BYTES)}.")
        packed = Path(scratch) / "functions.zip"
        _pack(fresh, packed)
        mark.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
        packed.replace(archive)
    zipped = archive.stat().st_size
    mark.write_text(json.dumps({"digest": digest, "unzipped": unzipped, "zipped": zipped}), encoding="utf-8")
    return Built(folder, archive, architecture, unzipped, zipped, changed=True)


def _sources(functions: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Name in the package and file, of every source that belongs to the package of these functions."""
    services = CHECKOUT / "services"
    for package in (*functions, "candid"):
        for path in sorted((services / package).rglob("*")):
            name = path.relative_to(services).as_posix()
            if path.is_file() and "__pycache__" not in path.parts and not name.startswith(LEFT_OUT):
                yield name, path


def _digest(sources: Iterable[tuple[str, Path]], architecture: str) -> str:
    digest = hashlib.sha256(f"{_dependencies_key(architecture)}\n".encode())
    for name, path in sources:
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _dependencies_key(architecture: str) -> str:
    pins = hashlib.sha256(LOCK.read_bytes() + Path(__file__).read_bytes())
    return f"{architecture}-{pins.hexdigest()[:16]}"


def _dependencies(architecture: str) -> Path:
    """The folder of the installed dependencies, made once for each lock file and architecture."""
    cached = BUILD / "dependencies" / _dependencies_key(architecture)
    if cached.is_dir():
        return cached
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix=".install-") as scratch:
        fresh = Path(scratch) / "dependencies"
        _pip("install", "--no-deps", "--require-hashes", *_for(architecture), "--target", str(fresh), "-r", str(LOCK))
        _prune(fresh)
        fresh.rename(cached)
    return cached


def _prune(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        in_package = path.relative_to(folder).parts
        if path.is_dir() and (path.name in {"__pycache__", "tests"} or in_package == ("bin",)):
            shutil.rmtree(path)
        elif path.is_dir() and path.name.endswith(".dist-info"):
            # METADATA tells importlib.metadata what is there; licences go wherever the code goes.
            for entry in path.iterdir():
                if (
                    entry.is_file()
                    and entry.name != "METADATA"
                    and not entry.name.startswith(("LICEN", "NOTICE", "COPYING"))
                ):
                    entry.unlink()


def _settle(folder: Path) -> int:
    """Give every file the same date and mode; returns the bytes of all."""
    total = 0
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_EPOCH, _EPOCH))
        total += path.stat().st_size if path.is_file() else 0
    return total


def _pack(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
                packed.writestr(entry, path.read_bytes())


def _read_mark(mark: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _for(architecture: str) -> list[str]:
    return [
        *("--platform", PLATFORMS[architecture], "--only-binary=:all:"),
        *("--implementation", "cp", "--python-version", PYTHON),
    ]


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise BuildError(f"pip could not install the functions' dependencies: {reasons[-1].removeprefix('ERROR: ')}")


def lock() -> None:
    """Write functions.lock: every package of the zip, pinned, with the hashes of its wheels for both architectures."""
    pins: dict[str, tuple[str, set[str]]] = {}
    for architecture in PLATFORMS:
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch) / "report.json"
            where = ("--target", scratch, "--report", str(report))
            _pip("install", "--dry-run", *_for(architecture), *where, "-r", str(REQUIREMENTS / "functions.txt"))
            for package in json.loads(report.read_text(encoding="utf-8"))["install"]:
                name, version = package["metadata"]["name"], package["metadata"]["version"]
                name = re.sub(r"[-_.]+", "-", name).lower()
                if name not in RUNTIME_HAS:
                    pins.setdefault(name, (version, set()))[1].add(
                        package["download_info"]["archive_info"]["hashes"]["sha256"]
                    )
    lines = ["# Made from functions.txt by `python -m infra.build lock`, without what Lambda's runtime has (boto3).\n"]
    for name, (version, hashes) in sorted(pins.items()):
        lines.append(
            " \\\n    ".join([f"{name}=={version}", *(f"--hash=sha256:{one}" for one in sorted(hashes))]) + "\n"
        )
    LOCK.write_text("".join(lines), encoding="utf-8")


def estimated_image_bytes(models: Path) -> dict[str, int]:
    """What the image would have, by part: the base, the installed packages of faces.txt, the weights, Candid itself."""
    return {
        "base image, python:3.11-slim-bookworm": BASE_IMAGE_BYTES,
        "AWS's runtime client": RUNTIME_CLIENT_BYTES,
        "packages of infra/requirements/faces.txt": sum(map(_installed_bytes, _closure(REQUIREMENTS / "faces.txt"))),
        "weights": sum(path.stat().st_size for path in models.glob("*.onnx")),
        "services": sum(path.stat().st_size for _, path in _sources(IMAGE_FUNCTIONS)),
    }


def _closure(requirements: Path) -> set[str]:
    """The names of the packages that ``requirements`` brings, as they are installed beside this Python."""
    from importlib.metadata import PackageNotFoundError, requires

    from pip._vendor.packaging.requirements import Requirement

    names: set[str] = set()
    waiting = list(_named(requirements))
    while waiting:
        requirement = Requirement(waiting.pop())
        extras = {f"{requirement.name}[{extra}]" for extra in requirement.extras} | {requirement.name}
        if extras <= names:
            continue
        names |= extras
        try:
            further = requires(requirement.name) or []
        except PackageNotFoundError:
            raise BuildError(f"{requirement.name} is not installed here, so the image can't be estimated.") from None
        for line in further:
            marker = Requirement(line).marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (requirement.extras or {""})):
                waiting.append(line)
    return {name for name in names if "[" not in name}


def _named(requirements: Path) -> Iterator[str]:
    for line in requirements.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if text.startswith("-r "):
            yield from _named(requirements.parent / text.removeprefix("-r ").strip())
        elif text:
            yield text


def _installed_bytes(package: str) -> int:
    from importlib.metadata import files

    paths = (Path(str(path.locate())) for path in files(package) or [])
    return sum(path.stat().st_size for path in paths if path.is_file())


def image(tag: str, architecture: str, *, full: bool) -> None:
    """Build the image with Docker. Raises ``BuildError`` where there is none or the build fails."""
    if not has_docker():
        raise BuildError(
            "There is no Docker here (or it does not answer), so the image can't be built on this machine."
        )
    command = ["docker", "build", "--platform", f"linux/{architecture.replace('x86_64', 'amd64')}", "--tag", tag]
    command += ["--provenance=false", "--file", "infra/images/Dockerfile"]
    command += ["--build-arg", f"REQUIREMENTS={'tensorflow' if full else 'faces'}", "."]
    if subprocess.run(command, cwd=CHECKOUT, check=False).returncode:
        raise BuildError("docker build failed; its own words are above.")
    shown = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", tag], capture_output=True, text=True, check=True
    )
    print(f"image {tag}: {_mb(int(shown.stdout))}")


def has_docker() -> bool:
    """Whether a Docker daemon answers."""
    if not shutil.which("docker"):
        return False
    return not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode


def _print_estimate() -> None:
    parts = estimated_image_bytes(CHECKOUT / ".candid" / "models")
    for part, size in parts.items():
        print(f"{_mb(size):>8}  {part}")
    total = sum(parts.values())
    print(f"{_mb(total):>8}  together, unpacked (estimated; the limit set for it is {_mb(IMAGE_LIMIT_BYTES)})")
    if total > IMAGE_LIMIT_BYTES:
        raise BuildError("The image would be larger than it may be.")


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def main() -> int:
    """The command line; answers 1 with a sentence where something could not be built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["functions", "image", "image-size", "lock"])
    parser.add_argument("--architecture", choices=sorted(PLATFORMS), default=host_architecture())
    parser.add_argument("--tag", default="candid-faces")
    parser.add_argument("--full", action="store_true", help="with DeepFace and TensorFlow, for models named deepface:…")
    told = parser.parse_args()
    try:
        if told.what == "functions":
            made = build(FUNCTIONS, told.architecture)
            state = "built" if made.changed else "unchanged"
            print(f"functions ({made.architecture}): {_mb(made.unzipped)} unzipped, {_mb(made.zipped)} zipped, {state}")
        elif told.what == "lock":
            lock()
        elif told.what == "image" and has_docker():
            image(told.tag, told.architecture, full=told.full)
        else:
            _print_estimate()
            if told.what == "image":
                raise BuildError(
                    "There is no Docker here (or it does not answer): this is an estimate, and nothing was built."
                )
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
