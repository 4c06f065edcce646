"""The demonstration: sample portraits become booking photos of two agencies, and a detective of one of them searches twice.

Everything goes through the real API and the real events. A second run finds the bookings and does not enrol them again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from candid.access.principal import Role
from candid.cli.answers import Booking, Search
from candid.cli.api import Api, text
from candid.cli.client import Client
from candid.cli.problems import Refused
from candid.cli.tokens import LocalTokens
from infra.local.aws import client
from infra.local.problems import LocalError
from infra.local.progress import step

LAKESIDE: Final = "lakeside-pd"
RIDGEPORT: Final = "ridgeport-so"
DETECTIVE: Final = "det.rivera"
CASE: Final = "DEMO-2026-0001"
FIRST_CASE: Final = "CASE-1"
"""The number that a newcomer is advised to give a case, where there is no demonstration."""
ENROLMENT_SECONDS: Final = 90
_FOUND_SECONDS: Final = 1
"""So long after it was written at most a face is found (``VectorIndex.upsert``)."""
_BOOKED_AT: Final = "2026-05-04T09:30:00Z"
_DROPPED: Final = uuid.UUID("b7c2a9de-3a51-4d0f-9a34-5f3c0f6b1d20")


@dataclass(frozen=True, slots=True)
class Sample:
    """A portrait as an agency's booking photo; ``dropped`` puts it straight into the bucket, else the API is asked for a link."""

    agency: str
    number: str
    subject: str
    portrait: str
    dropped: bool

    @property
    def key(self) -> str:
        """Where a dropped photo goes: the same place on every run."""
        return f"{self.agency}/bookings/{uuid.uuid5(_DROPPED, self.number)}/{uuid.uuid5(_DROPPED, self.portrait)}"


SAMPLES: Final = (
    Sample(LAKESIDE, "LPD-10001", "subject-A", "person_a_1.jpg", dropped=False),
    Sample(LAKESIDE, "LPD-10002", "subject-B", "impostor_1.jpg", dropped=True),
    Sample(RIDGEPORT, "RSO-77001", "subject-C", "impostor_2.jpg", dropped=False),
    Sample(RIDGEPORT, "RSO-77002", "subject-D", "person_b_1.jpg", dropped=True),
)


@dataclass(frozen=True, slots=True)
class Stack:
    """The running Candid, as far as the demonstration needs it."""

    api_url: str
    issuer: str
    keys: Path
    aws_url: str
    photos_bucket: str
    samples: Path

    def api(self, agency: str, user: str, *roles: Role) -> Api:
        """The API, asked by ``user`` of ``agency``."""
        return Api(Client(self.api_url, LocalTokens(self.issuer, self.keys, agency, user, frozenset(roles))))


def enrol(stack: Stack) -> None:
    """Put the samples into the bucket as far as they are not enrolled yet, and wait for the events to enrol them."""
    clerks = {agency: stack.api(agency, "records-clerk", Role.RECORDS) for agency in (LAKESIDE, RIDGEPORT)}
    missing = [one for one in SAMPLES if _state(clerks[one.agency], one) != "enrolled"]
    if not missing:
        with step("sample booking photos") as line:
            line.note = f"found the {len(SAMPLES)} of the earlier run"
        return
    with step(f"putting {len(missing)} sample booking photos into the bucket") as line:
        for one in missing:
            _drop(stack, one) if one.dropped else _upload(clerks[one.agency], one, stack.samples)
        dropped = sum(one.dropped for one in missing)
        line.note = f"of two agencies: {len(missing) - dropped} by upload link, {dropped} dropped directly"
    with step("waiting for the events to enrol them") as line:
        _wait(missing, lambda one: _state(clerks[one.agency], one), lambda note: setattr(line, "note", note))


