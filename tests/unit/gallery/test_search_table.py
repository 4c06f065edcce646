"""What the table says against a lagging index: each way to be no candidate, two agencies, and how much is asked and read."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candid.errors import DependencyUnavailable
from candid.gallery import booking as records
from candid.gallery.booking import Booking, BookingState, Photo, PhotoState, View
from candid.gallery.catalog import Catalog
from candid.gallery.exact.index import ExactIndex
from candid.gallery.index import MAX_K, Entry, Filter, Nearest, Neighbour, Partition, Template
from candid.gallery.search import Found, GallerySearch
from candid.gallery.thresholds import Threshold

MODEL = "sface"
HERE = Partition("washington-county", "bookings")
THERE = Partition("lane-county", "bookings")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
PROBE: Template = np.eye(4, dtype=np.float32)[0]


class Table(Catalog):
    """Bookings in memory."""

    def __init__(self, bookings: Sequence[Booking]) -> None:
        super().__init__("in-memory")
        self.bookings = {(booking.agency, booking.booking_id): booking for booking in bookings}
        self.reads: list[str] = []

    def get(self, agency: str, booking_id: str) -> Booking | None:
        self.reads.append(booking_id)
        return self.bookings.get((agency, booking_id))


@dataclass
class Ranked:
    """An index that gives the neighbours it was told, best first, and remembers how many it was asked for."""

    neighbours: Sequence[Neighbour]
    asked: list[int] = field(default_factory=list)
    dimension: int = 4

    def search(self, partitions: Sequence[Partition], probe: Template, k: int, where: Filter | None = None) -> Nearest:
        assert probe.shape == (self.dimension,)
        assert where is not None
        assert 1 <= k <= MAX_K
        self.asked.append(k)
        mine = [one for one in self.neighbours if one.partition in partitions]
        ranked = sorted(mine, key=lambda one: -one.score)
        return Nearest(tuple(ranked[:k]), len(mine), exact=True)


SPOILT = ("deleting", "erased", "absent", "other face", "rejected", "other collection", "rebooked")


@dataclass(frozen=True)
class Face:
    """One gallery face: its score, who the table says it is, and what is wrong with its record, if anything."""

    score: float
    subject: str
    spoilt: str = ""
    partition: Partition = HERE
    identity: uuid.UUID = field(default_factory=uuid.uuid4)

    @property
    def neighbour(self) -> Neighbour:
        # The index lags behind: who it says this is must not count.
        return Neighbour(self.identity, self.partition, f"booking-{self.identity}", "somebody", self.score)

    @property
    def booking(self) -> Booking:
        states = {"deleting": BookingState.DELETING, "erased": BookingState.ERASED}
        photo = Photo(
            photo_id=f"photo-{self.identity}",
            view=View.FRONTAL,
            state=PhotoState.REJECTED if self.spoilt == "rejected" else PhotoState.ENROLLED,
            model=MODEL,
            faces=(records.Face(str(uuid.uuid4() if self.spoilt == "other face" else self.identity)),),
        )
        profile = Photo(
            f"profile-{self.identity}", View.LEFT_PROFILE, PhotoState.ENROLLED, model=MODEL, faces=(records.Face("x"),)
        )
        return Booking(
            agency=self.partition.agency,
            collection="archive" if self.spoilt == "other collection" else self.partition.collection,
            booking_id=f"booking-{self.identity}",
            booking_number="n",
            subject_id=self.subject,
            booked_at=NEW_YEAR - timedelta(days=self.spoilt == "rebooked"),
            state=states.get(self.spoilt, BookingState.ENROLLED),
            created_at=NEW_YEAR,
            photos=(profile, photo),
        )


def built(faces: Sequence[Face]) -> tuple[GallerySearch, Ranked, Table]:
    index = Ranked([face.neighbour for face in faces])
    table = Table([face.booking for face in faces if face.spoilt != "absent"])
    return GallerySearch(index, table), index, table  # type: ignore[arg-type]


def cut_at(cosine: float) -> Threshold:
    return Threshold(cosine, None, None, None, "a test's")


def ids(found: Found) -> list[str]:
    return [one.photo.photo_id for one in found.candidates]


def find(search: GallerySearch, *, cosine: float = 0.0, most: int = 20, per_subject: bool = True) -> Found:
    return search.find(
        [HERE, THERE],
        PROBE,
        threshold=lambda _: cut_at(cosine),
        most=most,
        per_subject=per_subject,
        where=Filter(booked_from=NEW_YEAR),
    )


FACES = st.lists(
    st.builds(
        Face,
        score=st.integers(-10, 10).map(lambda tenths: tenths / 10),
        subject=st.sampled_from("ABCDEF"),
        spoilt=st.one_of(st.just(""), st.sampled_from(SPOILT)),
        partition=st.sampled_from([HERE, THERE]),
    ),
    max_size=120,
)


@given(FACES, st.integers(-10, 10).map(lambda tenths: tenths / 10), st.integers(2, 50), st.booleans())
def test_the_candidates_are_the_best_faces_that_the_table_knows_each_subject_once(
    faces: list[Face], cosine: float, most: int, per_subject: bool
) -> None:
    search, _, _ = built(faces)
    expected: list[str] = []
    seen: set[tuple[str, str]] = set()
    for face in sorted(faces, key=lambda one: -one.score):
        who = (face.partition.agency, face.subject)
        if face.spoilt or face.score < cosine or (per_subject and who in seen):
            continue
        seen.add(who)
        expected.append(f"photo-{face.identity}")
    found = find(search, cosine=cosine, most=most, per_subject=per_subject)
    assert ids(found) == expected[:most]
    assert found.searched == len(faces)
    scores = [one.cosine for one in found.candidates]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("spoilt", SPOILT)
def test_what_the_table_does_not_confirm_is_no_candidate(spoilt: str) -> None:
    search, _, _ = built([Face(0.9, "A", spoilt), Face(0.5, "B")])
    assert [one.booking.subject_id for one in find(search).candidates] == ["B"]


def test_the_same_subject_id_in_two_agencies_is_two_subjects() -> None:
    search, _, _ = built([Face(0.9, "A"), Face(0.8, "A", partition=THERE)])
    assert [one.booking.agency for one in find(search).candidates] == ["washington-county", "lane-county"]


def test_the_index_is_asked_for_more_while_dropping_leaves_too_few() -> None:
    gone = [Face(0.9, str(i), "deleting") for i in range(900)]
    kept = [Face(0.5, str(i)) for i in range(3)]
    search, index, table = built(gone + kept)
    found = find(search, most=2)
    assert [one.cosine for one in found.candidates] == [0.5, 0.5]
    assert index.asked == [50, 200, 800, 3200]
    assert len(table.reads) == len(set(table.reads)) <= 902


def test_the_index_is_asked_once_when_the_rest_lies_below_the_threshold() -> None:
    faces = [Face(0.9, "A", "erased")] + [Face(0.1, str(i)) for i in range(500)]
    search, index, table = built(faces)
    assert ids(find(search, cosine=0.5)) == []
    assert index.asked == [80]
    assert len(table.reads) == 1


def test_asking_for_more_ends_at_the_most_that_an_index_gives() -> None:
    search, index, _ = built([Face(0.9, "A", "absent") for _ in range(MAX_K + 1)])
    assert ids(find(search)) == []
    assert index.asked[-1] == MAX_K


def test_no_more_bookings_are_read_than_the_list_needs() -> None:
    search, _, table = built([Face(0.9, str(i)) for i in range(300)])
    assert len(find(search, most=10).candidates) == 10
    assert len(table.reads) == 10


def test_a_table_that_does_not_answer_is_no_empty_list() -> None:
    search, _, table = built([Face(0.9, "A")])

    def silent(agency: str, booking_id: str) -> Booking | None:
        raise DependencyUnavailable("Candid can't reach the gallery table now.")

    table.get = silent  # type: ignore[method-assign]
    with pytest.raises(DependencyUnavailable):
        find(search)


def test_the_threshold_is_made_for_the_number_of_templates_that_the_filter_leaves(tmp_path: Path) -> None:
    index = ExactIndex(tmp_path / "index.sqlite", 4, MODEL)
    faces = [Face(1.0, str(i)) for i in range(5)]
    times = [NEW_YEAR + timedelta(days=day) for day in (-1, -1, 0, 1, 2)]
    index.upsert(
        [
            Entry(face.identity, HERE, face.neighbour.booking_id, face.subject, at, PROBE)
            for face, at in zip(faces, times, strict=True)
        ]
    )
    sizes: list[int] = []

    def threshold(searched: int) -> Threshold:
        sizes.append(searched)
        return cut_at(0.5)

    search = GallerySearch(index, Table([face.booking for face in faces]))
    found = search.find([HERE], PROBE, threshold=threshold, most=20, where=Filter(booked_from=NEW_YEAR))
    assert (sizes, found.searched, len(found.candidates)) == ([3], 3, 3)
    index.close()
