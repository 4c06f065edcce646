"""Searching the gallery: the nearest templates, made true by the table, cut by a threshold, one a subject.

The index gives the order and the table the facts: what is tombstoned, replaced or (by the table) booked
outside the filter is no candidate, whatever an index that lags behind may say. Not here: who may search, or what is stored of
it (``casework``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from candid.gallery.booking import GONE_STATES, Booking, Face, Photo, PhotoState
from candid.gallery.catalog import Catalog
from candid.gallery.index import MAX_K, Filter, Neighbour, Partition, Template, VectorIndex
from candid.gallery.outcome import Stopwatch
from candid.gallery.thresholds import Threshold
from candid.together import at_once

Facts = tuple[Booking, Photo, Face]
"""What the table knows of a face that can be searched."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A gallery face above the threshold. ``cosine`` is its score with the probe; of a user that of the template fused of all its
    faces, of which ``face`` is the most like the probe."""

    booking: Booking
    photo: Photo
    face: Face
    cosine: float
    user_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """The candidates in descending score; the threshold that cut them; how many templates were searched, and whether exactly."""

    candidates: tuple[Candidate, ...]
    threshold: Threshold
    searched: int
    exact: bool


@dataclass(frozen=True, slots=True)
class GallerySearch:
    """The use case over an index and the gallery table. ``watch`` learns how long each of them took."""

    index: VectorIndex
    catalog: Catalog
    watch: Stopwatch = field(default_factory=Stopwatch)

    def find(
        self,
        partitions: Sequence[Partition],
        probe: Template,
        *,
        threshold: Callable[[int], Threshold],
        most: int,
        per_subject: bool = True,
        where: Filter | None = None,
        without: str | None = None,
    ) -> Found:
        """Up to ``most`` candidates for ``probe`` (dimension,) in all of ``partitions``. ``threshold`` gives the cut for the
        number of templates searched. With ``per_subject`` the best face of each subject (of an agency) alone is a candidate; of
        a photo that came by IndexFaces nobody knows the subjects, and each face is one. ``without`` is the id of a face that is
        none.

        Raises ``DependencyUnavailable``.
        """
        known: dict[tuple[Partition, str], Facts | None] = {}
        k = max(4 * most, 50)
        while True:
            with self.watch.part("index"):
                nearest = self.index.search(partitions, probe, k, where)
            cut = threshold(nearest.searched)
            above = [one for one in nearest.neighbours if one.score >= cut.cosine]
            with self.watch.part("records"):
                candidates = self._candidates(above, most, per_subject, where or Filter(), known, without)
            # All that lies above the threshold has been seen, or the index gives no more.
            if len(candidates) == most or len(above) < k or k == MAX_K:
                return Found(tuple(candidates), cut, nearest.searched, nearest.exact)
            k = min(4 * k, MAX_K)

    def _candidates(
        self,
        above: Sequence[Neighbour],
        most: int,
        per_subject: bool,
        where: Filter,
        known: dict[tuple[Partition, str], Facts | None],
        without: str | None,
    ) -> list[Candidate]:
        candidates: list[Candidate] = []
        subjects: set[tuple[str, str]] = set()
        for first in range(0, len(above), most):
            some = above[first : first + most]
            self._read(some, known)
            for neighbour in some:
                facts = known[_name(neighbour)]
                if facts is None or str(neighbour.id) == without:
                    continue
                booking, photo, face = facts
                if not _lies_in(booking, where):
                    continue
                subject = (booking.agency, booking.subject_id or face.face_id)
                if per_subject and subject in subjects:
                    continue
                subjects.add(subject)
                candidates.append(Candidate(booking, photo, face, neighbour.score))
                if len(candidates) == most:
                    return candidates
        return candidates

    def _read(self, some: Sequence[Neighbour], known: dict[tuple[Partition, str], Facts | None]) -> None:
        unread = [neighbour for neighbour in some if _name(neighbour) not in known]
        for neighbour, facts in zip(unread, at_once(self._facts, unread), strict=True):
            known[_name(neighbour)] = facts

    def _facts(self, neighbour: Neighbour) -> Facts | None:
        booking = self.catalog.get(neighbour.partition.agency, neighbour.booking_id)
        return standing(booking, neighbour.partition.collection, str(neighbour.id))


def standing(booking: Booking | None, collection: str, face_id: str) -> Facts | None:
    """What the table knows of a face that can be searched; None for one that is gone, deleted, or of another collection."""
    if booking is None or booking.state in GONE_STATES or booking.collection != collection:
        return None
    for photo in booking.photos:
        if photo.state is PhotoState.ENROLLED and face_id not in photo.deleted:
            for face in photo.faces:
                if face.face_id == face_id:
                    return booking, photo, face
    return None


def _lies_in(booking: Booking, where: Filter) -> bool:
    if where == Filter():
        return True
    if booking.booked_at is None:
        return False
    after = where.booked_from is None or where.booked_from <= booking.booked_at
    return after and (where.booked_before is None or booking.booked_at < where.booked_before)


def _name(neighbour: Neighbour) -> tuple[Partition, str]:
    return neighbour.partition, str(neighbour.id)
