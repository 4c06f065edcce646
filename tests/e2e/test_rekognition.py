"""Rekognition's clients against the local stack, by the way in that they have on AWS: signature and host in headers of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import boto3
import urllib3
from infra.local import places
from infra.local.rekognition_front import Front

from tests.e2e.stack import Stack, free_ports, portrait
from tests.e2e.test_operating import agrees
from tests.rekognition import ONCE, refused

AGENCY = "lakeside-pd"


def credentials(stack: Stack) -> dict[str, Any]:
    """Of a case, by Candid's own API."""
    api = stack.api(AGENCY)
    cases = [case for page in api.cases(state="open") for case in page]
    case = cases[0] if cases else api.open_case("CASE-1", "criminal_investigation", "reasonable suspicion")
    return api.case_credentials(case.case_id, "surveillance_still", 900).as_json()


def client(told: Mapping[str, str], **more: Any) -> Any:
    """boto3's, with nothing of a test's in it but the endpoint and the credentials."""
    return boto3.client(
        "rekognition",
        aws_access_key_id=told["AccessKeyId"],
        aws_secret_access_key=told["SecretAccessKey"],
        aws_session_token=told["SessionToken"],
        region_name=told["region"],
        endpoint_url=told["endpoint"],
        config=ONCE,
        **more,
    )


def test_a_stock_client_needs_credentials_and_an_endpoint(stack: Stack) -> None:
    told = credentials(stack)
    assert told["endpoint"] == stack.told["rekognition_url"]
    one = client(told)
    (face,) = one.detect_faces(Image={"Bytes": portrait("person_a_1.jpg")})["FaceDetails"]
    assert face["Confidence"] > 90
    answer = one.compare_faces(
        SourceImage={"Bytes": portrait("person_a_1.jpg")}, TargetImage={"Bytes": portrait("person_a_2.jpg")}
    )
    assert answer["FaceMatches"][0]["Similarity"] > 95
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-candid-notice"]
    wrong = client(told | {"SecretAccessKey": "x" * 40})
    assert refused(wrong.detect_faces, Image={"Bytes": b"x"})[:2] == ("InvalidSignatureException", 400)


def test_the_aws_command_line_needs_the_same(stack: Stack, tmp_path: Path) -> None:
    told = credentials(stack)
    image = tmp_path / "probe.jpg"
    image.write_bytes(portrait("person_a_1.jpg"))
    variables = {
        "AWS_ACCESS_KEY_ID": told["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": told["SecretAccessKey"],
        "AWS_SESSION_TOKEN": told["SessionToken"],
        "AWS_DEFAULT_REGION": told["region"],
        "AWS_ENDPOINT_URL_REKOGNITION": told["endpoint"],
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    aws = [sys.executable, "-m", "awscli", "rekognition", "--output", "json"]
    done = subprocess.run(
        [*aws, "detect-faces", "--image-bytes", f"fileb://{image}"],
        env=kept | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(json.loads(done.stdout)["FaceDetails"]) == 1


def test_the_largest_image_that_fits_is_taken_and_a_larger_one_is_told_so(stack: Stack) -> None:
    one = client(credentials(stack))
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
    one, name = client(credentials(stack)), f"life-{uuid.uuid4().hex[:8]}"
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
        client(told).detect_faces(Image={"Bytes": b"x"})
    finally:
        for one in (front, gateway):
            one.shutdown()
            one.server_close()
    (headers,) = _Gateway.seen
    assert "authorization" not in headers
    assert headers["x-candid-authorization"].startswith("AWS4-HMAC-SHA256 Credential=CNDDABCDEFGHIJKLMNOP/")
    assert headers["x-candid-host"] == where.rekognition_url.removeprefix("http://")
    assert headers["x-amz-security-token"] == "t"
