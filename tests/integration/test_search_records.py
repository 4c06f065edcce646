"""What is stored of a search, and what happens to it while cases, policy, photos and other requests change around it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import cv2
import numpy as np
import pytest
from PIL import Image

from candid.casework import searches as rules
from candid.faces.image import decode
from candid.gallery.catalog import Catalog
from candid.gallery.collections import Collections
from candid.gallery.intake import Intake
from candid.gallery.search import GallerySearch
from casework import app as casework_app
from search import app
from tests.contract.openapi import conforms
from tests.gateway import Caller
from tests.integration.aws import CASEWORK_TABLE, GALLERY_TABLE, PHOTOS_BUCKET
from tests.integration.gallery import AGENCY, Gallery, candidates, encoded, gallery, request, search
from tests.portraits import portrait


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gallery]:
    with gallery(tmp_path) as filled:
        filled.enrol("person_a_1", "A", booked_at=datetime(2026, 3, 1, tzinfo=UTC))
        yield filled


def stored_searches() -> list[dict[str, Any]]:
    items = boto3.client("dynamodb").scan(TableName=CASEWORK_TABLE)["Items"]
    return [item for item in items if item["sk"]["S"] == "SEARCH"]


def meanwhile(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Let ``do`` happen once, between the gallery's answer to the first search and its being stored."""
    find, todo = GallerySearch.find, [do]

    def and_then(self: GallerySearch, *args: Any, **kwargs: Any) -> Any:
        found = find(self, *args, **kwargs)
        if todo:
            todo.pop()()
        return found

    monkeypatch.setattr(GallerySearch, "find", and_then)


