"""Rekognition's API by boto3, as its clients use it: each operation carried out or refused; one to one; who may call."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import EndpointConnectionError
from PIL import Image

from candid import aws
from candid.access import limits
from candid.rekognition import contract, one_to_one, operations
from casework import app as casework_app
from rekognition import app
from tests.gateway import Caller, Context
from tests.hostile import photos
from tests.integration.gallery import AGENCY, Gallery, gallery
from tests.portraits import portrait
from tests.refusals import wrong
from tests.rekognition import client, event_of, refused, signed, valid_requests


@dataclass
class World:
    """A gallery, and clients of it."""

    gallery: Gallery
    case_id: str

    def credentials(
        self, roles: str = "investigator", *, user: str = "det.lee", agency: str = AGENCY
    ) -> dict[str, Any]:
        """Of the case."""
        officer = Caller(casework_app.handler, agency, user, roles)
        answer = officer("POST", f"/v1/cases/{self.case_id}/credentials", {"probe_source": "surveillance_still"})
        assert answer.status == 201, answer
        told: dict[str, Any] = answer.body
        return told

    def client(self, roles: str = "investigator") -> Any:
        """Of the case, as somebody with these roles."""
        return client(self.credentials(roles), app.handler)

    def clerk(self) -> Any:
        """With credentials for records."""
        answer = Caller(casework_app.handler, AGENCY, "clerk.1", "records")("POST", "/v1/credentials", {})
        return client(answer.body, app.handler)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with gallery(tmp_path_factory.mktemp("rekognition")) as made:
        app.wired.cache_clear()
        yield World(made, made.case())
        app.wired.cache_clear()


def named(operation: str) -> str:
    """boto3's method for an operation."""
    return {method: name for name, method in _METHODS.items()}[operation]


_METHODS: dict[str, str] = {}


@pytest.fixture(scope="module", autouse=True)
def _methods(world: World) -> None:
    _METHODS.update(world.client().meta.method_to_api_mapping)


def least(shape: Any) -> Any:
    """The least valid value of a shape of the model."""
    if shape.type_name == "structure":
        members = {name: least(shape.members[name]) for name in shape.required_members}
        return members or ({"Bytes": b"x"} if shape.name == "Image" else {})
    if shape.type_name == "list":
        return [least(shape.member)] * max(1, shape.metadata.get("min", 0))
    if shape.type_name == "map":
        return {}
    if shape.type_name in {"integer", "long", "float", "double"}:
        return shape.metadata.get("min", 1)
    if shape.type_name == "boolean":
        return True
    if shape.type_name == "blob":
        return b"x"
    if "enum" in shape.metadata:
        return shape.metadata["enum"][0]
    if "[0-9a-f]{8}-" in shape.metadata.get("pattern", ""):
        return "00000000-0000-4000-8000-000000000000"
    return "a" * max(3, shape.metadata.get("min", 3))


@pytest.mark.parametrize("operation", sorted(contract.model().operation_names))
def test_every_operation_of_the_model_is_carried_out_or_refused_with_an_exception_that_it_has(
    world: World, operation: str
) -> None:
    model = contract.model().operation_model(operation)
    call = getattr(world.client(), named(operation))
    members = least(model.input_shape)
    if operation in operations.CARRIED_OUT:
        return  # By the tests of what it does.
    name, status, sentence = refused(call, **members)
    assert (name, status) == ("AccessDeniedException", 400)
    assert name in contract.errors_of(model)
    assert wrong(sentence) is None
    if "StreamProcessor" in operation or "Liveness" in operation:
        assert "probe_sources.live_stream.allowed" in sentence


def test_faces_are_detected_and_nothing_is_guessed(world: World) -> None:
    told = world.client().detect_faces(Image={"Bytes": portrait("person_a_1")}, Attributes=["ALL"])
    (face,) = told["FaceDetails"]
    assert face.keys() == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
    assert all(0 < face["BoundingBox"][side] < 1 for side in ("Left", "Top", "Width", "Height"))
    where = {one["Type"]: (one["X"], one["Y"]) for one in face["Landmarks"]}
    assert where["eyeLeft"][0] < where["nose"][0] < where["eyeRight"][0]
    assert where["mouthLeft"][0] < where["mouthRight"][0]
    assert where["eyeLeft"][1] < where["nose"][1] < where["mouthLeft"][1]
    assert face["Confidence"] > 90
    assert 0 < face["Quality"]["Brightness"] < 100
    assert all(abs(angle) < 20 for angle in face["Pose"].values())
    assert told["ResponseMetadata"]["RequestId"]


