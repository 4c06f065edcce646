"""An agency lets another read a collection, finds that on record, and takes it back: then the other has what it had before."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from candid.gallery import sharing
from candid.gallery.collections import BEING_DELETED, Collections
from candid.gallery.transaction import write_all
from casework import app as casework_app
from ingest import app as ingest_app
from search import app as search_app
from tests.contract.openapi import conforms
from tests.gateway import Answer, Caller
from tests.integration.aws import GALLERY_TABLE
from tests.integration.gallery import AGENCY, Gallery, candidates, gallery, request, search

READER = "lane-county"
BASIS = "Mutual aid agreement, ORS 190.010"
NOTHING = "00000000-0000-4000-8000-000000000000"


@dataclass
class Two:
    """An agency with a face in two collections, and another that has none."""

    owner: Gallery
    reader: Gallery
    case_id: str
    bookings: str
    juveniles: str

    def grant(self, collection: str = "bookings", reader: str = READER, **headers: str) -> Answer:
        body = {"collection": collection, "reader": reader, "legal_basis": BASIS}
        return chief()("POST", "/v1/shares", body, headers=headers)

    def search(self, **members: Any) -> Answer:
        """By the reader, in the owner's collection."""
        return search(self.reader, request(self.case_id, filters={"agency": AGENCY}, **members))


def chief(agency: str = AGENCY) -> Caller:
    return Caller(ingest_app.handler, agency, "chief", "admin")


def clerk(agency: str = READER) -> Caller:
    return Caller(ingest_app.handler, agency, "clerk", "records")


def listed(direction: str, agency: str, **query: str) -> Any:
    answer = chief(agency)("GET", "/v1/shares", query={"direction": direction, **query})
    assert answer.status == 200, answer
    assert conforms(answer.body, "SharePage")
    return answer.body


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with gallery(tmp_path) as owner:
        ingest_app.work.cache_clear()
        bookings = owner.enrol("person_a_1", "S-1")
        juveniles = owner.enrol("person_a_1", "S-1", collection="juveniles")
        reader = Gallery(
            casework=Caller(casework_app.handler, READER, "det.ray", "investigator"),
            search=Caller(search_app.handler, READER, "det.ray", "investigator"),
        )
        yield Two(owner, reader, reader.case(), bookings, juveniles)
        ingest_app.work.cache_clear()


def test_a_share_says_who_gave_it_when_and_by_what_right(two: Two) -> None:
    answer = two.grant()
    assert answer.status == 201
    assert conforms(answer.body, "Share")
    told = (answer.body["agency"], answer.body["collection"], answer.body["reader"], answer.body["granted_by"])
    assert told == (AGENCY, "bookings", READER, "chief")
    assert (answer.body["legal_basis"], answer.body["state"]) == (BASIS, "in_force")
    assert listed("given", AGENCY)["shares"] == listed("received", READER)["shares"] == [answer.body]
    assert listed("received", AGENCY)["shares"] == listed("given", READER)["shares"] == []


def test_a_reader_searches_what_is_shared_and_nothing_else(two: Two) -> None:
    assert two.search().status == 404
    two.grant()
    found = two.search()
    assert conforms(found.body, "Search")
    assert (found.body["gallery_agency"], found.body["agency"], found.body["gallery_size"]) == (AGENCY, READER, 1)
    (candidate,) = candidates(found)
    assert (candidate["agency"], candidate["booking_id"]) == (AGENCY, two.bookings)
    assert candidate["photo_url"]
    assert two.search(collection="juveniles").status == 404
    (summary,) = two.reader.casework("GET", "/v1/searches").body["searches"]
    assert summary["gallery_agency"] == AGENCY


def test_sharing_is_of_one_way_and_for_one_reader(two: Two) -> None:
    two.grant()
    own_case = two.owner.case()
    assert search(two.owner, request(own_case, filters={"agency": READER})).status == 404
    third = Gallery(
        casework=Caller(casework_app.handler, "linn-county", "det.kim", "investigator"),
        search=Caller(search_app.handler, "linn-county", "det.kim", "investigator"),
    )
    assert search(third, request(third.case(), filters={"agency": AGENCY})).status == 404


def test_a_search_that_names_no_agency_stays_at_home(two: Two) -> None:
    two.grant()
    found = search(two.reader, request(two.case_id))
    assert (found.body["gallery_agency"], found.body["gallery_size"]) == (READER, 0)


