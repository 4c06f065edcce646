"""How many tries: a few in the suite, all of them in the full form."""

from __future__ import annotations

import os
from typing import Final

FULL: Final = "CANDID_FULL"


def tries(few: int, all_: int) -> int:
    """``all_`` in the full form, else ``few``."""
    return all_ if os.environ.get(FULL) else few
