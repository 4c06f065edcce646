"""The image's layout: what its Dockerfile copies is there, is let through to Docker, and is enough for every function of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from infra import build as builder
from infra.local.places import CHECKOUT, FACE_FUNCTIONS

IMAGES = CHECKOUT / "infra" / "images"

_IMPORT = """
import importlib, sys
import candid
edge = importlib.import_module(sys.argv[1] + ".app")
assert callable(edge.handler)
print(candid.__file__, edge.__file__)
if sys.argv[1] == "index":
    from index.wiring import file
    print(file("mapping.json"), file("roles.json"))
"""


def copied() -> Iterator[tuple[str, str]]:
    """Source in the checkout and place in the image, of each COPY of the last stage."""
    lines = (IMAGES / "Dockerfile").read_text().splitlines()
    workdir = "/"
    for line in lines[max(n for n, line in enumerate(lines) if line.startswith("FROM ")) :]:
        words = line.split()
        if words[:1] == ["WORKDIR"]:
            workdir = words[1]
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            *sources, target = words[1:]
            for source in sources:
                place = f"{target}{Path(source).name}" if target.endswith("/") else target
                yield source, place if place.startswith("/") else f"{workdir}/{place}"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the last stage copies from the checkout, below a folder instead of /."""
    root = tmp_path_factory.mktemp("image")
    for source, place in copied():
        there = root / place.removeprefix("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        if (CHECKOUT / source).is_dir():
            leave_out = shutil.ignore_patterns("__pycache__", "cli")
            shutil.copytree(CHECKOUT / source, there, ignore=leave_out)
        else:
            shutil.copyfile(CHECKOUT / source, there)
    return root


@pytest.mark.parametrize("function", sorted(FACE_FUNCTIONS))
def test_each_function_of_the_image_imports_from_what_is_copied(image: Path, function: str) -> None:
    task = image / "var" / "task"
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, function],
        cwd=task / "services",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(task / "services"), "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()
    assert all(path.startswith(str(task)) for path in done.stdout.split())


def test_the_image_has_the_functions_that_are_built_for_it_and_that_the_laptop_runs_in_its_place() -> None:
    there = {place.rsplit("/", 1)[1] for source, place in copied() if source.startswith("services/")} - {"candid"}
    assert there == set(builder.IMAGE_FUNCTIONS) == set(FACE_FUNCTIONS)


def test_docker_is_given_all_that_is_copied() -> None:
    patterns = (IMAGES / "Dockerfile.dockerignore").read_text().split()
    assert patterns[0] == "**"
    let_through = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    for source, _ in copied():
        assert any(fnmatch(source, pattern) for pattern in let_through), source