def test_a_reader_reads_bookings_of_the_shared_collection_and_changes_none(two: Two) -> None:
    shared = {"agency": AGENCY}
    path = f"/v1/bookings/{two.bookings}"
    assert clerk()("GET", path, query=shared).status == 404
    assert clerk()("GET", "/v1/bookings", query=shared).status == 404
    two.grant()
    assert clerk()("GET", path, query=shared).body == clerk(AGENCY)("GET", path).body
    own = clerk(AGENCY)("GET", "/v1/bookings", query={"collection": "bookings"})
    assert clerk()("GET", "/v1/bookings", query=shared).body == own.body
    assert clerk()("GET", "/v1/bookings", query={**shared, "booking_number": "B1"}).body == own.body
    other = {**shared, "collection": "juveniles"}
    assert clerk()("GET", "/v1/bookings", query=other).status == 404
    for query in (shared, other):
        assert clerk()("GET", f"/v1/bookings/{two.juveniles}", query=query).status == 404
    assert clerk()("PATCH", path, {"disposition": "acquitted"}, query=shared).status == 404
    assert clerk()("DELETE", path, query=shared).status == 404
    assert clerk()("POST", f"{path}/photos", {"content_type": "image/jpeg"}, query=shared).status == 404


def test_what_is_not_shared_is_told_as_nothing_is(two: Two) -> None:
    two.grant()
    for foreign, nothing in (
        ((two.juveniles, {"agency": AGENCY}), (NOTHING, {"agency": AGENCY})),
        ((two.bookings, {"agency": AGENCY, "collection": "juveniles"}), (NOTHING, {"agency": "nowhere-pd"})),
    ):
        told = [clerk()("GET", f"/v1/bookings/{booking}", query=query) for booking, query in (foreign, nothing)]
        assert [one.status for one in told] == [404, 404]
        assert told[0].body | {"instance": ""} == told[1].body | {"instance": ""}


def test_revoked_the_reader_has_nothing_at_once_and_the_record_stays(two: Two) -> None:
    share = two.grant().body
    found = two.search().body
    again = chief()("POST", f"/v1/shares/{share['share_id']}/revoke")
    assert conforms(again.body, "Share")
    assert (again.body["state"], again.body["revoked_by"]) == ("revoked", "chief")
    assert again.body["revoked_at"] > share["granted_at"]
    assert two.search().status == 404
    assert clerk()("GET", f"/v1/bookings/{two.bookings}", query={"agency": AGENCY}).status == 404
    assert listed("given", AGENCY)["shares"] == listed("received", READER)["shares"] == [again.body]
    shown = two.reader.casework("GET", f"/v1/searches/{found['search_id']}")
    assert conforms(shown.body, "Search")
    (candidate,) = shown.body["results"][0]["candidates"]
    assert "photo_url" not in candidate
    assert candidate["photo_withheld"] == (
        "The agency that has this photo does not share the collection with yours any more."
    )
    assert candidate["booking_id"] == two.bookings, "what was answered stays on record"


def test_revoking_again_changes_nothing_and_it_can_be_shared_anew(two: Two) -> None:
    share = two.grant().body
    path = f"/v1/shares/{share['share_id']}/revoke"
    first = chief()("POST", path)
    assert chief()("POST", path).body == first.body
    anew = two.grant()
    assert anew.status == 201
    assert two.search().status == 201
    # The old share's revocation is over and done with.
    assert chief()("POST", path).body == first.body
    assert two.search().status == 201
    assert [one["state"] for one in listed("given", AGENCY)["shares"]] == ["in_force", "revoked"]


def test_what_is_shared_already_is_a_conflict_that_names_the_share(two: Two) -> None:
    share = two.grant().body
    again = two.grant()
    assert (again.status, again.body["share_id"]) == (409, share["share_id"])


def test_a_collection_that_is_not_there_is_not_shared(two: Two) -> None:
    mistyped = two.grant("juvenile")
    assert mistyped.status == 404
    assert mistyped.body["detail"].startswith("There is no such collection. Check its name")
    assert listed("given", AGENCY)["shares"] == []
    # The default one is there before anybody is booked.
    own = {"collection": "bookings", "reader": AGENCY, "legal_basis": BASIS}
    assert chief(READER)("POST", "/v1/shares", own).status == 201


