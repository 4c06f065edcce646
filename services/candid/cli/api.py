"""The API's operations by name, as ``infra/api/openapi.yaml`` has them: arguments in, typed answers out.

Not here: how a request travels (``client``), or what a command makes of an answer.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from candid.cli import answers
from candid.cli.client import Client
from candid.cli.problems import Refused

PAGE: Final = 100
"""The most records that a listing gives at once."""

A = TypeVar("A", bound=answers.Answer)
P = TypeVar("P", bound=answers.Page)
T = TypeVar("T")


class Api:
    """One API as one caller. Every method raises ``Refused`` or ``Unreachable``."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def register_bookings(self, bookings: Sequence[Mapping[str, Any]]) -> tuple[answers.BatchItem, ...]:
        """Register up to a hundred bookings; one answer each, in their order."""
        told = self._ask(answers.Batch, "POST", "/v1/bookings:batch", {"bookings": list(bookings)})
        if len(told.results) != len(bookings):
            raise Refused(
                "The server did not answer for each booking of the batch. Give the same command again.", status=200
            )
        return told.results

    def add_photo(self, booking_id: str, photo: Mapping[str, Any]) -> answers.PhotoUpload:
        """Where a photo of a booking stands; with a fresh link if it has not arrived."""
        return self._ask(answers.PhotoUpload, "POST", f"/v1/bookings/{_part(booking_id)}/photos", photo)

    def booking(self, booking_id: str) -> answers.Booking:
        """A booking with its photos."""
        return self._ask(answers.Booking, "GET", f"/v1/bookings/{_part(booking_id)}")

    def bookings(
        self,
        *,
        state: str | None = None,
        collection: str | None = None,
        booking_number: str | None = None,
        booked_from: datetime | None = None,
        booked_before: datetime | None = None,
    ) -> Iterator[tuple[answers.Booking, ...]]:
        """The agency's bookings a page at a time, newest first; a page is asked for when it is wanted."""
        query: dict[str, str | int | None] = {
            "state": state,
            "collection": collection,
            "booking_number": booking_number,
            "booked_from": moment(booked_from) if booked_from else None,
            "booked_before": moment(booked_before) if booked_before else None,
        }
        for page in self._pages(answers.BookingPage, "/v1/bookings", query):
            yield page.bookings

    def open_case(self, number: str, purpose: str, legal_basis: str) -> answers.Case:
        """Open a case."""
        body = {"number": number, "purpose": purpose, "legal_basis": legal_basis}
        return self._ask(answers.Case, "POST", "/v1/cases", body, once=True)

    def case(self, case_id: str) -> answers.Case:
        """A case."""
        return self._ask(answers.Case, "GET", f"/v1/cases/{_part(case_id)}")

    def cases(self, *, state: str | None = None, officer: str | None = None) -> Iterator[tuple[answers.Case, ...]]:
        """The agency's cases a page at a time, newest first."""
        for page in self._pages(answers.CasePage, "/v1/cases", {"state": state, "officer": officer}):
            yield page.cases

    def close_case(self, case_id: str) -> answers.Case:
        """Close a case; closing again is the same."""
        return self._ask(answers.Case, "POST", f"/v1/cases/{_part(case_id)}/close")

    def case_credentials(self, case_id: str, probe_source: str, seconds: int) -> answers.Credentials:
        """Credentials for a Rekognition client that searches under a case."""
        body = {"probe_source": probe_source, "duration_seconds": seconds}
        return self._ask(answers.Credentials, "POST", f"/v1/cases/{_part(case_id)}/credentials", body)

    def revoke_case_credentials(self, case_id: str) -> answers.Case:
        """Take a case's credentials back."""
        return self._ask(answers.Case, "POST", f"/v1/cases/{_part(case_id)}/credentials/revoke")

    def records_credentials(self, seconds: int) -> answers.Credentials:
        """Credentials for a Rekognition client that indexes faces."""
        return self._ask(answers.Credentials, "POST", "/v1/credentials", {"duration_seconds": seconds})

    def revoke_credentials(self) -> answers.Revoked:
        """Take all of the agency's credentials for records back."""
        return self._ask(answers.Revoked, "POST", "/v1/credentials/revoke")

    def grant_share(self, collection: str, reader: str, legal_basis: str) -> answers.Share:
        """Let another agency read a collection."""
        body = {"collection": collection, "reader": reader, "legal_basis": legal_basis}
        return self._ask(answers.Share, "POST", "/v1/shares", body, once=True)

    def shares(self, direction: str) -> Iterator[tuple[answers.Share, ...]]:
        """The shares that the agency gave (``given``) or was given (``received``) a page at a time, newest first."""
        for page in self._pages(answers.SharePage, "/v1/shares", {"direction": direction}):
            yield page.shares

    def revoke_share(self, share_id: str) -> answers.Share:
        """Take a share back; revoking again is the same."""
        return self._ask(answers.Share, "POST", f"/v1/shares/{_part(share_id)}/revoke")

    def create_place(self, bucket: str, prefix: str) -> answers.Place:
        """Let the agency's Rekognition calls read images there."""
        return self._ask(answers.Place, "POST", "/v1/places", {"bucket": bucket, "prefix": prefix}, once=True)

    def places(self) -> tuple[answers.Place, ...]:
        """The agency's places."""
        return self._ask(answers.Places, "GET", "/v1/places").places

    def delete_place(self, place_id: str) -> answers.Place:
        """Read nothing there any more."""
        return self._ask(answers.Place, "DELETE", f"/v1/places/{_part(place_id)}")

    def probe_link(self, content_type: str) -> answers.ProbeUpload:
        """A link for a probe that is too large for a request."""
        return self._ask(answers.ProbeUpload, "POST", "/v1/probes", {"content_type": content_type})

    def search(self, request: Mapping[str, Any]) -> answers.Search:
        """Search the gallery."""
        return self._ask(answers.Search, "POST", "/v1/searches", request, once=True)

    def compare(self, a: bytes, b: bytes, face: str | int | None) -> answers.Comparison:
        """Compare two images' faces."""
        body: dict[str, Any] = {"image_a": text(a), "image_b": text(b)}
        return self._ask(answers.Comparison, "POST", "/v1/comparisons", body | ({} if face is None else {"face": face}))

    def detect(self, image: bytes) -> answers.Detections:
        """Find the faces of an image."""
        return self._ask(answers.Detections, "POST", "/v1/detections", {"image": text(image)})

    def _pages(self, kind: type[P], path: str, query: Mapping[str, str | int | None]) -> Iterator[P]:
        asked: dict[str, str | int | None] = {**query, "limit": PAGE}
        while True:
            page = self._ask(kind, "GET", path, query=asked)
            yield page
            if not page.next_cursor:
                return
            asked["cursor"] = page.next_cursor

    def _ask(
        self,
        kind: type[A],
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str | int | None] | None = None,
        once: bool = False,
    ) -> A:
        key = str(uuid.uuid4()) if once else None
        told = self.client.call(method, path, body=body, query=query, idempotency_key=key)
        try:
            return kind.model_validate(told)
        except ValidationError:
            raise Refused(
                f"The answer of {method} {path} is not one that this version of candid reads. "
                "Use the version that the server has.",
                status=200,
            ) from None


def first(pages: Iterable[Sequence[T]], limit: int) -> tuple[list[T], bool]:
    """The first ``limit`` of what the pages hold, and whether there are more; no page is asked for that is not needed."""
    found: list[T] = []
    for page in pages:
        found += page
        if len(found) > limit:
            break
    return found[:limit], len(found) > limit


def moment(when: datetime) -> str:
    """A moment as the API takes it."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def text(data: bytes) -> str:
    """Bytes as JSON takes them."""
    return base64.b64encode(data).decode("ascii")


def _part(identifier: str) -> str:
    return quote(identifier, safe="")
