"""Any DeepFace model as an ``Embedder``. It is handed aligned chips: DeepFace's own alignment is not used, see ``alignment``.

DeepFace and, for most models, TensorFlow are gigabytes: they are imported when such a model is named, and not before.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from candid.errors import ModelUnavailable
from candid.faces import weights
from candid.faces.embedder import unit


class DeepFaceEmbedder:
    """One of DeepFace's facial recognition models by its name there. Weights are found in (or fetched into) DEEPFACE_HOME.

    Weights whose ``digest`` (SHA-256, hexadecimal) the registry has, SFace's, are checked before DeepFace opens them, and what
    runs is made of the very bytes that were. Not checked are all other models' weights: DeepFace has addresses of them and no
    digests, and opens their paths itself. Whoever can write to DEEPFACE_HOME decides what these models are.
    """

    def __init__(self, name: str, dimension: int, file: str | None = None, digest: str | None = None) -> None:
        if find_spec("deepface") is None:
            raise ModelUnavailable(
                "DeepFace is not installed. Install infra/requirements/deepface.txt, or use the model sface."
            )
        self._name, self._dimension = name, dimension
        checked = weights.read(_home() / file, digest) if file and digest else None
        self._client = _build(name)
        if checked is not None:
            # A session of ONNX Runtime, of what lay at that path when DeepFace looked: another of the same kind.
            theirs = self._client.model
            self._client.model = type(theirs)(
                checked, sess_options=theirs.get_session_options(), providers=theirs.get_providers()
            )
        if int(self._client.output_shape) != dimension:
            raise ModelUnavailable(
                f"DeepFace's {name} makes other templates than Candid's registry says. "
                "Install the DeepFace of infra/requirements/deepface.txt."
            )

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See ``Embedder``. Chips are fitted as ``DeepFace.represent`` with ``detector_backend="skip"`` fits them: scaled to
        the model's own input (what remains of one that is not square is black) and to 0–1, blue first."""
        width, height = self._client.input_shape
        fitted = [_fitted(chip, width, height) for chip in chips]
        rows = [np.asarray(self._client.forward(chip[None].astype(np.float32) / 255.0), np.float32) for chip in fitted]
        return unit(np.stack([row.reshape(-1) for row in rows]))


def _fitted(chip: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if chip.shape[:2] == (height, width):
        return chip
    scale = min(height / chip.shape[0], width / chip.shape[1])
    across, down = int(chip.shape[1] * scale), int(chip.shape[0] * scale)
    fitted = np.zeros((height, width, 3), np.uint8)
    top, left = (height - down) // 2, (width - across) // 2
    fitted[top : top + down, left : left + across] = cv2.resize(chip, (across, down))
    return fitted


def _home() -> Path:
    from deepface.commons import folder_utils

    return Path(folder_utils.get_deepface_home(), ".deepface", "weights")


def _build(name: str) -> Any:
    try:
        from deepface import DeepFace

        return DeepFace.build_model(model_name=name, task="facial_recognition")
    except ImportError as error:
        raise ModelUnavailable(
            f"DeepFace's {name} needs a library that is not installed: {error.name}. Install it, or use the model sface."
        ) from error
    except Exception as error:
        # DeepFace reports weights that it can't fetch, and an engine without tf-keras, as ValueError; a damaged file as whatever
        # its reader raises.
        raise ModelUnavailable(
            f"DeepFace can't load {name}: its weights are missing from DEEPFACE_HOME or damaged, or its engine lacks a library. "
            "Put the weights there, and install infra/requirements/tensorflow.txt."
        ) from error
