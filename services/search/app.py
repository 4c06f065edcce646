"""Routes of the search function. No rule lives here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from candid import settings
from candid.access.principal import Permission
from candid.casework.cases import Cases
from candid.casework.examination import Examination
from candid.casework.links import PhotoLinks
from candid.casework.policy import policy
from candid.casework.probes import Probes
from candid.casework.searches import Searches, SearchRequest
from candid.casework.stored import StoredSearches
from candid.gallery.catalog import Catalog
from candid.gallery.indexes import open_indexes
from candid.gallery.outcome import Stopwatch
from candid.gallery.sharing import Sharing
from candid.http import multipart
from candid.http.bodies import load_json, media_type, parse_json, raw, validate
from candid.http.edge import Edge
from candid.http.reporting import searched
from candid.idempotency import Claim
from search.requests import ComparisonRequest, DetectionRequest, SearchBody, SearchMembers, image_bytes

edge = Edge("search")
Answer = Response[str]


@dataclass(frozen=True, slots=True)
class Work:
    """The use cases of the function."""

    searches: Searches
    examination: Examination
    links: PhotoLinks


@cache
def work() -> Work:
    """The use cases, wired once a process; the weights are read on first use."""
    told = settings.read(settings.SearchSettings, os.environ)
    indexes = open_indexes(told)
    searches = Searches(
        StoredSearches(told.casework_table),
        Cases(told.casework_table, policy()),
        Probes(told.probes_bucket),
        policy(),
        indexes,
        Catalog(told.gallery_table),
        Sharing(told.gallery_table),
    )
    return Work(searches, Examination(indexes.engine), PhotoLinks(told.photos_bucket, searches.sharing))


@edge.api.post("/v1/searches")
def search() -> Answer:
    """Search the gallery with a probe, under a case."""
    who = edge.principal(Permission.SEARCH)
    asked, said = _asked()
    claim = Claim.of(edge.header("Idempotency-Key"), who.agency, who.user, "search", said)
    watch = Stopwatch()
    answered = work().searches.make(who, asked, claim, watch)
    found = sum(len(result["candidates"]) for result in answered["results"])
    searched(edge.metrics, found, watch)
    return edge.json(HTTPStatus.CREATED, work().links.put_into(answered, edge.photo_link_issued))


def _asked() -> tuple[SearchRequest, bytes]:
    """What is asked, and the bytes that a retry of it repeats: of a form its parts, since each sending draws a new boundary."""
    event = edge.api.current_event
    if media_type(event) == "multipart/form-data":
        parts = multipart.parse(edge.header("Content-Type") or "", raw(event), ("request", "probe"))
        asked = validate(load_json(parts["request"]), SearchMembers).to_domain(parts["probe"])
        return asked, parts["request"] + b"\0" + parts["probe"]
    return parse_json(event, SearchBody, or_form=True).with_probe(), raw(event)


@edge.api.post("/v1/comparisons")
def compare() -> Answer:
    """Compare two faces, one to one."""
    edge.principal(Permission.EXAMINE)
    asked = parse_json(edge.api.current_event, ComparisonRequest)
    compared = work().examination.compare(image_bytes(asked.image_a), image_bytes(asked.image_b), asked.face)
    return edge.json(HTTPStatus.OK, compared)


@edge.api.post("/v1/detections")
def detect() -> Answer:
    """Find the faces of an image."""
    edge.principal(Permission.EXAMINE)
    asked = parse_json(edge.api.current_event, DetectionRequest)
    return edge.json(HTTPStatus.OK, work().examination.detect(image_bytes(asked.image)))


@edge.tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@edge.metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of the gateway."""
    return edge.handle(event, context)
