"""Rekognition's clients against the local stack, by the way in that they have on AWS: signature and host in headers of ours."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import urllib3
from awscli.clidriver import create_clidriver
from botocore import xform_name
from botocore.config import Config
from infra.local import places
from infra.local.rekognition_front import Front

from candid.access.principal import Role
from candid.rekognition import operations
from tests.e2e.stack import Stack, free_ports, portrait
from tests.e2e.test_operating import agrees
from tests.rekognition import refused, stock, valid_requests

AGENCY = "lakeside-pd"
EXAMPLE = "CANDID_AWS_EXAMPLE"


def credentials(stack: Stack) -> dict[str, Any]:
    """Of a case, by Candid's own API."""
    api = stack.api(AGENCY)
    cases = [case for page in api.cases(state="open") for case in page]
    case = cases[0] if cases else api.open_case("CASE-1", "criminal_investigation", "reasonable suspicion")
    return api.case_credentials(case.case_id, "surveillance_still", 900).as_json()


def test_a_stock_client_needs_credentials_and_an_endpoint(stack: Stack) -> None:
    told = credentials(stack)
    assert told["endpoint"] == stack.told["rekognition_url"]
    one = stock(told)
    (face,) = one.detect_faces(Image={"Bytes": portrait("person_a_1.jpg")})["FaceDetails"]
    assert face["Confidence"] > 90
    answer = one.compare_faces(
        SourceImage={"Bytes": portrait("person_a_1.jpg")}, TargetImage={"Bytes": portrait("person_a_2.jpg")}
    )
    assert answer["FaceMatches"][0]["Similarity"] > 95
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-candid-notice"]
    wrong = stock(told | {"SecretAccessKey": "x" * 40})
    assert refused(wrong.detect_faces, Image={"Bytes": b"x"})[:2] == ("InvalidSignatureException", 400)


