"""What a search or comparison answers, as ``infra/api/openapi.yaml`` says: pure functions from findings to JSON-ready dicts.

Photo links are not part of it: they expire, so they are made anew whenever an answer is shown (``links``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from candid.faces import scores
from candid.faces.detector import Detection
from candid.faces.engine import FaceEngine
from candid.faces.image import Pixels
from candid.faces.quality import Finding, Quality
from candid.faces.registry import ModelCard
from candid.faces.scores import Score
from candid.faces.selection import box
from candid.gallery.search import Candidate, Found
from candid.gallery.thresholds import Threshold
from candid.tables import timestamp

NOTICE: Final = (
    "A candidate is an investigative lead and not an identification. It must not be the sole basis of any action. "
    "False match rates were measured on Labeled Faces in the Wild as a whole: not on booking photos, and not per "
    "demographic group, for which they can be higher."
)
NOTICE_UNCALIBRATED: Final = (
    "A candidate is an investigative lead and not an identification. It must not be the sole basis of any action. "
    "This model has no calibration: nobody has measured how often two different people reach these scores."
)

NOTICE_USERS: Final = (
    "They are those of single faces: the template of a user's faces together reaches a score more often (1.2 times with three "
    "faces; with more nobody has measured it)."
)
_SIDES: Final = ("left", "top", "width", "height")


def notice(card: ModelCard, *, users: bool = False) -> str:
    """What every answer says of itself; of one about ``users`` more."""
    told = NOTICE if card.calibration else NOTICE_UNCALIBRATED
    return f"{told} {NOTICE_USERS}" if users and card.calibration else told


def model(card: ModelCard) -> dict[str, Any]:
    """The model, and where its rates were measured."""
    calibration = card.calibration
    return {
        "id": card.id,
        "calibration": None
        if calibration is None
        else f"{calibration.measured_on}. Beyond the last measured point the rates are a log-linear extrapolation.",
    }


def score(value: Score) -> dict[str, Any]:
    """A score with its meaning."""
    shown: dict[str, Any] = {
        "cosine": _round(value.cosine),
        "similarity": None if value.similarity is None else round(value.similarity, 2),
        "fmr": _significant(value.fmr),
    }
    if value.extrapolated:
        shown["extrapolated"] = True
    return shown


def face(engine: FaceEngine, image: Pixels, detection: Detection, index: int) -> dict[str, Any]:
    """A face with its landmarks, quality, and what is wrong with it."""
    measured, findings = engine.measure(image, detection)
    return {
        "box": box(detection, index),
        "landmarks": [[round(float(x), 1), round(float(y), 1)] for x, y in detection.landmarks],
        "quality": quality(measured),
        "reasons": [reason(finding) for finding in findings],
    }


def quality(measured: Quality) -> dict[str, float]:
    """A quality, rounded to what it means."""
    return {name: round(float(value), 4) for name, value in dataclasses.asdict(measured).items()}


def reason(finding: Finding) -> dict[str, Any]:
    """One thing that is wrong with a face."""
    return {
        "reason": finding.reason.value,
        "measured": round(float(finding.measured), 4),
        "threshold": float(finding.threshold),
        "unit": finding.unit,
        "sentence": finding.sentence,
    }


def threshold(applied: Threshold) -> dict[str, Any]:
    """The threshold applied, in every unit."""
    return {
        "cosine": _round(applied.cosine),
        "fmr": _significant(applied.fmr),
        "similarity": None if applied.similarity is None else round(applied.similarity, 2),
        "expected_false_candidates": _significant(applied.expected_false_candidates),
        "basis": applied.basis,
    }


def result(engine: FaceEngine, shown: dict[str, Any] | None, found: Found) -> dict[str, Any]:
    """One face of the probe (None: a face of the gallery itself), and what the gallery held for it."""
    return {
        **({} if shown is None else {"face": shown}),
        "outcome": "candidates" if found.candidates else "no_candidate_above_threshold",
        "candidates": _candidates(engine, found.candidates, found.searched),
    }


def _candidates(engine: FaceEngine, found: Sequence[Candidate], searched: int) -> list[dict[str, Any]]:
    listed = []
    for rank, one in enumerate(found, start=1):
        meaning = engine.score(one.cosine)
        expected = None if meaning.fmr is None else scores.expected_false_candidates(meaning.fmr, searched)
        members = {
            "rank": rank,
            "agency": one.booking.agency,
            "collection": one.booking.collection,
            "booking_id": one.booking.booking_id,
            "booking_number": one.booking.booking_number,
            "subject_id": one.booking.subject_id,
            "booked_at": timestamp(one.booking.booked_at) if one.booking.booked_at else None,
            "photo_id": one.photo.photo_id,
            # The photo that was compared, whatever lies under its key by now.
            "photo_version": one.photo.version_id,
            "face_id": one.face.face_id,
            "face_box": None if one.face.box is None else dict(zip(_SIDES, one.face.box, strict=True)),
            "face_confidence": one.face.confidence,
            "external_image_id": one.booking.indexing and one.booking.indexing.external_image_id,
            "user_id": one.user_id,
            "view": one.photo.view.value,
            "score": score(meaning),
        }
        listed.append(
            {name: value for name, value in members.items() if value is not None}
            | {"expected_false_candidates": _significant(expected)}
        )
    return listed


def _round(cosine: float) -> float:
    return round(min(max(float(cosine), -1.0), 1.0), 6)


def _significant(value: float | None) -> float | None:
    """Four significant digits: the measurement has no more."""
    return None if value is None else float(f"{value:.4g}")
