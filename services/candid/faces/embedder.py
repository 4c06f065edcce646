"""Aligned chips to templates. One base, two real things behind it: OpenCV's runtime here, DeepFace in ``deepface``."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from candid.faces.image import Pixels


class Embedder(Protocol):
    """A model that makes templates."""

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``chips`` (n, 112, 112, 3) uint8 BGR, aligned → (n, dimension) float32 of unit length."""


class OpenCvEmbedder:
    """SFace on OpenCV's DNN runtime. One object a thread."""

    def __init__(self, weights: bytes) -> None:
        """``weights`` is the content of an ONNX file. Raises ``cv2.error`` for what is none."""
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(weights, np.uint8))

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See ``Embedder``. The graph itself scales pixels; OpenCV's own SFace wrapper feeds it the same way."""
        self._net.setInput(cv2.dnn.blobFromImages([*chips], 1.0, chips.shape[1:3], (0, 0, 0), swapRB=True, crop=False))
        return unit(np.asarray(self._net.forward(), np.float32))


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (n, d) scaled to unit length. A row of zeros stays zeros: no direction, no likeness."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), np.float32)


def blank(side: int) -> Pixels:
    """A grey chip, to warm a model up with."""
    return np.full((side, side, 3), 127, np.uint8)
