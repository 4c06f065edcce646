"""What a search is answered when some time has passed: by a worker of the deployed function whose clock is ahead by that, since
the limits are an hour's and nobody waits for one to end. Everything else of it is as deployed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from tests.e2e.functions import Functions
from tests.e2e.stack import Stack
from tests.gateway import Caller

SITE: Final = """
import os
from datetime import timedelta

from candid.access import limits

present = limits.now
limits.now = lambda: present() + timedelta(seconds=int(os.environ["SECONDS_LATER"]))
"""
"""What the worker's Python runs at its start."""


def status_after(stack: Stack, seconds: int, agency: str, body: dict[str, str]) -> int:
    """The status of the same user's search so many seconds later."""
    with tempfile.TemporaryDirectory() as folder:
        workers = Functions(stack, Path(folder) / "later", SITE, SECONDS_LATER=str(seconds))
        try:
            return Caller(workers.handler("search"), agency, "tester")("POST", "/v1/searches", body).status
        finally:
            workers.end()
