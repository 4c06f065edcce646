"""Leaving Rekognition by the command line: the collection that is left stands behind Candid's own Rekognition API, which lists as
Amazon's does; the photos lie in the local AWS's S3."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from candid.access.principal import Role
from tests.e2e.stack import Stack, portrait
from tests.e2e.test_rekognition import credentials
from tests.hostile import photos
from tests.integration.test_rekognition import side_by_side
from tests.rekognition import stock
from tests.unit.cli.running import Ran, candid

NAMES = ("person_a_1", "person_b_1", "impostor_1")


class County:
    """A collection with its photos, and the command that leaves it."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.theirs = stock(told := credentials(stack))
        self.name = f"county-{uuid.uuid4().hex[:8]}"
        self.bucket = f"mugshots-{uuid.uuid4().hex[:8]}"
        self.s3 = stack.aws("s3")
        self.s3.create_bucket(Bucket=self.bucket)
        self.theirs.create_collection(CollectionId=self.name)
        config = folder / "config"
        config.write_text(
            f"[profile county]\nregion = us-east-1\naws_access_key_id = {told['AccessKeyId']}\n"
            f"aws_secret_access_key = {told['SecretAccessKey']}\naws_session_token = {told['SessionToken']}\n"
            f"services = county\n[services county]\nrekognition =\n  endpoint_url = {told['endpoint']}\n"
            f"s3 =\n  endpoint_url = {stack.told['aws_endpoint_url']}\n"
        )
        self.environment = {
            "CANDID_HOME": stack.environment["CANDID_HOME"],
            "AWS_CONFIG_FILE": str(config),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
        }

    def index(self, name: str, external: str | None) -> None:
        more = {"ExternalImageId": external} if external else {}
        self.theirs.index_faces(CollectionId=self.name, Image={"Bytes": portrait(f"{name}.jpg")}, **more)

    def keep(self, key: str, data: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)

    def migrate(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ran:
        return candid(
            *("migrate", "rekognition", "--collection", self.name, "--source-profile", "county"),
            *("--agency", "ridgeport-so", *arguments),
            cwd=self.folder,
            env=self.environment | dict(env or {}),
        )

    def ours_is_there(self) -> bool:
        """Whether Candid has the collection for the other agency."""
        one = stock(self.stack.api("ridgeport-so").records_credentials(900).as_json())
        return self.name in one.list_collections()["CollectionIds"]

    def photos(self) -> tuple[str, str]:
        return "--photos", f"s3://{self.bucket}/2026/{{external_image_id}}.jpg"

    def ours(self, collection: str) -> list[dict[str, Any]]:
        """What Candid's collection of the other agency holds."""
        api = self.stack.api("ridgeport-so")
        one = stock(api.records_credentials(900).as_json())
        return sorted(one.list_faces(CollectionId=collection)["Faces"], key=lambda face: str(face["ExternalImageId"]))


@pytest.fixture
def county(stack: Stack, tmp_path: Path) -> County:
    return County(stack, tmp_path)


def test_a_collection_is_enrolled_anew_from_its_photos_and_a_second_run_has_nothing_to_do(county: County) -> None:
    for name in NAMES:
        county.index(name, name)
        county.keep(f"2026/{name}.jpg", portrait(f"{name}.jpg"))
    assert (county.migrate().code, county.ours_is_there()) == (0, False), (
        "without --photos it is listed, and nothing is done"
    )
    listed = county.migrate("--json")
    assert (listed.code, listed.json["photos"], listed.json["faces"]) == (0, 3, 3)
    ran = county.migrate(*county.photos(), "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["enrolled"], ran.json["faces_enrolled"], ran.json["left"]) == (3, 3, [])
    assert [face["ExternalImageId"] for face in county.ours(county.name)] == sorted(NAMES)
    again = county.migrate(*county.photos())
    assert again.code == 0
    assert "There already" in again.out
    assert len(county.ours(county.name)) == 3


def test_what_can_not_be_taken_along_is_told_photo_by_photo(county: County) -> None:
    for name, external in zip(NAMES, ("there", "no-photo", "no-face"), strict=True):
        county.index(name, external)
    county.index("person_b_2", None)
    county.index("person_a_2", "there")
    county.keep("2026/there.jpg", portrait("person_a_1.jpg"))
    county.keep("2026/no-face.jpg", b"no photo")
    left = county.folder / "left.csv"
    ran = county.migrate(*county.photos(), "--to", f"{county.name}-2", "--left", str(left))
    assert ran.code == 1
    for said in (
        "5 faces of 3 photos",
        "1 face without one",
        "1 ExternalImageId with several images",
        "Left: NO_PHOTO",
        "Left: InvalidImageFormatException",
    ):
        assert said in ran.out, ran.out
    rows = {(row["external_image_id"], row["reason"]) for row in csv.DictReader(left.open())}
    assert rows == {
        ("", "NO_EXTERNAL_IMAGE_ID"),
        ("there", "SEVERAL_IMAGES"),
        ("no-photo", "NO_PHOTO"),
        ("no-face", "InvalidImageFormatException"),
    }
    assert [face["ExternalImageId"] for face in county.ours(f"{county.name}-2")] == ["there"]


def test_of_a_photo_of_several_people_those_alone_are_enrolled_whom_the_collection_has(county: County) -> None:
    group = side_by_side("person_a_1", "impostor_1")
    told = county.theirs.index_faces(CollectionId=county.name, Image={"Bytes": group}, ExternalImageId="group")
    first, second = (record["Face"] for record in told["FaceRecords"])
    county.theirs.delete_faces(CollectionId=county.name, FaceIds=[first["FaceId"]])
    county.keep("2026/group.jpg", group)
    ran = county.migrate(*county.photos(), "--json")
    assert (ran.code, ran.json["enrolled"], ran.json["faces_enrolled"]) == (0, 1, 1), ran.err
    [ours] = county.ours(county.name)
    assert ours["BoundingBox"] == second["BoundingBox"]
    # A run that was cut off before it took the others out: the next one does.
    one = stock(county.stack.api("ridgeport-so").records_credentials(900).as_json())
    both = one.index_faces(CollectionId=county.name, Image={"Bytes": group}, ExternalImageId="group")
    assert len(both["FaceRecords"]) == len(county.ours(county.name)) == 2
    ran = county.migrate(*county.photos(), "--json")
    assert (ran.code, ran.json["there_already"], ran.json["left"]) == (0, 1, []), ran.err
    assert county.ours(county.name) == [ours]
    # Another photo under that name is nobody's of them.
    county.theirs.index_faces(CollectionId=county.name, Image={"Bytes": group}, ExternalImageId="other")
    people = Image.open(io.BytesIO(group))
    elsewhere = Image.new("RGB", (people.width, 3 * people.height))
    elsewhere.paste(people, (0, 2 * people.height))
    county.keep("2026/other.jpg", photos.saved(elsewhere))
    ran = county.migrate(*county.photos(), "--json")
    assert [one["reason"] for one in ran.json["left"]] == ["OTHER_FACES"]
    assert len(county.ours(county.name)) == 1


def test_a_photo_of_somebody_elses_face_or_number_is_not_taken_for_the_one_that_was_indexed(county: County) -> None:
    county.index("person_a_1", "single")
    people = Image.open(io.BytesIO(portrait("person_b_1.jpg")))
    elsewhere = Image.new("RGB", (3 * people.width, 3 * people.height))
    elsewhere.paste(people, (2 * people.width, 2 * people.height))
    county.keep("2026/single.jpg", photos.saved(elsewhere))
    api = county.stack.api("ridgeport-so", *Role)
    county.index("person_b_2", "LPD-10001")
    county.keep("2026/LPD-10001.jpg", portrait("person_b_2.jpg"))
    county.stack.settled(api, county.stack.book(api, portrait("impostor_1.jpg"), number="LPD-10001"))
    ran = county.migrate(*county.photos(), "--to", "bookings", "--json")
    assert ran.code == 1
    left = {one["external_image_id"]: one["reason"] for one in ran.json["left"]}
    assert left == {"single": "OTHER_FACES", "LPD-10001": "BOOKING_OF_THAT_NUMBER"}


def test_wrong_use_is_told_and_nothing_is_done(county: County) -> None:
    for wrong in ("s3://bucket/key.jpg", "bucket/{external_image_id}", "s3:///{external_image_id}"):
        ran = county.migrate("--photos", wrong)
        assert (ran.code, "s3://BUCKET/KEY" in ran.err) == (2, True)
    ran = candid(
        *("migrate", "rekognition", "--collection", "none", "--source-profile", "county", "--agency", "ridgeport-so"),
        cwd=county.folder,
        env=county.environment,
    )
    assert (ran.code, "There is no collection none there" in ran.err) == (1, True)
    ran = candid(
        *("migrate", "rekognition", "--collection", "none", "--source-profile", "nobody", "--agency", "ridgeport-so"),
        cwd=county.folder,
        env=county.environment,
    )
    assert (ran.code, "Check --source-profile" in ran.err) == (1, True), ran.err
    told = credentials(county.stack)
    ran = candid(
        *("migrate", "rekognition", "--collection", county.name, "--agency", "ridgeport-so"),
        cwd=county.folder,
        env=county.environment
        | {
            "AWS_ENDPOINT_URL_REKOGNITION": told["endpoint"],
            "AWS_ACCESS_KEY_ID": told["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": told["SecretAccessKey"],
            "AWS_SESSION_TOKEN": told["SessionToken"],
            "AWS_REGION": "us-east-1",
        },
    )
    assert (ran.code, "names Candid itself" in ran.err) == (1, True)
    ran = county.migrate(env={"AWS_ENDPOINT_URL_REKOGNITION": told["endpoint"]})
    assert (ran.code, "also for an AWS profile" in ran.err) == (1, True)
    ran = county.migrate(*county.photos(), "--left", "/nonexistent/left.csv")
    assert (ran.code, "can't be written" in ran.err) == (2, True)
    county.index("person_a_1", "one")
    ran = county.migrate("--photos", "s3://no-such-bucket-here/{external_image_id}.jpg")
    assert (ran.code, "There is no bucket no-such-bucket-here" in ran.err) == (1, True), ran.err
