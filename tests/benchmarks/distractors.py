"""Templates of people who do not exist, whose scores among themselves and against real faces are SFace's on LFW.

A gallery of a million faces cannot be shipped, and random directions are no stand-in: their scores lie about 0, and none is
ever high. Here a person is drawn from a normal distribution with the mean and covariance of 1,200 real people's templates,
in two steps: first a *type* (one of a few thousand), then a person of that type, who has the type's part of the covariance in
common with everyone of it. Without types the scores fit to a false match rate of 1e-3 and then fall off too fast: two real
people look alike more often than the normal distribution allows. Mean and covariance reveal no person.

    python -m tests.benchmarks.distractors [--estimate] [--templates FILE] [--out FOLDER]

shows the fit: JSON and, with matplotlib, a plot. ``--estimate`` first makes the parameters anew from Labeled Faces in the Wild.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HERE: Final = Path(__file__).parent
PARAMETERS: Final = HERE / "distractors.npz"
CALIBRATION: Final = HERE.parents[1] / "services" / "candid" / "faces" / "calibrations" / "sface-lfw-calibration.csv"
SEED: Final = 20171201
FITTED: Final = (1e-6, 0.6)
"""False match rates between which the fit is made. 87 pairs of LFW lie above the lower one, some one person under two names."""

_BLOCK: Final = 10_000
_BINS: Final = 4000

Templates = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Population:
    """``mean`` (d,) and ``factor`` (d, d) lower triangular, whose square is the covariance; how many ``types`` there are, and
    the ``share`` of the covariance (0 to 1) that people of one type have in common."""

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]
    types: int
    share: float

    def save(self, path: Path) -> None:
        """Write it as 33 kB."""
        lower = self.factor[np.tril_indices(self.mean.size)]
        np.savez_compressed(
            path, mean=self.mean.astype(np.float32), factor=lower.astype(np.float32), types=self.types, share=self.share
        )


def population(path: Path = PARAMETERS) -> Population:
    """What ``save`` wrote."""
    with np.load(path) as held:
        mean = held["mean"].astype(np.float64)
        factor = np.zeros((mean.size, mean.size))
        factor[np.tril_indices(mean.size)] = held["factor"]
        return Population(mean, factor, int(held["types"]), float(held["share"]))


def distractors(
    count: int, seed: int = SEED, *, near: Templates | None = None, of: Population | None = None
) -> Templates:
    """(count, d) float32 of unit length; of two counts with one seed the smaller is the larger's beginning.

    ``near`` (n, d) are real templates. Each becomes one of a type's people (as far as there are types), so that real faces too
    have the lookalikes that the calibration says they have; without it only the distractors have them among themselves. Give
    the same ``near`` for every seed: a probe that is nobody's in the gallery wants its lookalikes there as well.
    """
    told = of or population()
    centres = _centres(told, near)
    blocks = (
        _block(told, centres, np.random.default_rng([seed, number]))[: count - number * _BLOCK]
        for number in range(-(-count // _BLOCK))
    )
    return np.concatenate([np.zeros((0, told.mean.size), np.float32), *blocks])


def _centres(told: Population, near: Templates | None) -> NDArray[np.float64]:
    """(types, d): a type's mean less the population's. Of a type with a real face in it, the mean is drawn given that face."""
    random = np.random.default_rng(SEED)
    drawn = random.standard_normal((told.types, told.mean.size)) @ told.factor.T
    centres: NDArray[np.float64] = np.sqrt(told.share) * drawn
    if near is not None:
        known = near[: told.types].astype(np.float64) - told.mean
        spread = np.sqrt(told.share * (1 - told.share))
        centres[: len(known)] = told.share * known + spread * drawn[: len(known)]
    return centres


def _block(told: Population, centres: NDArray[np.float64], random: np.random.Generator) -> Templates:
    kinds = random.integers(told.types, size=_BLOCK)
    own = random.standard_normal((_BLOCK, told.mean.size)) @ told.factor.T
    return unit(told.mean + centres[kinds] + np.sqrt(1 - told.share) * own)


def unit(vectors: NDArray[np.float64]) -> Templates:
    """Rows of length 1, float32."""
    scaled: Templates = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled


@dataclass(frozen=True, slots=True)
class Curve:
    """False match rates (ISO/IEC 19795-1) at rising ``cosines``, from ``pairs`` pairs (0: not known)."""

    cosines: NDArray[np.float64]
    rates: NDArray[np.float64]
    pairs: int


def measured(path: Path = CALIBRATION) -> Curve:
    """The calibration that ships beside the model."""
    with path.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return Curve(np.array([float(row["cosine"]) for row in rows]), np.array([float(row["fmr"]) for row in rows]), 0)


def false_match_rates(first: Templates, second: Templates | None = None) -> Curve:
    """Of all pairs within ``first``, or of each of ``first`` with each of ``second``, at the calibration's cosines."""
    counts = np.zeros(_BINS, np.int64)
    pairs = 0
    for scores in _pairs(first, second):
        # Bins are as wide as a thousandth of the calibration's steps and end where those do: -1.0, -0.9995, … 1.0.
        places = np.floor((scores.astype(np.float64) + 1) * (_BINS / 2) + 1e-6).astype(np.int64)
        counts += np.bincount(np.clip(places, 0, _BINS - 1), minlength=_BINS)
        pairs += scores.size
    at_least = counts[::-1].cumsum()[::-1] / pairs
    cosines = measured().cosines
    return Curve(cosines, at_least[np.rint((cosines + 1) * (_BINS / 2)).astype(int)], pairs)


