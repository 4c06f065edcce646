"""Where the faces are: YuNet (OpenCV Zoo) on an image of at most 640 px, with a second try for tight small crops.

YuNet misses faces that are large in large images unless these are scaled down, and faces that fill a small crop unless
these are padded and enlarged (facts measured on LFW and on 92 × 112 crops).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from candid.faces.image import Pixels

LONG_SIDE: Final = 640
SCORE: Final = 0.6
"""Below this YuNet's answers are mostly no faces; at it, it finds 100 % of LFW."""
_OVERLAP: Final = 0.3
_MOST: Final = 5000
_SMALL_CROP: Final = 320
_PADDING: Final = 0.3
_ENLARGEMENT: Final = 3.0
_SPREAD: Final = 1.0
"""Landmarks that lie within 1 px show no face that anything could align."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A face found, in pixels of the upright image.

    ``landmarks`` is (5, 2) float32: the person's right eye, left eye, nose tip, right and left mouth corner.
    ``confidence`` is YuNet's, 0 to 1. The box can reach over the image's edge.
    """

    left: float
    top: float
    width: float
    height: float
    confidence: float
    landmarks: NDArray[np.float32]

    @property
    def area(self) -> float:
        """Of the box, in px²."""
        return self.width * self.height


class Detector:
    """YuNet. One object a thread: OpenCV's detector keeps the size of its input."""

    def __init__(self, weights: bytes) -> None:
        """``weights`` is the content of an ONNX file. Raises ``cv2.error`` for what is none."""
        model, no_config = np.frombuffer(weights, np.uint8), np.empty(0, np.uint8)
        self._net = cv2.FaceDetectorYN.create("onnx", model, no_config, (LONG_SIDE, LONG_SIDE), SCORE, _OVERLAP, _MOST)

    def detect(self, image: Pixels) -> tuple[Detection, ...]:
        """All faces of ``image`` (H, W, 3) uint8 BGR, the largest first; empty if there is none.

        Boxes that overlap by more than 30 % (intersection over union) count as one face: the surest stays.
        """
        height, width = image.shape[:2]
        found = self._run(image, min(1.0, LONG_SIDE / max(height, width)), (0, 0))
        if not found and max(height, width) <= _SMALL_CROP:
            pad_y, pad_x = round(height * _PADDING), round(width * _PADDING)
            padded = cv2.copyMakeBorder(image, pad_y, pad_y, pad_x, pad_x, cv2.BORDER_REPLICATE)
            scale = min(_ENLARGEMENT, LONG_SIDE / max(padded.shape[:2]))
            found = self._run(np.asarray(padded, np.uint8), scale, (pad_x, pad_y))
        return tuple(sorted(found, key=lambda face: face.area, reverse=True))

    def _run(self, image: Pixels, scale: float, offset: tuple[int, int]) -> list[Detection]:
        height, width = image.shape[:2]
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if size != (width, height):
            image = np.asarray(
                cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8
            )
        self._net.setInputSize(size)
        rows = self._net.detect(image)[1]
        if rows is None:
            return []
        ratio = np.array([width / size[0], height / size[1]], np.float32)
        shift = np.array(offset, np.float32)
        faces = []
        for row in np.asarray(rows, np.float32):
            left, top = row[0:2] * ratio - shift
            across, down = row[2:4] * ratio
            points = row[4:14].reshape(5, 2) * ratio - shift
            if across > 0 and down > 0 and np.isfinite(row).all() and np.ptp(points, axis=0).max() > _SPREAD:
                confidence = float(min(max(row[14], 0.0), 1.0))
                faces.append(Detection(float(left), float(top), float(across), float(down), confidence, points))
        return faces
