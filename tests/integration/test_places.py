"""Places: registered by an administrator, proved by the place itself, read by Rekognition's operations; over moto's AWS."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError

from candid import aws, storage
from candid.access.principal import Principal, Role
from candid.cli.commands import place as command
from candid.gallery.places import MARKER, MAX_PLACES, Places
from candid.tables import to_item
from ingest import app as ingest_app
from tests.contract.openapi import conforms
from tests.gateway import Answer, Caller
from tests.integration.aws import GALLERY_TABLE, PHOTOS_BUCKET
from tests.integration.gallery import AGENCY
from tests.integration.rekognition_world import STRANGER, World, ids, rekognition_world
from tests.portraits import portrait
from tests.refusals import wrong
from tests.rekognition import refused

pytestmark = pytest.mark.slow


@dataclass
class Bucket:
    """A bucket of an agency's own, and hands on its places."""

    name: str

    def put(self, key: str, data: bytes) -> str:
        told = aws.s3().put_object(Bucket=self.name, Key=key, Body=data)
        return str(told.get("VersionId", ""))

    def place(self, prefix: str, agency: str = AGENCY, says: str | None = None) -> str:
        """A registered place that says that it is the agency's."""
        self.put(f"{prefix}{MARKER}", (agency if says is None else says).encode())
        answer = asked(agency, "POST", "/v1/places", {"bucket": self.name, "prefix": prefix})
        assert answer.status == 201, answer
        return str(answer.body["place_id"])

    def object(self, key: str, **more: str) -> dict[str, Any]:
        return {"S3Object": {"Bucket": self.name, "Name": key, **more}}


def asked(agency: str, method: str, path: str, body: Any = None) -> Answer:
    return Caller(ingest_app.handler, agency, "chief", "admin")(method, path, body)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with rekognition_world(tmp_path_factory.mktemp("places")) as made:
        yield made


@pytest.fixture
def bucket(world: World) -> Bucket:
    made = Bucket(f"lakeside-{uuid.uuid4().hex[:8]}")
    aws.s3().create_bucket(Bucket=made.name)
    return made


def test_places_are_registered_listed_and_taken_back(bucket: Bucket) -> None:
    agency = f"agency-{uuid.uuid4().hex[:6]}"
    made = [
        asked(agency, "POST", "/v1/places", {"bucket": bucket.name, "prefix": prefix}) for prefix in ("b/", "", "b/")
    ]
    assert [answer.status for answer in made] == [201, 201, 201]
    conforms(made[0].body, "Place")
    assert made[0].body == made[2].body
    listed = asked(agency, "GET", "/v1/places").body
    conforms(listed, "Places")
    assert [one["prefix"] for one in listed["places"]] == ["", "b/"]
    path = f"/v1/places/{made[0].body['place_id']}"
    assert asked(STRANGER, "DELETE", path).status == 404
    assert asked(agency, "DELETE", path).body == made[0].body
    assert asked(agency, "DELETE", path).status == 404
    assert [one["prefix"] for one in asked(agency, "GET", "/v1/places").body["places"]] == [""]
    again = asked(agency, "POST", "/v1/places", {"bucket": bucket.name, "prefix": "b/"})
    assert (again.status, again.body["place_id"]) == (201, made[0].body["place_id"])


@pytest.mark.parametrize(
    "body",
    [
        {"bucket": "a.b.c"},
        {"bucket": "Photos"},
        {"bucket": "-photos"},
        {"bucket": "x" * 64},
        {"bucket": "photos", "prefix": "booking"},
        {"bucket": "photos", "prefix": "ä/"},
        {"bucket": "photos", "prefix": "x" * 512 + "/"},
        {"prefix": "booking/"},
    ],
)
def test_what_is_no_place_is_refused(world: World, body: dict[str, str]) -> None:
    answer = asked(AGENCY, "POST", "/v1/places", body)
    assert answer.status == 400
    assert wrong(answer.body["detail"]) is None, answer.body["detail"]


def test_an_agency_has_so_many_places_at_most(world: World) -> None:
    agency = f"agency-{uuid.uuid4().hex[:6]}"
    for number in range(MAX_PLACES):
        assert asked(agency, "POST", "/v1/places", {"bucket": "photos", "prefix": f"{number}/"}).status == 201
    assert asked(agency, "POST", "/v1/places", {"bucket": "photos", "prefix": "more/"}).status == 409
    assert asked(agency, "POST", "/v1/places", {"bucket": "photos", "prefix": "0/"}).status == 201


