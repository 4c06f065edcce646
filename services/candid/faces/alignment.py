"""A face's five points onto a model's: the similarity transform that training used.

This step decides: DeepFace's own two-eye alignment takes the same SFace weights from 99.4 % to 85.1 % on the official LFW
pairs. Positions are those of the ArcFace/SFace training chips (112 × 112, Deng et al. 2019, also OpenCV Zoo). For faces up to
twice the chip's size the chip is that of OpenCV's ``FaceRecognizerSF.alignCrop``, to one grey level; larger ones are reduced
by area first, which OpenCV's does not do.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from candid.faces.image import Pixels

CHIP: Final = 112
"""Side of an aligned chip in px."""
_FINEST: Final = 0.5
"""Chip px per image px below which bilinear sampling skips pixels: it turns the noise of a large photo into false detail, which
costs the template (cosine 0.79 instead of 0.92 to the same face at chip size) and hides blur. All of LFW, on which the
calibration was measured, lies above it (least 0.55), so its chips are what they were."""
_MARGIN: Final = 2
_POSITIONS: Final[NDArray[np.float64]] = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


def similarity_transform(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """The (2, 3) matrix that takes ``points`` (5, 2) nearest to the chip's positions: rotation, one scale, shift.

    Least squares in closed form (Umeyama 1991). Raises ``ValueError`` for points that lie on one spot.
    """
    source = points.astype(np.float64)
    mean_source, mean_target = source.mean(axis=0), _POSITIONS.mean(axis=0)
    a, b = source - mean_source, _POSITIONS - mean_target
    variance = (a**2).sum() / len(a)
    if variance < 1e-9:
        raise ValueError("The landmarks lie on one spot.")
    u, stretch, vt = np.linalg.svd(b.T @ a / len(a))
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation = u @ np.diag(sign) @ vt
    scale = (stretch * sign).sum() / variance
    return np.hstack([scale * rotation, (mean_target - scale * rotation @ mean_source)[:, None]])


def align(image: Pixels, landmarks: NDArray[np.float32]) -> Pixels:
    """The aligned chip, (112, 112, 3) uint8 BGR; what lies outside the image is black, as in training.

    ``landmarks`` (5, 2) in px of ``image``. Raises ``ValueError`` for landmarks that lie on one spot (``Detector`` drops such).
    """
    transform = similarity_transform(landmarks)
    scale = math.sqrt(abs(np.linalg.det(transform[:, :2])))
    if scale < _FINEST:
        image, landmarks = _reduced(image, landmarks, transform, scale)
        transform = similarity_transform(landmarks)
    return np.asarray(cv2.warpAffine(image, transform, (CHIP, CHIP), flags=cv2.INTER_LINEAR), np.uint8)


def _reduced(
    image: Pixels, landmarks: NDArray[np.float32], transform: NDArray[np.float64], scale: float
) -> tuple[Pixels, NDArray[np.float32]]:
    """The part of ``image`` that the chip shows, at about the chip's size, and the landmarks in it."""
    corners = np.array([[0, 0], [CHIP, 0], [CHIP, CHIP], [0, CHIP]]) - transform[:, 2]
    shown = corners @ np.linalg.inv(transform[:, :2]).T
    margin, bounds = _MARGIN / scale, np.array(image.shape[1::-1])
    low = np.clip(np.floor(shown.min(axis=0) - margin).astype(int), 0, bounds - 1)
    high = np.clip(np.ceil(shown.max(axis=0) + margin).astype(int), low + 1, bounds)
    size = np.maximum(np.round((high - low) * scale).astype(int), 1)
    part = image[low[1] : high[1], low[0] : high[0]]
    small = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    # A pixel's middle stays its middle: coordinates name middles, edges lie half a pixel off.
    moved = (landmarks - low + 0.5) * (size / (high - low)) - 0.5
    return np.asarray(small, np.uint8), moved.astype(np.float32)
