"""How fit a face is: measured values, each with its unit, and Rekognition's words for what is wrong.

Thresholds are the model's (``models.toml``), chosen on data: see tests/accuracy/test_quality.py. The overall score follows
OFIQ's (ISO/IEC 29794-5) range, 0 to 100, and no more than its range: its parts are those measured here.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from candid.faces.alignment import CHIP, align
from candid.faces.detector import Detection
from candid.faces.image import Pixels


class Reason(enum.StrEnum):
    """Why a face is not fit, in Rekognition's words (IndexFaces, UnindexedFaces)."""

    EXTREME_POSE = "EXTREME_POSE"
    LOW_SHARPNESS = "LOW_SHARPNESS"
    LOW_BRIGHTNESS = "LOW_BRIGHTNESS"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    SMALL_BOUNDING_BOX = "SMALL_BOUNDING_BOX"


@dataclass(frozen=True, slots=True)
class Quality:
    """One face, measured.

    ``confidence`` 0 to 1 (YuNet's); ``face_size`` px, the box's shorter side; ``sharpness`` fine detail over contrast on the
    aligned chip, 0 to about 1, see ``_sharpness``; ``brightness`` mean grey of the chip, 0 to 255; ``yaw``, ``pitch``,
    ``roll`` degrees, 0 is frontal (estimated from five points: yaw and pitch to about 10°). ``score`` 0 to 100.
    """

    confidence: float
    face_size: float
    sharpness: float
    brightness: float
    yaw: float
    pitch: float
    roll: float
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The least (or, for angles, most) that a face may have, in ``Quality``'s units; and what a good portrait has."""

    confidence: float
    face_size: float
    sharpness: float
    brightness: float
    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason with what was measured, the threshold that it missed, and a sentence for a clerk."""

    reason: Reason
    measured: float
    threshold: float
    unit: str
    sentence: str


# What a good portrait has: the median of LFW. At it a part of the score is 100, at the threshold it is 0.
_GOOD: Final = Thresholds(confidence=0.93, face_size=93, sharpness=0.095, brightness=127, yaw=0, pitch=0, roll=0)
_GRAIN: Final = 0.7
# The face within the chip, without hair and background.
_INSIDE: Final = slice(16, CHIP - 8), slice(16, CHIP - 16)
# A generic head, mm: right eye, left eye, nose tip, mouth corners; x to the viewer's right, y down, z to the camera.
_HEAD: Final[NDArray[np.float64]] = np.array(
    [[-31.5, 0.0, 0.0], [31.5, 0.0, 0.0], [0.0, 38.0, 30.0], [-25.0, 72.0, 4.0], [25.0, 72.0, 4.0]]
)
_HEAD_INVERSE: Final[NDArray[np.float64]] = np.linalg.pinv(_HEAD - _HEAD.mean(axis=0))


def measure(image: Pixels, face: Detection, thresholds: Thresholds) -> Quality:
    """The face's quality in the upright image."""
    chip = align(image, face.landmarks)
    whole = np.asarray(cv2.cvtColor(chip, cv2.COLOR_BGR2GRAY), np.float32)
    grey = whole[_INSIDE]
    yaw, pitch, roll = pose(face.landmarks)
    measured = Quality(
        confidence=face.confidence,
        face_size=min(face.width, face.height),
        sharpness=_sharpness(whole),
        brightness=float(grey.mean()),
        yaw=yaw,
        pitch=pitch,
        roll=roll,
    )
    return Quality(
        **{name: getattr(measured, name) for name in Thresholds.__dataclass_fields__},
        score=_score(measured, thresholds),
    )


