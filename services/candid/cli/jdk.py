"""Which Java on this machine runs which OpenSearch, and whether Maven can fetch one. Nothing is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

_NEEDED: Final = {2: range(17, 24), 3: range(21, 100)}
"""JDK versions by OpenSearch's major. 2.19 starts on 11 too, but Node.java wants 17; from 24 on the JDK has no security manager,
without which 2.x refuses to start."""

_FOLDERS: Final = ("/usr/lib/jvm", "/Library/Java/JavaVirtualMachines")
"""Where Linux and macOS keep theirs."""


def java(major: int) -> Path | None:
    """The oldest suitable ``java`` here; None where there is none. It is a JDK's: Node.java is compiled at start."""
    versions = ((_version(path), path) for path in _candidates())
    found = {version: path for version, path in versions if version is not None and version in _NEEDED[major]}
    return found[min(found)] if found else None


def version(major: int) -> int | None:
    """The version of the JDK that ``java`` finds."""
    found = java(major)
    return _version(found) if found else None


def needed(major: int) -> str:
    """What to install, for a sentence."""
    return "a JDK of 17 to 23" if major == 2 else "a JDK of 21 or later"


def maven() -> Path | None:
    """Maven, if it is installed."""
    found = shutil.which("mvn")
    return Path(found) if found else None


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java"):
        yield Path(found).resolve()
    for folder in _FOLDERS:
        for pattern in ("*/bin/java", "*/Contents/Home/bin/java"):
            yield from sorted(Path(folder).glob(pattern))


@cache
def _version(java_path: Path) -> int | None:
    if not (java_path.is_file() and java_path.with_name("javac").exists()):
        return None
    command = [str(java_path), "-version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr  # noqa: S603
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else None
