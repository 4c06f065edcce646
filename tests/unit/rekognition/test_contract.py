"""Rekognition's contract: what is read of a request, by the service model, and what no answer may be."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candid.errors import InvalidRequest
from candid.rekognition import contract

INDEX = "RekognitionService.IndexFaces"
JPEG = base64.b64encode(b"\xff\xd8\xff").decode()


def asked(**members: Any) -> dict[str, Any]:
    """A request of IndexFaces' that is valid, with these members; those that are None are left out."""
    whole: dict[str, Any] = {"CollectionId": "c", "Image": {"Bytes": JPEG}} | members
    return {name: value for name, value in whole.items() if value is not None}


def read(body: Any, target: str = INDEX) -> dict[str, Any]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return contract.read(contract.operation(target), text)


def test_bytes_come_decoded_and_members_nobody_knows_or_set_to_null_do_not_come() -> None:
    body = asked(MaxFaces=3, QualityFilter="AUTO", Unknown=[1], ExternalImageId=None)
    assert read(body | {"DetectionAttributes": None}) == {
        "CollectionId": "c",
        "Image": {"Bytes": b"\xff\xd8\xff"},
        "MaxFaces": 3,
        "QualityFilter": "AUTO",
    }


def test_an_empty_body_is_a_request_without_members() -> None:
    assert read(b"", "RekognitionService.ListCollections") == {}
    with pytest.raises(InvalidRequest, match="CollectionId is required"):
        read(b"")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (asked(CollectionId=None), "CollectionId is required"),
        (asked(CollectionId=1), "CollectionId must be a text"),
        (asked(CollectionId=""), "CollectionId must have 1 or more characters"),
        (asked(CollectionId="x" * 256), "CollectionId must have 255 or fewer characters"),
        (asked(CollectionId="a b"), r"CollectionId must match [a-zA-Z0-9_.\-]+"),
        (asked(CollectionId="c\n"), r"CollectionId must match [a-zA-Z0-9_.\-]+"),
        (asked(CollectionId="\ud800"), "CollectionId must be a text"),
        (asked(Image=[]), "Image must be an object"),
        (asked(Image={"Bytes": "*"}), "Image.Bytes must be base64"),
        (asked(Image={"Bytes": 3}), "Image.Bytes must be base64"),
        (asked(Image={"Bytes": ""}), "Image.Bytes must have 1 or more bytes"),
        (asked(MaxFaces=0), "MaxFaces must be at least 1"),
        (asked(MaxFaces=True), "MaxFaces must be a number"),
        (asked(MaxFaces="3"), "MaxFaces must be a number"),
        (asked(MaxFaces=1.5), "MaxFaces must be a whole number"),
        (asked(MaxFaces=1e300), "MaxFaces is too large a number"),
        (asked(MaxFaces=10**400), "MaxFaces is too large a number"),
        (asked(QualityFilter="BEST"), "QualityFilter must be one of NONE, AUTO, LOW, MEDIUM, HIGH"),
        (asked(DetectionAttributes="ALL"), "DetectionAttributes must be a list"),
        (asked(DetectionAttributes=["SOUL"]), "DetectionAttributes.0 must be one of DEFAULT, ALL"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_member_that_is_not_as_the_model_has_it_is_named_with_what_is_wrong(body: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(body)
    assert str(refused.value).startswith(f"Request has invalid parameters: {told}")
    assert str(refused.value).endswith(". Correct it and send the request again.")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b"3", b"\xff", b'{"MaxFaces": NaN}', b'{"a":' * 100_000, b"9" * 5000]
)
def test_what_is_no_json_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(contract.Unreadable):
        read(body)


@pytest.mark.parametrize(
    "target", ["", "IndexFaces", "RekognitionService.", "RekognitionService.Index", "X.IndexFaces"]
)
def test_a_target_that_is_no_operation_is_unknown(target: str) -> None:
    with pytest.raises(contract.UnknownOperation):
        contract.operation(target)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    name=st.sampled_from(["CollectionId", "Image", "MaxFaces", "QualityFilter", "ExternalImageId"]),
    value=ANYTHING,
    target=st.sampled_from([INDEX, "RekognitionService.SearchFacesByImage", "RekognitionService.TagResource"]),
)
def test_whatever_is_sent_is_read_as_the_model_has_it_or_refused(name: str, value: Any, target: str) -> None:
    with contextlib.suppress(InvalidRequest):
        found = read(json.dumps(asked(**{name: value})).encode(), target)
        assert set(found) <= set(contract.operation(target).input_shape.members)  # type: ignore[union-attr]


def test_times_are_seconds_bytes_are_base64_and_a_map_keeps_its_names() -> None:
    created = datetime(2026, 3, 1, tzinfo=UTC)
    described = contract.operation("RekognitionService.DescribeCollection")
    assert json.loads(contract.write(described, {"FaceCount": 2, "CreationTimestamp": created})) == {
        "FaceCount": 2,
        "CreationTimestamp": created.timestamp(),
    }
    tags = contract.operation("RekognitionService.ListTagsForResource")
    assert json.loads(contract.write(tags, {"Tags": {"Ämt": "x"}})) == {"Tags": {"Ämt": "x"}}


@pytest.mark.parametrize(
    "answer", [{"FaceCount": "2"}, {"FaceCount": -1}, {"Faces": 2}, {"CreationTimestamp": 2}, {"UserCount": True}]
)
def test_an_answer_that_is_not_as_the_model_has_it_is_a_fault_of_candids(answer: dict[str, Any]) -> None:
    with pytest.raises(contract.BrokenAnswer) as broken:
        contract.write(contract.operation("RekognitionService.DescribeCollection"), answer)
    assert next(iter(answer)) in str(broken.value)


def test_the_services_own_faults_are_told_from_the_callers() -> None:
    assert contract.is_fault("InternalServerError")
    assert contract.is_fault("ThrottlingException")
    assert not contract.is_fault("InvalidParameterException")
    assert "ResourceNotFoundException" in contract.errors_of(contract.operation(INDEX))