def environment(told: Mapping[str, str]) -> dict[str, str]:
    """What ``candid case credentials --export`` sets."""
    return {
        "AWS_ACCESS_KEY_ID": told["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": told["SecretAccessKey"],
        "AWS_SESSION_TOKEN": told["SessionToken"],
        "AWS_DEFAULT_REGION": told["region"],
        "AWS_ENDPOINT_URL_REKOGNITION": told["endpoint"],
    }


class CommandLine:
    """The AWS command line, as ``candid case credentials --export`` sets it up, in this process: its start takes a second."""

    def __init__(
        self, told: Mapping[str, str], folder: Path, patch: pytest.MonkeyPatch, out: pytest.CaptureFixture[str]
    ):
        # The command line itself sets AWS_DATA_PATH.
        for name in [name for name in os.environ if name.startswith("AWS_") and name != "AWS_DATA_PATH"]:
            patch.delenv(name)
        for name, value in {
            **environment(told),
            "AWS_CONFIG_FILE": str(folder / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }.items():
            patch.setenv(name, value)
        self.out = out

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output and errors of ``aws rekognition`` with these arguments."""
        self.out.readouterr()
        code = create_clidriver().main(["rekognition", "--output", "json", *arguments])
        said = self.out.readouterr()
        return code, said.out, said.err

    def __call__(self, *arguments: str) -> Any:
        """What it answers."""
        code, said, errors = self.run(*arguments)
        assert code == 0, (arguments, errors)
        return json.loads(said or "{}")


def test_the_aws_command_line_carries_out_every_operation(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: set[str] = set()
    aws = CommandLine(credentials(stack), tmp_path, monkeypatch, capsys)
    images = {}
    for name in ("person_a_1", "person_a_2"):
        (tmp_path / name).write_bytes(portrait(f"{name}.jpg"))
        images[name] = f"fileb://{tmp_path / name}"
    here = ("--collection-id", f"cli-{uuid.uuid4().hex[:8]}")

    def done(operation: str, *arguments: str) -> Any:
        asked.add(operation.replace("-", ""))
        return aws(operation, *arguments)

    arn = done("create-collection", *here, "--tags", "unit=records")["CollectionArn"]
    assert done("describe-collection", *here)["CollectionARN"] == arn
    assert here[1] in done("list-collections")["CollectionIds"]
    done("tag-resource", "--resource-arn", arn, "--tags", "year=2026")
    done("untag-resource", "--resource-arn", arn, "--tag-keys", "unit")
    assert done("list-tags-for-resource", "--resource-arn", arn)["Tags"] == {"year": "2026"}
    indexed = done("index-faces", *here, "--image-bytes", images["person_a_1"], "--external-image-id", "a")
    face = indexed["FaceRecords"][0]["Face"]
    assert done("list-faces", *here)["Faces"] == [face]
    found = done("search-faces-by-image", *here, "--image-bytes", images["person_a_2"])
    assert [one["Face"] for one in found["FaceMatches"]] == [face]
    assert done("search-faces", *here, "--face-id", face["FaceId"])["FaceMatches"] == []
    assert len(done("detect-faces", "--image-bytes", images["person_a_1"])["FaceDetails"]) == 1
    pair = ("--source-image-bytes", images["person_a_1"], "--target-image-bytes", images["person_a_2"])
    compared = done("compare-faces", *pair)
    assert compared["FaceMatches"][0]["Similarity"] > 95
    user = (*here, "--user-id", "anna")
    done("create-user", *user)
    told = done("associate-faces", *user, "--face-ids", face["FaceId"])
    assert (told["AssociatedFaces"], told["UserStatus"]) == ([{"FaceId": face["FaceId"]}], "ACTIVE")
    assert done("list-users", *here)["Users"] == [{"UserId": "anna", "UserStatus": "ACTIVE"}]
    found = done("search-users-by-image", *here, "--image-bytes", images["person_a_2"])
    assert [one["User"]["UserId"] for one in found["UserMatches"]] == ["anna"]
    found = done("search-users", *here, "--face-id", face["FaceId"])
    assert [one["User"]["UserId"] for one in found["UserMatches"]] == ["anna"]
    assert done("disassociate-faces", *user, "--face-ids", face["FaceId"])["UserStatus"] == "CREATED"
    done("delete-user", *user)
    assert done("delete-faces", *here, "--face-ids", face["FaceId"])["DeletedFaces"] == [face["FaceId"]]
    assert done("delete-collection", *here)["StatusCode"] == 200
    assert asked == {name.lower() for name in operations.CARRIED_OUT}
    # And it says why not.
    code, _, errors = aws.run("describe-collection", *here)
    assert (code, "ResourceNotFoundException" in errors) == (255, True)
    code, _, errors = aws.run("list-stream-processors")
    assert (code, "probe_sources.live_stream.allowed" in errors) == (255, True)


def test_users_are_made_searched_and_deleted_one_call_right_after_the_other(stack: Stack) -> None:
    one, name = stock(credentials(stack)), f"users-{uuid.uuid4().hex[:8]}"
    one.create_collection(CollectionId=name)
    faces = [
        one.index_faces(CollectionId=name, Image={"Bytes": portrait(f"{photo}.jpg")})["FaceRecords"][0]["Face"][
            "FaceId"
        ]
        for photo in ("person_a_1", "person_a_2", "impostor_1")
    ]
    for user_id, its in (("anna", faces[:2]), ("bob", faces[2:])):
        one.create_user(CollectionId=name, UserId=user_id)
        told = one.associate_faces(CollectionId=name, UserId=user_id, FaceIds=its)
        assert (len(told["AssociatedFaces"]), told["UserStatus"]) == (len(its), "ACTIVE")
        found = one.search_users(CollectionId=name, FaceId=its[0])
        assert [match["User"]["UserId"] for match in found["UserMatches"]] == [user_id]
    assert one.describe_collection(CollectionId=name)["UserCount"] == 2
    one.disassociate_faces(CollectionId=name, UserId="anna", FaceIds=faces[:1])
    found = one.search_users_by_image(CollectionId=name, Image={"Bytes": portrait("person_a_1.jpg")})
    assert [match["User"]["UserId"] for match in found["UserMatches"]] == ["anna"]
    one.delete_user(CollectionId=name, UserId="anna")
    found = one.search_users_by_image(CollectionId=name, Image={"Bytes": portrait("person_a_1.jpg")})
    assert found["UserMatches"] == []
    agrees(stack)
    one.delete_collection(CollectionId=name)
    agrees(stack)


def test_a_larger_image_is_read_from_the_agencys_own_bucket(stack: Stack) -> None:
    one, s3 = stock(credentials(stack)), stack.aws("s3")
    bucket = f"lakeside-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    photo = portrait("person_a_1.jpg")
    s3.put_object(Bucket=bucket, Key="booking/a.jpg", Body=photo + b"\0" * (15 * 2**20 - len(photo)))
    image = {"S3Object": {"Bucket": bucket, "Name": "booking/a.jpg"}}
    assert refused(one.detect_faces, Image=image)[0] == "InvalidS3ObjectException"
    api = stack.api(AGENCY, Role.ADMIN)
    place = api.create_place(bucket, "booking/")
    assert refused(one.detect_faces, Image=image)[0] == "InvalidS3ObjectException"
    s3.put_object(Bucket=bucket, Key="booking/candid-agency.txt", Body=f"{AGENCY}\n".encode())
    assert len(one.detect_faces(Image=image)["FaceDetails"]) == 1
    name = f"s3-{uuid.uuid4().hex[:8]}"
    one.create_collection(CollectionId=name)
    (face,) = one.index_faces(CollectionId=name, Image=image)["FaceRecords"]
    assert one.list_faces(CollectionId=name)["Faces"] == [face["Face"]]
    one.delete_collection(CollectionId=name)
    api.delete_place(place.place_id)
    assert refused(one.detect_faces, Image=image)[0] == "InvalidS3ObjectException"


def test_the_largest_image_that_fits_is_taken_and_a_larger_one_is_told_so(stack: Stack) -> None:
    one = stock(credentials(stack))
    photo = portrait("person_a_1.jpg")
    # Base64 and the event around it have 6,291,456 bytes together.
    fits = photo + b"\0" * (4_600_000 - len(photo))
    assert len(one.detect_faces(Image={"Bytes": fits})["FaceDetails"]) == 1
    large = photo + b"\0" * (5_242_880 - len(photo))
    assert refused(one.detect_faces, Image={"Bytes": large})[:2] == ("ImageTooLargeException", 400)
    pair = {"SourceImage": {"Bytes": fits}, "TargetImage": {"Bytes": fits}}
    assert refused(one.compare_faces, **pair)[0] == "ImageTooLargeException"


def test_what_is_no_call_is_an_exception_too(stack: Stack) -> None:
    for method, headers in (("GET", {}), ("POST", {"Authorization": "Bearer x"})):
        answer = urllib3.request(method, stack.told["rekognition_url"] + "/", headers=headers, retries=False)
        assert answer.status == 400
        assert answer.json()["__type"] == "UnknownOperationException"
        assert answer.headers["Content-Type"] == "application/x-amz-json-1.1"


def test_a_collections_life_is_as_a_client_of_rekognition_knows_it(stack: Stack) -> None:
    """The calls of the published example of the AWS SDK for Python, in its order, one right after the other."""
    one, name = stock(credentials(stack)), f"life-{uuid.uuid4().hex[:8]}"
    one.create_collection(CollectionId=name)
    (first,) = one.index_faces(
        CollectionId=name,
        Image={"Bytes": portrait("person_a_1.jpg")},
        ExternalImageId="person_a_1.jpg",
        MaxFaces=20,
        DetectionAttributes=["ALL"],
    )["FaceRecords"]
    one.index_faces(CollectionId=name, Image={"Bytes": portrait("impostor_1.jpg")}, ExternalImageId="impostor_1.jpg")
    assert first["Face"] in one.list_faces(CollectionId=name, MaxResults=20)["Faces"]
    assert one.describe_collection(CollectionId=name)["FaceCount"] == 2
    found = one.search_faces_by_image(
        CollectionId=name, Image={"Bytes": portrait("person_a_2.jpg")}, FaceMatchThreshold=80, MaxFaces=20
    )
    assert [each["Face"] for each in found["FaceMatches"]] == [first["Face"]]
    (second,) = one.index_faces(CollectionId=name, Image={"Bytes": portrait("person_a_2.jpg")})["FaceRecords"]
    found = one.search_faces(CollectionId=name, FaceId=first["Face"]["FaceId"], FaceMatchThreshold=80, MaxFaces=20)
    assert [each["Face"]["FaceId"] for each in found["FaceMatches"]] == [second["Face"]["FaceId"]]
    stored = stack.ask(
        "GET",
        f"/v1/searches/{found['ResponseMetadata']['HTTPHeaders']['x-candid-search-id']}",
        stack.tokens(AGENCY).token(),
    )
    assert stored.status == 200
    deleted = one.delete_faces(CollectionId=name, FaceIds=[first["Face"]["FaceId"]])
    assert deleted["DeletedFaces"] == [first["Face"]["FaceId"]]
    found = one.search_faces_by_image(CollectionId=name, Image={"Bytes": portrait("person_a_2.jpg")})
    assert [each["Face"]["FaceId"] for each in found["FaceMatches"]] == [second["Face"]["FaceId"]]
    assert name in one.list_collections()["CollectionIds"]
    one.delete_collection(CollectionId=name)
    assert name not in one.list_collections()["CollectionIds"]
    one.create_collection(CollectionId=name)
    assert one.list_faces(CollectionId=name)["Faces"] == []
    one.delete_collection(CollectionId=name)
    agrees(stack)


@pytest.mark.skipif(EXAMPLE not in os.environ, reason=f"{EXAMPLE} names no folder with AWS's example of collections")
def test_the_published_example_runs_as_it_is(stack: Stack) -> None:
    """awsdocs/aws-doc-sdk-examples, python/example_code/rekognition: three photos, indexed and searched."""
    told = credentials(stack)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "rekognition_collections.py"],
        cwd=os.environ[EXAMPLE],
        env=kept | environment(told),
        input="\n" * 9,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Created collection doc-example-collection-demo" in done.stdout
    assert "Thanks for watching!" in done.stdout
    # A family at play: its faces are small and turned away, and few of them pass the filter.
    assert "Found 3 faces in collection" in done.stderr
    assert "Deleted collection" in done.stderr


def test_sixteen_clients_at_once_have_each_their_face_and_find_it(stack: Stack) -> None:
    told, name = credentials(stack), f"many-{uuid.uuid4().hex[:8]}"
    stock(told).create_collection(CollectionId=name)
    photo = portrait("person_a_1.jpg")

    def work(number: int) -> tuple[str, list[str]]:
        one = stock(told)
        # Each its own object: the photo, and a number behind the end of the image.
        (record,) = one.index_faces(
            CollectionId=name, Image={"Bytes": photo + bytes([number])}, ExternalImageId=f"external-{number}"
        )["FaceRecords"]
        found = one.search_faces_by_image(CollectionId=name, Image={"Bytes": portrait("person_a_2.jpg")})
        return record["Face"]["FaceId"], [each["Face"]["FaceId"] for each in found["FaceMatches"]]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(work, range(16)))
    assert all(face in found for face, found in answers)
    pages = stock(told).get_paginator("list_faces").paginate(CollectionId=name, PaginationConfig={"PageSize": 5})
    listed = [face["FaceId"] for page in pages for face in page["Faces"]]
    assert sorted(listed) == sorted(face for face, _ in answers)
    stock(told).delete_collection(CollectionId=name)
    agrees(stack)


class _Storm(BaseHTTPRequestHandler):
    """Stands before the way in: throttles the first calls, every other one after it has been carried out."""

    protocol_version = "HTTP/1.1"
    behind: ClassVar[str]
    numbers: ClassVar[Iterator[int]]
    throttled: ClassVar[int]

    def do_POST(self) -> None:
        number = next(self.numbers)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, data = 400, b'{"__type":"ThrottlingException","message":"Slow down. Try again."}'
        if number > self.throttled or number % 2:
            told = urllib3.request(
                "POST", self.behind, body=body, headers=dict(self.headers), retries=False, timeout=40
            )
            if number > self.throttled:
                status, data = told.status, told.data
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_a_storm_of_clients_that_were_throttled_leaves_each_its_face_once(stack: Stack) -> None:
    told, name = credentials(stack), f"storm-{uuid.uuid4().hex[:8]}"
    stock(told).create_collection(CollectionId=name)
    _Storm.behind, _Storm.numbers, _Storm.throttled = told["endpoint"] + "/", itertools.count(1), 32
    storm = ThreadingHTTPServer(("127.0.0.1", 0), _Storm)
    threading.Thread(target=storm.serve_forever, daemon=True).start()
    patient = Config(retries={"mode": "standard", "total_max_attempts": 12})
    through = told | {"endpoint": f"http://127.0.0.1:{storm.server_address[1]}"}

    def work(number: int) -> str:
        one = stock(through, patient)
        photo = portrait("person_a_1.jpg") + bytes([number])
        (record,) = one.index_faces(CollectionId=name, Image={"Bytes": photo}, ExternalImageId=f"external-{number}")[
            "FaceRecords"
        ]
        return str(record["Face"]["FaceId"])

    try:
        with ThreadPoolExecutor(16) as pool:
            faces = list(pool.map(work, range(16)))
    finally:
        storm.shutdown()
        storm.server_close()
    assert next(_Storm.numbers) == 16 + 32 + 1
    assert len(set(faces)) == 16
    listed = [face["FaceId"] for face in stock(told).list_faces(CollectionId=name)["Faces"]]
    assert sorted(listed) == sorted(faces)
    stock(told).delete_collection(CollectionId=name)
    agrees(stack)


def test_every_operation_is_answered_and_of_a_collection_that_is_not_there_says_so(stack: Stack) -> None:
    one, name = stock(credentials(stack)), f"all-{uuid.uuid4().hex[:8]}"
    arn = one.create_collection(CollectionId=name)["CollectionArn"]
    (record,) = one.index_faces(CollectionId=name, Image={"Bytes": portrait("person_a_1.jpg")})["FaceRecords"]
    requests = valid_requests(name, arn, record["Face"]["FaceId"])
    assert requests.keys() == operations.CARRIED_OUT.keys()
    for operation, sent in requests.items():
        members = {
            member: {"Bytes": base64.b64decode(value["Bytes"])}
            if isinstance(value, dict) and "Bytes" in value
            else value
            for member, value in sent.items()
        }
        call = getattr(one, xform_name(operation))
        answer = call(**members)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        if "CollectionId" in members and operation != "CreateCollection":
            assert refused(call, **members | {"CollectionId": "nothing"})[:2] == ("ResourceNotFoundException", 400)
        elif "ResourceArn" in members:
            gone = arn.replace(name, "nothing")
            assert refused(call, **members | {"ResourceArn": gone})[:2] == ("ResourceNotFoundException", 400)
        elif operation in {"DetectFaces", "CompareFaces"}:
            broken = {member: {"Bytes": b"no image"} for member in members if member.endswith("Image")}
            assert refused(call, **members | broken)[:2] == ("InvalidImageFormatException", 400)
    assert refused(one.create_collection, CollectionId=name)[0] == "ResourceAlreadyExistsException"
    assert refused(one.list_collections, NextToken="nothing")[0] == "InvalidPaginationTokenException"
    one.delete_collection(CollectionId=name)
    agrees(stack)


class _Gateway(BaseHTTPRequestHandler):
    """What reaches API Gateway."""

    seen: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_no_authorization_reaches_the_gateway(tmp_path: Path) -> None:
    """API Gateway would take it for a signature of its own and drop it; here the front does."""
    gateway = HTTPServer(("127.0.0.1", 0), _Gateway)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    where = places.read({"CANDID_HOME": str(tmp_path), "CANDID_REKOGNITION_PORT": str(free_ports(1)[0])})
    front = Front(where, "127.0.0.1", f"http://127.0.0.1:{gateway.server_address[1]}/")
    front.serve_beside()
    try:
        told = {
            "AccessKeyId": "CNDDABCDEFGHIJKLMNOP",
            "SecretAccessKey": "s",
            "SessionToken": "t",
            "region": "us-east-1",
            "endpoint": where.rekognition_url,
        }
        stock(told).detect_faces(Image={"Bytes": b"x"})
    finally:
        for one in (front, gateway):
            one.shutdown()
            one.server_close()
    (headers,) = _Gateway.seen
    assert "authorization" not in headers
    assert headers["x-candid-authorization"].startswith("AWS4-HMAC-SHA256 Credential=CNDDABCDEFGHIJKLMNOP/")
    assert headers["x-candid-host"] == where.rekognition_url.removeprefix("http://")
    assert headers["x-amz-security-token"] == "t"
