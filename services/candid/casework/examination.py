"""Looking at images that are not in any gallery: one-to-one comparison, and detection. Nothing of it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from candid.casework import answer
from candid.errors import InvalidRequest, PhotoRefused
from candid.faces.detector import Detection
from candid.faces.engine import FaceEngine
from candid.faces.image import Pixels, decode
from candid.faces.selection import Choice, probe_face


@dataclass(frozen=True, slots=True)
class Examination:
    """The use cases over whichever model serves."""

    current: Callable[[], FaceEngine]

    def compare(self, image_a: bytes, image_b: bytes, choice: Choice) -> dict[str, Any]:
        """How alike one face of each image is. Raises ``PhotoRefused`` or ``InvalidRequest`` whose sentence names the image."""
        engine = self.current()
        first, second = _one(engine, image_a, choice, "a"), _one(engine, image_b, choice, "b")
        rows = [engine.templates(pixels, [faces[index]])[0] for pixels, faces, index in (first, second)]
        return {
            "score": answer.score(engine.score(float(rows[0] @ rows[1]))),
            "model": answer.model(engine.card),
            "face_a": answer.face(engine, first[0], first[1][first[2]], first[2]),
            "face_b": answer.face(engine, second[0], second[1][second[2]], second[2]),
            "notice": answer.notice(engine.card),
        }

    def detect(self, image: bytes) -> dict[str, Any]:
        """Every face of an image, the largest first; none is an answer too."""
        engine = self.current()
        pixels = decode(image)
        faces = engine.detect(pixels)
        return {
            "width": pixels.shape[1],
            "height": pixels.shape[0],
            "faces": [answer.face(engine, pixels, face, index) for index, face in enumerate(faces)],
        }


def _one(engine: FaceEngine, data: bytes, choice: Choice, name: str) -> tuple[Pixels, tuple[Detection, ...], int]:
    try:
        pixels = decode(data)
        faces = engine.detect(pixels)
        chosen = probe_face(faces, choice)
    except (PhotoRefused, InvalidRequest) as error:
        raise type(error)(f"Image {name}: {error}", **error.members) from None
    return pixels, faces, next(i for i, face in enumerate(faces) if face is chosen)