def test_no_face_is_an_empty_list(world: World) -> None:
    assert world.client().detect_faces(Image={"Bytes": photos.saved(Image.new("RGB", (300, 300)))})["FaceDetails"] == []


def test_two_photos_of_a_person_are_compared_by_the_calibrated_similarity(world: World) -> None:
    told = world.client().compare_faces(
        SourceImage={"Bytes": portrait("person_a_1")}, TargetImage={"Bytes": portrait("person_a_2")}
    )
    (match,) = told["FaceMatches"]
    assert match["Similarity"] > 95
    assert told["UnmatchedFaces"] == []
    assert match["Face"]["BoundingBox"] != told["SourceImageFace"]["BoundingBox"]
    assert "not an identification" in told["ResponseMetadata"]["HTTPHeaders"]["x-candid-notice"]


def test_a_stranger_is_unmatched_until_the_threshold_says_otherwise(world: World) -> None:
    images = {"SourceImage": {"Bytes": portrait("person_a_1")}, "TargetImage": {"Bytes": portrait("impostor_1")}}
    told = world.client().compare_faces(**images)
    assert (len(told["FaceMatches"]), len(told["UnmatchedFaces"])) == (0, 1)
    told = world.client().compare_faces(**images, SimilarityThreshold=0)
    assert (len(told["FaceMatches"]), len(told["UnmatchedFaces"])) == (1, 0)


