"""What is wrong with a member of a request, in plain English: no word of pydantic's, no pattern, nothing of what was sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import index.requests
import redrive.requests
from candid.errors import InvalidRequest
from candid.http import bodies
from candid.http.bodies import validate
from candid.http.faults import fault
from casework.requests import CaseRequest, SearchQuery
from ingest.requests import BookingRequest, ChangeRequest, ListQuery, ShareRequest
from search.requests import ComparisonRequest, SearchBody
from tests.refusals import wrong

BOOKING = {"booking_number": "1", "subject_id": "S-1", "booked_at": "2026-03-01T10:00:00Z"}
SEARCH = {"case_id": "00000000-0000-4000-8000-000000000000", "probe_source": "other_still", "probe": "AAAA"}
SENT = "Smith"
OURS = ("must ", "there is no such member", "this member is required", "give exactly one of")


@pytest.mark.parametrize(
    ("model", "sent", "field", "problem"),
    [
        (BookingRequest, [SENT], "(body)", "must be an object"),
        (BookingRequest, BOOKING | {"booking_number": ""}, "booking_number", "must have 1 or more characters"),
        (
            BookingRequest,
            BOOKING | {"booking_number": SENT * 99},
            "booking_number",
            "must have 128 or fewer characters",
        ),
        (BookingRequest, BOOKING | {"subject_id": 5}, "subject_id", "must be a text"),
        (
            BookingRequest,
            BOOKING | {"collection": f"{SENT} and Son"},
            "collection",
            "must be a collection's name: 1 to 255 of a-z, A-Z, 0-9, _, . and -",
        ),
        (
            BookingRequest,
            BOOKING | {"fields": {SENT: "x"}},
            f"fields.{SENT}",
            "must be a field's name: 1 to 64 of a-z, 0-9, _ and -",
        ),
        (
            BookingRequest,
            BOOKING | {"fields": {str(n): SENT for n in range(33)}},
            "fields",
            "must have 32 or fewer entries",
        ),
        (BookingRequest, BOOKING | {"subject_id": "\ud800"}, "subject_id", "must be a text of whole characters"),
        (
            BookingRequest,
            BOOKING | {"booked_at": "2026-13-41T10:00:00Z"},
            "booked_at",
            "must be a time that there is, as 2026-11-23T08:00:00Z",
        ),
        (BookingRequest, BOOKING | {"photos": []}, "photos", "must have 1 or more entries"),
        (BookingRequest, BOOKING | {"photos": SENT}, "photos", "must be a list"),
        (
            BookingRequest,
            BOOKING | {"photos": [{"content_type": "image/png", "sha256": SENT}]},
            "photos.0.sha256",
            "must be a SHA-256: 64 of 0-9 and a-f",
        ),
        (
            BookingRequest,
            BOOKING | {"photos": [{"content_type": "image/png", "view": SENT}]},
            "photos.0.view",
            "must be 'frontal', 'left_profile', 'right_profile' or 'other'",
        ),
        (BookingRequest, BOOKING | {"nothing": SENT}, "nothing", "there is no such member"),
        (ListQuery, {"limit": "101"}, "limit", "must be at most 100"),
        (ListQuery, {"limit": SENT}, "limit", "must be a whole number"),
        (
            ShareRequest,
            {"collection": "bookings", "reader": SENT, "legal_basis": "x"},
            "reader",
            "must be an agency's name: 2 to 64 of a-z, 0-9 and hyphens, with no hyphen at either end",
        ),
        (ShareRequest, {"collection": "bookings", "reader": "lane-county"}, "legal_basis", "this member is required"),
        (SearchBody, SEARCH | {"case_id": SENT}, "case_id", "must be an id: a UUID in lower case"),
        (SearchBody, SEARCH | {"max_candidates": 1}, "max_candidates", "must be at least 2"),
        (SearchBody, SEARCH | {"max_candidates": 2.5}, "max_candidates", "must be a whole number"),
        (SearchBody, SEARCH | {"per_subject": SENT}, "per_subject", "must be true or false"),
        (SearchBody, SEARCH | {"threshold": {"fmr": SENT}}, "threshold.fmr", "must be a number"),
        (SearchBody, SEARCH | {"threshold": {"fmr": 0}}, "threshold.fmr", "must be more than 0"),
        (
            ComparisonRequest,
            {"image_a": f"{SENT}!!", "image_b": "AAAA"},
            "image_a",
            "must be base64 without line breaks",
        ),
    ],
)
def test_a_wrong_member_is_named_with_what_it_must_be(
    model: type[BaseModel], sent: Any, field: str, problem: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validate(sent, model)
    told = refused.value.members["fields"][0]
    assert (told["field"], told["problem"]) == (field, problem)
    assert SENT not in told["problem"]
    assert str(refused.value).startswith(f"The request is not valid: {field}: {problem}. Correct it")


def test_a_list_with_a_wrong_entry_is_not_said_to_be_too_short_as_well() -> None:
    with pytest.raises(InvalidRequest) as refused:
        validate(BOOKING | {"photos": [{"content_type": "image/gif"}]}, BookingRequest)
    assert [one["field"] for one in refused.value.members["fields"]] == ["photos.0.content_type"]


def test_a_member_that_may_be_of_several_kinds_is_named_once() -> None:
    with pytest.raises(InvalidRequest) as refused:
        validate(SEARCH | {"face": SENT}, SearchBody)
    problem = "must be 'only', 'largest' or 'all', or must be a whole number"
    assert refused.value.members["fields"] == [{"field": "face", "problem": problem}]


def test_a_wrong_name_in_a_map_and_what_it_stands_for_are_two_things() -> None:
    with pytest.raises(InvalidRequest) as refused:
        validate(BOOKING | {"fields": {SENT: 3}}, BookingRequest)
    assert sorted(refused.value.members["fields"], key=lambda one: one["problem"]) == [
        {"field": f"fields.{SENT}", "problem": "must be a field's name: 1 to 64 of a-z, 0-9, _ and -"},
        {"field": f"fields.{SENT}", "problem": "must be a text"},
    ]


def test_of_many_wrong_members_the_first_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []
    monkeypatch.setattr(bodies, "fault", lambda error: looked_at.append(error) or fault(error))
    with pytest.raises(InvalidRequest) as refused:
        validate(BOOKING | {f"member{number}": SENT for number in range(1_000)}, BookingRequest)
    assert len(refused.value.members["fields"]) == 20
    assert len(looked_at) == 21


ODD = [
    *(None, True, -1, 1.5, float("inf"), 10**400, "", "x", "\ud800", "x" * 9_999, [], {}),
    *("2026-02-30T10:00:00Z", "2026-01-01T25:00:00Z", "2026-01-01T10:00:00+99:00", "0000-01-01T00:00:00Z"),
]
INNER = ("agency", "booked_from", "content_type", "cosine", "fmr", "sha256", "view")


@pytest.mark.parametrize(
    "model", [BookingRequest, ChangeRequest, ListQuery, ShareRequest, SearchBody, CaseRequest, SearchQuery]
)
def test_whatever_is_sent_the_words_are_ours(model: type[BaseModel]) -> None:
    refused = []
    for value in ODD:
        inner = dict.fromkeys(INNER, value)
        for sent in (value, *({name: one} for name in model.model_fields for one in (value, [value], inner, [inner]))):
            try:
                validate(sent, model)
            except InvalidRequest as error:
                refused.append(error)
    assert len(refused) > 100
    problems = {part for error in refused for one in error.members["fields"] for part in one["problem"].split(", or ")}
    assert {one for one in problems if not one.startswith(OURS) and "must lie" not in one} == set()
    assert {wrong(str(error)) for error in refused} == {None}


@pytest.mark.parametrize("function", [index.requests, redrive.requests], ids=["index", "redrive"])
def test_an_operator_is_told_in_our_words(function: Any) -> None:
    kinds = get_args(get_args(function.Request)[0])
    sentences = []
    for sent in (*ODD, *({"operation": value} for value in ODD), *_requests(kinds)):
        try:
            function.read(sent)
        except InvalidRequest as error:
            sentences.append(str(error))
    assert len(sentences) > 100
    assert {wrong(one) for one in sentences} == {None}
    assert [one for one in sentences if "is not what it must be" in one] == []


def _requests(kinds: tuple[type[BaseModel], ...]) -> Iterator[dict[str, Any]]:
    """Each member of each request with each odd value; the others as they may be."""
    for kind in kinds:
        (operation,) = get_args(kind.model_fields["operation"].annotation)
        for member in kind.model_fields.keys() - {"operation"}:
            for value in ODD:
                yield {"operation": operation, member: value}
