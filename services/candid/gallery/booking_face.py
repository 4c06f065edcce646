"""The one face of a booking photo: bytes in, template and quality out. Not here: where they are kept.

A photo whose own data is at fault raises a ``PhotoRefused``; a model that is not there raises ``ModelUnavailable``, for which
no photo is to blame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from candid.errors import LowFaceQuality, PhotoRefused
from candid.faces.engine import FaceEngine
from candid.faces.image import decode
from candid.faces.quality import Finding
from candid.faces.selection import booking_face
from candid.gallery.index import Template
from candid.gallery.outcome import Rejection, Stopwatch


@dataclass(frozen=True, slots=True)
class BookingFace:
    """A face fit for the gallery. ``quality`` is as the API shows it; ``templates`` are the face's by the id of the model that
    made each, (dimension,) float32 of unit length."""

    templates: Mapping[str, Template] = dataclasses.field(repr=False)
    quality: Mapping[str, float]


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
    quality = {name: round(float(value), 4) for name, value in dataclasses.asdict(measured).items()}
    if found:
        return Rejection(LowFaceQuality.reason, found[0].sentence, tuple(map(_shown, found)), quality)
    with watch.part("embed"):
        templates = {one.card.id: one.templates(image, [face])[0] for one in engines}
    return BookingFace(templates, quality)


def _shown(finding: Finding) -> dict[str, str | float]:
    return {
        "reason": finding.reason.value,
        "measured": round(float(finding.measured), 4),
        "threshold": float(finding.threshold),
        "unit": finding.unit,
        "sentence": finding.sentence,
    }