def side_by_side(*names: str) -> bytes:
    images = [photos.opened(name) for name in names]
    height = min(one.height for one in images)
    images = [one.resize((one.width * height // one.height, height)) for one in images]
    canvas = Image.new("RGB", (sum(one.width for one in images), height))
    left = 0
    for one in images:
        canvas.paste(one, (left, 0))
        left += one.width
    return photos.saved(canvas, quality=95)


def test_each_face_of_the_target_is_matched_or_not_the_best_first(world: World) -> None:
    told = world.client().compare_faces(
        SourceImage={"Bytes": portrait("person_a_1")},
        TargetImage={"Bytes": side_by_side("impostor_1", "person_a_2", "person_a_1")},
    )
    scores = [one["Similarity"] for one in told["FaceMatches"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 2
    assert len(told["UnmatchedFaces"]) == 1


def test_a_quality_filter_leaves_bad_faces_out(world: World) -> None:
    tiny = photos.opened().resize((90, 90 * photos.opened().height // photos.opened().width))
    images = {
        "SourceImage": {"Bytes": portrait("person_a_1")},
        "TargetImage": {"Bytes": photos.saved(tiny, quality=95)},
    }
    found = world.client().compare_faces(**images, SimilarityThreshold=0)
    assert len(found["FaceMatches"]) == 1
    left = world.client().compare_faces(**images, SimilarityThreshold=0, QualityFilter="HIGH")
    assert left["FaceMatches"] == left["UnmatchedFaces"] == []
    name, _, sentence = refused(
        world.client().compare_faces,
        SourceImage=images["TargetImage"],
        TargetImage=images["SourceImage"],
        QualityFilter="HIGH",
    )
    assert (name, "SMALL_BOUNDING_BOX" in sentence) == ("InvalidParameterException", True)
    assert wrong(sentence) is None


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ({"Bytes": b"x"}, "InvalidImageFormatException"),
        ({"Bytes": photos.saved(photos.opened(), "WEBP")}, "InvalidImageFormatException"),
        ({"Bytes": portrait("person_a_1")[:2_000]}, "InvalidImageFormatException"),
        ({"Bytes": photos.saved(Image.new("RGB", (79, 200)), "PNG")}, "InvalidParameterException"),
        ({"Bytes": photos.png(20_000, 20_000)}, "ImageTooLargeException"),
        ({}, "InvalidParameterException"),
        ({"Bytes": b"x", "S3Object": {"Bucket": "abc", "Name": "x"}}, "InvalidParameterException"),
        ({"S3Object": {"Bucket": "abc", "Name": "x"}}, "InvalidS3ObjectException"),
    ],
)
def test_an_image_that_can_not_be_used_is_its_own_exception(world: World, image: dict[str, Any], name: str) -> None:
    told = refused(world.client().detect_faces, Image=image)
    assert told[:2] == (name, 400)
    assert wrong(told[2]) is None


def test_a_source_without_a_face_is_invalid(world: World) -> None:
    blank = {"Bytes": photos.saved(Image.new("RGB", (300, 300)))}
    told = refused(world.client().compare_faces, SourceImage=blank, TargetImage=blank)
    assert told[0] == "InvalidParameterException"
    assert wrong(told[2]) is None


def test_roles_hold_here_too(world: World) -> None:
    name, _, sentence = refused(world.clerk().detect_faces, Image={"Bytes": portrait("person_a_1")})
    assert (name, "Your roles don't allow you to compare or detect faces." in sentence) == (
        "AccessDeniedException",
        True,
    )


def test_who_is_not_known_is_told_in_the_words_of_aws(world: World) -> None:
    told = world.credentials()
    image = {"Image": {"Bytes": portrait("person_a_1")}}
    for change, name in (
        ({"SecretAccessKey": "x" * 40}, "InvalidSignatureException"),
        ({"SessionToken": "x" * 40}, "UnrecognizedClientException"),
        ({"AccessKeyId": "AKIAAAAAAAAAAAAAAAAA"}, "InvalidSignatureException"),
        ({"region": "eu-west-1"}, "InvalidSignatureException"),
    ):
        found = refused(client(told | change, app.handler).detect_faces, **image)
        assert found[:2] == (name, 400)
        assert wrong(found[2]) is None
    other = world.credentials(user="det.ray")
    mixed = told | {"SessionToken": other["SessionToken"]}
    assert refused(client(mixed, app.handler).detect_faces, **image)[0] == "InvalidSignatureException"


def test_a_revoked_or_closed_case_is_seen_at_the_next_call(world: World) -> None:
    officer = world.gallery.casework
    case = world.gallery.case("2026-CR-9")
    mine = World(world.gallery, case)
    one = mine.client()
    image = {"Image": {"Bytes": portrait("person_a_1")}}
    one.detect_faces(**image)
    assert officer("POST", f"/v1/cases/{case}/credentials/revoke").status == 200
    assert refused(one.detect_faces, **image)[0] == "AccessDeniedException"
    another = mine.client()
    another.detect_faces(**image)
    assert officer("POST", f"/v1/cases/{case}/close").status == 200
    assert refused(another.detect_faces, **image)[:2] == ("AccessDeniedException", 400)


def test_a_limit_that_is_reached_is_a_throughput_exceeded_with_retry_after(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = world.client()

    def spent(self: limits.Limits, *_: Any) -> None:
        raise limits.LimitReached(
            "You have made 1 search in this hour, the most that one may. Send it again later.", 60
        )

    monkeypatch.setattr(limits.Limits, "spend", spent)
    with pytest.raises(told.exceptions.ProvisionedThroughputExceededException) as reached:
        told.detect_faces(Image={"Bytes": portrait("person_a_1")})
    assert reached.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "60"


def test_a_store_that_is_away_is_a_throttling_that_clients_try_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world.client()

    class Away:
        def get_item(self, **_: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="https://dynamodb")

    with monkeypatch.context() as patch:
        patch.setattr(aws, "dynamodb", Away)
        name, status, sentence = refused(one.detect_faces, Image={"Bytes": portrait("person_a_1")})
    assert (name, status) == ("ThrottlingException", 500)
    assert wrong(sentence) is None


def test_a_failure_that_nobody_foresaw_says_nothing_of_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("SECRET")

    log = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", log)
    monkeypatch.setattr(one_to_one, "image_of", broken)
    name, status, sentence = refused(world.client().detect_faces, Image={"Bytes": portrait("person_a_1")})
    assert (name, status, "SECRET" in sentence) == ("InternalServerError", 500, False)
    assert ("ZeroDivisionError" in log.getvalue(), "SECRET" in log.getvalue()) == (True, False), log.getvalue()


@pytest.mark.parametrize(
    ("headers", "body", "name"),
    [
        ([], b"{}", "UnknownOperationException"),
        ([("X-Amz-Target", "RekognitionService.Nothing")], b"{}", "UnknownOperationException"),
        ([("X-Amz-Target", "DynamoDB_20120810.GetItem")], b"{}", "UnknownOperationException"),
        ([("X-Amz-Target", "RekognitionService.DetectFaces")], b"{}", "MissingAuthenticationTokenException"),
        (
            [("X-Amz-Target", "RekognitionService.DetectFaces"), ("Authorization", "Bearer x")],
            b"{}",
            "IncompleteSignatureException",
        ),
        (
            # As it is signed with the keys of an AWS account.
            [
                ("X-Amz-Target", "RekognitionService.DetectFaces"),
                ("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20261128/us-east-1/rekognition/aws4_request, x"),
            ],
            b"{}",
            "UnrecognizedClientException",
        ),
    ],
)
def test_a_call_that_no_client_makes_is_refused_in_words(
    world: World, headers: list[tuple[str, str]], body: bytes, name: str
) -> None:
    told = app.handler(event_of("POST", headers, body), Context())  # type: ignore[arg-type]
    answer = json.loads(told["body"])
    assert (told["statusCode"], answer["__type"]) == (400, name)
    assert told["headers"]["Content-Type"] == "application/x-amz-json-1.1"
    assert wrong(answer["message"]) is None


def test_nothing_of_a_call_is_logged(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = world.credentials(user="det.recognisable")
    one = client(told, app.handler)
    log = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", log)
    capsys.readouterr()
    one.detect_faces(Image={"Bytes": portrait("person_a_1")})
    refused(one.detect_faces, Image={"Bytes": b"x"})
    said = log.getvalue() + capsys.readouterr().out
    assert "DetectFaces" in said
    for secret in ("det.recognisable", told["SessionToken"], told["SecretAccessKey"], told["AccessKeyId"], AGENCY):
        assert secret not in said


def test_the_way_in_drops_authorization_and_hands_signature_and_host_on() -> None:
    from infra.local.rekognition_front import handed_on

    sent = [
        ("Authorization", "AWS4-HMAC-SHA256 …"),
        ("Host", "candid.test"),
        ("X-Candid-Authorization", "forged"),
        ("x-candid-host", "forged"),
        ("X-Amz-Target", "t"),
        ("Connection", "keep-alive"),
    ]
    assert handed_on(sent) == [
        ("x-candid-authorization", "AWS4-HMAC-SHA256 …"),
        ("x-candid-host", "candid.test"),
        ("X-Amz-Target", "t"),
    ]


def test_an_authorization_that_reached_the_function_would_not_count(world: World) -> None:
    """API Gateway takes it away, so that what counts is what CloudFront handed on."""
    event = event_of("POST", [("X-Amz-Target", "RekognitionService.DetectFaces")], b"{}")
    event["multiValueHeaders"]["Authorization"] = ["AWS4-HMAC-SHA256 …"]
    assert json.loads(app.handler(event, Context())["body"])["__type"] == "MissingAuthenticationTokenException"  # type: ignore[arg-type]


def test_scores_of_the_quality_filters_are_in_order() -> None:
    from candid.faces.filters import _left_out
    from candid.faces.quality import Finding, Quality, Reason

    quality = Quality(0.9, 40.0, 0.09, 120.0, 0.0, 0.0, 0.0, score=20.0)
    little = (Finding(Reason.SMALL_BOUNDING_BOX, 30.0, 40.0, "px", "x"),)
    much = (Finding(Reason.SMALL_BOUNDING_BOX, 10.0, 40.0, "px", "x"),)
    assert [_left_out(quality, little, one) for one in ("NONE", "LOW", "MEDIUM", "AUTO", "HIGH")] == [
        (),
        (),
        *[("SMALL_BOUNDING_BOX",)] * 3,
    ]
    assert [_left_out(quality, much, one) for one in ("NONE", "LOW", "MEDIUM")] == [(), *[("SMALL_BOUNDING_BOX",)] * 2]
    assert [_left_out(quality, (), one) for one in ("AUTO", "HIGH")] == [(), ("LOW_FACE_QUALITY",)]
    assert np.isfinite(quality.score)


def test_a_signature_may_cover_the_length_which_the_gateway_keeps_to_itself(world: World) -> None:
    """As those of the SDKs for JavaScript and Go do."""
    body = json.dumps(valid_requests("any", "any", "any")["DetectFaces"]).encode()
    target = f"{contract.PREFIX}DetectFaces"
    length = {"Content-Length": str(len(body))}
    assert signed(world.credentials(), app.handler, target, body, length)["statusCode"] == 200
    wrong_length = {"Content-Length": str(len(body) + 1)}
    told = signed(world.credentials(), app.handler, target, body, wrong_length)
    assert json.loads(told["body"])["__type"] == "InvalidSignatureException"
