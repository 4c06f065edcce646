"""Any DeepFace model as an ``Embedder``. It is handed aligned chips: DeepFace's own alignment is not used, see ``alignment``.

DeepFace and, for most models, TensorFlow are gigabytes: they are imported when such a model is named, and not before.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from candid.errors import ModelUnavailable
from candid.faces.embedder import unit


class DeepFaceEmbedder:
    """One of DeepFace's facial recognition models by its name there. Weights are found in (or fetched into) DEEPFACE_HOME."""

    def __init__(self, name: str, dimension: int) -> None:
        self._name, self._dimension = name, dimension
        self._client = _build(name)
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


def _build(name: str) -> Any:
    if find_spec("deepface") is None:
        raise ModelUnavailable(
            "DeepFace is not installed. Install infra/requirements/deepface.txt, or use the model sface."
        )
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
