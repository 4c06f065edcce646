"""How much memory decoding a file takes, in a process of its own: its peak beyond what the libraries take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_SERVICES: Final = Path(__file__).parents[2] / "services"
_CHILD: Final = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
from candid.errors import PhotoRefused
from candid.faces import image
data = open(sys.argv[2], "rb").read()
def peak():
    told = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return told * (1 if sys.platform == "darwin" else 1024)
before = peak()
try:
    pixels = image.decode(data)
    said = {"shape": pixels.shape}
except PhotoRefused as refused:
    said = {"reason": refused.reason}
print(json.dumps({**said, "bytes": peak() - before}))
"""


def decoded(path: Path) -> dict[str, Any]:
    """``shape`` or ``reason``, and ``bytes``: what the process's memory grew by at most."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(_SERVICES), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told
