"""Pins every requirement and all that they bring, with hashes: ``python -m infra.supply.locks`` (``make lock``); with ``--check``
only sees whether each lock installs from wheels alone on each machine that Candid is for, since a source distribution runs its
own code while it is installed.

A set is a file of direct requirements; its lock holds the whole closure for Python 3.11 on Linux and macOS, made by uv. Sets that
share an environment have one version of each package: all of them are resolved together first. (The zip of the functions has
wheels of its own, ``functions.lock``: Lambda's runtime is older than most wheels, and has boto3 already.)
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[2]
REQUIREMENTS: Final = CHECKOUT / "infra" / "requirements"
LOCKED: Final = REQUIREMENTS / "locked"
IMAGES: Final = CHECKOUT / "infra" / "images"

TOGETHER: Final = {
    **{
        name: REQUIREMENTS / f"{name}.txt"
        for name in ("functions", "faces", "local", "deepface", "tensorflow", "test", "benchmarks", "supply")
    },
    "runtime": IMAGES / "runtime.txt",
    "weights": IMAGES / "weights.txt",
}
"""Sets that meet in one environment or image."""
APART: Final = {"sam": REQUIREMENTS / "sam.txt"}
SETS: Final = TOGETHER | APART

MACHINES: Final = {
    "Linux on x86-64": "x86_64-manylinux_2_28",
    "Linux on arm64": "aarch64-manylinux_2_28",
    "macOS on Apple silicon": "aarch64-apple-darwin",
}
"""Machines that Candid is for, by uv's names: glibc from 2.28 on. For macOS on Intel there is no wheel of cryptography."""
OLDEST_MACOS: Final = "14.0"
"""The oldest that onnxruntime and faiss-cpu have wheels for."""
IN_THE_IMAGE: Final = frozenset({"runtime"})
"""Sets that only the image has, which is Linux."""

_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[\w,-]+\])?==(\S+)", re.MULTILINE)


def lock(name: str) -> Path:
    """The lock of a set."""
    return LOCKED / f"{name}.txt"


def pins(path: Path) -> dict[str, str]:
    """Name and version of each package that a lock pins."""
    return {normal(found[1]): found[2] for found in _PIN.finditer(path.read_text(encoding="utf-8"))}


def normal(name: str) -> str:
    """A package's name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def write() -> None:
    """Make all locks. Raises ``CalledProcessError`` where a set can't be resolved; uv has said why."""
    LOCKED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        everything = Path(scratch) / "everything.txt"
        _compile(TOGETHER.values(), everything, "--no-annotate")
        for name, path in TOGETHER.items():
            _compile([path], lock(name), "--constraint", str(everything), "--generate-hashes")
        for name, path in APART.items():
            _compile([path], lock(name), "--generate-hashes")
    for name, path in SETS.items():
        text = lock(name).read_text(encoding="utf-8")
        # uv says by which constraint; that file is gone.
        text = re.sub(r"^    #   -c \S+\n", "", text.replace(f"{scratch}/", ""), flags=re.MULTILINE)
        source = path.relative_to(CHECKOUT).as_posix()
        lock(name).write_text(
            f"# Made from {source} by `make lock`. Change that, then run it.\n{text}", encoding="utf-8"
        )


def lacks(name: str, machine: str) -> str:
    """What uv says that the set's lock lacks to be installed from wheels alone on a machine of ``MACHINES``; empty: nothing."""
    with tempfile.TemporaryDirectory() as nowhere:
        command = [
            sys.executable,
            "-m",
            "uv",
            "--quiet",
            "pip",
            "sync",
            "--dry-run",
            "--target",
            nowhere,
            "--require-hashes",
        ]
        command += ["--only-binary", ":all:", "--python-version", "3.11", "--python-platform", MACHINES[machine]]
        done = subprocess.run(
            [*command, str(lock(name))],
            env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS},
            capture_output=True,
            text=True,
            check=False,
        )
    return done.stderr.strip() if done.returncode else ""


def check() -> list[str]:
    """What each lock lacks on each machine, a sentence each; empty where every one installs from wheels alone."""
    return [
        f"{name} does not install from wheels alone for {machine}: {lacking}"
        for machine in MACHINES
        for name in SETS
        if not (name in IN_THE_IMAGE and machine.startswith("macOS")) and (lacking := lacks(name, machine))
    ]


def _compile(sources: Iterable[Path], target: Path, *options: str) -> None:
    command = [sys.executable, "-m", "uv", "--quiet", "pip", "compile", "--universal", "--python-version", "3.11"]
    command += ["--no-header", "--no-emit-index-url", "--no-emit-find-links", "--output-file", str(target), *options]
    subprocess.run([*command, *(str(path.relative_to(CHECKOUT)) for path in sources)], cwd=CHECKOUT, check=True)


def main() -> int:
    """Make the locks, unless they are only to be checked; 1 and sentences where one wants more than wheels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="make none")
    if not parser.parse_args().check:
        write()
    lacking = check()
    for sentence in lacking:
        print(sentence, file=sys.stderr)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
