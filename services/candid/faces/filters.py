"""Which faces of an image pass a quality filter, in Rekognition's words for filters (IndexFaces, ``QualityFilter``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from candid.faces.detector import Detection
from candid.faces.engine import FaceEngine
from candid.faces.image import Pixels
from candid.faces.quality import Finding, Quality, Reason

NONE: Final = "NONE"
LOW: Final = "LOW"
HIGH: Final = "HIGH"
EXCEEDS: Final = "EXCEEDS_MAX_FACES"
_LENIENT: Final = 0.5
_STRICT_SCORE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A face of an image, measured. ``place`` counts from 0, the largest face; ``reasons`` is why a filter leaves it out."""

    place: int
    detection: Detection
    quality: Quality
    reasons: tuple[str, ...]


def look(engine: FaceEngine, image: Pixels, quality_filter: str) -> list[Seen]:
    """All faces of an upright image, the largest first, each with why ``quality_filter`` leaves it out, or no reason.

    AUTO and MEDIUM are what enrolment of a booking asks for; LOW forgives what is at least half of that; HIGH wants a score of 30
    of 100 besides; NONE leaves nothing out. Raises ``ModelUnavailable``.
    """
    seen = []
    for place, detection in enumerate(engine.detect(image)):
        quality, found = engine.measure(image, detection)
        seen.append(Seen(place, detection, quality, _left_out(quality, found, quality_filter)))
    return seen


def chosen(seen: Sequence[Seen], most: int | None) -> tuple[list[Seen], list[Seen]]:
    """Those that pass, at most ``most`` of them (None: all), the largest first; and the others, each with its reasons."""
    passed = [one for one in seen if not one.reasons]
    taken, beyond = (passed, []) if most is None else (passed[:most], passed[most:])
    others = [one for one in seen if one.reasons]
    return taken, others + [Seen(one.place, one.detection, one.quality, (EXCEEDS,)) for one in beyond]


def _left_out(quality: Quality, found: Sequence[Finding], quality_filter: str) -> tuple[str, ...]:
    if quality_filter == NONE:
        return ()
    counted = [one for one in found if quality_filter != LOW or _is_bad(one)]
    reasons = tuple(dict.fromkeys(one.reason.value for one in counted))
    if not reasons and quality_filter == HIGH and quality.score < _STRICT_SCORE:
        return ("LOW_FACE_QUALITY",)
    return reasons


def _is_bad(finding: Finding) -> bool:
    if finding.reason is Reason.EXTREME_POSE:
        return abs(finding.measured) * _LENIENT > finding.threshold
    return finding.measured < finding.threshold * _LENIENT
