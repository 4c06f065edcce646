"""Calls to AWS end before the invocation does: none begins, and none is tried again, that could outlast it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError

from candid import aws
from candid.errors import DependencyUnavailable
from candid.together import at_once


class _Failing(BaseHTTPRequestHandler):
    asked = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked += 1
        threading.Event().wait(0.2)
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Failing]]:
    """A store that answers 500 after 0.2 s, which is worth trying again; and no client of an earlier test's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Failing)
    _Failing.asked = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # Between two attempts botocore waits for up to some seconds.
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    aws.dynamodb.cache_clear()
    yield _Failing
    aws.dynamodb.cache_clear()
    server.shutdown()
    server.server_close()


def call() -> None:
    with aws.dependency("the table"):
        aws.dynamodb().get_item(TableName="t", Key={"pk": {"S": "x"}})


def test_with_time_enough_a_call_is_tried_again(failing: type[_Failing]) -> None:
    with aws.within(29), pytest.raises(DependencyUnavailable, match="can't reach the table"):
        call()
    assert failing.asked == 4


def test_outside_of_an_invocation_nothing_ends(failing: type[_Failing]) -> None:
    with pytest.raises(DependencyUnavailable, match="can't reach the table"):
        call()
    assert failing.asked == 4


def test_without_time_for_another_attempt_none_begins(failing: type[_Failing]) -> None:
    with aws.within(10.6), pytest.raises(DependencyUnavailable, match="too slowly"):
        call()
    assert failing.asked == 1


def test_without_time_for_one_nothing_is_asked_in_threads_either(failing: type[_Failing]) -> None:
    with aws.within(10.4), pytest.raises(DependencyUnavailable, match="too slowly"):
        at_once(lambda _: call(), [1, 2, 3])
    assert failing.asked == 0


def test_an_answer_that_says_no_is_no_matter_of_time() -> None:
    error = ClientError(
        {"Error": {"Code": "ValidationException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "GetItem"
    )
    with aws.within(0), pytest.raises(ClientError), aws.dependency("the table"):
        raise error


def test_what_tidies_up_and_what_is_late_is_asked_at_any_time(failing: type[_Failing]) -> None:
    with aws.within(5), aws.to_the_end(), pytest.raises(DependencyUnavailable, match="can't reach"):
        call()
    with aws.within(0.1), pytest.raises(DependencyUnavailable, match="can't reach"):
        call()
    assert failing.asked == 8


def test_waiting_leaves_time_for_two_more_calls() -> None:
    assert aws.at_most(12) == 12
    with aws.within(29):
        assert aws.at_most(12) == 12
        assert 17 < aws.at_most(60) < 17.6
    with aws.within(5):
        assert aws.at_most(12) == 0
