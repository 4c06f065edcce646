"""Detector and model together, loaded once a process on first use; the weights' SHA-256 is checked at load."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from candid.errors import ModelUnavailable
from candid.faces import weights
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

# ``functools.cache`` alone makes two engines where two threads ask at once.
_ONE_AT_A_TIME: Final = threading.Lock()


class FaceEngine:
    """Finds, measures and embeds faces. Safe to share between threads (one works at a time)."""

    def __init__(self, card: ModelCard, models: Path, threads: int | None = None) -> None:
        self.card = card
        self.thresholds = thresholds()
        self._models = models
        self._threads = threads
        self._lock = threading.RLock()
        self._detector: Detector | None = None
        self._embedder: Embedder | None = None

    def load(self) -> None:
        """Load what is not loaded yet, and run it once. Raises ``ModelUnavailable``."""
        with self._lock:
            if self._threads is not None:
                cv2.setNumThreads(self._threads)
            if self._detector is None:
                told = detector_card()
                with _made_of(told.weights):
                    self._detector = Detector(weights.read(self._models / told.weights, told.sha256))
            if self._embedder is None:
                self._embedder = self._embedder_of(self.card)
                self._embedder.embed(blank(CHIP)[None])

    def _embedder_of(self, card: ModelCard) -> Embedder:
        if card.deepface:
            return DeepFaceEmbedder(card.deepface, card.dimension, card.weights, card.sha256)
        name = str(card.weights)
        with _made_of(name):
            return OpenCvEmbedder(weights.read(self._models / name, str(card.sha256)))

    def detect(self, image: Pixels) -> tuple[Detection, ...]:
        """The faces of an upright image (H, W, 3) uint8 BGR, the largest first. Raises ``ModelUnavailable``."""
        with self._lock:
            self.load()
            assert self._detector is not None  # noqa: S101 - load() has just made it
            return self._detector.detect(image)

    def measure(self, image: Pixels, face: Detection) -> tuple[Quality, tuple[Finding, ...]]:
        """The face's quality, and what is wrong with it for enrolment."""
        quality = measure(image, face, self.thresholds)
        return quality, findings(quality, self.thresholds)

    def templates(self, image: Pixels, faces: Sequence[Detection]) -> NDArray[np.float32]:
        """(n, dimension) float32 of unit length, in the order of ``faces`` (n ≥ 1). Raises ``ModelUnavailable``."""
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


def load_engine(model: str, models: Path, *, threads: int | None = None) -> FaceEngine:
    """The process's engine for ``model``, one however many threads ask. Weights are read on first use.

    ``threads`` is how many OpenCV may use; that is one number for the whole process, and None leaves it as it is (all
    cores). DeepFace's runtimes keep counts of their own. Raises ``UnknownModel``.
    """
    with _ONE_AT_A_TIME:
        return _engine(model, models, threads)


@cache
def _engine(model: str, models: Path, threads: int | None) -> FaceEngine:
    return FaceEngine(model_card(model), models, threads)


@contextmanager
def _made_of(name: str) -> Iterator[None]:
    try:
        yield
    except cv2.error as error:
        # They have their digest: it is OpenCV that does not know them.
        raise ModelUnavailable(
            f"This version of OpenCV can't load the weights {name}. Install the one of infra/requirements/faces.txt."
        ) from error