def test_no_share_is_given_of_a_collection_that_is_being_deleted(two: Two) -> None:
    Collections(GALLERY_TABLE).mark_deleting(AGENCY, "juveniles")
    refused = two.grant("juveniles")
    assert (refused.status, refused.body["detail"]) == (409, BEING_DELETED)
    assert listed("given", AGENCY)["shares"] == []


def test_no_share_outlives_a_collection_whose_deletion_begins_as_it_is_written(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deleted_first(writes: Any) -> None:
        Collections(GALLERY_TABLE).mark_deleting(AGENCY, "juveniles")
        write_all(writes)

    monkeypatch.setattr(sharing, "write_all", deleted_first)
    refused = two.grant("juveniles")
    assert (refused.status, refused.body["detail"]) == (409, BEING_DELETED)
    assert listed("given", AGENCY)["shares"] == []


def test_a_collection_that_is_made_just_then_is_shared(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Collections.expect_there

    def made_first(collections: Collections, agency: str, name: str) -> None:
        collections.ensure(agency, name)
        look(collections, agency, name)

    monkeypatch.setattr(Collections, "expect_there", made_first)
    key = {"Idempotency-Key": str(uuid.uuid4())}
    share = two.grant("annex", **key)
    assert share.status == 201
    assert two.grant("annex", **key).body == share.body
    assert listed("given", AGENCY)["shares"] == [share.body]


def test_the_same_request_again_is_the_same_share(two: Two) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    share = two.grant(**key)
    assert two.grant(**key).body == share.body
    assert len(listed("given", AGENCY)["shares"]) == 1
    assert two.grant("juveniles", **key).status == 409


def test_only_who_gave_a_share_takes_it_back(two: Two) -> None:
    share = two.grant().body
    path = f"/v1/shares/{share['share_id']}/revoke"
    for stranger in (READER, "linn-county"):
        assert chief(stranger)("POST", path).status == 404
    assert two.search().status == 201


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"reader": AGENCY}, "An agency reads its own collections anyway."),
        ({"reader": "Lane County"}, "reader"),
        ({"reader": "lane#county"}, "reader"),
        ({"collection": "a/b"}, "collection"),
        ({"legal_basis": " "}, "legal_basis"),
        ({"until": "2027-01-01"}, "until"),
    ],
)
def test_a_share_that_makes_no_sense_is_refused(two: Two, changes: dict[str, str], sentence: str) -> None:
    body = {"collection": "bookings", "reader": READER, "legal_basis": BASIS} | changes
    answer = chief()("POST", "/v1/shares", body)
    assert answer.status == 400
    assert sentence in json.dumps(answer.body)


def test_shares_are_listed_page_by_page_and_a_cursor_is_of_one_listing(two: Two) -> None:
    for number in range(3):
        two.grant(reader=f"county-{number}")
    first = listed("given", AGENCY, limit="2")
    second = listed("given", AGENCY, limit="2", cursor=first["next_cursor"])
    assert [one["reader"] for one in first["shares"] + second["shares"]] == ["county-2", "county-1", "county-0"]
    assert "next_cursor" not in second
    for direction, agency in (("received", AGENCY), ("given", READER)):
        stolen = {"direction": direction, "cursor": first["next_cursor"]}
        assert chief(agency)("GET", "/v1/shares", query=stolen).status == 400


def test_a_cursor_of_another_agencys_bookings_is_of_no_use_once_the_share_is_revoked(two: Two) -> None:
    two.owner.enrol("person_b_1", "S-2")
    share = two.grant().body
    shared = {"agency": AGENCY, "limit": "1"}
    cursor = clerk()("GET", "/v1/bookings", query=shared).body["next_cursor"]
    assert clerk()("GET", "/v1/bookings", query={**shared, "cursor": cursor}).status == 200
    assert clerk()("GET", "/v1/bookings", query={"limit": "1", "cursor": cursor}).status == 400
    chief()("POST", f"/v1/shares/{share['share_id']}/revoke")
    assert clerk()("GET", "/v1/bookings", query={**shared, "cursor": cursor}).status == 404


def test_a_deleted_booking_is_gone_for_readers_too(two: Two) -> None:
    two.grant()
    assert len(candidates(two.search())) == 1
    clerk(AGENCY)("DELETE", f"/v1/bookings/{two.bookings}")
    assert candidates(two.search()) == []