def _pairs(first: Templates, second: Templates | None) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(first), 1000):
        some = first[start : start + 1000]
        if second is not None:
            for other in range(0, len(second), _BLOCK):
                yield (some @ second[other : other + _BLOCK].T).ravel()
            continue
        yield (some @ some.T)[np.triu_indices(len(some), 1)]
        for other in range(start + 1000, len(first), _BLOCK):
            yield (some @ first[other : other + _BLOCK].T).ravel()


def estimate(templates: Templates) -> Population:
    """The population whose scores fit the calibration best. ``templates`` (n, d) are one photo of each of n real people."""
    random = np.random.default_rng(SEED)
    real = templates.astype(np.float64)
    mean: NDArray[np.float64] = real.mean(axis=0)
    factor: NDArray[np.float64] = np.asarray(np.linalg.cholesky(np.cov(real.T)), np.float64)
    target = measured()
    used = (target.rates >= FITTED[0]) & (target.rates <= FITTED[1])
    strangers = false_match_rates(unit(mean + random.standard_normal((20_000, mean.size)) @ factor.T)).rates[used]
    best: tuple[float, int, float] = (np.inf, 0, 0.0)
    for share in np.arange(0.24, 0.34, 0.01):
        alike = _within(mean, factor, float(share), random)[used]
        for types in range(1000, 5000, 100):
            fitted = strangers + (alike - strangers) / types
            error = float(np.mean(np.log(fitted / target.rates[used]) ** 2))
            best = min(best, (error, types, round(float(share), 3)))
    return Population(mean, factor, best[1], best[2])


def _within(
    mean: NDArray[np.float64], factor: NDArray[np.float64], share: float, random: np.random.Generator
) -> NDArray[np.float64]:
    """False match rates among people of one type: of ten in each of 10,000 types."""
    scores = []
    for _ in range(10):
        centres = np.sqrt(share) * random.standard_normal((1000, 1, mean.size))
        people = centres + np.sqrt(1 - share) * random.standard_normal((1000, 10, mean.size))
        drawn = unit((mean + people @ factor.T).reshape(-1, mean.size)).reshape(1000, 10, mean.size)
        every = np.einsum("tid,tjd->tij", drawn, drawn)
        scores.append(every[:, *np.triu_indices(10, 1)].ravel())
    ordered = np.sort(np.concatenate(scores))
    return 1 - np.searchsorted(ordered, measured().cosines) / ordered.size


