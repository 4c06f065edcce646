"""Grouping, dropping and cutting of neighbours, against a reference of a few lines, over the real exact index."""

from __future__ import annotations

import tempfile
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from candid.gallery.booking import Booking, BookingState, Face, Photo, PhotoState, View
from candid.gallery.exact.index import ExactIndex
from candid.gallery.index import Entry, Partition
from candid.gallery.search import GallerySearch
from candid.gallery.thresholds import Threshold

PARTITION = Partition("washington-county", "bookings")
BOOKED = datetime(2026, 3, 1, tzinfo=UTC)
MODEL = "model-1"
DIMENSION = 2


@dataclass
class Records:
    """The table's part: bookings by id, and how often they were read."""

    bookings: dict[str, Booking]
    reads: int = 0

    def get(self, agency: str, booking_id: str) -> Booking | None:
        self.reads += 1
        found = self.bookings.get(booking_id)
        return found if found and found.agency == agency else None


def unit(cosine: float) -> np.ndarray:
    """A vector whose cosine with (1, 0) is this."""
    return np.array([cosine, np.sqrt(1 - cosine**2)], np.float32)


def booking(subject: str, face_id: uuid.UUID, fate: str) -> Booking:
    photo = Photo(str(uuid.uuid4()), View.FRONTAL, PhotoState.ENROLLED, model=MODEL, faces=(Face(str(face_id)),))
    record = Booking(
        agency=PARTITION.agency,
        collection=PARTITION.collection,
        booking_id=str(uuid.uuid4()),
        booking_number="N",
        subject_id=subject,
        booked_at=BOOKED,
        state=BookingState.ENROLLED,
        created_at=BOOKED,
        photos=(photo,),
    )
    changed = {
        "stands": record,
        "deleting": replace(record, state=BookingState.DELETING),
        "replaced": replace(record, photos=(replace(photo, faces=(Face(str(uuid.uuid4())),)),)),
        "rejected": replace(record, photos=(replace(photo, state=PhotoState.REJECTED),)),
        "elsewhere": replace(record, collection="archive"),
    }
    return changed[fate]


FATES = ("stands", "stands", "stands", "deleting", "replaced", "rejected", "elsewhere", "gone")
faces = st.tuples(st.integers(-99, 99), st.sampled_from("ABCDE"), st.sampled_from(FATES))


def cut_at(cosine: float) -> Threshold:
    return Threshold(cosine, None, None, None, "test")


@settings(max_examples=60, deadline=None)
@given(st.lists(faces, max_size=130), st.integers(2, 20), st.booleans(), st.integers(-100, 100))
def test_candidates_are_those_of_the_reference(
    gallery: list[tuple[int, str, str]], most: int, per_subject: bool, cut: int
) -> None:
    # Different cosines for all, so that the order is one.
    scored = [((hundredths + i / 200) / 101, subject, fate) for i, (hundredths, subject, fate) in enumerate(gallery)]
    records = Records({})
    with tempfile.TemporaryDirectory() as folder:
        index = ExactIndex(Path(folder) / "index.sqlite", DIMENSION, MODEL)
        for cosine, subject, fate in scored:
            face_id = uuid.uuid4()
            record = booking(subject, face_id, "stands" if fate == "gone" else fate)
            index.upsert([Entry(face_id, PARTITION, record.booking_id, "stale", BOOKED, unit(cosine))])
            if fate != "gone":
                records.bookings[record.booking_id] = record
        search = GallerySearch(index, records)  # type: ignore[arg-type]
        found = search.find(
            [PARTITION], unit(1.0), threshold=lambda _: cut_at(cut / 100), most=most, per_subject=per_subject
        )
        index.close()
    expected: list[tuple[float, str]] = []
    for cosine, subject, fate in sorted(scored, reverse=True):
        if fate == "stands" and cosine >= cut / 100 and not (per_subject and subject in {s for _, s in expected}):
            expected.append((cosine, subject))
    expected = expected[:most]
    assert [c.booking.subject_id for c in found.candidates] == [subject for _, subject in expected]
    assert np.allclose([c.cosine for c in found.candidates], [cosine for cosine, _ in expected], atol=1e-5)
    assert found.searched == len(gallery)
    assert found.exact


def test_one_subject_with_very_many_photos_does_not_hide_the_next(tmp_path: Path) -> None:
    index, records = ExactIndex(tmp_path / "index.sqlite", DIMENSION, MODEL), Records({})
    subjects = [("A", 0.9)] * 600 + [("B", 0.8)]
    entries = []
    for subject, cosine in subjects:
        face_id = uuid.uuid4()
        record = booking(subject, face_id, "stands")
        records.bookings[record.booking_id] = record
        entries.append(Entry(face_id, PARTITION, record.booking_id, subject, BOOKED, unit(cosine)))
    index.upsert(entries)
    search = GallerySearch(index, records)  # type: ignore[arg-type]
    found = search.find([PARTITION], unit(1.0), threshold=lambda _: cut_at(0.5), most=2)
    assert [candidate.booking.subject_id for candidate in found.candidates] == ["A", "B"]
    assert records.reads == 601


def test_only_what_lies_above_the_threshold_is_looked_up(tmp_path: Path) -> None:
    index, records = ExactIndex(tmp_path / "index.sqlite", DIMENSION, MODEL), Records({})
    for i in range(50):
        face_id = uuid.uuid4()
        record = booking(str(i), face_id, "stands")
        records.bookings[record.booking_id] = record
        index.upsert([Entry(face_id, PARTITION, record.booking_id, str(i), BOOKED, unit(i / 100))])
    search = GallerySearch(index, records)  # type: ignore[arg-type]
    found = search.find([PARTITION], unit(1.0), threshold=lambda _: cut_at(0.475), most=20)
    assert [candidate.booking.subject_id for candidate in found.candidates] == ["49", "48"]
    assert records.reads == 2
