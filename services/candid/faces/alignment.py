"""A face's five points onto a model's: the similarity transform that training used.

This step decides: DeepFace's own two-eye alignment takes the same SFace weights from 99.4 % to 85.1 % on the official LFW
pairs. Positions are those of the ArcFace/SFace training chips (112 × 112, Deng et al. 2019, also OpenCV Zoo).
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from candid.faces.image import Pixels

CHIP: Final = 112
"""Side of an aligned chip in px."""
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
    """The aligned chip, (112, 112, 3) uint8 BGR; what lies outside the image is black, as in training."""
    chip = cv2.warpAffine(image, similarity_transform(landmarks), (CHIP, CHIP), flags=cv2.INTER_LINEAR)
    return np.asarray(chip, np.uint8)
