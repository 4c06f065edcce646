"""Galleries of real faces among synthetic ones, probes, and the truth about them.

Real: SFace's templates of Labeled Faces in the Wild. Everybody's first photo is in the gallery, but for those whom nobody is to
find; a second photo is a probe. The rest of a gallery are distractors whose scores are distributed as real ones'
(``tests.benchmarks.distractors``). Real and synthetic faces lie mixed, and so do the faces that a filter leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from tests.benchmarks.distractors import distractors
from tests.portraits import engine, lfw

from candid.errors import PhotoRefused
from candid.faces.image import decode
from candid.faces.selection import booking_face
from candid.gallery.index import Entry, Filter, Partition

BOOKINGS: Final = Partition("benchmark", "bookings")
DAY: Final = datetime(2000, 1, 1, tzinfo=UTC)
MATED: Final = 250
NON_MATED: Final = 250

Templates = NDArray[np.float32]
Numbers = NDArray[np.intp]


@dataclass(frozen=True)
class Real:
    """Templates of LFW: ``first`` (people, 128) in a gallery; ``mated`` (250, 128) other photos of the first 250 of them;
    ``strangers`` (250, 128) photos of people who are in no gallery."""

    first: Templates
    mated: Templates
    strangers: Templates


def real(cache: Path) -> Real:
    """LFW's templates, made once (minutes) and kept in ``cache``. Skips (pytest's exception) where LFW is absent."""
    if not cache.is_file():
        kept: dict[str, list[Templates]] = {}
        for person, path in lfw():
            if len(kept.get(person, [])) < 2:
                try:
                    image = decode(path.read_bytes())
                    face = booking_face(image, engine().detect(image))
                except PhotoRefused:
                    continue
                kept.setdefault(person, []).append(engine().templates(image, [face])[0])
        two = [photos for photos in kept.values() if len(photos) == 2]
        one = [photos[0] for photos in kept.values() if len(photos) == 1]
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            cache,
            first=np.stack([*(photos[0] for photos in two), *one[NON_MATED:]]),
            mated=np.stack([photos[1] for photos in two[:MATED]]),
            strangers=np.stack(one[:NON_MATED]),
        )
    with np.load(cache) as held:
        return Real(held["first"], held["mated"], held["strangers"])


@dataclass(frozen=True)
class Gallery:
    """``templates`` (faces, 128) float32; face ``number`` was booked so many minutes after ``DAY``. ``mates`` are the faces of
    the mated probes, which come first in ``probes`` (500, 128)."""

    templates: Templates
    probes: Templates
    mates: Numbers

    def entries(self, begin: int, end: int) -> list[Entry]:
        """Faces as an index takes them."""
        return [entry(number, self.templates[number]) for number in range(begin, min(end, len(self.templates)))]

    def deleted(self) -> Numbers:
        """A fifth of the faces, no mate of a probe among them."""
        numbers = np.setdiff1d(np.arange(len(self.templates)), self.mates)
        return np.sort(np.random.default_rng(5).choice(numbers, len(self.templates) // 5, replace=False))

    def percent(self) -> Filter:
        """What leaves a hundredth."""
        begin, end = self.window()
        return Filter(DAY + timedelta(minutes=begin), DAY + timedelta(minutes=end))

    def window(self) -> tuple[int, int]:
        """The numbers that ``percent`` leaves: from, before."""
        size = len(self.templates)
        return size // 2, size // 2 + size // 100

    def truth(
        self, k: int, *, without: Numbers | None = None, percent: bool = False
    ) -> tuple[Numbers, NDArray[np.float64]]:
        """(probes, k): the nearest faces in float64 and their scores, each row descending."""
        allowed = np.ones(len(self.templates), bool)
        if without is not None:
            allowed[without] = False
        if percent:
            begin, end = self.window()
            allowed[:begin] = False
            allowed[end:] = False
        numbers = np.flatnonzero(allowed)
        nearest = np.empty((len(self.probes), k), np.intp)
        scores = np.empty((len(self.probes), k))
        for row, probe in enumerate(_blocks(self.templates[numbers], self.probes)):
            best = np.argpartition(-probe, k)[:k]
            best = best[np.argsort(-probe[best], kind="stable")]
            nearest[row], scores[row] = numbers[best], probe[best]
        return nearest, scores


def gallery(size: int, known: Real) -> Gallery:
    """One of ``size`` faces, the same on every call."""
    first = known.first[: size // 2]
    near = np.concatenate([known.first, known.mated, known.strangers])
    every = np.concatenate([first, distractors(size - len(first), near=near)])
    order = np.random.default_rng(20260301).permutation(size)
    place = np.empty(size, np.intp)
    place[order] = np.arange(size)
    return Gallery(
        np.ascontiguousarray(every[order]), np.concatenate([known.mated, known.strangers]), place[: len(known.mated)]
    )


def entry(number: int, template: Templates) -> Entry:
    """Face ``number``."""
    booked = DAY + timedelta(minutes=number)
    return Entry(UUID(int=number), BOOKINGS, f"booking-{number}", f"subject-{number}", booked, template)


def _blocks(templates: Templates, probes: Templates) -> Iterator[NDArray[np.float64]]:
    """The scores of each probe, in float64."""
    exact = templates.astype(np.float64)
    for begin in range(0, len(probes), 50):
        yield from (probes[begin : begin + 50].astype(np.float64) @ exact.T)
