"""Routes of the ingest function. No rule lives here."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from candid import settings
from candid.access.principal import Permission
from candid.correlation import correlation_id
from candid.errors import CandidError, DependencyUnavailable, InvalidRequest, NotFound
from candid.gallery.booking import BookingState
from candid.gallery.catalog import NO_SUCH_BOOKING, Catalog
from candid.gallery.collections import DEFAULT_COLLECTION, Collections
from candid.gallery.intake import Intake
from candid.gallery.places import NO_SUCH_PLACE, Places
from candid.gallery.sharing import NO_SUCH_SHARE, Sharing
from candid.http import cursors, problem
from candid.http.answers import present
from candid.http.bodies import parse_json, raw, validate
from candid.http.edge import Edge, identifier
from candid.idempotency import Claim
from candid.tables import timestamp
from ingest import answers
from ingest.requests import (
    BatchRequest,
    BookingRequest,
    ChangeRequest,
    ListQuery,
    OfAgency,
    PhotoRequest,
    PlaceRequest,
    ShareQuery,
    ShareRequest,
)

edge = Edge("ingest")
Answer = Response[str]


@dataclass(frozen=True, slots=True)
class Work:
    """The use cases of the function."""

    intake: Intake
    sharing: Sharing
    places: Places


@cache
def work() -> Work:
    """The use cases, wired once a process."""
    told = settings.read(settings.IngestSettings, os.environ)
    return Work(
        Intake(Catalog(told.gallery_table), Collections(told.gallery_table), told.photos_bucket),
        Sharing(told.gallery_table),
        Places(told.gallery_table, frozenset({told.photos_bucket})),
    )


@edge.api.post("/v1/bookings")
def create_booking() -> Answer:
    """Register a booking and answer with an upload link a photo."""
    who = edge.principal(Permission.WRITE_BOOKINGS)
    event = edge.api.current_event
    request = parse_json(event, BookingRequest)
    claim = Claim.of(edge.header("Idempotency-Key"), who.agency, who.user, "createBooking", raw(event))
    record, expected = work().intake.register(who.agency, request.to_domain(), claim)
    edge.metrics.add_metric("BookingsRegistered", MetricUnit.Count, 1)
    return edge.json(HTTPStatus.CREATED, answers.created(record, expected))


@edge.api.post("/v1/bookings:batch")
def create_bookings() -> Answer:
    """Register up to a hundred bookings, each on its own."""
    who = edge.principal(Permission.WRITE_BOOKINGS)
    results: list[dict[str, Any]] = []
    down: DependencyUnavailable | None = None
    header = edge.header("Idempotency-Key")
    for place, item in enumerate(parse_json(edge.api.current_event, BatchRequest).bookings):
        try:
            if down:  # What does not answer is not asked a hundred times: the rest is to be sent again.
                raise down
            # Each booking has a claim of its own, so that a batch that was cut off goes on where it was.
            asked = json.dumps(item, sort_keys=True).encode()
            claim = Claim.of(header, who.agency, who.user, f"createBookings:{place}", asked)
            results.append(_one_of_batch(who.agency, item, claim))
        except CandidError as error:
            down = error if isinstance(error, DependencyUnavailable) else down
            results.append(_refused(problem.document(error)))
        except Exception as error:
            # The bookings before this one are registered, and their links must reach the caller.
            edge.report(error)
            results.append(_refused(problem.internal(correlation_id())))
    registered = sum(result["status"] == HTTPStatus.CREATED for result in results)
    edge.metrics.add_metric("BookingsRegistered", MetricUnit.Count, registered)
    return edge.json(HTTPStatus.OK, {"results": results})


def _one_of_batch(agency: str, item: Any, claim: Claim | None) -> dict[str, Any]:
    record, expected = work().intake.register(agency, validate(item, BookingRequest).to_domain(), claim)
    return {"status": int(HTTPStatus.CREATED), "booking": answers.created(record, expected)}


def _refused(document: dict[str, Any]) -> dict[str, Any]:
    return {"status": document["status"], "problem": document}


@edge.api.get("/v1/bookings")
def list_bookings() -> Answer:
    """The agency's bookings, newest first."""
    who = edge.principal(Permission.READ_BOOKINGS)
    query = validate(dict(edge.api.current_event.query_string_parameters or {}), ListQuery)
    catalog = work().intake.catalog
    agency, collection = query.agency or who.agency, query.collection
    if agency != who.agency:
        # Another agency shares its collections one by one.
        collection = collection or DEFAULT_COLLECTION
        work().sharing.require(who.agency, agency, collection)
    if query.booking_number is not None:
        found = catalog.find_number(agency, collection or DEFAULT_COLLECTION, query.booking_number)
        record = catalog.get(agency, found) if found else None
        held = [record] if record and record.state is not BookingState.ERASED else []
        return edge.json(HTTPStatus.OK, {"bookings": [answers.booking(one, photos=False) for one in held]})
    listing = (
        "listBookings",
        who.agency,
        agency,
        query.state,
        collection,
        timestamp(query.booked_from) if query.booked_from else None,
        timestamp(query.booked_before) if query.booked_before else None,
    )
    page = catalog.list(
        agency,
        state=BookingState(query.state) if query.state else None,
        collection=collection,
        booked_from=query.booked_from,
        booked_before=query.booked_before,
        limit=query.limit,
        start=cursors.decode(query.cursor, *listing),
    )
    following = cursors.encode(page.next_key, *listing)
    bookings = [answers.booking(record, photos=False) for record in page.bookings]
    return edge.json(HTTPStatus.OK, present(bookings=bookings, next_cursor=following))


