"""One id follows a request: into the record, embed's log, what is published, and the requests to the index."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import Urllib3HttpConnection

from candid import aws
from candid.correlation import correlation_id, follow, following
from candid.errors import DependencyUnavailable
from candid.gallery.index import Partition
from candid.gallery.photos import PhotoKey
from ingest import app as ingest_app
from tests import opensearch
from tests.contract.events import change_batch, object_created, photo_batch
from tests.gateway import Answer, Caller
from tests.integration.aws import GALLERY_TABLE
from tests.integration.embedding import AGENCY, METADATA, Station, station
from tests.portraits import portrait

BOOKING = {"booking_number": "2026-1", "subject_id": "S-1", "booked_at": "2026-03-01T10:00:00Z"}
CLERK = Caller(ingest_app.handler, AGENCY, "clerk.1", "records")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path) as one:
        ingest_app.work.cache_clear()
        yield one
        ingest_app.work.cache_clear()


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of ingest's requests, as its log has them."""
    said: list[str] = []

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            if text.startswith("{") and json.loads(text).get("message") == "request":
                said.append(json.loads(text)["request_id"])
            return len(text)

    monkeypatch.setattr(ingest_app.edge.logger.registered_handler, "stream", Log())
    return said


def lines(here: Station) -> list[dict[str, Any]]:
    return [json.loads(line) for line in here.log.getvalue().splitlines() if line.startswith("{")]


def booked(here: Station) -> tuple[PhotoKey, Answer]:
    answer = CLERK("POST", "/v1/bookings", BOOKING)
    assert answer.status == 201, answer
    (photo,) = answer.body["photos"]
    key = PhotoKey(AGENCY, "bookings", answer.body["booking_id"], photo["photo_id"])
    here.put(key, portrait("person_a_1"))
    return key, answer


def test_an_enrolment_is_found_by_the_request_that_announced_its_photo(here: Station, requests: list[str]) -> None:
    key, _ = booked(here)
    assert here.arrive(key) == []
    (announced,) = requests
    (line,) = [one for one in lines(here) if one["message"] == "photo"]
    assert line["correlation_id"] == announced
    assert here.wire.followed == [announced]


def test_a_photo_that_was_added_later_is_found_by_its_own_request(here: Station, requests: list[str]) -> None:
    key, _ = booked(here)
    added = CLERK("POST", f"/v1/bookings/{key.booking_id}/photos", {"content_type": "image/jpeg"})
    other = PhotoKey(AGENCY, "bookings", key.booking_id, added.body["photo_id"])
    here.put(other, portrait("person_a_2"))
    assert here.invoke(photo_batch(object_created(str(other)), object_created(str(key)))) == []
    found = {line["photo_id"]: line["correlation_id"] for line in lines(here) if line["message"] == "photo"}
    assert found == {key.photo_id: requests[0], other.photo_id: requests[1]}


def test_a_correction_and_a_deletion_are_found_by_their_requests(here: Station, requests: list[str]) -> None:
    key, _ = booked(here)
    assert here.arrive(key) == []
    path = f"/v1/bookings/{key.booking_id}"
    assert CLERK("PATCH", path, {"subject_id": "S-2"}).status == 200
    assert here.invoke(change_batch(AGENCY, key.booking_id)) == []
    assert CLERK("DELETE", path).status == 202
    assert here.invoke(change_batch(AGENCY, key.booking_id)) == []
    found = [line["correlation_id"] for line in lines(here) if line["message"] == "change"]
    assert found == requests[1:]
    assert [kind for kind, _ in here.wire.published] == ["PhotoEnrolled", "BookingErased"]
    assert here.wire.followed == [requests[0], requests[2]]


def test_a_direct_drop_is_found_by_its_event(here: Station) -> None:
    key = PhotoKey(AGENCY, "bookings", "6f1d0a52-6a0c-4a61-9b9e-2d2f6d1b8c11", "c8a0a4f6-5a0e-4b3f-8f0b-0d6f2c6a9e57")
    here.put(key, portrait("person_a_1"), METADATA)
    event = object_created(str(key))
    assert here.invoke(photo_batch(event)) == []
    (line,) = [one for one in lines(here) if one["message"] == "photo"]
    assert line["correlation_id"] == event["id"]


def test_a_failure_says_which_request_it_is_about(here: Station, requests: list[str]) -> None:
    key, _ = booked(here)
    here.wire.hooks["index.upsert"] = _down
    assert len(here.arrive(key)) == 1
    (line,) = [one for one in lines(here) if one["level"] == "ERROR"]
    assert line["correlation_id"] == requests[0]
    assert here.arrive(key) == []


def test_a_refusal_has_the_gateways_id_as_its_instance_and_so_has_the_log(here: Station, requests: list[str]) -> None:
    answer = CLERK("GET", "/v1/bookings/00000000-0000-4000-8000-000000000000")
    assert [answer.body["instance"]] == requests


def test_what_an_event_of_another_system_names_itself_is_kept_out(here: Station) -> None:
    key, _ = booked(here)
    aws.dynamodb().update_item(
        TableName=GALLERY_TABLE,
        Key={"pk": {"S": f"B#{AGENCY}#{key.booking_id}"}, "sk": {"S": f"PHOTO#{key.photo_id}"}},
        UpdateExpression="REMOVE request_id",
    )
    event = object_created(str(key)) | {"id": "Ann Example\n"}
    assert here.invoke(photo_batch(event)) == []
    assert "Ann" not in here.log.getvalue()
    assert here.wire.followed == [None]


def test_an_id_is_followed_as_long_as_it_is_meant_and_no_longer() -> None:
    with following("one"):
        follow(None)
        assert correlation_id() == "one"
        follow("two")
        assert correlation_id() == "two"
    assert correlation_id() is None


@pytest.mark.slow
@pytest.mark.parametrize("major", opensearch.MAJORS)
def test_requests_to_opensearch_say_what_they_are_for(major: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str | None] = []
    perform = Urllib3HttpConnection.perform_request

    def noted(self: Any, method: str, url: str, *args: Any, headers: Any = None, **kwargs: Any) -> Any:
        sent.append((headers or {}).get("X-Opaque-Id"))
        return perform(self, method, url, *args, headers=headers, **kwargs)

    monkeypatch.setattr(Urllib3HttpConnection, "perform_request", noted)
    index = opensearch.index(opensearch.url(major), 4)
    sent.clear()
    try:
        with following("request-1"):
            assert index.count(Partition(AGENCY, "bookings")) == 0
        assert set(sent) == {"request-1"}
    finally:
        opensearch.forget(index)


def _down() -> None:
    raise DependencyUnavailable("The index is away.")