def search(stack: Stack, portrait: str, case_id: str) -> Search:
    """A detective's search of Lakeside's gallery with ``portrait`` as the probe."""
    detective = stack.api(LAKESIDE, DETECTIVE, Role.INVESTIGATOR)
    probe = (stack.samples / portrait).read_bytes()
    return detective.search({"case_id": case_id, "probe": text(probe), "probe_source": "surveillance_still"})


def open_case(stack: Stack) -> str:
    """The demonstration's case, opened on the first run; its id."""
    detective = stack.api(LAKESIDE, DETECTIVE, Role.INVESTIGATOR)
    for page in detective.cases(state="open", officer=DETECTIVE):
        for case in page:
            if case.number == CASE:
                return case.case_id
    return detective.open_case(
        CASE, "criminal_investigation", "Reasonable suspicion: burglary, report 26-104417"
    ).case_id


def case_to_try(stack: Stack) -> str | None:
    """The number of an open case for a newcomer's search: the demonstration's, or the one that it was advised to open."""
    detective = stack.api(LAKESIDE, DETECTIVE, Role.INVESTIGATOR)
    there = {case.number for page in detective.cases(state="open") for case in page}
    return next((number for number in (CASE, FIRST_CASE) if number in there), None)


def _upload(clerk: Api, one: Sample, samples: Path) -> None:
    photo: dict[str, Any] = {"view": "frontal", "content_type": "image/jpeg"}
    booking: Mapping[str, Any] = {
        "booking_number": one.number,
        "subject_id": one.subject,
        "booked_at": _BOOKED_AT,
        "fields": {"facility": "main jail"},
        "photos": [photo],
    }
    known = _find(clerk, one)
    if known is None:
        item = clerk.register_bookings([booking])[0]
        if item.booking is None:
            raise LocalError(f"The sample booking was refused: {item.problem.get('detail', item.status)}")
        upload = item.booking.photos[0].upload
    else:
        # An earlier run registered it and was stopped before its photo arrived.
        waiting = next(
            (photo for photo in clerk.booking(known.booking_id).photos if photo.state == "awaiting_upload"), None
        )
        upload = clerk.add_photo(known.booking_id, photo).upload if waiting or known.state != "received" else None
    if upload is not None:
        clerk.client.upload(upload.url, upload.fields, (samples / one.portrait).read_bytes())


def _drop(stack: Stack, one: Sample) -> None:
    client(stack.aws_url, "s3").put_object(
        Bucket=stack.photos_bucket,
        Key=one.key,
        Body=(stack.samples / one.portrait).read_bytes(),
        ContentType="image/jpeg",
        Metadata={
            "booking-number": one.number,
            "subject-id": one.subject,
            "booked-at": _BOOKED_AT,
            "facility": "annex",
        },
    )


def _find(clerk: Api, one: Sample) -> Booking | None:
    return next((booking for page in clerk.bookings(booking_number=one.number) for booking in page), None)


def _state(clerk: Api, one: Sample) -> str:
    """Where the sample's booking stands; empty where there is none yet."""
    booking = _find(clerk, one)
    return booking.state if booking else ""


def _wait(missing: list[Sample], state: Callable[[Sample], str], say: Callable[[str], None]) -> None:
    end = monotonic() + ENROLMENT_SECONDS
    waiting = list(missing)
    while waiting:
        try:
            states = {one.number: state(one) for one in waiting}
        except Refused as refused:
            raise LocalError(f"The API did not say where the samples stand: {refused}") from None
        if rejected := [number for number, now in states.items() if now == "rejected"]:
            raise LocalError(f"The sample photo of booking {rejected[0]} was rejected. `candid status` says why.")
        waiting = [one for one in waiting if states[one.number] != "enrolled"]
        say(f"{len(missing) - len(waiting)} of {len(missing)}")
        if waiting and monotonic() > end:
            raise LocalError(
                f"{len(waiting)} of {len(missing)} sample photos were not enrolled within {ENROLMENT_SECONDS} seconds. "
                "`make logs` says why."
            )
        if waiting:
            sleep(0.2)
    sleep(_FOUND_SECONDS)