def _sharpness(whole: NDArray[np.float32]) -> float:
    """The standard deviation of the second derivative over that of the grey values, along the direction where it is least.

    A Laplacian sums over directions and so passes faces smeared by motion, whose detail across the smear is whole: of LFW
    smeared by 15 px at any angle it refuses 57 %, the least of four directions 99 %, at the same cost in good photos.
    Smoothed by 0.7 px before, or the noise of a dim photo counts as detail: a blurred face with noise then passes for sharp.
    """
    grey = np.asarray(cv2.GaussianBlur(whole, (0, 0), _GRAIN), np.float32)[_INSIDE]
    middle = grey[1:-1, 1:-1]
    along = (
        grey[1:-1, 2:] + grey[1:-1, :-2] - 2 * middle,
        grey[2:, 1:-1] + grey[:-2, 1:-1] - 2 * middle,
        # Neighbours on a diagonal are √2 px away, and a second derivative falls with the distance's square.
        (grey[2:, 2:] + grey[:-2, :-2] - 2 * middle) / 2,
        (grey[2:, :-2] + grey[:-2, 2:] - 2 * middle) / 2,
    )
    return min(float(detail.std()) for detail in along) / max(float(grey.std()), 1.0)


def pose(landmarks: NDArray[np.float32]) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in degrees from five points (5, 2), by a scaled orthographic fit of a generic head.

    Positive yaw: the nose points to the viewer's right; positive pitch: up; positive roll: clockwise for the viewer.
    """
    points = landmarks.astype(np.float64)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    # The line from eyes to mouth tells roll even where a profile puts both eyes on one spot.
    roll = math.atan2(*(eyes - mouth) * np.array([1.0, -1.0]))
    turn = np.array([[math.cos(-roll), -math.sin(-roll)], [math.sin(-roll), math.cos(-roll)]])
    upright = (points - points.mean(axis=0)) @ turn.T
    fit = (_HEAD_INVERSE @ upright).T
    scale = max(float(np.linalg.norm(fit[0])), float(np.linalg.norm(fit[1])), 1e-9)
    yaw, pitch = math.asin(np.clip(fit[0, 2] / scale, -1, 1)), -math.asin(np.clip(fit[1, 2] / scale, -1, 1))
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def findings(quality: Quality, thresholds: Thresholds) -> tuple[Finding, ...]:
    """What is wrong with the face; empty if nothing is. The first is the one to mend first."""
    found = []
    if quality.face_size < thresholds.face_size:
        size, least = round(quality.face_size), round(thresholds.face_size)
        found.append(
            Finding(
                Reason.SMALL_BOUNDING_BOX,
                quality.face_size,
                thresholds.face_size,
                "px",
                f"The face is only {size} pixels wide; it needs {least}. Use the original photo, or move closer.",
            )
        )
    angles = (("yaw", "sideways"), ("pitch", "up or down"), ("roll", "on its side"))
    for name, word in angles:
        angle, most = abs(getattr(quality, name)), getattr(thresholds, name)
        if angle > most:
            sentence = f"The face is turned {word} by about {angle:.0f}°; at most {most:.0f}° can be used. Use a frontal photo."
            found.append(Finding(Reason.EXTREME_POSE, getattr(quality, name), most, "degrees", sentence))
    if quality.brightness < thresholds.brightness:
        sentence = "The face is too dark. Use a photo with more light."
        found.append(Finding(Reason.LOW_BRIGHTNESS, quality.brightness, thresholds.brightness, "grey level", sentence))
    if quality.sharpness < thresholds.sharpness:
        sentence = "The face is blurred. Use a sharper photo, or the original instead of a copy."
        found.append(Finding(Reason.LOW_SHARPNESS, quality.sharpness, thresholds.sharpness, "ratio", sentence))
    if quality.confidence < thresholds.confidence:
        sentence = "It is not certain that this is a face. Use a photo in which the whole face is seen."
        found.append(Finding(Reason.LOW_CONFIDENCE, quality.confidence, thresholds.confidence, "probability", sentence))
    return tuple(found)


def _score(quality: Quality, least: Thresholds) -> float:
    """The lowest part decides: a face is as fit as what is worst about it."""
    parts = [
        (getattr(quality, name) - getattr(least, name)) / (getattr(_GOOD, name) - getattr(least, name))
        for name in ("confidence", "face_size", "sharpness", "brightness")
    ]
    parts += [1 - abs(getattr(quality, name)) / getattr(least, name) for name in ("yaw", "pitch", "roll")]
    return round(float(100 * min(max(min(parts), 0.0), 1.0)), 1)
