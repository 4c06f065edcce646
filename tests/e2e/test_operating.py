"""``candid index`` and ``candid redrive`` as an operator runs them, on a whole stack: Lambda's Invoke, queues, embed, HTTP."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.e2e.stack import Stack, eventually, portrait
from tests.e2e.test_photos import agency, search, searched
from tests.unit.cli.running import Ran, candid


def operate(stack: Stack, *arguments: str, command: str = "index") -> Ran:
    return candid(command, *arguments, cwd=stack.root, env={"CANDID_HOME": str(stack.root / ".candid")})


def agrees(stack: Stack) -> None:
    """Fail unless ``candid index verify`` finds nothing wrong."""
    ran = operate(stack, "verify")
    assert (ran.code, "Table, index and bucket agree." in ran.out) == (0, True), ran.out


def redrive(stack: Stack, *arguments: str) -> Ran:
    return operate(stack, *arguments, command="redrive")


def letters(stack: Stack) -> list[dict[str, Any]]:
    """The dead letters that an operator sees."""
    return [one for way in redrive(stack, "list", "--json").json["ways"] for one in way["letters"]]


def roles(stack: Stack) -> dict[str, Any]:
    """Indexes by role."""
    return {one["role"]: one for one in operate(stack, "status", "--json").json["indexes"]}


def test_table_index_and_bucket_agree_after_all_that_other_tests_did(stack: Stack) -> None:
    api = stack.api(agency())
    stack.settled(api, stack.book(api, portrait("person_a_1.jpg")))
    agrees(stack)


@pytest.mark.parametrize("index", ["opensearch"], indirect=True)
def test_a_new_index_is_filled_from_the_photos_and_swapped_in_while_searches_go_on(stack: Stack) -> None:
    api = stack.api(agency())
    for name in ("person_a_1.jpg", "impostor_1.jpg"):
        stack.settled(api, stack.book(api, portrait(name)))
    searched(api, "person_a_2.jpg", 2)
    before = roles(stack)["serving"]
    answers: list[tuple[int, int]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = search(api, "person_a_2.jpg")
            answers.append((answer.gallery_size, len(answer.results[0].candidates)))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        ran = operate(stack, "reembed", "--model", "sface", "--json")
        assert (ran.code, ran.json["complete"]) == (0, True), ran.err
        ran = operate(stack, "swap")
        assert ran.code == 0, ran.err
    finally:
        stop.set()
        asking.join()
    assert len(answers) > 0
    assert set(answers) == {(2, 1)}, "every search, before, at and after the swap, saw the whole gallery"
    now = roles(stack)
    assert (now["standby"]["index"], now["serving"]["templates"]) == (before["index"], before["templates"])
    third = stack.book(api, portrait("person_b_1.jpg"))
    stack.settled(api, third)
    searched(api, "person_a_2.jpg", 3)
    assert operate(stack, "swap").code == 0
    searched(api, "person_a_2.jpg", 3)
    assert operate(stack, "drop", now["serving"]["index"], "--yes").code == 0
    agrees(stack)


@pytest.mark.parametrize("index", ["embedded"], indirect=True)
def test_what_failed_for_good_is_listed_with_its_reason_redriven_and_dropped(stack: Stack) -> None:
    name = agency()
    api = stack.api(name)
    booking = stack.settled(api, stack.book(api, portrait("person_a_1.jpg")))
    queue = stack.told["outputs"]["PhotosQueueUrl"]
    sqs = stack.aws("sqs")
    assert redrive(stack, "list").out.strip() == "There are no dead letters."
    # Five tries take half an hour; here they follow each other.
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    try:
        sqs.send_message(QueueUrl=queue, MessageBody="Smith, John; no event")
        (first,) = eventually(lambda: letters(stack) or None)
        assert (first["way"], first["reason"]) == ("photos", "MalformedEvent")
        ran = redrive(stack, "list")
        assert ("is no S3 event" in ran.out, first["id"] in ran.out, "Smith" in ran.out) == (True, True, False)
        ran = redrive(stack, "start", "--all")
        assert (ran.code, "Sent again: 1 photo to enrolment." in ran.out) == (0, True), ran.out
        (again,) = eventually(lambda: letters(stack) or None)
        assert again["id"] != first["id"]
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "360"})
    ran = redrive(stack, "drop", again["id"], "--reason", "A test's own message.", "--yes")
    assert (ran.code, "1 letter dropped." in ran.out) == (0, True), ran.err
    assert letters(stack) == []
    assert "A test's own message." in redrive(stack, "list", "--dropped").out
    # An event of a photo that is enrolled already changes nothing.
    key = f"{name}/{booking.collection}/{booking.booking_id}/{booking.photos[0].photo_id}"
    event: dict[str, Any] = {"source": "aws.s3", "detail-type": "Object Created"}
    event |= {"detail": {"bucket": {"name": stack.photos_bucket}, "object": {"key": key}}}
    sqs.send_message(QueueUrl=stack.told["outputs"]["PhotosDeadLetterQueueUrl"], MessageBody=json.dumps(event))
    (last,) = eventually(lambda: letters(stack) or None)
    assert (last["reason"], last["about"]["booking_id"]) == ("Ended", booking.booking_id)
    assert redrive(stack, "start", last["id"], "--json").json["letters"] == 1
    assert redrive(stack, "start", last["id"]).code == 0
    assert letters(stack) == []
    agrees(stack)
