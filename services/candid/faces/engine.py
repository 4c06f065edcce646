"""Detector and model together, loaded once a process on first use; the weights' SHA-256 is checked at load."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from candid.errors import ModelUnavailable
from candid.faces.alignment import CHIP, align
from candid.faces.deepface import DeepFaceEmbedder
from candid.faces.detector import Detection, Detector
from candid.faces.embedder import Embedder, OpenCvEmbedder, blank
from candid.faces.image import Pixels
from candid.faces.quality import Finding, Quality, findings, measure
from candid.faces.registry import ModelCard, detector_card, model_card, thresholds
from candid.faces.scores import Score

# Errors alone: OpenCV 5 warns at every start that its new engine ignores a target.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


class FaceEngine:
    """Finds, measures and embeds faces. Safe to share between threads (one works at a time)."""

    def __init__(self, card: ModelCard, models: Path) -> None:
        self.card = card
        self.thresholds = thresholds()
        self._models = models
        self._lock = threading.RLock()
        self._detector: Detector | None = None
        self._embedder: Embedder | None = None

    def load(self) -> None:
        """Load what is not loaded yet, and run it once. Raises ``ModelUnavailable``."""
        with self._lock:
            if self._detector is None:
                told = detector_card()
                self._detector = Detector(_checked(self._models / told.weights, told.sha256))
            if self._embedder is None:
                if self.card.deepface:
                    self._embedder = DeepFaceEmbedder(self.card.deepface, self.card.dimension)
                else:
                    self._embedder = OpenCvEmbedder(_checked(self._models / str(self.card.weights), self.card.sha256))
                self._embedder.embed(blank(CHIP)[None])

    def detect(self, image: Pixels) -> tuple[Detection, ...]:
        """The faces of an upright image (H, W, 3), the largest first."""
        with self._lock:
            self.load()
            assert self._detector is not None  # noqa: S101 - load() has just made it
            return self._detector.detect(image)

    def measure(self, image: Pixels, face: Detection) -> tuple[Quality, tuple[Finding, ...]]:
        """The face's quality, and what is wrong with it for enrolment."""
        quality = measure(image, face, self.thresholds)
        return quality, findings(quality, self.thresholds)

    def templates(self, image: Pixels, faces: Sequence[Detection]) -> NDArray[np.float32]:
        """(n, dimension) float32 of unit length, in the order of ``faces`` (n ≥ 1)."""
        chips = np.stack([align(image, face.landmarks) for face in faces])
        with self._lock:
            self.load()
            assert self._embedder is not None  # noqa: S101 - load() has just made it
            return self._embedder.embed(chips)

    def score(self, cosine: float) -> Score:
        """What a cosine of two of this model's templates means; without a calibration, the cosine alone."""
        if self.card.calibration is None:
            return Score(cosine, None, None)
        return self.card.calibration.score(cosine)


@cache
def load_engine(model: str, models: Path) -> FaceEngine:
    """The process's engine for ``model``. Weights are read on first use. Raises ``UnknownModel``."""
    return FaceEngine(model_card(model), models)


def _checked(path: Path, digest: str | None) -> Path:
    if not path.is_file():
        raise ModelUnavailable(f"The weights {path.name} are not there. Run: python -m infra.models.fetch")
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise ModelUnavailable(
            f"The weights {path.name} are damaged or of another version. Delete them and fetch them again."
        )
    return path