def test_an_image_is_read_from_the_agencys_place_by_every_operation(world: World, bucket: Bucket) -> None:
    one, name = world.client(), world.collection()
    bucket.place("booking/")
    for photo in ("person_a_1", "person_a_2"):
        bucket.put(f"booking/2026/{photo}.jpg", portrait(photo))
    first, second = (bucket.object(f"booking/2026/{photo}.jpg") for photo in ("person_a_1", "person_a_2"))
    assert len(one.detect_faces(Image=first)["FaceDetails"]) == 1
    assert one.compare_faces(SourceImage=first, TargetImage=second)["FaceMatches"][0]["Similarity"] > 90
    face = ids(one.index_faces(CollectionId=name, Image=first))
    assert [
        match["Face"]["FaceId"] for match in one.search_faces_by_image(CollectionId=name, Image=second)["FaceMatches"]
    ] == face
    one.create_user(CollectionId=name, UserId="anna")
    one.associate_faces(CollectionId=name, UserId="anna", FaceIds=face)
    assert one.search_users_by_image(CollectionId=name, Image=second)["UserMatches"]
    # The same bytes, however they come, are the same face.
    assert ids(one.index_faces(CollectionId=name, Image={"Bytes": portrait("person_a_1")})) == face


def test_a_version_that_is_named_is_the_one_that_is_read(world: World, bucket: Bucket) -> None:
    aws.s3().put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    bucket.place("")
    one = world.client()
    old = bucket.put("a.jpg", portrait("person_a_1"))
    bucket.put("a.jpg", b"no photo")
    assert one.detect_faces(Image=bucket.object("a.jpg", Version=old))["FaceDetails"]
    assert refused(one.detect_faces, Image=bucket.object("a.jpg"))[0] == "InvalidImageFormatException"
    assert refused(one.detect_faces, Image=bucket.object("a.jpg", Version="none"))[0] == "InvalidS3ObjectException"


def test_nothing_is_read_that_is_not_the_agencys(world: World, bucket: Bucket) -> None:
    one, other = world.client(), world.client(STRANGER)
    bucket.put("booking/a.jpg", portrait("person_a_1"))
    there = bucket.object("booking/a.jpg")

    def told(client: Any) -> str:
        name, status, sentence = refused(client.detect_faces, Image=there)
        assert (name, status, wrong(sentence)) == ("InvalidS3ObjectException", 400, None)
        assert "booking" not in sentence
        return sentence

    assert "nowhere that your agency has registered" in told(one)
    bucket.place("booking/", says="")
    assert "does not say" in told(one)
    place = bucket.place("booking/")
    assert one.detect_faces(Image=there)["FaceDetails"]
    # Another agency may say that it is its own: the place says whose it is.
    assert asked(STRANGER, "POST", "/v1/places", {"bucket": bucket.name, "prefix": "booking/"}).status == 201
    assert "does not say" in told(other)
    # Whoever has the bucket takes it back, and so does the agency.
    aws.s3().delete_object(Bucket=bucket.name, Key=f"booking/{MARKER}")
    assert "does not say" in told(one)
    bucket.place("booking/")
    assert asked(AGENCY, "DELETE", f"/v1/places/{place}").status == 200
    assert "nowhere that your agency has registered" in told(one)


def test_the_longest_prefix_says_whose_an_object_is(world: World, bucket: Bucket) -> None:
    bucket.put("shared/a.jpg", portrait("person_a_1"))
    bucket.place("")
    bucket.place("shared/", says=STRANGER)
    assert refused(world.client().detect_faces, Image=bucket.object("shared/a.jpg"))[0] == "InvalidS3ObjectException"


def test_a_part_of_a_place_can_be_another_agencys(world: World, bucket: Bucket) -> None:
    bucket.place("")
    bucket.put("other-pd/2026/a.jpg", portrait("person_a_1"))
    there = bucket.object("other-pd/2026/a.jpg")
    assert world.client().detect_faces(Image=there)["FaceDetails"]
    bucket.place("other-pd/", agency=STRANGER)
    assert world.client(STRANGER).detect_faces(Image=there)["FaceDetails"]
    assert refused(world.client().detect_faces, Image=there)[0] == "InvalidS3ObjectException"


def test_an_image_too_deep_in_a_place_or_under_no_agencys_word_is_not_read(world: World, bucket: Bucket) -> None:
    deep = "/".join("f" * 17) + "/a.jpg"
    bucket.put(deep, portrait("person_a_1"))
    bucket.place("")
    assert refused(world.client().detect_faces, Image=bucket.object(deep))[0] == "InvalidS3ObjectException"
    bucket.place("", says=AGENCY + "\n" * 300)
    assert refused(world.client().detect_faces, Image=bucket.object("a.jpg"))[0] == "InvalidS3ObjectException"


