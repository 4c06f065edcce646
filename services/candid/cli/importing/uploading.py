"""One batch of bookings: digests, one registration, the uploads. What each worker of an import does.

What is there already is found out on the way: a number that is taken brings the booking's id, and asking for the photo by its
digest brings its state or a fresh link. So an import that was stopped goes on where it was, and nothing is kept on this side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Final

from candid.cli import images
from candid.cli.answers import BatchItem, PhotoUpload
from candid.cli.api import Api
from candid.cli.importing.grouping import Group
from candid.cli.importing.rows import PhotoRow
from candid.cli.importing.tally import Subject, Tally
from candid.cli.importing.waiting import Pending
from candid.cli.problems import Busy, NotAllowed, NotAuthenticated, Refused, UploadRefused, from_document

_ARRIVED: Final = {"received", "enrolled", "rejected"}
_ITEM_TRIES: Final = 5
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Ready:
    """A photo whose file was looked at."""

    row: PhotoRow
    content_type: str
    sha256: str
    size: int

    def request(self) -> dict[str, Any]:
        asked = {"content_type": self.content_type, "sha256": self.sha256}
        return asked | ({"view": self.row.view} if self.row.view else {})


@dataclass(frozen=True, slots=True)
class _Booking:
    """A group whose photos are ready; each digest once. ``twins`` are rows that bring the same photo again."""

    group: Group
    photos: tuple[_Ready, ...]
    twins: tuple[_Ready, ...]

    def request(self) -> dict[str, Any]:
        return self.group.facts() | {"photos": [photo.request() for photo in self.photos]}


class Uploader:
    """Takes batches to the API. ``arrived`` is told of each photo whose enrolment is still to be awaited."""

    def __init__(
        self, api: Api, tally: Tally, stop: Event, arrived: Callable[[Pending], None], wait: Callable[[float], None]
    ) -> None:
        self._api = api
        self._tally = tally
        self._stop = stop
        self._arrived = arrived
        self._wait = wait

    def take(self, batch: Sequence[Group]) -> None:
        """Bring the photos of ``batch`` in. What fails for one photo is counted; raises only what would fail for all
        (``NotAuthenticated``, ``NotAllowed``, ``Busy``, ``Unreachable``, ``Stopped``)."""
        bookings = [booking for booking in map(self._ready, batch) if booking.photos]
        if not bookings or self._stop.is_set():
            return
        for booking, item in zip(bookings, self._register(bookings), strict=True):
            if self._stop.is_set():
                return
            try:
                self._bring(booking, item)
            except (NotAuthenticated, NotAllowed, Busy):
                raise
            except Refused as refusal:
                self._fail(booking, str(refusal))

    def _ready(self, group: Group) -> _Booking:
        photos: dict[str, _Ready] = {}
        twins: list[_Ready] = []
        for row in group.rows:
            try:
                ready = _look(row)
            except images.NoImage as error:
                self._tally.failed(_subject(row), str(error))
                continue
            except OSError as error:
                self._tally.failed(_subject(row), f"{row.path} can't be read: {images.why(error)}.")
                continue
            if ready.sha256 in photos:
                twins.append(ready)
            photos.setdefault(ready.sha256, ready)
        return _Booking(group, tuple(photos.values()), tuple(twins))

    def _register(self, bookings: Sequence[_Booking]) -> list[BatchItem]:
        """One answer a booking; those that the server had no time for are asked again."""
        told: dict[int, BatchItem] = {}
        left = list(range(len(bookings)))
        for attempt in range(_ITEM_TRIES):
            answers = self._api.register_bookings([bookings[at].request() for at in left])
            told |= dict(zip(left, answers, strict=True))
            left = [at for at in left if told[at].status == 429 or told[at].status >= 500]
            if not left:
                break
            if attempt < _ITEM_TRIES - 1:
                self._wait(min(2.0**attempt, 10.0))
        return [told[at] for at in range(len(bookings))]

    def _bring(self, booking: _Booking, item: BatchItem) -> None:
        if item.booking is not None:
            booking_id = item.booking.booking_id
            # The photos come in the order asked for; a lone one is the only reason for its booking's state.
            alone = len(booking.photos) == 1
            for photo, link in zip(booking.photos, item.booking.photos, strict=True):
                self._photo(photo, booking_id, link, alone=alone)
        else:
            refusal = from_document(item.problem, item.status)
            taken = refusal.members.get("booking_id")
            if item.status != 409 or not isinstance(taken, str):
                self._fail(booking, str(refusal))
                return
            booking_id = taken
            self._add(booking, booking_id)
        for twin in booking.twins:
            self._photo(twin, booking_id, self._api.add_photo(booking_id, twin.request()), alone=False)

    def _add(self, booking: _Booking, booking_id: str) -> None:
        """The booking is there: ask for each photo."""
        subject: str | None = None
        for photo in booking.photos:
            if self._stop.is_set():
                return
            try:
                link = self._api.add_photo(booking_id, photo.request())
                if link.state not in _ARRIVED:
                    # A new photo on another person's booking would make a wrong candidate one day.
                    subject = subject or self._api.booking(booking_id).subject_id
                    if subject != photo.row.subject_id:
                        self._tally.failed(
                            _subject(photo.row, booking_id),
                            "a booking of this number is there with another subject; nothing was uploaded.",
                        )
                        continue
                self._photo(photo, booking_id, link, alone=False)
            except (NotAuthenticated, NotAllowed, Busy):
                raise
            except Refused as refusal:
                self._tally.failed(_subject(photo.row, booking_id), str(refusal))

    def _photo(self, photo: _Ready, booking_id: str, link: PhotoUpload, *, alone: bool) -> None:
        about = _subject(photo.row, booking_id)
        if self._stop.is_set():
            return
        if link.upload is None:
            self._tally.already_there()
        elif self._upload(photo, booking_id, link, about):
            self._tally.uploaded()
        else:
            return
        if link.state == "enrolled":
            self._tally.enrolled(about)
        else:
            self._arrived(Pending(about, link.photo_id, photo.row.collection, photo.row.booked_at, alone=alone))

    def _upload(self, photo: _Ready, booking_id: str, link: PhotoUpload, about: Subject) -> bool:
        for attempt in (1, 2):
            upload = link.upload
            if upload is None:
                return True
            if photo.size > upload.max_bytes:
                has, most = images.megabytes(photo.size), images.megabytes(upload.max_bytes)
                self._tally.failed(about, f"the photo has {has}; at most {most} are taken.")
                return False
            try:
                content = photo.row.path.read_bytes()
            except OSError as error:
                self._tally.failed(about, f"{photo.row.path} can't be read: {images.why(error)}.")
                return False
            try:
                self._api.client.upload(upload.url, upload.fields, content)
                return True
            except UploadRefused as refusal:
                if not refusal.wants_fresh_link or attempt == 2:
                    self._tally.failed(about, str(refusal))
                    return False
            link = self._api.add_photo(booking_id, photo.request())
        return False

    def _fail(self, booking: _Booking, sentence: str) -> None:
        for photo in (*booking.photos, *booking.twins):
            self._tally.failed(_subject(photo.row), sentence)


def _look(row: PhotoRow) -> _Ready:
    """A file's kind, size and digest, read a piece at a time. Raises ``OSError``, ``NoImage``."""
    digest, size = hashlib.sha256(), 0
    with row.path.open("rb") as file:
        head = file.read(_PIECE)
        if not head:
            raise images.NoImage(f"{row.path} is empty. Name another file.")
        kind = images.content_type(head[:16], row.path)
        piece = head
        while piece:
            digest.update(piece)
            size += len(piece)
            piece = file.read(_PIECE)
    return _Ready(row, kind, digest.hexdigest(), size)


def _subject(row: PhotoRow, booking_id: str = "") -> Subject:
    return Subject(row.where, str(row.path), row.booking_number, booking_id)
