"""The one face of a booking photo, or the faces of a photo that came by IndexFaces: bytes in, templates and quality out. Not
here: where they are kept.

A photo whose own data is at fault raises a ``PhotoRefused``; a model that is not there raises ``ModelUnavailable``, for which
no photo is to blame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from candid.errors import LowFaceQuality, NoFace, PhotoRefused
from candid.faces.engine import FaceEngine
from candid.faces.filters import Seen, chosen, look
from candid.faces.image import Pixels, decode
from candid.faces.quality import Finding, Quality
from candid.faces.selection import booking_face
from candid.gallery.booking import Indexing
from candid.gallery.index import Template
from candid.gallery.outcome import Rejection, Stopwatch


@dataclass(frozen=True, slots=True)
class BookingFace:
    """A face fit for the gallery. ``quality`` is as the API shows it; ``templates`` are the face's by the id of the model that
    made each, (dimension,) float32 of unit length; ``place`` counts the photo's faces, of a booking's one face it is 0; ``box``
    and ``confidence`` are as ``booking.Face`` has them."""

    templates: Mapping[str, Template] = dataclasses.field(repr=False)
    quality: Mapping[str, float]
    place: int
    box: tuple[float, float, float, float]
    confidence: float


def read_face(engines: Sequence[FaceEngine], data: bytes, watch: Stopwatch) -> BookingFace | Rejection:
    """The booking's face in ``data`` as each model sees it, or why there is none. All models share the first one's detector and
    quality. Raises ``ModelUnavailable``."""
    engine = engines[0]
    try:
        with watch.part("detect"):
            image = decode(data)
            face = booking_face(image, engine.detect(image))
            measured, found = engine.measure(image, face)
    except PhotoRefused as refusal:
        return Rejection.of(refusal)
    if found:
        return Rejection(LowFaceQuality.reason, found[0].sentence, tuple(map(_shown, found)), _numbers(measured))
    with watch.part("embed"):
        (only,) = _embedded(engines, image, [Seen(0, face, measured, ())])
    return only


def read_faces(
    engines: Sequence[FaceEngine], data: bytes, indexing: Indexing, watch: Stopwatch
) -> tuple[BookingFace, ...] | Rejection:
    """The faces of ``data`` that IndexFaces takes, the largest first, or why there are none. Raises ``ModelUnavailable``."""
    engine = engines[0]
    try:
        with watch.part("detect"):
            image = decode(data)
            seen = look(engine, image, indexing.quality_filter)
    except PhotoRefused as refusal:
        return Rejection.of(refusal)
    taken, _ = chosen(seen, indexing.max_faces)
    if not taken:
        if not seen:
            return Rejection(NoFace.reason, "No face was found. Use a photo that shows a whole face.")
        return Rejection(
            LowFaceQuality.reason, "No face passes the quality filter. Use a better photo, or a lower filter."
        )
    with watch.part("embed"):
        return _embedded(engines, image, taken)


def _embedded(engines: Sequence[FaceEngine], image: Pixels, taken: Sequence[Seen]) -> tuple[BookingFace, ...]:
    rows = {one.card.id: one.templates(image, [face.detection for face in taken]) for one in engines}
    height, width = image.shape[:2]
    return tuple(
        BookingFace(
            {model: templates[number] for model, templates in rows.items()},
            _numbers(face.quality),
            face.place,
            (
                round(face.detection.left / width, 6),
                round(face.detection.top / height, 6),
                round(face.detection.width / width, 6),
                round(face.detection.height / height, 6),
            ),
            round(float(face.detection.confidence), 6),
        )
        for number, face in enumerate(taken)
    )


def _numbers(measured: Quality) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in dataclasses.asdict(measured).items()}


def _shown(finding: Finding) -> dict[str, str | float]:
    return {
        "reason": finding.reason.value,
        "measured": round(float(finding.measured), 4),
        "threshold": float(finding.threshold),
        "unit": finding.unit,
        "sentence": finding.sentence,
    }
