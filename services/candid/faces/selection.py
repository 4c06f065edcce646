"""Which face of an image is meant: the booking's one face, or the face of a probe that the caller names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal

from candid.errors import InvalidRequest, NoFace, SeveralFaces
from candid.faces.detector import Detection
from candid.faces.image import Pixels

DOMINANCE: Final = 3.0
"""How many times as prominent as the next the booking's face must be. On LFW's 2,006 photos, 366 of which show several
faces, this refuses 5 and picks the wrong one in none."""

Choice = Literal["only", "largest"] | int


def booking_face(image: Pixels, faces: Sequence[Detection]) -> Detection:
    """The face of a booking photo: the only one, or one that dominates.

    A face's prominence is its area, weighed down by the square of how far it lies from the middle (1 there, 0 in a corner).
    The most prominent face dominates if it is at least three times as prominent as the next. Raises ``NoFace``, or
    ``SeveralFaces`` with the boxes.
    """
    if not faces:
        raise NoFace("No face was found. Use a photo that shows the whole face from the front, upright.")
    ranked = sorted(faces, key=lambda face: _prominence(face, image.shape), reverse=True)
    if len(ranked) > 1 and _prominence(ranked[0], image.shape) < DOMINANCE * _prominence(ranked[1], image.shape):
        raise SeveralFaces(
            f"The photo shows {len(faces)} faces and none of them stands out. Use a photo of one person.",
            faces=boxes(faces),
        )
    return ranked[0]


def probe_face(faces: Sequence[Detection], choice: Choice) -> Detection:
    """The face of a probe: the only one, the largest, or the one with this index (0 is the largest).

    Raises ``NoFace``; ``SeveralFaces`` with the boxes for ``only``; ``InvalidRequest`` for an index that there is not.
    """
    if not faces:
        raise NoFace("No face was found in the image. Use a picture in which the whole face is seen, upright.")
    if choice == "only" and len(faces) > 1:
        raise SeveralFaces(
            f"The image shows {len(faces)} faces. Name one by its index in faces, or ask for the largest.",
            faces=boxes(faces),
        )
    if isinstance(choice, int):
        if not 0 <= choice < len(faces):
            if len(faces) == 1:
                raise InvalidRequest("The image shows one face, whose index is 0. Name that one.")
            raise InvalidRequest(
                f"The image shows {len(faces)} faces; indexes run from 0 to {len(faces) - 1}. Name one of these."
            )
        return faces[choice]
    return faces[0]


def box(face: Detection, index: int) -> dict[str, Any]:
    """A face's box as answers show it, in px of the upright image."""
    return {
        "index": index,
        "left": round(face.left, 1),
        "top": round(face.top, 1),
        "width": round(face.width, 1),
        "height": round(face.height, 1),
        "confidence": round(face.confidence, 4),
    }


def boxes(faces: Sequence[Detection]) -> list[dict[str, Any]]:
    """The boxes of all faces in their order."""
    return [box(face, index) for index, face in enumerate(faces)]


def _prominence(face: Detection, shape: tuple[int, ...]) -> float:
    across = (face.left + face.width / 2) / shape[1] * 2 - 1
    down = (face.top + face.height / 2) / shape[0] * 2 - 1
    away = min(math.hypot(across, down) / math.sqrt(2), 1.0)
    return face.area * (1 - away) ** 2
