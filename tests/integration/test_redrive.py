"""The redrive function beside the embed function, over AWS in process: what failed for good says why, and finds its way back."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from candid import aws
from candid.cli.commands.redrive import Way as CliWay
from candid.cli.rendering.redrive import going_on
from candid.gallery.booking import BookingState, PhotoState
from candid.gallery.dead_letters import queues, redriving
from candid.gallery.dead_letters.letters import Way
from candid.gallery.photos import PhotoKey
from candid.gallery.upkeep.steps import Budget
from candid.tables import now, timestamp
from redrive import app
from tests.contract.events import object_created, photo_batch
from tests.gateway import Context
from tests.integration.aws import DEAD_LETTERS, EVENT_BUS, PHOTOS_QUEUE_URL
from tests.integration.embedding import AGENCY, Killed, Station, station
from tests.portraits import portrait


@dataclass
class Post:
    """An embed function, a redrive function, and the queues between them. ``context`` gives a step its full time."""

    station: Station
    log: io.StringIO
    context: Context

    def step(self, operation: str, **asked: Any) -> dict[str, Any]:
        """The function's answer to one invocation."""
        return app.handler({"operation": operation, **asked}, self.context)  # type: ignore[arg-type]

    def start(self, **asked: Any) -> dict[str, Any]:
        """All steps of redriving."""
        answer = self.step("start", **asked)
        while not answer["done"]:
            answer = self.step("start", **asked, cursor=answer["cursor"])
        return answer

    def letters(self, way: Way | None = None) -> list[dict[str, Any]]:
        """What an operator sees."""
        told = self.step("list", **({} if way is None else {"way": way.value}))
        assert sum(one["count"] for one in told["ways"]) == sum(len(one["letters"]) for one in told["ways"])
        return [letter for one in told["ways"] for letter in one["letters"]]

    def lay(self, way: Way, body: Any, **attributes: str) -> str:
        """A letter as another put it aside; its id."""
        told = aws.sqs().send_message(
            QueueUrl=DEAD_LETTERS[way],
            MessageBody=body if isinstance(body, str) else json.dumps(body),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
        return told["MessageId"]

    def fail(self, key: PhotoKey | str, error: Exception, times: int = 5) -> list[str]:
        """Let embed fail at a photo's event that it is handed for the fifth time; the items that are to come again."""

        def down() -> None:
            raise error

        self.station.wire.hooks["GetObject"] = down
        return self.hand_out(json.dumps(object_created(str(key))), times)

    def hand_out(self, body: str, times: int) -> list[str]:
        """Let embed have a message that it had so often, this time included."""
        batch = photo_batch(body)
        batch["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(times)
        return self.station.invoke(batch)

    def drain(self) -> int:
        """Let embed work off the photos queue; how many messages there were."""
        number = 0
        while messages := aws.sqs().receive_message(QueueUrl=PHOTOS_QUEUE_URL, MaxNumberOfMessages=10).get("Messages"):
            assert self.station.invoke(photo_batch(*(one["Body"] for one in messages))) == []
            for one in messages:
                aws.sqs().delete_message(QueueUrl=PHOTOS_QUEUE_URL, ReceiptHandle=one["ReceiptHandle"])
            number += len(messages)
        return number

    def uploaded(self, name: str = "person_a_1") -> PhotoKey:
        """A photo in the bucket whose event has not been seen."""
        (key,) = self.station.register(number=f"2026-SECRET-{uuid.uuid4()}")
        self.station.put(key, portrait(name))
        return key


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    # Nothing is to be waited for where nobody else writes.
    monkeypatch.setattr(queues, "_WAIT_SECONDS", 0)
    with station(tmp_path) as one:
        app.work.cache_clear()
        log = io.StringIO()
        monkeypatch.setattr(app.logger.registered_handler, "stream", log)
        yield Post(one, log, Context(remaining_ms=25_000))
        app.work.cache_clear()


DOWN = EndpointConnectionError(endpoint_url="https://s3")


def test_a_photo_that_fails_to_the_last_is_put_aside_with_the_reason_and_comes_back_when_that_is_mended(
    here: Post,
) -> None:
    key = here.uploaded()
    assert len(here.fail(key, DOWN, times=4)) == 1
    assert here.letters() == []
    assert here.fail(key, DOWN) == []
    (letter,) = here.letters()
    assert (letter["way"], letter["reason"]) == ("photos", "DependencyUnavailable")
    assert letter["sentence"] == "Candid can't reach the photo store now. Try again in a minute."
    assert letter["about"] == {
        "agency": AGENCY,
        "collection": "bookings",
        "booking_id": key.booking_id,
        "photo_id": key.photo_id,
    }
    assert here.step("show", letter=letter["id"])["letter"] == letter
    told = here.start()
    assert (told["letters"], told["done_by_way"]) == (1, {"photos": 1})
    assert here.letters() == []
    assert here.drain() == 1
    assert here.station.photo(key).state is PhotoState.ENROLLED
    # The same again finds nothing to do.
    assert here.start()["letters"] == 0
    told = here.start(letters=[letter["id"]])
    assert (told["letters"], told["not_found"]) == (0, [letter["id"]])
    assert here.drain() == 0


def test_a_photo_that_can_not_be_put_aside_is_left_to_the_queue(here: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    key = here.uploaded()

    def down() -> None:
        raise EndpointConnectionError(endpoint_url="https://sqs")

    here.station.wire.hooks["SendMessage"] = down
    assert len(here.fail(key, DOWN)) == 1
    assert here.letters() == []


@pytest.mark.parametrize("kill_before", range(2))
def test_a_worker_killed_while_it_puts_a_photo_aside_loses_nothing(here: Post, kill_before: int) -> None:
    key = here.uploaded()
    batch = photo_batch("Smith, John; not json", object_created(str(key)))
    batch["Records"][0]["attributes"]["ApproximateReceiveCount"] = "5"
    here.station.wire.kill_before = kill_before
    here.station.wire.calls.clear()
    with pytest.raises(Killed):
        here.station.invoke(batch)
    here.station.wire.kill_before = None
    # SQS hands it out again, or puts it aside; twice aside is twice redriven, and that is once.
    assert here.station.invoke(batch) == []
    assert {one["reason"] for one in here.letters()} == {"MalformedEvent"}
    assert here.station.photo(key).state is PhotoState.ENROLLED


def test_of_a_message_that_is_no_event_nothing_is_shown_or_logged(here: Post) -> None:
    assert here.hand_out("Smith, John; not json", 5) == []
    (letter,) = here.letters()
    assert (letter["reason"], letter["about"]) == ("MalformedEvent", {"event": "Not an event of Candid's"})
    here.step("show", letter=letter["id"])
    here.step("drop", letters=[letter["id"]], reason="No event of S3's.")
    said = json.dumps([letter, here.step("dropped")]) + here.log.getvalue() + here.station.log.getvalue()
    assert "put aside" in said
    assert "Smith" not in said


def test_what_sqs_itself_put_aside_says_that_embed_could_not(here: Post) -> None:
    here.lay(Way.PHOTOS, object_created("washington-county/john-smith.jpg"))
    (letter,) = here.letters(Way.PHOTOS)
    assert letter["reason"] == "Ended"
    assert "killed" in letter["sentence"]
    assert set(letter["about"]) == {"key_sha256"}
    assert "smith" not in json.dumps(letter)


def test_an_event_that_eventbridge_could_not_deliver_goes_to_the_photos_queue(here: Post) -> None:
    key = here.uploaded()
    here.lay(
        Way.PHOTO_EVENTS,
        object_created(str(key)),
        ERROR_CODE="NO_PERMISSIONS",
        ERROR_MESSAGE="The caller does not have permission to\nthe queue.",
        RULE_ARN="arn:aws:events:us-east-1:123456789012:rule/candid-photos",
    )
    (letter,) = here.letters()
    assert (letter["way"], letter["reason"]) == ("photo-events", "NO_PERMISSIONS")
    assert "(The caller does not have permission to the queue.)" in letter["sentence"]
    assert here.start(way="photos")["letters"] == 0
    assert here.start(way="photo-events")["done_by_way"] == {"photo-events": 1}
    assert here.drain() == 1
    assert here.station.photo(key).state is PhotoState.ENROLLED


STREAM_FAILURE = {
    "requestContext": {
        "requestId": "316aa6d0-8154-xmpl-9af7-85d5f4a6bc81",
        "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:candid-embed",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 501,
    },
    "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    "version": "1.0",
    "timestamp": "2026-11-14T00:13:49.717Z",
    "DDBStreamBatchInfo": {
        "shardId": "shardId-00000001573689847184-864758bb",
        "startSequenceNumber": "800000000003126276362",
        "endSequenceNumber": "800000000003126276362",
        "approximateArrivalOfFirstRecord": "2026-11-14T00:13:19Z",
        "approximateArrivalOfLastRecord": "2026-11-14T00:13:19Z",
        "batchSize": 1,
        "streamArn": "arn:aws:dynamodb:us-east-1:123456789012:table/candid-gallery/stream/2026-11-14T00:04:06.388",
    },
}


def test_a_change_that_lambda_gave_up_on_is_reminded_of_until_it_is_followed(here: Post) -> None:
    key, other = here.uploaded(), here.uploaded("person_b_1")
    for one in (key, other):
        assert here.station.arrive(one) == []
    here.station.catalog.mark_deleting(here.station.booking(key))
    here.lay(Way.CHANGES, STREAM_FAILURE)
    (letter,) = here.letters()
    assert (letter["reason"], letter["about"]) == ("RetryAttemptsExhausted", {})
    told = here.start()
    assert (told["done_by_way"], told["reminded"]) == ({"changes": 1}, 1)
    (note,) = [item for item in here.station.items() if item["sk"] == "CHANGE"]
    assert "reminded_at" in note
    assert here.station.follow(key) == []
    assert here.station.booking(key).state is BookingState.ERASED
    here.lay(Way.CHANGES, STREAM_FAILURE)
    assert here.start()["reminded"] == 0
    assert here.letters() == []
    # No letter: nobody looks through the table.
    here.station.wire.calls.clear()
    assert here.start()["letters"] == 0
    assert "Scan" not in here.station.wire.calls


def test_an_event_of_candids_own_is_put_on_the_bus_again_and_anothers_is_left(here: Post) -> None:
    detail = {"agency": AGENCY, "collection": "bookings", "booking_id": str(uuid.uuid4())}
    ours = {"source": "candid", "detail-type": "BookingErased", "detail": detail, "id": "x"}
    here.lay(Way.EVENTS, ours, ERROR_CODE="KMS_ERROR")
    here.lay(Way.EVENTS, ours | {"source": "somebody.else"})
    assert {json.dumps(one["about"]) for one in here.letters()} == {
        json.dumps({"event": "BookingErased", **detail}),
        json.dumps({"event": "Not an event of Candid's"}),
    }
    told = here.start()
    assert (told["letters"], told["foreign"]) == (1, 1)
    assert here.station.wire.published == [("BookingErased", detail)]
    assert [one["about"] for one in here.letters()] == [{"event": "Not an event of Candid's"}]
    assert EVENT_BUS


def test_some_are_redriven_and_the_others_stay_and_can_be_seen_at_once(here: Post) -> None:
    keys = [here.uploaded(name) for name in ("person_a_1", "person_b_1", "impostor_1")]
    ids = [here.lay(Way.PHOTOS, object_created(str(key))) for key in keys]
    others = [here.lay(Way.PHOTO_EVENTS, object_created(str(keys[0]))) for _ in range(25)]
    told = here.start(letters=[ids[1], others[7]])
    assert (told["letters"], told["not_found"]) == (2, [])
    assert {one["id"] for one in here.letters()} == {*ids, *others} - {ids[1], others[7]}
    assert here.drain() == 2
    assert [here.station.photo(key).state is PhotoState.ENROLLED for key in keys] == [True, True, False]


def test_what_came_after_redriving_began_is_left_for_the_next(here: Post) -> None:
    old = here.lay(Way.PHOTOS, "x")
    begun = here.step("start", way="events")
    assert begun["done"]
    cursor = {"begun": timestamp(now()), "ways": ["photos"], "left": None}
    told = here.step("start", cursor=cursor | {"begun": "2026-01-01T00:00:00.000000Z"})
    assert (told["done"], told["letters"]) == (True, 0)
    assert [one["id"] for one in here.letters()] == [old]


def test_a_letter_is_dropped_with_a_reason_that_is_kept_and_the_photo_stays(here: Post) -> None:
    key = here.uploaded()
    here.fail(key, DOWN)
    (letter,) = here.letters()
    told = here.step("drop", letters=[letter["id"]], reason="Registered twice; the other one counts.")
    assert (told["done"], told["letters"], told["not_found"]) == (True, 1, [])
    assert here.letters() == []
    (kept,) = here.step("dropped")["letters"]
    assert kept["dropped_because"] == "Registered twice; the other one counts."
    assert {name: kept[name] for name in ("id", "way", "reason", "about")} == {
        name: letter[name] for name in ("id", "way", "reason", "about")
    }
    assert here.station.versions() == 1
    assert here.station.photo(key).state is PhotoState.RECEIVED
    again = here.step("drop", letters=[letter["id"]], reason="Once more.")
    assert (again["letters"], again["not_found"]) == (0, [letter["id"]])
    assert len(here.step("dropped")["letters"]) == 1


def test_redriving_that_is_cut_off_is_at_worst_done_twice(here: Post) -> None:
    key = here.uploaded()
    letter = here.lay(Way.PHOTOS, object_created(str(key)))

    def down() -> None:
        raise EndpointConnectionError(endpoint_url="https://sqs")

    here.station.wire.hooks["DeleteMessageBatch"] = down
    problem = here.step("start")["problem"]
    assert (problem["status"], "Candid can't reach the dead letters now." in problem["detail"]) == (503, True)
    assert [one["id"] for one in here.letters()] == [letter]
    assert here.start()["letters"] == 1
    assert here.drain() == 2
    assert here.station.photo(key).state is PhotoState.ENROLLED
    assert here.station.count() == 1


def time_ends_with_the_first_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each step."""

    def within(_: float) -> Budget:
        moments = [0.0]
        return Budget(clock=lambda: moments[-1], sleep=lambda _: moments.append(1_000.0))

    monkeypatch.setattr(Budget, "within", within)


def test_letters_that_wait_for_room_are_not_given_up(here: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redriving, "ROOM", 1)
    monkeypatch.setattr(redriving, "_SPARE", 0)
    time_ends_with_the_first_wait(monkeypatch)
    aws.sqs().send_message(QueueUrl=PHOTOS_QUEUE_URL, MessageBody=json.dumps(object_created("x.jpg")))
    letters = sorted(here.lay(Way.PHOTOS, object_created("washington-county/x.jpg")) for _ in range(3))
    for first in ({"letters": letters}, {}):
        answer = here.step("start", **first)
        for _ in range(10):
            assert (answer["done"], answer["letters"], answer["queued"]) == (False, 0, 1)
            answer = here.step("start", cursor=answer["cursor"])
        assert sorted(one["id"] for one in here.letters()) == letters
    here.step("drop", letters=letters, reason="Nobody waits for them.")
    answer = here.step("start", cursor=answer["cursor"])
    assert (answer["done"], answer["letters"], answer["queued"]) == (True, 0, 0)


def test_photos_that_are_booked_now_do_not_queue_up_behind_what_failed(
    here: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redriving, "ROOM", 20)
    time_ends_with_the_first_wait(monkeypatch)
    for _ in range(45):
        here.lay(Way.PHOTOS, object_created("washington-county/x.jpg"))
    answer = here.step("start")
    assert 20 <= answer["queued"] <= 30
    assert going_on(answer).endswith(f"worked off some of the {answer['queued']} photos in its queue.")
    steps = 0
    while not answer["done"]:
        steps += 1
        assert steps < 50
        waiting = aws.sqs().get_queue_attributes(
            QueueUrl=PHOTOS_QUEUE_URL, AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]["ApproximateNumberOfMessages"]
        assert int(waiting) <= 30
        here.drain()
        answer = here.step("start", cursor=answer["cursor"])
    assert steps >= 1
    assert (answer["letters"], answer["queued"]) == (45, 0)
    assert here.letters() == []


@pytest.mark.parametrize(
    "asked",
    [
        {"operation": "start", "letters": []},
        {"operation": "start", "letters": ["Smith; John"]},
        {"operation": "start", "way": "smith"},
        {"operation": "drop", "letters": ["x"], "reason": "no"},
        {"operation": "drop", "letters": ["x"], "reason": "Smith\nJohn"},
        {"operation": "drop", "letters": ["x"]},
        {"operation": "smith"},
        {"operation": "list", "smith": 1},
        ["smith"],
        None,
    ],
)
def test_a_request_that_is_wrong_is_refused_without_a_word_of_it(here: Post, asked: Any) -> None:
    problem = app.handler(asked, here.context)["problem"]  # type: ignore[arg-type]
    assert problem["status"] == 400
    assert "smith" not in (json.dumps(problem) + here.log.getvalue()).lower()


def test_a_letter_that_is_not_there_is_said_to_be_gone(here: Post) -> None:
    here.lay(Way.PHOTOS, "x")
    problem = here.step("show", letter=str(uuid.uuid4()))["problem"]
    assert problem["status"] == 404
    assert len(here.letters()) == 1


def test_a_queue_that_is_down_is_a_503(here: Post) -> None:
    def down() -> None:
        raise EndpointConnectionError(endpoint_url="https://sqs")

    here.station.wire.hooks["GetQueueAttributes"] = down
    assert here.step("list")["problem"]["status"] == 503


def test_the_command_line_knows_the_same_ways() -> None:
    assert [way.value for way in CliWay] == [way.value for way in Way]
