"""Fills a virtual environment from locked requirements, once: ``python install.py [--editable] SET…``.

A set is a file of infra/requirements/locked: each package with its hashes, and nothing else is installed. What was installed is
noted in the environment with the file's digest, so that a second run has nothing to do and a changed file is installed again.
Needs the standard library alone.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT))

from infra.local.progress import step  # noqa: E402

_SAID: Final = {
    "local": "installing what a local Candid needs",
    "test": "installing the test tools",
    "deepface": "installing DeepFace on ONNX Runtime",
    "tensorflow": "installing TensorFlow (large)",
    "supply": "installing what pins, audits and lists",
    "sam": "installing SAM's command line, for validation alone",
}


def main() -> int:
    """Install what is missing; 1 with pip's own words where it can't."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", metavar="SET")
    parser.add_argument("--editable", action="store_true", help="the project itself too")
    asked = parser.parse_args()
    for name in asked.sets:
        path = CHECKOUT / "infra" / "requirements" / "locked" / f"{name}.txt"
        stamp = _stamp(name, path)
        if stamp.exists():
            continue
        with step(_SAID.get(name, f"installing {name}")):
            # From wheels alone: a source distribution would run its own code, and fetch what builds it without a hash.
            failed = _pip(
                *("install", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(path))
            )
        if failed:
            return _complain(failed)
        for old in stamp.parent.glob(f"installed-{name}-*"):
            old.unlink()
        stamp.touch()
    if asked.editable:
        stamp = _stamp("project", CHECKOUT / "pyproject.toml")
        if not stamp.exists():
            with step("installing Candid itself"):
                failed = _pip("install", "--no-deps", "--no-build-isolation", "--editable", str(CHECKOUT))
            if failed:
                return _complain(failed)
            stamp.touch()
    return 0


def _pip(*arguments: str) -> str:
    """Run pip; what it complained of, empty where it did not."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout.strip() or f"pip ended with {done.returncode}"


def _stamp(name: str, path: Path) -> Path:
    return Path(sys.prefix) / f"installed-{name}-{_digest(path)[:16]}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes() + sys.version.encode()).hexdigest()


def _complain(words: str) -> int:
    print(f"\nThe installation failed. pip says:\n{words}\n", file=sys.stderr)
    print("Is the network there? Running the same command again goes on where it ended.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
