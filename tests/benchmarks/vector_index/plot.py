"""The cells as a picture."""

from pathlib import Path
from typing import Any


def draw(cells: dict[str, Any], path: Path) -> None:
    """later"""
