"""Whether the model that was asked for can be loaded, before anything waits for it; and DeepFace's own folder of weights.

Run by ``up`` as a process of its own (``python -m infra.local.model NAME``), since DeepFace stays in the process that imports it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from candid.errors import CandidError
from infra.local.places import CHECKOUT, Places
from infra.local.problems import LocalError
from infra.models.fetch import RECOGNISER

_DEFAULT: Final = "sface"
_LOAD_SECONDS: Final = 600


def require(places: Places) -> None:
    """Raise ``LocalError`` with the reason if the model can't be loaded. The default needs no look: its weights were checked."""
    if places.model == _DEFAULT:
        return
    if places.model.startswith("deepface:"):
        _place_sface(places)
    command = [sys.executable, "-m", "infra.local.model", places.model, str(places.models)]
    environment = dict(os.environ) | {"DEEPFACE_HOME": str(places.deepface)}
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=_LOAD_SECONDS, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["It gave no reason."])[-1]
        raise LocalError(f"The model {places.model} can't be used. {last}")


def _place_sface(places: Places) -> None:
    """DeepFace's SFace is the default model's file; it need not be downloaded a second time."""
    folder = places.deepface / ".deepface" / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / RECOGNISER).exists():
        shutil.copyfile(places.models / RECOGNISER, folder / RECOGNISER)


def main() -> int:
    """Load the model named; 1 and a sentence where that fails."""
    from candid.faces.engine import load_engine

    try:
        load_engine(sys.argv[1], Path(sys.argv[2])).load()
    except CandidError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
