"""What a cosine means: the false match rate at that score, and the scales that follow from it.

``similarity`` = 100 · (1 − FMR^¼) is a documented, monotone scale from 0 to 100 on which Rekognition's default of 80 is an FMR
of 1.6e-3. It is no probability that two faces are one person's; nothing that looks at a score alone can be.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_FMR: Final = 1e-12
"""What the extrapolation stops at: nobody has compared so many faces that a smaller figure would mean anything."""


@dataclass(frozen=True, slots=True)
class Score:
    """One comparison's meaning. ``fmr`` and ``similarity`` are None for a model without a calibration; ``extrapolated`` says
    that the cosine lies beyond the last measured point."""

    cosine: float
    fmr: float | None
    similarity: float | None
    extrapolated: bool = False


@dataclass(frozen=True)
class Calibration:
    """A model's measured false match rates (ISO/IEC 19795-1): rising cosines, and log10 of the FMR at each.

    Between points it is linear in log10 FMR; beyond the last point the last two points' line goes on, which is said in the
    score. Below the first point the rate is that point's.
    """

    cosines: NDArray[np.float64]
    log_fmrs: NDArray[np.float64]
    measured_on: str

    def fmr(self, cosine: float) -> float:
        """How often two different people score ``cosine`` or more, ``LEAST_FMR`` to 1."""
        if cosine > self.cosines[-1]:
            exponent = self.log_fmrs[-1] + self._slope * (cosine - self.cosines[-1])
        else:
            exponent = float(np.interp(cosine, self.cosines, self.log_fmrs))
        return float(max(min(10.0 ** float(exponent), 1.0), LEAST_FMR))

    def cosine_at_fmr(self, fmr: float) -> float:
        """The cosine whose rate is ``fmr`` (0 < fmr ≤ 1), -1 to 1; -1 for a rate that every score has."""
        if not 0 < fmr <= 1:
            raise ValueError("A false match rate lies above 0 and at most at 1.")
        exponent = math.log10(fmr)
        if exponent > self.log_fmrs[0]:
            return -1.0
        if exponent < self.log_fmrs[-1]:
            return float(min(self.cosines[-1] + (exponent - self.log_fmrs[-1]) / self._slope, 1.0))
        return float(np.interp(-exponent, -self.log_fmrs, self.cosines))

    def score(self, cosine: float) -> Score:
        """The cosine with its meaning."""
        fmr = self.fmr(cosine)
        return Score(cosine, fmr, similarity(fmr), bool(cosine > self.cosines[-1]))

    @property
    def _slope(self) -> float:
        return float((self.log_fmrs[-1] - self.log_fmrs[-2]) / (self.cosines[-1] - self.cosines[-2]))


def similarity(fmr: float) -> float:
    """The 0–100 scale of a false match rate."""
    return float(100.0 * (1.0 - fmr**0.25))


def fmr_at_similarity(value: float) -> float:
    """The false match rate of a point of the 0–100 scale; at least ``LEAST_FMR``."""
    if not 0 <= value <= 100:
        raise ValueError("Similarity lies between 0 and 100.")
    return float(max((1.0 - value / 100.0) ** 4, LEAST_FMR))


def expected_false_candidates(fmr: float, gallery_size: int) -> float:
    """How many wrong faces a gallery of this size yields by chance at this rate."""
    return fmr * gallery_size


@cache
def load_calibration(file: str) -> Calibration:
    """The calibration in ``faces/calibrations``: a title line ``# …`` and columns cosine, fmr (others are not read)."""
    text = resources.files("candid.faces").joinpath("calibrations", file).read_text("utf-8")
    title, _, table = text.partition("\n")
    points = [(float(row["cosine"]), float(row["fmr"])) for row in csv.DictReader(io.StringIO(table))]
    # A rate of zero is no measurement but the lack of one: the table ends before it.
    kept = [(cosine, math.log10(rate)) for cosine, rate in points if rate > 0]
    cosines, logs = (np.array(column, np.float64) for column in zip(*kept, strict=True))
    # Strictly falling, so that the inverse is a function.
    falling = np.concatenate([[True], np.diff(logs) < 0])
    return Calibration(cosines[falling], logs[falling], title.lstrip("# ").strip())
