"""The cells of a run, in one JSON file: what is there is not measured again."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


class Results:
    """Cells by a key such as ``300000/OpenSearch 3 m48 e256/fresh/exact/recall``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cells: dict[str, Any] = json.loads(path.read_text())["cells"] if path.is_file() else {}

    def cell(self, key: str, measure: Callable[[], Any]) -> Any:
        """What is there under ``key``, or what ``measure`` gives; that is written before this returns."""
        if key not in self.cells:
            begin = time.monotonic()
            measured = measure()
            if isinstance(measured, dict) and "load_average" not in measured:
                measured["load_average"] = load_average()
            self.cells[key] = measured
            self._write()
            taken = time.monotonic() - begin
            print(f"{time.strftime('%H:%M:%S')} {key}: {json.dumps(measured)} ({taken:.0f} s)", flush=True)
        return self.cells[key]

    def has(self, key: str) -> bool:
        """Whether this cell is measured."""
        return key in self.cells

    def forget(self, key: str) -> None:
        """Measure this cell, and all below it, again."""
        for one in [one for one in self.cells if one == key or one.startswith(f"{key}/")]:
            del self.cells[one]

    def _write(self) -> None:
        told = {"machine": _machine(), "cells": self.cells}
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
        part.replace(self.path)


def load_average() -> float:
    """Of the last minute, this benchmark's own work included."""
    return round(os.getloadavg()[0], 1)


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "numpy": np.__version__,
    }
