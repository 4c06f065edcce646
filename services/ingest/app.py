"""Routes of the ingest function. No rule lives here."""

from __future__ import annotations

import json
import os
from functools import cache
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from candid import settings
from candid.access.principal import Permission
from candid.errors import CandidError, DependencyUnavailable, InvalidRequest
from candid.gallery.catalog import BookingState, Catalog
from candid.gallery.intake import DEFAULT_COLLECTION, Intake
from candid.http import cursors, problem
from candid.http.bodies import parse_json, raw, validate
from candid.http.edge import Edge, identifier
from candid.idempotency import Claim
from candid.tables import timestamp
from ingest import answers
from ingest.requests import BatchRequest, BookingRequest, ChangeRequest, ListQuery, PhotoRequest

edge = Edge("ingest")
Answer = Response[str]


@cache
def intake() -> Intake:
    """The use cases, wired once a process."""
    told = settings.read(settings.IngestSettings, os.environ)
    return Intake(Catalog(told.gallery_table), told.photos_bucket)


@edge.api.post("/v1/bookings")
def create_booking() -> Answer:
    """Register a booking and answer with an upload link a photo."""
    who = edge.principal(Permission.WRITE_BOOKINGS)
    event = edge.api.current_event
    request = parse_json(event, BookingRequest)
    claim = Claim.of(edge.header("Idempotency-Key"), who.agency, who.user, "createBooking", raw(event))
    record, expected = intake().register(who.agency, request.to_domain(), claim)
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
            results.append(_refused(problem.internal(edge.api.lambda_context.aws_request_id)))
    registered = sum(result["status"] == HTTPStatus.CREATED for result in results)
    edge.metrics.add_metric("BookingsRegistered", MetricUnit.Count, registered)
    return edge.json(HTTPStatus.OK, {"results": results})


def _one_of_batch(agency: str, item: Any, claim: Claim | None) -> dict[str, Any]:
    record, expected = intake().register(agency, validate(item, BookingRequest).to_domain(), claim)
    return {"status": int(HTTPStatus.CREATED), "booking": answers.created(record, expected)}


def _refused(document: dict[str, Any]) -> dict[str, Any]:
    return {"status": document["status"], "problem": document}


@edge.api.get("/v1/bookings")
def list_bookings() -> Answer:
    """The agency's bookings, newest first."""
    who = edge.principal(Permission.READ_BOOKINGS)
    query = validate(dict(edge.api.current_event.query_string_parameters or {}), ListQuery)
    catalog = intake().catalog
    if query.booking_number is not None:
        collection = query.collection or DEFAULT_COLLECTION
        found = catalog.find_number(who.agency, collection, query.booking_number)
        record = catalog.get(who.agency, found) if found else None
        held = [record] if record and record.state is not BookingState.ERASED else []
        return edge.json(HTTPStatus.OK, {"bookings": [answers.booking(one, photos=False) for one in held]})
    listing = (
        "listBookings",
        who.agency,
        query.state,
        query.collection,
        timestamp(query.booked_from) if query.booked_from else None,
        timestamp(query.booked_before) if query.booked_before else None,
    )
    page = catalog.list(
        who.agency,
        state=BookingState(query.state) if query.state else None,
        collection=query.collection,
        booked_from=query.booked_from,
        booked_before=query.booked_before,
        limit=query.limit,
        start=cursors.decode(query.cursor, *listing) if query.cursor else None,
    )
    body: dict[str, Any] = {"bookings": [answers.booking(record, photos=False) for record in page.bookings]}
    if page.next_key:
        body["next_cursor"] = cursors.encode(page.next_key, *listing)
    return edge.json(HTTPStatus.OK, body)


@edge.api.get("/v1/bookings/<booking_id>")
def get_booking(booking_id: str) -> Answer:
    """A booking and where each of its photos stands."""
    who = edge.principal(Permission.READ_BOOKINGS)
    record = intake().catalog.expect(who.agency, identifier(booking_id, "booking"))
    return edge.json(HTTPStatus.OK, answers.booking(record))


@edge.api.patch("/v1/bookings/<booking_id>")
def change_booking(booking_id: str) -> Answer:
    """Correct a booking."""
    who = edge.principal(Permission.WRITE_BOOKINGS)
    changes = parse_json(edge.api.current_event, ChangeRequest).changes()
    if not changes:
        raise InvalidRequest("Name at least one member to change: subject_id, booked_at, disposition or fields.")
    record = intake().change(who.agency, identifier(booking_id, "booking"), changes)
    return edge.json(HTTPStatus.OK, answers.booking(record))


@edge.api.delete("/v1/bookings/<booking_id>")
def delete_booking(booking_id: str) -> Answer:
    """Begin a deletion."""
    who = edge.principal(Permission.WRITE_BOOKINGS)
    record = intake().delete(who.agency, identifier(booking_id, "booking"))
    edge.metrics.add_metric("BookingsDeleted", MetricUnit.Count, 1)
    return edge.json(HTTPStatus.ACCEPTED, answers.booking(record))


@edge.api.post("/v1/bookings/<booking_id>/photos")
def add_photo(booking_id: str) -> Answer:
    """A link for one more photo, or a fresh one for a photo that has not arrived."""
    who = edge.principal(Permission.WRITE_BOOKINGS)
    wanted = parse_json(edge.api.current_event, PhotoRequest).to_domain()
    expected = intake().add_photo(who.agency, identifier(booking_id, "booking"), wanted)
    return edge.json(HTTPStatus.CREATED, answers.photo_upload(expected))


@edge.tracer.capture_lambda_handler(capture_response=False)
@edge.metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of the gateway."""
    return edge.handle(event, context)
