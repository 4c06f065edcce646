"""Pins every requirement and all that they bring, with hashes: ``python -m infra.supply.locks`` (``make lock``).

A set is a file of direct requirements; its lock holds the whole closure for Python 3.11 on Linux and macOS, made by uv. Sets that
share an environment have one version of each package: all of them are resolved together first. (The zip of the functions has
wheels of its own, ``functions.lock``: Lambda's runtime is older than most wheels, and has boto3 already.)
"""

from __future__ import annotations

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


def _compile(sources: Iterable[Path], target: Path, *options: str) -> None:
    command = [sys.executable, "-m", "uv", "--quiet", "pip", "compile", "--universal", "--python-version", "3.11"]
    command += ["--no-header", "--no-emit-index-url", "--no-emit-find-links", "--output-file", str(target), *options]
    subprocess.run([*command, *(str(path.relative_to(CHECKOUT)) for path in sources)], cwd=CHECKOUT, check=True)


if __name__ == "__main__":
    write()
