"""The ingest function over moto's AWS: bookings taken in, listed, corrected, deleted."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from candid import aws
from ingest import app
from tests.contract.openapi import conforms
from tests.gateway import Caller
from tests.integration.aws import GALLERY_TABLE, PHOTOS_BUCKET, stores

BOOKING = {"booking_number": "2026-000123", "subject_id": "S-77", "booked_at": "2026-03-01T10:00:00-08:00"}


@pytest.fixture
def clerk() -> Iterator[Caller]:
    with stores():
        app.work.cache_clear()
        yield Caller(app.handler)
    app.work.cache_clear()


def other(clerk: Caller, **changes: str) -> Caller:
    return Caller(clerk.handler, **({"agency": "lane-county", "roles": "records"} | changes))


def test_a_booking_is_registered_with_one_upload_link_a_photo(clerk: Caller) -> None:
    answer = clerk(
        "POST", "/v1/bookings", BOOKING | {"photos": [{"content_type": "image/png"}, {"content_type": "image/jpeg"}]}
    )
    assert answer.status == 201
    assert conforms(answer.body, "BookingCreated")
    first = answer.body["photos"][0]
    assert first["upload"]["fields"]["key"] == (
        f"washington-county/bookings/{answer.body['booking_id']}/{first['photo_id']}"
    )
    assert first["upload"]["fields"]["Content-Type"] == "image/png"
    assert "2026-000123" not in first["upload"]["fields"]["key"]


def test_the_upload_link_fits_one_key_one_type_and_a_bounded_length(clerk: Caller) -> None:
    upload = clerk("POST", "/v1/bookings", BOOKING).body["photos"][0]["upload"]
    policy = json.loads(base64.b64decode(upload["fields"]["policy"]))
    assert {"key": upload["fields"]["key"]} in policy["conditions"]
    assert {"Content-Type": "image/jpeg"} in policy["conditions"]
    assert ["content-length-range", 1, 15 * 1024 * 1024] in policy["conditions"]
    assert upload["fields"]["x-amz-algorithm"] == "AWS4-HMAC-SHA256"


def test_the_same_number_again_is_a_conflict_that_names_the_booking(clerk: Caller) -> None:
    first = clerk("POST", "/v1/bookings", BOOKING).body["booking_id"]
    again = clerk("POST", "/v1/bookings", BOOKING | {"subject_id": "S-78"})
    assert again.status == 409
    assert conforms(again.body, "Problem")
    assert again.body["booking_id"] == first
    assert clerk("GET", f"/v1/bookings/{first}").body["subject_id"] == "S-77"


def test_two_agencies_and_two_collections_may_use_the_same_number(clerk: Caller) -> None:
    assert clerk("POST", "/v1/bookings", BOOKING).status == 201
    assert clerk("POST", "/v1/bookings", BOOKING | {"collection": "archive"}).status == 201
    assert other(clerk)("POST", "/v1/bookings", BOOKING).status == 201


def test_an_idempotency_key_makes_a_retry_the_same_booking(clerk: Caller) -> None:
    key = {"Idempotency-Key": "import-17"}
    first = clerk("POST", "/v1/bookings", BOOKING, headers=key)
    again = clerk("POST", "/v1/bookings", BOOKING, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert again.body["booking_id"] == first.body["booking_id"]
    assert again.body["photos"][0]["photo_id"] == first.body["photos"][0]["photo_id"]
    assert again.body["photos"][0]["upload"]["url"]


def test_an_idempotency_key_used_for_another_request_is_a_conflict(clerk: Caller) -> None:
    key = {"Idempotency-Key": "import-17"}
    clerk("POST", "/v1/bookings", BOOKING, headers=key)
    answer = clerk("POST", "/v1/bookings", BOOKING | {"booking_number": "2026-000124"}, headers=key)
    assert answer.status == 409
    assert "Idempotency-Key" in answer.body["detail"]


def test_a_batch_answers_each_booking_on_its_own(clerk: Caller) -> None:
    bad = {"booking_number": "", "subject_id": "S-1", "booked_at": "yesterday"}
    answer = clerk(
        "POST", "/v1/bookings:batch", {"bookings": [BOOKING, bad, BOOKING, BOOKING | {"booking_number": "9"}]}
    )
    assert answer.status == 200
    assert conforms(answer.body, "BookingBatch")
    assert [result["status"] for result in answer.body["results"]] == [201, 400, 409, 201]
    assert {field["field"] for field in answer.body["results"][1]["problem"]["fields"]} == {
        "booking_number",
        "booked_at",
    }


def test_an_idempotency_key_makes_a_retried_batch_the_same_bookings(clerk: Caller) -> None:
    batch, key = {"bookings": [BOOKING, BOOKING | {"booking_number": "2"}]}, {"Idempotency-Key": "batch-1"}
    first = clerk("POST", "/v1/bookings:batch", batch, headers=key).body["results"]
    again = clerk("POST", "/v1/bookings:batch", batch, headers=key).body["results"]
    assert [one["status"] for one in again] == [201, 201]
    assert [one["booking"]["booking_id"] for one in again] == [one["booking"]["booking_id"] for one in first]
    batch["bookings"][1] = BOOKING | {"booking_number": "3"}
    changed = clerk("POST", "/v1/bookings:batch", batch, headers=key).body["results"]
    assert [one["status"] for one in changed] == [201, 409]


def test_a_known_digest_makes_asking_for_the_same_photo_twice_one_photo(clerk: Caller) -> None:
    wanted = {"content_type": "image/jpeg", "sha256": hashlib.sha256(b"photo").hexdigest()}
    created = clerk("POST", "/v1/bookings", BOOKING | {"photos": [wanted, wanted]}).body
    again = clerk("POST", f"/v1/bookings/{created['booking_id']}/photos", wanted)
    assert len(created["photos"]) == 1
    assert again.status == 201
    assert conforms(again.body, "PhotoUpload")
    assert again.body["photo_id"] == created["photos"][0]["photo_id"]
    assert again.body["upload"]["url"]


def test_a_booking_takes_more_photos_up_to_eight(clerk: Caller) -> None:
    booking_id = clerk("POST", "/v1/bookings", BOOKING).body["booking_id"]
    path = f"/v1/bookings/{booking_id}/photos"
    profile = {"content_type": "image/jpeg", "view": "left_profile"}
    statuses = [clerk("POST", path, profile).status for _ in range(8)]
    assert statuses == [201] * 7 + [409]
    shown = clerk("GET", f"/v1/bookings/{booking_id}").body
    assert conforms(shown, "Booking")
    assert sorted(photo["view"] for photo in shown["photos"]) == ["frontal"] + ["left_profile"] * 7


def test_a_new_booking_awaits_its_photo(clerk: Caller) -> None:
    booking_id = clerk("POST", "/v1/bookings", BOOKING | {"fields": {"height": "180 cm"}}).body["booking_id"]
    shown = clerk("GET", f"/v1/bookings/{booking_id}").body
    assert shown["state"] == "awaiting_photo"
    assert shown["photos"][0]["state"] == "awaiting_upload"
    assert shown["booked_at"] == "2026-03-01T18:00:00.000000Z"
    assert shown["fields"] == {"height": "180 cm"}


def test_another_agencys_booking_is_the_same_404_as_none(clerk: Caller) -> None:
    booking_id = clerk("POST", "/v1/bookings", BOOKING).body["booking_id"]
    stranger = other(clerk)
    nothing = "00000000-0000-4000-8000-000000000000"
    for method, body in (("GET", None), ("PATCH", {"subject_id": "S-1"}), ("DELETE", None)):
        foreign = stranger(method, f"/v1/bookings/{booking_id}", body)
        absent = stranger(method, f"/v1/bookings/{nothing}", body)
        assert foreign.status == absent.status == 404
        assert foreign.body | {"instance": ""} == absent.body | {"instance": ""}


@pytest.mark.parametrize("booking_id", ["1", "../secrets", "ABCDEF00-0000-4000-8000-000000000000", "%00"])
def test_an_id_that_is_none_is_not_found(clerk: Caller, booking_id: str) -> None:
    answer = clerk("GET", f"/v1/bookings/{booking_id}")
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_wrong_subject_is_corrected_and_the_index_has_to_follow(clerk: Caller) -> None:
    booking_id = clerk("POST", "/v1/bookings", BOOKING).body["booking_id"]
    answer = clerk("PATCH", f"/v1/bookings/{booking_id}", {"subject_id": "S-99", "disposition": "acquitted"})
    assert answer.status == 200
    assert conforms(answer.body, "Booking")
    assert (answer.body["subject_id"], answer.body["disposition"]) == ("S-99", "acquitted")
    assert change_notes() == 1


def test_a_deletion_begins_at_once_and_may_be_asked_for_again(clerk: Caller) -> None:
    booking_id = clerk("POST", "/v1/bookings", BOOKING).body["booking_id"]
    assert clerk("DELETE", f"/v1/bookings/{booking_id}").status == 202
    again = clerk("DELETE", f"/v1/bookings/{booking_id}")
    assert again.status == 202
    assert conforms(again.body, "Booking")
    assert clerk("GET", f"/v1/bookings/{booking_id}").body["state"] == "deleting"
    assert clerk("PATCH", f"/v1/bookings/{booking_id}", {"subject_id": "S-1"}).status == 409
    assert clerk("POST", f"/v1/bookings/{booking_id}/photos", {"content_type": "image/png"}).status == 409
    assert change_notes() == 1


def test_a_listing_shows_the_newest_first_and_pages_through_all(clerk: Caller) -> None:
    for day in range(1, 8):
        clerk(
            "POST",
            "/v1/bookings",
            {"booking_number": f"N{day}", "subject_id": "S", "booked_at": f"2026-03-0{day}T00:00:00Z"},
        )
    other(clerk)("POST", "/v1/bookings", BOOKING)
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(10):
        page = clerk("GET", "/v1/bookings", query={"limit": "3"} | ({"cursor": cursor} if cursor else {}))
        assert page.status == 200
        assert conforms(page.body, "BookingPage")
        seen += [booking["booking_number"] for booking in page.body["bookings"]]
        cursor = page.body.get("next_cursor")
        if not cursor:
            break
    assert seen == ["N7", "N6", "N5", "N4", "N3", "N2", "N1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"booked_from": "2026-03-03T00:00:00Z"}, ["N4", "N3"]),
        ({"booked_before": "2026-03-03T00:00:00Z"}, ["N2", "N1"]),
        ({"booked_from": "2026-03-02T00:00:00Z", "booked_before": "2026-03-04T00:00:00Z"}, ["N3", "N2"]),
        ({"collection": "archive"}, ["N2"]),
        ({"state": "deleting"}, ["N1"]),
        ({"state": "awaiting_photo", "limit": "1"}, ["N4"]),
        ({"booking_number": "N3"}, ["N3"]),
        ({"booking_number": "N2"}, []),
        ({"booking_number": "N2", "collection": "archive"}, ["N2"]),
    ],
)
def test_a_listing_is_filtered_by_date_state_collection_and_number(
    clerk: Caller, query: dict[str, str], expected: list[str]
) -> None:
    ids = []
    for day in range(1, 5):
        body = {"booking_number": f"N{day}", "subject_id": "S", "booked_at": f"2026-03-0{day}T00:00:00Z"}
        ids.append(
            clerk("POST", "/v1/bookings", body | ({"collection": "archive"} if day == 2 else {})).body["booking_id"]
        )
    clerk("DELETE", f"/v1/bookings/{ids[0]}")
    answer = clerk("GET", "/v1/bookings", query=query)
    assert [booking["booking_number"] for booking in answer.body["bookings"]] == expected


def test_a_forged_cursor_is_refused(clerk: Caller) -> None:
    for number in "123":
        clerk("POST", "/v1/bookings", BOOKING | {"booking_number": number})
    cursor = clerk("GET", "/v1/bookings", query={"limit": "1"}).body["next_cursor"]
    told = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    for change in ({"agency_key": "lane-county"}, {"nonsense": "x"}, {"pk": "\ud800"}, {"sk": "\0"}):
        forged = (
            base64.urlsafe_b64encode(json.dumps(told | {"key": told["key"] | change}).encode()).decode().rstrip("=")
        )
        answer = clerk("GET", "/v1/bookings", query={"limit": "1", "cursor": forged})
        assert answer.status == 400
        assert "lane-county" not in json.dumps(answer.body)


@pytest.mark.parametrize(
    "query",
    [
        {"booked_from": "2026-03-02T00:00:00Z", "booked_before": "2026-03-01T00:00:00Z"},
        {"booked_from": "0001-01-01T00:00:00+14:00"},
        {"booked_before": "20260101"},
        {"limit": "0"},
        {"state": "erased"},
        {"agency": "Lane County"},
        {"officer": "clerk.1"},
    ],
)
def test_a_filter_that_nothing_can_pass_is_refused(clerk: Caller, query: dict[str, str]) -> None:
    answer = clerk("GET", "/v1/bookings", query=query)
    assert answer.status == 400
    assert conforms(answer.body, "Problem")


def test_a_cursor_of_another_listing_or_agency_is_refused(clerk: Caller) -> None:
    for number in "123":
        clerk("POST", "/v1/bookings", BOOKING | {"booking_number": number})
    cursor = clerk("GET", "/v1/bookings", query={"limit": "1"}).body["next_cursor"]
    elsewhere = [
        clerk("GET", "/v1/bookings", query={"cursor": cursor, "state": "enrolled"}),
        other(clerk)("GET", "/v1/bookings", query={"cursor": cursor}),
        clerk("GET", "/v1/bookings", query={"cursor": cursor[:-4] + "AAAA"}),
        clerk("GET", "/v1/bookings", query={"cursor": "x"}),
    ]
    assert [answer.status for answer in elsewhere] == [400] * 4


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"booking_number": " "}, "booking_number"),
    ({"booking_number": "a\x00b"}, "booking_number"),
    ({"booking_number": "x" * 129}, "booking_number"),
    ({"subject_id": 7}, "subject_id"),
    ({"booked_at": "2026-03-01T10:00:00"}, "booked_at"),
    ({"booked_at": "2999-03-01T10:00:00Z"}, "booked_at"),
    ({"booked_at": "20260101"}, "booked_at"),
    ({"booked_at": 1767225600}, "booked_at"),
    ({"booked_at": "0001-01-01T00:00:00+14:00"}, "booked_at"),
    ({"collection": "../x"}, "collection"),
    ({"collection": "bookings\n"}, "collection"),
    ({"photos": []}, "photos"),
    ({"photos": [{"content_type": "text/html"}]}, "photos.0.content_type"),
    ({"fields": {"Bad Name": "x"}}, "fields"),
    ({"agency": "lane-county"}, "agency"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_a_wrong_member_is_refused_by_name_and_never_echoed(clerk: Caller, change: dict[str, Any], field: str) -> None:
    answer = clerk("POST", "/v1/bookings", BOOKING | change)
    assert answer.status == 400
    assert conforms(answer.body, "Problem")
    assert answer.body["fields"][0]["field"].startswith(field)
    assert "lane-county" not in json.dumps(answer.body)


@pytest.mark.parametrize(
    ("raw", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b'{"booking_number": "1", "booking_number": "2"}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 415),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(clerk: Caller, raw: bytes, content_type: str, status: int) -> None:
    answer = clerk("POST", "/v1/bookings", raw=raw, content_type=content_type)
    assert answer.status == status
    assert conforms(answer.body, "Problem")


@pytest.mark.parametrize("roles", ["", "auditor", "investigator examiner supervisor", "root"])
def test_who_may_not_write_bookings_is_told_who_may(clerk: Caller, roles: str) -> None:
    answer = Caller(clerk.handler, roles=roles)("POST", "/v1/bookings", BOOKING)
    assert answer.status == 403
    assert "records" in answer.body["detail"]


def test_a_request_without_a_principal_is_refused(clerk: Caller) -> None:
    assert Caller(clerk.handler, agency="")("GET", "/v1/bookings").status == 401


def test_an_unknown_route_is_a_problem_document(clerk: Caller) -> None:
    answer = clerk("GET", "/v1/nothing")
    assert answer.status == 404
    assert conforms(answer.body, "Problem")


def test_a_table_that_is_gone_is_an_unforeseen_failure_that_tells_nothing(
    clerk: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    boto3.client("dynamodb").delete_table(TableName=GALLERY_TABLE)
    answer = clerk("POST", "/v1/bookings", BOOKING)
    assert answer.status == 500
    assert GALLERY_TABLE not in json.dumps(answer.body)
    assert answer.body["instance"]
    assert "2026-000123" not in capsys.readouterr().out


def test_a_table_that_does_not_answer_is_try_again_later(clerk: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    class Down:
        def __getattr__(self, name: str) -> Any:
            raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(aws, "dynamodb", Down)
    answer = clerk("POST", "/v1/bookings", BOOKING)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0


def test_nothing_of_a_booking_reaches_the_log(
    clerk: Caller, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(app.edge.logger.registered_handler, "stream", log)
    clerk("POST", "/v1/bookings", BOOKING | {"fields": {"name": "Jane Q Recognisable"}})
    clerk("GET", "/v1/bookings", query={"booking_number": "2026-000123"})
    said = log.getvalue() + "".join(capsys.readouterr())
    assert '"status":201' in said
    for secret in ("2026-000123", "S-77", "Recognisable"):
        assert secret not in said


def change_notes() -> int:
    items = boto3.client("dynamodb").scan(TableName=GALLERY_TABLE)["Items"]
    return sum(item["sk"]["S"] == "CHANGE" for item in items)


def test_photos_bucket_is_where_the_links_lead(clerk: Caller) -> None:
    assert PHOTOS_BUCKET in clerk("POST", "/v1/bookings", BOOKING).body["photos"][0]["upload"]["url"]


def test_a_number_of_thousands_of_digits_is_a_bad_request(clerk: Caller) -> None:
    answer = clerk("POST", "/v1/bookings", raw=b'{"booking_number": ' + b"9" * 5000 + b"}")
    assert answer.status == 400
    assert conforms(answer.body, "Problem")


def test_a_table_that_goes_down_in_a_batch_costs_none_of_what_is_registered(
    clerk: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = aws.dynamodb(), []

    class Failing:
        def __getattr__(self, name: str) -> Any:
            if name == "transact_write_items":
                calls.append(name)
                # The first makes the collection.
                if len(calls) > 3:
                    raise EndpointConnectionError(endpoint_url="https://dynamodb")
            return getattr(real, name)

    monkeypatch.setattr(aws, "dynamodb", Failing)
    answer = clerk("POST", "/v1/bookings:batch", {"bookings": [BOOKING | {"booking_number": str(n)} for n in range(5)]})
    assert answer.status == 200
    assert conforms(answer.body, "BookingBatch")
    assert [result["status"] for result in answer.body["results"]] == [201, 201, 503, 503, 503]
    assert len(calls) == 4, "what does not answer is not asked for every booking"


def test_a_function_that_is_not_set_up_says_so_and_logs_what_is_missing(
    clerk: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(app.edge.logger.registered_handler, "stream", log)
    monkeypatch.delenv("GALLERY_TABLE")
    answer = clerk("GET", "/v1/bookings")
    assert answer.status == 503
    assert "GALLERY_TABLE" not in answer.body["detail"]
    assert "GALLERY_TABLE is not set" in log.getvalue()


def test_a_listing_leaves_out_what_would_make_it_too_long(clerk: Caller) -> None:
    clerk("POST", "/v1/bookings", BOOKING | {"fields": {"height": "180 cm"}})
    [listed] = clerk("GET", "/v1/bookings").body["bookings"]
    assert not {"fields", "photos"} & listed.keys()
