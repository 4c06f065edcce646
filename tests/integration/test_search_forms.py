"""Probes sent as a form (RFC 7578): each part once, bounded, and a retry that draws a new boundary is the same request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from candid.http.bodies import MAX_BODY_BYTES
from tests.contract.openapi import conforms
from tests.gateway import Answer
from tests.integration.gallery import Gallery, candidates, gallery
from tests.portraits import portrait


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    with gallery(tmp_path_factory.mktemp("gallery")) as filled:
        filled.enrol("person_a_1", "A")
        yield filled


@pytest.fixture(scope="module")
def members(made: Gallery) -> bytes:
    return json.dumps({"case_id": made.case(), "probe_source": "surveillance_still"}).encode()


def form(*parts: tuple[str, bytes], boundary: str = "line") -> bytes:
    body = b""
    for disposition, content in parts:
        head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
        body += head.encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def send(made: Gallery, body: bytes, boundary: str = "line", **headers: str) -> Answer:
    kind = f"multipart/form-data; boundary={boundary}"
    return made.search("POST", "/v1/searches", raw=body, content_type=kind, headers=headers)


def test_parts_may_come_in_any_order_and_as_files_or_as_fields(made: Gallery, members: bytes) -> None:
    probe = portrait("person_a_2")
    for parts in (
        [('name="request"', members), ('name="probe"; filename="p.jpg"', probe)],
        [('name="probe"; filename="p.jpg"', probe), ('name="request"; filename="r.json"', members)],
        [('name="request"', members), ('name="probe"', probe)],
    ):
        assert [one["subject_id"] for one in candidates(send(made, form(*parts)))] == ["A"]


@pytest.mark.parametrize(
    "names",
    [
        ["request"],
        ["probe"],
        ["request", "request", "probe"],
        ["request", "probe", "probe"],
        ["request", "probe", "officer"],
    ],
)
def test_a_part_that_is_missing_twice_there_or_unknown_is_refused(
    made: Gallery, members: bytes, names: list[str]
) -> None:
    contents = {"request": members, "probe": portrait("person_a_2"), "officer": b"det.ray"}
    answer = send(made, form(*((f'name="{name}"', contents[name]) for name in names)))
    assert answer.status == 400
    assert "each once" in answer.body["detail"]
    assert conforms(answer.body, "Problem")


@pytest.mark.parametrize(
    "request_part",
    [b"", b"{", b"[]", b'{"probe_source":"other_still","probe_source":"sketch"}', b'{"probe_id":"x"}', b"\xff"],
)
def test_a_request_part_that_is_not_the_contracts_json_is_refused(made: Gallery, request_part: bytes) -> None:
    answer = send(made, form(('name="request"', request_part), ('name="probe"', portrait("person_a_2"))))
    assert answer.status == 400


def test_a_form_over_the_limit_is_refused_before_it_is_parsed(made: Gallery, members: bytes) -> None:
    answer = send(made, form(('name="request"', members), ('name="probe"', bytes(MAX_BODY_BYTES))))
    assert (answer.status, answer.body["detail"]) == (
        400,
        "The body is too large. Get an upload link for the probe (POST /v1/probes).",
    )


def test_a_body_that_is_neither_json_nor_a_form_is_told_of_both(made: Gallery, members: bytes) -> None:
    answer = made.search("POST", "/v1/searches", raw=members, content_type="text/plain")
    assert (answer.status, answer.body["detail"]) == (
        415,
        "The body is neither JSON nor a form. Send JSON, with Content-Type: application/json, or a form, as "
        "multipart/form-data.",
    )


def test_an_empty_probe_is_no_image(made: Gallery, members: bytes) -> None:
    assert send(made, form(('name="request"', members), ('name="probe"; filename="p.jpg"', b""))).status in {415, 422}


def test_a_retry_with_a_new_boundary_is_the_same_search(made: Gallery, members: bytes) -> None:
    parts = [('name="request"', members), ('name="probe"; filename="p.jpg"', portrait("person_a_2"))]
    key: dict[str, Any] = {"Idempotency-Key": "form-1"}
    first = send(made, form(*parts, boundary="one"), "one", **key)
    again = send(made, form(*parts, boundary="two"), "two", **key)
    assert (again.status, again.body["search_id"]) == (201, first.body["search_id"])
    other = [parts[0], ('name="probe"; filename="p.jpg"', portrait("impostor_2"))]
    assert send(made, form(*other), **key).status == 409


@pytest.mark.parametrize("length", [71, 5_000])
def test_a_boundary_that_no_form_may_have_is_the_callers_fault(made: Gallery, members: bytes, length: int) -> None:
    boundary = "x" * length
    answer = send(made, form(('name="request"', members), boundary=boundary), boundary)
    assert (answer.status, answer.body["detail"]) == (
        400,
        "The form's Content-Type must name a boundary of 1 to 70 characters. Let an HTTP library make it.",
    )


def test_nothing_of_a_form_that_cant_be_read_is_logged(
    made: Gallery, members: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The parser warns of what it does not know by quoting it; a file is often named as the person that it shows."""
    head = b'--line\r\nContent-Disposition: form-data; name="probe"; filename="jane-recognisable.jpg"\r\n'
    for unknown in (b"Content-Transfer-Encoding: jane-recognisable\r\n", b"jane-recognisable\xff: x\r\n"):
        assert send(made, head + unknown + b"\r\n\xff\r\n--line--").status == 400
    assert "jane-recognisable" not in caplog.text
