"""Routes of the casework function. No rule lives here."""

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
from candid.casework.cases import NO_SUCH_CASE, Case, Cases
from candid.casework.credentials import CredentialIssuer, Credentials
from candid.casework.links import PhotoLinks
from candid.casework.policy import policy
from candid.casework.probes import Probes
from candid.casework.stored import NO_SUCH_SEARCH, StoredSearches
from candid.gallery.sharing import Sharing
from candid.http import cursors
from candid.http.answers import present, upload
from candid.http.bodies import parse_json, raw, validate
from candid.http.edge import Edge, identifier
from candid.idempotency import Claim
from candid.tables import timestamp
from casework.requests import (
    CaseCredentialsRequest,
    CaseQuery,
    CaseRequest,
    ProbeRequest,
    RecordsCredentialsRequest,
    SearchQuery,
)

edge = Edge("casework")
Answer = Response[str]


@dataclass(frozen=True, slots=True)
class Work:
    """The use cases of the function."""

    told: settings.CaseworkSettings
    cases: Cases
    credentials: CredentialIssuer
    probes: Probes
    searches: StoredSearches
    links: PhotoLinks


@cache
def work() -> Work:
    """The use cases, wired once a process."""
    told = settings.read(settings.CaseworkSettings, os.environ)
    cases = Cases(told.casework_table, policy())
    return Work(
        told,
        cases,
        CredentialIssuer(cases, policy(), told.credentials_key_id),
        Probes(told.probes_bucket),
        StoredSearches(told.casework_table),
        PhotoLinks(told.photos_bucket, Sharing(told.gallery_table)),
    )


@edge.api.post("/v1/cases")
def open_case() -> Answer:
    """Open a case."""
    who = edge.principal(Permission.WRITE_CASES)
    event = edge.api.current_event
    new = parse_json(event, CaseRequest).to_domain()
    claim = Claim.of(edge.header("Idempotency-Key"), who.agency, who.user, "openCase", raw(event))
    return edge.json(HTTPStatus.CREATED, _shown(work().cases.open(who, new, claim)))


@edge.api.get("/v1/cases")
def list_cases() -> Answer:
    """The agency's cases, newest first."""
    who = edge.principal(Permission.READ_CASES)
    query = validate(dict(edge.api.current_event.query_string_parameters or {}), CaseQuery)
    listing = ("listCases", who.agency, query.state, query.officer)
    page = work().cases.list(
        who.agency,
        state=query.state,
        officer=query.officer,
        limit=query.limit,
        start=cursors.decode(query.cursor, *listing),
    )
    following = cursors.encode(page.next_key, *listing)
    return edge.json(HTTPStatus.OK, present(cases=[_shown(case) for case in page.cases], next_cursor=following))


@edge.api.get("/v1/cases/<case_id>")
def get_case(case_id: str) -> Answer:
    """A case."""
    who = edge.principal(Permission.READ_CASES)
    return edge.json(HTTPStatus.OK, _shown(work().cases.expect(who.agency, identifier(case_id, NO_SUCH_CASE))))


@edge.api.post("/v1/cases/<case_id>/close")
def close_case(case_id: str) -> Answer:
    """Close a case."""
    who = edge.principal(Permission.WRITE_CASES)
    return edge.json(HTTPStatus.OK, _shown(work().cases.close(who, identifier(case_id, NO_SUCH_CASE))))


@edge.api.post("/v1/cases/<case_id>/credentials")
def create_case_credentials(case_id: str) -> Answer:
    """Credentials for a Rekognition client that searches under a case."""
    who = edge.principal(Permission.SEARCH)
    asked = parse_json(edge.api.current_event, CaseCredentialsRequest)
    case_id = identifier(case_id, NO_SUCH_CASE)
    given = work().credentials.of_case(who, case_id, asked.probe_source, asked.duration_seconds)
    return edge.json(HTTPStatus.CREATED, _given(given))