def fit(near: Templates | None = None, count: int = 40_000) -> dict[str, Any]:
    """Measured and synthetic rates at every cosine of the calibration, and their ratio; against real faces where given."""
    target = measured()
    drawn = distractors(count, near=near)
    curves = {"among_themselves": false_match_rates(drawn)}
    if near is not None:
        curves["against_real_faces"] = false_match_rates(near, distractors(250_000, near=near))
    told: dict[str, Any] = {"types": population().types, "share": population().share, "curves": {}}
    for name, curve in curves.items():
        rows = []
        for cosine, wanted, found in zip(target.cosines, target.rates, curve.rates, strict=True):
            ratio = round(float(found / wanted), 3) if wanted else None
            rows.append({"cosine": round(float(cosine), 2), "measured": wanted, "synthetic": found, "ratio": ratio})
        inside = [row["ratio"] for row in rows if FITTED[0] <= row["measured"] <= FITTED[1]]
        tail = [row["cosine"] for row in rows if 0 < row["measured"] < FITTED[0]]
        told["curves"][name] = {
            "pairs": curve.pairs,
            "ratio_lowest": min(inside),
            "ratio_highest": max(inside),
            "fitted_to_fmr": FITTED[0],
            "not_fitted_from_cosine": min(tail),
            "rows": rows,
        }
    return told


def plot(told: dict[str, Any], path: Path) -> None:
    """Both curves and their ratio, as PNG. Needs matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(7, 6), height_ratios=(2, 1))
    target = measured()
    above.semilogy(target.cosines, target.rates, "k-", label="measured: SFace, 87 million pairs of LFW")
    for name, curve in told["curves"].items():
        rows = [row for row in curve["rows"] if row["synthetic"] > 10 / curve["pairs"]]
        cosines = [row["cosine"] for row in rows]
        above.semilogy(cosines, [row["synthetic"] for row in rows], ".", label=f"synthetic, {name.replace('_', ' ')}")
        below.plot(cosines, [row["ratio"] for row in rows], ".-")
    above.set(ylabel="false match rate", ylim=(1e-8, 1.5))
    above.legend()
    below.axhline(1, color="k", linewidth=0.8)
    below.axvline(told["curves"]["among_themselves"]["not_fitted_from_cosine"], color="k", linestyle=":")
    below.set(xlabel="cosine", ylabel="synthetic / measured", ylim=(0, 2))
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def lfw_templates(cache: Path) -> tuple[list[str], Templates]:
    """Every LFW photo's person and template (n, d); computed where ``cache`` does not hold them yet. ``cache`` is private to
    whoever runs this: it holds templates of real people, and belongs outside the repository."""
    if not cache.exists():
        from tests.portraits import engine, lfw

        from candid.errors import PhotoRefused
        from candid.faces.image import decode
        from candid.faces.selection import probe_face

        people, rows = [], []
        for person, photo in lfw():
            image = decode(photo.read_bytes())
            try:
                face = probe_face(engine().detect(image), "largest")
            except PhotoRefused:
                continue
            people.append(person)
            rows.append(engine().templates(image, [face])[0])
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, people=np.array(people), templates=np.stack(rows))
    with np.load(cache) as held:
        return [str(person) for person in held["people"]], held["templates"]


def firsts(people: list[str]) -> NDArray[np.intp]:
    """Where each person's first photo stands."""
    return np.sort(np.unique(people, return_index=True)[1])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--estimate", action="store_true", help="make the parameters anew (needs LFW)")
    options.add_argument("--templates", type=Path, help="keep LFW's templates in this file, and compare with them")
    options.add_argument("--out", type=Path, default=Path(".build/benchmarks"))
    given = options.parse_args()
    real = None
    if given.templates:
        people, templates = lfw_templates(given.templates)
        real = templates[firsts(people)]
    if given.estimate:
        if real is None:
            options.error("--estimate needs --templates")
        estimate(real).save(PARAMETERS)
    told = fit(real)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "distractors.json").write_text(json.dumps(told, indent=1) + "\n")
    plot(told, given.out / "distractors.png")
    for name, curve in told["curves"].items():
        print(
            f"{name}: synthetic / measured FMR {curve['ratio_lowest']} to {curve['ratio_highest']} "
            f"({FITTED[0]:g} ≤ FMR ≤ {FITTED[1]:g}, {curve['pairs']:,} pairs)"
        )


if __name__ == "__main__":
    main()
