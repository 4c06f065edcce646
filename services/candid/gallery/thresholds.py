"""How alike a candidate must be: one way to say it in, the same threshold in every unit out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from candid.errors import InvalidRequest
from candid.faces import scores
from candid.faces.scores import Calibration

_WITHOUT: Final = "The model of this gallery has no calibration, so a score says nothing about false matches."


@dataclass(frozen=True, slots=True)
class Wanted:
    """A threshold as a caller gives it: exactly one member, or none for the policy's default.

    ``fmr`` (0, 1]; ``similarity`` 0 to 100; ``expected_false_candidates`` > 0; ``cosine`` -1 to 1 (uncalibrated models alone).
    """

    fmr: float | None = None
    similarity: float | None = None
    expected_false_candidates: float | None = None
    cosine: float | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """The threshold applied, in every unit; None where the model has no calibration. ``basis`` says which rule set it."""

    cosine: float
    fmr: float | None
    similarity: float | None
    expected_false_candidates: float | None
    basis: str


@dataclass(frozen=True, slots=True)
class Default:
    """The policy's threshold: the stricter of a false match rate and a number of expected false candidates."""

    fmr: float
    expected_false_candidates: float


def check(wanted: Wanted, calibration: Calibration | None) -> None:
    """Raise ``InvalidRequest`` for a threshold that this model can't be asked for; a cosine says nothing that holds for another
    model, so it is taken only where nothing better is to be had."""
    if calibration is None and wanted.cosine is None:
        raise InvalidRequest(f"{_WITHOUT} Give the threshold as a cosine.")
    if calibration is not None and wanted.cosine is not None:
        raise InvalidRequest(
            "The model is calibrated, so a cosine is not taken. "
            "Give the threshold as fmr, similarity or expected_false_candidates."
        )


def requested_fmr(wanted: Wanted) -> float | None:
    """The false match rate that the caller names, whatever the gallery's size; None if it names none."""
    if wanted.similarity is not None:
        return scores.fmr_at_similarity(wanted.similarity)
    return wanted.fmr


def resolve(
    wanted: Wanted, gallery_size: int, *, default: Default, loosest_fmr: float, calibration: Calibration | None
) -> Threshold:
    """The threshold for a gallery of this size, never looser than ``loosest_fmr``. Raises ``InvalidRequest`` as ``check`` does.

    A number of expected false candidates is a rate that depends on the gallery: in a small one it would admit everybody, so it
    is cut to the loosest rate, and ``basis`` says so.
    """
    check(wanted, calibration)
    if calibration is None:
        return Threshold(float(wanted.cosine or 0.0), None, None, None, "requested as a cosine")
    faces = max(gallery_size, 1)
    requested = requested_fmr(wanted)
    if requested is not None:
        rate = requested
        basis = "requested as a false match rate" if wanted.fmr is not None else "requested as a similarity"
    elif wanted.expected_false_candidates is not None:
        rate, basis = wanted.expected_false_candidates / faces, "requested as expected false candidates"
    else:
        rate, basis = default.fmr, f"default: an FMR of {default.fmr:g}"
        if (by_size := default.expected_false_candidates / faces) < rate:
            rate = by_size
            basis = f"default: {default.expected_false_candidates:g} expected false candidate in the gallery searched"
    if rate > loosest_fmr:
        rate, basis = loosest_fmr, f"{basis}, cut to the loosest rate that the policy allows"
    rate = max(rate, scores.LEAST_FMR)
    return Threshold(
        cosine=calibration.cosine_at_fmr(rate),
        fmr=rate,
        similarity=scores.similarity(rate),
        expected_false_candidates=scores.expected_false_candidates(rate, gallery_size),
        basis=basis,
    )
