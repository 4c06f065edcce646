"""Faces in Rekognition's words: boxes as shares of the image, landmarks, pose, quality, confidence in percent.

What Candid measures is told, and nothing is guessed: no age, gender, emotion or smile. Where Rekognition's scale is its own,
ours is said here."""

from __future__ import annotations

from typing import Any, Final

from candid.faces.detector import Detection
from candid.faces.filters import Seen
from candid.faces.image import Pixels

_LANDMARKS: Final = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")
"""Left and right as the viewer sees them, which is Rekognition's way and the detector's order."""
_SHARP: Final = 0.19
"""Twice a good portrait's sharpness (``faces.quality``), which is called 100: a good portrait has 50."""


def bounding_box(detection: Detection, image: Pixels) -> dict[str, float]:
    """Shares of the image's width and height; a face that the frame cuts may lie beyond 0 and 1."""
    height, width = image.shape[:2]
    return {
        "Width": round(detection.width / width, 6),
        "Height": round(detection.height / height, 6),
        "Left": round(detection.left / width, 6),
        "Top": round(detection.top / height, 6),
    }


def confidence(detection: Detection) -> float:
    """The detector's, in percent."""
    return round(100.0 * min(max(detection.confidence, 0.0), 1.0), 4)


def compared(one: Seen, image: Pixels) -> dict[str, Any]:
    """A ``ComparedFace``."""
    height, width = image.shape[:2]
    return {
        "BoundingBox": bounding_box(one.detection, image),
        "Confidence": confidence(one.detection),
        "Landmarks": [
            {"Type": name, "X": round(float(x) / width, 6), "Y": round(float(y) / height, 6)}
            for name, (x, y) in zip(_LANDMARKS, one.detection.landmarks, strict=True)
        ],
        "Pose": {
            "Roll": _degrees(one.quality.roll),
            "Yaw": _degrees(one.quality.yaw),
            "Pitch": _degrees(one.quality.pitch),
        },
        # Mean grey of the face; fine detail, 50 being a good portrait's.
        "Quality": {
            "Brightness": round(100.0 * one.quality.brightness / 255.0, 4),
            "Sharpness": round(100.0 * min(one.quality.sharpness / _SHARP, 1.0), 4),
        },
    }


def detail(one: Seen, image: Pixels) -> dict[str, Any]:
    """A ``FaceDetail``: what Candid can measure. Attributes that it has no model for are left out, whoever asks for them."""
    return compared(one, image)


def _degrees(angle: float) -> float:
    return round(min(max(float(angle), -180.0), 180.0), 4)
