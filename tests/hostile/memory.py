"""How much memory reading a file takes, in a process of its own: its peak, and by how much it grew."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.portraits import MODELS

_SERVICES: Final = Path(__file__).parents[2] / "services"
_PEAK: Final = """
import json, resource, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
data = Path(sys.argv[2]).read_bytes()

def peak():
    # Linux's ru_maxrss is never less than what the parent had when it started this process.
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
"""
_DECODE: Final = """
from candid.errors import PhotoRefused
from candid.faces import image
before = peak()
try:
    said = {"shape": image.decode(data).shape}
except PhotoRefused as refused:
    said = {"reason": refused.reason}
print(json.dumps({**said, "grown": peak() - before}))
"""
_ENROL: Final = """
import embed.app
from candid.faces.engine import load_engine
from candid.gallery.booking_face import BookingFace, read_face
from candid.gallery.outcome import Stopwatch
found = read_face([load_engine("sface", Path(sys.argv[3]))], data, Stopwatch())
print(json.dumps({"enrolled": isinstance(found, BookingFace), "peak": peak()}))
"""


def decoded(path: Path) -> dict[str, Any]:
    """``shape`` or ``reason``, and ``grown``: by how many bytes the process's memory grew at most."""
    return _told(_DECODE, path)


def enrolled(path: Path) -> dict[str, Any]:
    """``enrolled``, and ``peak``: how many bytes a process that does what embed does with a photo's bytes had at most."""
    return _told(_ENROL, path)


def _told(script: str, path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _PEAK + script, str(_SERVICES), str(path), str(MODELS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told
