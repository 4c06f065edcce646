"""A booking photo travels from the bucket to the gallery, by every way there is, and out of it again."""

from __future__ import annotations

import io
import uuid

import numpy as np
import pytest
import urllib3
from PIL import Image

from candid.access.principal import Role
from candid.cli.answers import Search
from candid.cli.api import Api, text
from candid.cli.problems import Refused
from tests.e2e.stack import BOOKED_AT, Stack, eventually, portrait


def agency() -> str:
    """An agency of one test's own, so that no test sees another's gallery."""
    return f"agency-{uuid.uuid4().hex[:8]}"


def search(api: Api, probe: str, of: str | None = None) -> Search:
    case = api.open_case(f"CASE-{uuid.uuid4().hex[:8]}", "criminal_investigation", "reasonable suspicion")
    asked = {"case_id": case.case_id, "probe": text(portrait(probe)), "probe_source": "other_still"}
    return api.search(asked | ({"filters": {"agency": of}} if of else {}))


def searched(api: Api, probe: str, faces: int) -> Search:
    """The answer of a search that finds so many faces in the gallery, which it must within seconds of their enrolment."""

    def look() -> Search | None:
        answer = search(api, probe)
        return answer if answer.gallery_size == faces else None

    return eventually(look, 5)


def test_a_photo_uploaded_by_its_link_is_enrolled_and_found_by_another_photo_of_the_person(stack: Stack) -> None:
    api = stack.api(agency())
    booking_id = stack.book(api, portrait("person_a_1.jpg"), subject="subject-a")
    stack.book(api, portrait("impostor_1.jpg"), subject="subject-b")
    booking = stack.settled(api, booking_id)
    assert [photo.state for photo in booking.photos] == ["enrolled"]
    eventually(lambda: search(api, "person_a_2.jpg").gallery_size == 2)
    answer = search(api, "person_a_2.jpg")
    (result,) = answer.results
    (candidate,) = result.candidates
    assert (candidate.booking_id, candidate.subject_id, candidate.rank) == (booking_id, "subject-a", 1)
    assert candidate.score.fmr is not None
    assert candidate.score.fmr < 1e-4
    assert candidate.expected_false_candidates == pytest.approx(2 * candidate.score.fmr, rel=0.01)
    assert answer.exact
    assert "identification" in answer.notice


def test_a_stranger_yields_no_candidate_above_the_threshold(stack: Stack) -> None:
    api = stack.api(agency())
    stack.settled(api, stack.book(api, portrait("person_a_1.jpg")))
    (result,) = searched(api, "person_b_1.jpg", 1).results
    assert (result.outcome, result.candidates) == ("no_candidate_above_threshold", ())


def test_a_photo_dropped_under_the_documented_key_is_a_booking_with_its_fields(stack: Stack) -> None:
    name = agency()
    api, booking_id = stack.api(name), str(uuid.uuid4())
    stack.aws("s3").put_object(
        Bucket=stack.photos_bucket,
        Key=f"{name}/bookings/{booking_id}/{uuid.uuid4()}",
        Body=portrait("person_b_1.jpg"),
        ContentType="image/jpeg",
        Metadata={"booking-number": "DROP-1", "subject-id": "subject-d", "booked-at": BOOKED_AT, "facility": "annex"},
    )
    booking = stack.settled(api, booking_id)
    assert (booking.state, booking.booking_number, booking.subject_id) == ("enrolled", "DROP-1", "subject-d")
    assert booking.fields == {"facility": "annex"}
    (result,) = searched(api, "person_b_2.jpg", 1).results
    assert [candidate.booking_id for candidate in result.candidates] == [booking_id]


def test_two_agencies_never_see_each_other(stack: Stack) -> None:
    one, other = stack.api(agency()), stack.api(agency())
    booking_id = stack.book(one, portrait("person_a_1.jpg"))
    stack.settled(one, booking_id)
    stack.settled(other, stack.book(other, portrait("impostor_2.jpg")))
    with pytest.raises(Refused) as refused:
        other.booking(booking_id)
    assert refused.value.status == 404
    assert [booking.booking_id for page in one.bookings() for booking in page] == [booking_id]
    answer = searched(other, "person_a_2.jpg", 1)
    assert not answer.results[0].candidates


def test_a_shared_collection_is_searched_by_the_other_agency_until_it_is_taken_back(stack: Stack) -> None:
    owner, reader = agency(), agency()
    api, other = stack.api(owner), stack.api(reader)
    booking_id = stack.book(api, portrait("person_a_1.jpg"))
    stack.settled(api, booking_id)
    searched(api, "person_a_2.jpg", 1)
    chief = stack.api(owner, Role.ADMIN)
    share = chief.grant_share("bookings", reader, "Mutual aid agreement")
    answer = search(other, "person_a_2.jpg", of=owner)
    (candidate,) = answer.results[0].candidates
    assert (answer.gallery_agency, candidate.booking_id) == (owner, booking_id)
    assert candidate.photo_url
    assert urllib3.request("GET", candidate.photo_url).data == portrait("person_a_1.jpg")
    chief.revoke_share(share.share_id)
    with pytest.raises(Refused) as refused:
        search(other, "person_a_2.jpg", of=owner)
    assert refused.value.status == 404
    stored = other.client.call("GET", f"/v1/searches/{answer.search_id}")
    assert "photo_url" not in stored["results"][0]["candidates"][0]


def test_a_deleted_booking_is_gone_from_the_index_the_bucket_and_the_record(stack: Stack) -> None:
    name = agency()
    api = stack.api(name)
    booking_id = stack.book(api, portrait("person_a_1.jpg"))
    stack.settled(api, booking_id)
    assert searched(api, "person_a_2.jpg", 1).results[0].candidates
    api.client.call("DELETE", f"/v1/bookings/{booking_id}")
    assert not search(api, "person_a_2.jpg").results[0].candidates

    def erased() -> bool:
        try:
            api.booking(booking_id)
        except Refused as refused:
            return refused.status == 404
        return False

    eventually(erased)
    assert search(api, "person_a_2.jpg").gallery_size == 0
    left = stack.aws("s3").list_object_versions(Bucket=stack.photos_bucket, Prefix=f"{name}/bookings/{booking_id}/")
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")


def test_a_corrected_subject_is_what_the_next_search_says(stack: Stack) -> None:
    api = stack.api(agency())
    booking_id = stack.book(api, portrait("person_b_1.jpg"), subject="wrong")
    stack.settled(api, booking_id)
    api.client.call("PATCH", f"/v1/bookings/{booking_id}", body={"subject_id": "right"})

    def subject() -> str:
        return searched(api, "person_b_2.jpg", 1).results[0].candidates[0].subject_id

    eventually(lambda: subject() == "right")


def noise() -> bytes:
    pixels = np.random.default_rng(7).integers(0, 255, (320, 320, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("photo", "reason"), [(noise(), "NO_FACE"), (b"not an image at all", "IMAGE_FORMAT_UNSUPPORTED")]
)
def test_a_photo_that_cannot_be_enrolled_is_rejected_with_the_reason_in_a_sentence(
    stack: Stack, photo: bytes, reason: str
) -> None:
    api = stack.api(agency())
    booking = stack.settled(api, stack.book(api, photo))
    assert booking.state == "rejected"
    (told,) = booking.photos
    assert told.state == "rejected"
    assert told.reason == reason
    assert (told.sentence or "").endswith(".")
