"""The full form: as many tries as the acceptance asks for, with the figures printed. Takes about two hours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.hostile.size import FULL

if __name__ == "__main__":
    os.environ[FULL] = "1"
    sys.exit(pytest.main([str(Path(__file__).parent), "-q", *sys.argv[1:]]))