@edge.api.get("/v1/bookings/<booking_id>")
def get_booking(booking_id: str) -> Answer:
    """A booking and where each of its photos stands."""
    who = edge.principal(Permission.READ_BOOKINGS)
    query = validate(dict(edge.api.current_event.query_string_parameters or {}), OfAgency)
    booking_id = identifier(booking_id, NO_SUCH_BOOKING)
    agency = query.agency or who.agency
    # Before the booking is looked for, so that who may not read it learns nothing of whether it is there.
    work().sharing.require(who.agency, agency, query.collection)
    record = work().intake.catalog.expect(agency, booking_id)
    if agency != who.agency and record.collection != query.collection:
        raise NotFound(NO_SUCH_BOOKING)
    return edge.json(HTTPStatus.OK, answers.booking(record))


@edge.api.patch("/v1/bookings/<booking_id>")
def change_booking(booking_id: str) -> Answer:
    """Correct a booking."""
    who = edge.principal(Permission.WRITE_BOOKINGS)
    changes = parse_json(edge.api.current_event, ChangeRequest).changes()
    if not changes:
        raise InvalidRequest(
            "Nothing is named that is to change. Name at least one of subject_id, booked_at, disposition and fields."
        )
    record = work().intake.change(who.agency, identifier(booking_id, NO_SUCH_BOOKING), changes)
    return edge.json(HTTPStatus.OK, answers.booking(record))


@edge.api.delete("/v1/bookings/<booking_id>")
def delete_booking(booking_id: str) -> Answer:
    """Begin a deletion."""
    who = edge.principal(Permission.WRITE_BOOKINGS)
    record = work().intake.delete(who.agency, identifier(booking_id, NO_SUCH_BOOKING))
    edge.metrics.add_metric("BookingsDeleted", MetricUnit.Count, 1)
    return edge.json(HTTPStatus.ACCEPTED, answers.booking(record))


@edge.api.post("/v1/bookings/<booking_id>/photos")
def add_photo(booking_id: str) -> Answer:
    """A link for one more photo, or a fresh one for a photo that has not arrived."""
    who = edge.principal(Permission.WRITE_BOOKINGS)
    wanted = parse_json(edge.api.current_event, PhotoRequest).to_domain()
    expected = work().intake.add_photo(who.agency, identifier(booking_id, NO_SUCH_BOOKING), wanted)
    return edge.json(HTTPStatus.CREATED, answers.photo_upload(expected))


@edge.api.post("/v1/shares")
def create_share() -> Answer:
    """Let another agency read a collection."""
    who = edge.principal(Permission.SHARE)
    event = edge.api.current_event
    new = parse_json(event, ShareRequest).to_domain()
    claim = Claim.of(edge.header("Idempotency-Key"), who.agency, who.user, "createShare", raw(event))
    return edge.json(HTTPStatus.CREATED, answers.share(work().sharing.grant(who, new, claim)))


@edge.api.get("/v1/shares")
def list_shares() -> Answer:
    """The shares that the agency gave or was given."""
    who = edge.principal(Permission.READ_SHARES)
    query = validate(dict(edge.api.current_event.query_string_parameters or {}), ShareQuery)
    listing = ("listShares", who.agency, query.direction)
    page = work().sharing.list(
        who.agency,
        query.direction,
        limit=query.limit,
        start=cursors.decode(query.cursor, *listing),
    )
    following = cursors.encode(page.next_key, *listing)
    shares = [answers.share(one) for one in page.shares]
    return edge.json(HTTPStatus.OK, present(shares=shares, next_cursor=following))


@edge.api.post("/v1/shares/<share_id>/revoke")
def revoke_share(share_id: str) -> Answer:
    """Take a share back."""
    who = edge.principal(Permission.SHARE)
    return edge.json(HTTPStatus.OK, answers.share(work().sharing.revoke(who, identifier(share_id, NO_SUCH_SHARE))))


@edge.api.post("/v1/places")
def create_place() -> Answer:
    """Let the agency's Rekognition calls read images in a place."""
    who = edge.principal(Permission.PLACES)
    asked = parse_json(edge.api.current_event, PlaceRequest)
    return edge.json(HTTPStatus.CREATED, answers.place(work().places.register(who, asked.bucket, asked.prefix)))


@edge.api.get("/v1/places")
def list_places() -> Answer:
    """The agency's places."""
    who = edge.principal(Permission.PLACES)
    return edge.json(HTTPStatus.OK, {"places": [answers.place(one) for one in work().places.list(who.agency)]})


@edge.api.delete("/v1/places/<place_id>")
def delete_place(place_id: str) -> Answer:
    """Read nothing there any more."""
    who = edge.principal(Permission.PLACES)
    return edge.json(HTTPStatus.OK, answers.place(work().places.withdraw(who, identifier(place_id, NO_SUCH_PLACE))))


@edge.tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@edge.metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of the gateway."""
    return edge.handle(event, context)
