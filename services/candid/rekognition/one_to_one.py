"""DetectFaces and CompareFaces: images that are in no gallery. Nothing of them is kept."""

from __future__ import annotations

from typing import Any, Final

from candid.errors import InvalidRequest
from candid.faces.filters import NONE, Seen, look
from candid.faces.image import Pixels
from candid.rekognition import faces
from candid.rekognition.calls import Answer, Call, notice, similarity
from candid.rekognition.images import image_of

_MOST_COMPARED: Final = 100
"""Faces of the target image, the largest."""
_SIMILARITY: Final = 80.0


def detect_faces(call: Call) -> Answer:
    """DetectFaces: up to 100 faces, the largest first."""
    image = image_of(call, "Image")
    seen = look(call.work.indexes.engine(), image, NONE)[:_MOST_COMPARED]
    return Answer({"FaceDetails": [faces.detail(one, image) for one in seen]})


def compare_faces(call: Call) -> Answer:
    """CompareFaces: the source's largest face with each face of the target."""
    engine = call.work.indexes.engine()
    quality_filter = call.asked.get("QualityFilter", NONE)
    threshold = call.asked.get("SimilarityThreshold", _SIMILARITY)
    source, target = image_of(call, "SourceImage"), image_of(call, "TargetImage")
    one = _largest(look(engine, source, quality_filter))
    others = [face for face in look(engine, target, quality_filter) if not face.reasons][:_MOST_COMPARED]
    template = engine.templates(source, [one.detection])[0]
    rows: Any = engine.templates(target, [face.detection for face in others]) if others else ()
    alike = [(similarity(engine.score(float(template @ row))), face) for row, face in zip(rows, others, strict=True)]
    matched = sorted((pair for pair in alike if pair[0] >= threshold), key=lambda pair: -pair[0])
    return Answer(
        {
            "SourceImageFace": _source(one, source),
            "FaceMatches": [{"Similarity": score, "Face": faces.compared(face, target)} for score, face in matched],
            "UnmatchedFaces": [faces.compared(face, target) for score, face in alike if score < threshold],
        },
        notice(engine.card),
    )


def _largest(seen: list[Seen]) -> Seen:
    if not seen:
        raise InvalidRequest("There are no faces in the source image. Send one that shows a whole face.")
    if seen[0].reasons:
        raise InvalidRequest(
            f"The largest face of the source image does not pass the quality filter ({', '.join(seen[0].reasons)}). "
            "Send a better image, or ask for a lower QualityFilter."
        )
    return seen[0]


def _source(one: Seen, image: Pixels) -> dict[str, Any]:
    return {"BoundingBox": faces.bounding_box(one.detection, image), "Confidence": faces.confidence(one.detection)}
