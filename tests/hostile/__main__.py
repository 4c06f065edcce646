"""The full form: as many tries as the acceptance asks for, with the figures printed. Takes some hours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.hostile.size import FULL

if __name__ == "__main__":
    os.environ[FULL] = "1"
    tests = Path(__file__).parents[1]
    sys.exit(pytest.main([*(str(tests / one) for one in ("hostile", "e2e/faults", "e2e/leaks")), "-q", *sys.argv[1:]]))