def test_a_case_that_is_closed_while_it_is_searched_under_stores_and_answers_nothing(
    made: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = made.case()
    meanwhile(monkeypatch, lambda: made.casework("POST", f"/v1/cases/{case_id}/close"))
    answer = search(made, request(case_id))
    assert answer.status == 409
    assert "results" not in answer.body
    assert stored_searches() == []


def test_two_requests_with_one_key_at_once_are_one_search(made: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    body, key = request(made.case()), {"Idempotency-Key": "twice"}
    first: list[Any] = []
    meanwhile(monkeypatch, lambda: first.append(made.search("POST", "/v1/searches", body, headers=key)))
    second = made.search("POST", "/v1/searches", body, headers=key)
    assert second.status == first[0].status == 201
    assert second.body["search_id"] == first[0].body["search_id"]
    assert len(stored_searches()) == 1


def test_a_replay_shows_what_was_found_then_with_links_of_now(made: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    body, key = request(made.case()), {"Idempotency-Key": "later"}
    [first] = candidates(made.search("POST", "/v1/searches", body, headers=key))
    made.enrol("person_a_2", "A-too")
    log = io.StringIO()
    monkeypatch.setattr(app.edge.logger.registered_handler, "stream", log)
    [again] = candidates(made.search("POST", "/v1/searches", body, headers=key))
    assert again["subject_id"] == "A"
    assert again["photo_url_expires_at"] > first["photo_url_expires_at"]
    assert log.getvalue().count("photo link issued") == 1


def test_each_look_at_a_stored_search_is_logged_without_saying_whose_face_it_is(
    made: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = search(made, request(made.case()))
    log = io.StringIO()
    monkeypatch.setattr(casework_app.edge.logger.registered_handler, "stream", log)
    for _ in range(2):
        assert made.casework("GET", f"/v1/searches/{answer.body['search_id']}").status == 200
    issued = [line for line in map(json.loads, log.getvalue().splitlines()) if line["message"] == "photo link issued"]
    assert [line["search_id"] for line in issued] == [answer.body["search_id"]] * 2
    assert len({line["request_id"] for line in issued}) == 2
    assert "det.lee" not in log.getvalue()


def test_another_agencys_search_is_the_same_404_as_none(made: Gallery) -> None:
    search_id = search(made, request(made.case())).body["search_id"]
    stranger = Caller(made.casework.handler, "lane-county", "det.ray", "supervisor auditor")
    foreign = stranger("GET", f"/v1/searches/{search_id}")
    absent = stranger("GET", "/v1/searches/00000000-0000-4000-8000-000000000000")
    assert foreign.status == absent.status == 404
    assert foreign.body | {"instance": ""} == absent.body | {"instance": ""}
    assert stranger("GET", "/v1/searches").body == {"searches": []}


def test_the_record_tells_whether_the_probe_that_lies_there_still_is_what_was_searched(made: Gallery) -> None:
    answer = search(made, request(made.case()))
    [item] = stored_searches()
    assert item["probe_sha256"]["S"] == hashlib.sha256(portrait("person_a_2")).hexdigest()
    assert "probe_sha256" not in answer.body


def test_a_corrected_date_counts_at_once_though_the_index_lags_behind(made: Gallery) -> None:
    case_id, spring = made.case(), {"booked_from": "2026-01-01T00:00:00Z", "booked_before": "2026-06-01T00:00:00Z"}
    [found] = candidates(search(made, request(case_id, filters=spring)))
    moved = {"booked_at": datetime(2025, 12, 31, tzinfo=UTC)}
    Intake(Catalog(GALLERY_TABLE), Collections(GALLERY_TABLE), PHOTOS_BUCKET).change(AGENCY, found["booking_id"], moved)
    assert candidates(search(made, request(case_id, filters=spring))) == []


def test_a_case_whose_purpose_the_policy_has_lost_is_searched_under_no_more(
    made: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = made.case()
    work = app.work()
    kept = {name: one for name, one in work.searches.policy.purposes.items() if name != "criminal_investigation"}
    changed = dataclasses.replace(work.searches.policy, purposes=kept)
    cases = dataclasses.replace(work.searches.cases, policy=changed)
    searches = dataclasses.replace(work.searches, policy=changed, cases=cases)
    monkeypatch.setattr(app, "work", lambda: dataclasses.replace(work, searches=searches))
    answer = search(made, request(case_id))
    assert (answer.status, answer.body["policy"]) == (403, "purposes")
    assert conforms(answer.body, "Problem")


def test_every_face_is_searched_where_the_policy_allows_it(made: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    work = app.work()
    searches = dataclasses.replace(work.searches, policy=dataclasses.replace(work.searches.policy, all_faces=True))
    monkeypatch.setattr(app, "work", lambda: dataclasses.replace(work, searches=searches))
    halves = [
        cv2.resize(decode(portrait(name)), size)
        for name, size in (("impostor_2", (400, 500)), ("person_a_2", (300, 500)))
    ]
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.hstack(halves)[:, :, ::-1])).save(file, "PNG")
    answer = search(made, request(made.case(), probe=encoded(file.getvalue()), face="all"))
    assert conforms(answer.body, "Search")
    assert [[one["subject_id"] for one in result["candidates"]] for result in answer.body["results"]] == [[], ["A"]]
    assert [result["face"]["box"]["index"] for result in answer.body["results"]] == [0, 1]


def test_an_answer_that_can_not_be_stored_is_not_given(made: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_ANSWER_BYTES", 500)
    answer = search(made, request(made.case()))
    assert answer.status == 400
    assert "results" not in answer.body
    assert stored_searches() == []


def test_a_poor_probe_is_searched_and_its_faults_are_told(made: Gallery) -> None:
    _, data = cv2.imencode(".png", decode(portrait("person_a_2")) // 12)
    answer = search(made, request(made.case(), probe=encoded(data.tobytes())))
    assert answer.status == 201
    assert conforms(answer.body, "Search")
    reasons = answer.body["results"][0]["face"]["reasons"]
    assert "LOW_BRIGHTNESS" in [reason["reason"] for reason in reasons]
    assert all(reason["sentence"] and reason["measured"] != reason["threshold"] for reason in reasons)