@edge.api.post("/v1/cases/<case_id>/credentials/revoke")
def revoke_case_credentials(case_id: str) -> Answer:
    """Take a case's credentials back."""
    who = edge.principal(Permission.WRITE_CASES)
    case = work().credentials.revoke_of_case(who, identifier(case_id, NO_SUCH_CASE))
    return edge.json(HTTPStatus.OK, _shown(case))


@edge.api.post("/v1/credentials")
def create_records_credentials() -> Answer:
    """Credentials for a Rekognition client that indexes faces."""
    who = edge.principal(Permission.WRITE_BOOKINGS)
    asked = parse_json(edge.api.current_event, RecordsCredentialsRequest)
    return edge.json(HTTPStatus.CREATED, _given(work().credentials.of_records(who, asked.duration_seconds)))


@edge.api.post("/v1/credentials/revoke")
def revoke_records_credentials() -> Answer:
    """Take all of the agency's credentials for records back."""
    who = edge.principal(Permission.WRITE_BOOKINGS)
    return edge.json(HTTPStatus.OK, {"revoked_at": timestamp(work().credentials.revoke_of_records(who))})


@edge.api.post("/v1/probes")
def create_probe() -> Answer:
    """An upload link for a probe."""
    who = edge.principal(Permission.SEARCH)
    wanted = parse_json(edge.api.current_event, ProbeRequest)
    probe_id, link = work().probes.link(who.agency, wanted.content_type)
    return edge.json(HTTPStatus.CREATED, {"probe_id": probe_id, "upload": upload(link)})


@edge.api.get("/v1/searches")
def list_searches() -> Answer:
    """Stored searches, newest first."""
    who = edge.principal(Permission.READ_SEARCHES)
    query = validate(dict(edge.api.current_event.query_string_parameters or {}), SearchQuery)
    bounds = [timestamp(one) if one else None for one in (query.searched_from, query.searched_before)]
    listing = ("listSearches", who.agency, query.case_id, query.officer, *bounds)
    page = work().searches.list(
        who.agency,
        case_id=query.case_id,
        officer=query.officer,
        searched_from=query.searched_from,
        searched_before=query.searched_before,
        limit=query.limit,
        start=cursors.decode(query.cursor, *listing),
    )
    following = cursors.encode(page.next_key, *listing)
    return edge.json(HTTPStatus.OK, present(searches=list(page.searches), next_cursor=following))


@edge.api.get("/v1/searches/<search_id>")
def get_search(search_id: str) -> Answer:
    """A stored search with fresh photo links."""
    who = edge.principal(Permission.READ_SEARCHES)
    stored = work().searches.expect(who.agency, identifier(search_id, NO_SUCH_SEARCH))
    return edge.json(HTTPStatus.OK, work().links.put_into(stored, edge.photo_link_issued))


def _shown(case: Case) -> dict[str, Any]:
    return present(
        case_id=case.case_id,
        number=case.number,
        purpose=case.purpose,
        legal_basis=case.legal_basis,
        officer=case.officer,
        agency=case.agency,
        state=case.state.value,
        opened_at=timestamp(case.opened_at),
        closed_at=timestamp(case.closed_at) if case.closed_at else None,
        closed_by=case.closed_by,
        credentials_revoked_at=timestamp(case.credentials_revoked_at) if case.credentials_revoked_at else None,
        credentials_revoked_by=case.credentials_revoked_by,
        policy=dict(case.policy),
    )


def _given(given: Credentials) -> dict[str, Any]:
    """In the words of STS, which every AWS client knows."""
    return {
        "AccessKeyId": given.access_key_id,
        "SecretAccessKey": given.secret_access_key,
        "SessionToken": given.session_token,
        "Expiration": f"{given.expires_at:%Y-%m-%dT%H:%M:%SZ}",
        "region": work().told.aws_region,
        "endpoint": work().told.rekognition_endpoint,
    }


@edge.tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@edge.metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of the gateway."""
    return edge.handle(event, context)