@pytest.mark.parametrize("code", ["KMS.DisabledException", "InvalidRequest", "KeyTooLongError", "InvalidObjectState"])
def test_whatever_s3_calls_it_what_can_not_be_read_is_no_failure_of_candids(
    world: World, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    bucket.place("")
    call = botocore.client.BaseClient._make_api_call

    def answered(client: Any, operation: str, parameters: Any) -> Any:
        if operation == "GetObject" and parameters["Key"] == "a.jpg":
            raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}, operation)
        return call(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", answered)
    assert refused(world.client().detect_faces, Image=bucket.object("a.jpg"))[0] == "InvalidS3ObjectException"


def test_withdrawn_places_hide_none_that_is_not(world: World) -> None:
    agency = f"agency-{uuid.uuid4().hex[:6]}"
    items = [
        {
            **{
                "pk": f"PLACES#{agency}",
                "sk": f"PLACE#{uuid.UUID(int=number)}",
                "place_id": str(uuid.UUID(int=number)),
            },
            **{"agency": agency, "bucket": "b", "prefix": f"{'x' * 3_000}{number}/", "registered_by": "chief"},
            **{"registered_at": "2026-01-01T00:00:00.000000Z", "withdrawn_at": "2026-01-01T00:00:00.000000Z"},
        }
        for number in range(400)
    ]
    for first in range(0, len(items), 25):
        some = [{"PutRequest": {"Item": to_item(item)}} for item in items[first : first + 25]]
        aws.dynamodb().batch_write_item(RequestItems={GALLERY_TABLE: some})
    assert asked(agency, "POST", "/v1/places", {"bucket": "county", "prefix": ""}).status == 201
    told = asked(agency, "GET", "/v1/places")
    assert (told.status, [one["bucket"] for one in told.body.get("places", [])]) == (200, ["county"]), told


def test_what_is_not_there_or_too_large_is_told_so(world: World, bucket: Bucket) -> None:
    one = world.client()
    bucket.place("")
    assert refused(one.detect_faces, Image=bucket.object("none.jpg"))[0] == "InvalidS3ObjectException"
    bucket.put("large.jpg", portrait("person_a_1") + b"\0" * storage.MAX_UPLOAD_BYTES)
    assert refused(one.detect_faces, Image=bucket.object("large.jpg"))[0] == "ImageTooLargeException"
    fits = portrait("person_a_1")
    bucket.put("fits.jpg", fits + b"\0" * (storage.MAX_UPLOAD_BYTES - len(fits)))
    assert one.detect_faces(Image=bucket.object("fits.jpg"))["FaceDetails"]
    for members in ({"Bucket": bucket.name}, {"Name": "fits.jpg"}, {}):
        assert refused(one.detect_faces, Image={"S3Object": members})[0] == "InvalidParameterException"
    gone = Bucket(f"gone-{uuid.uuid4().hex[:8]}")
    asked(AGENCY, "POST", "/v1/places", {"bucket": gone.name})
    assert refused(one.detect_faces, Image=gone.object("a.jpg"))[0] == "InvalidS3ObjectException"


def test_candids_own_buckets_are_no_place(world: World) -> None:
    """An agency may put photos under its own prefix of the photos bucket, and so could put its name there too."""
    ours = Bucket(PHOTOS_BUCKET)
    ours.put(f"{AGENCY}/{MARKER}", AGENCY.encode())
    ours.put(f"{AGENCY}/a.jpg", portrait("person_a_1"))
    assert asked(AGENCY, "POST", "/v1/places", {"bucket": PHOTOS_BUCKET, "prefix": f"{AGENCY}/"}).status == 400
    # And the function that reads has the last word.
    chief = Principal(AGENCY, "chief", frozenset({Role.ADMIN}))
    Places(GALLERY_TABLE).register(chief, PHOTOS_BUCKET, f"{AGENCY}/")
    told = refused(world.client().detect_faces, Image=ours.object(f"{AGENCY}/a.jpg"))
    assert told[0] == "InvalidS3ObjectException"


@pytest.mark.parametrize("says", ["Washington-County\r\n", "\ufeffwashington-county", "  washington-county "])
def test_a_marker_is_read_as_editors_and_shells_write_it(world: World, bucket: Bucket, says: str) -> None:
    bucket.put("a.jpg", portrait("person_a_1"))
    bucket.place("", says=says)
    assert world.client().detect_faces(Image=bucket.object("a.jpg"))["FaceDetails"]


def test_the_command_line_names_the_same_object() -> None:
    assert command.MARKER == MARKER
