"""``candid redrive`` in a process of its own, against the real redrive function behind a server that speaks Lambda's Invoke."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from candid import aws
from candid.gallery.dead_letters import queues
from candid.gallery.dead_letters.letters import Way
from redrive import app
from tests.contract.events import object_created
from tests.gateway import Context
from tests.integration.aws import DEAD_LETTERS, stores
from tests.integration.invoking import Invoked, invoked
from tests.unit.cli.running import Ran, asked, candid

pytestmark = pytest.mark.slow

KEY = "washington-county/bookings/6d0ee3ba-94d5-4d0a-b6f5-5c3f2d6f3b52/9a7f6a5e-5b2f-4f34-8f6c-1f0a3f1c2d4e"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Invoked]:
    monkeypatch.setattr(queues, "_WAIT_SECONDS", 0)
    with stores(), invoked(tmp_path) as server:
        app.work.cache_clear()
        server.context = Context(remaining_ms=25_000)
        yield server
        app.work.cache_clear()


def run(folder: Path, *arguments: str) -> Ran:
    return candid("redrive", *arguments, cwd=folder)


def lay(way: Way, body: str, **attributes: str) -> str:
    told = aws.sqs().send_message(
        QueueUrl=DEAD_LETTERS[way],
        MessageBody=body,
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )
    return told["MessageId"]


def test_what_an_operator_reads(served: Invoked, tmp_path: Path) -> None:
    ran = run(tmp_path, "list")
    assert (ran.code, ran.out.strip(), ran.err) == (0, "There are no dead letters.", "")
    photo = lay(Way.PHOTOS, json.dumps(object_created(KEY)), Reason="ModelUnavailable", Sentence="No weights.")
    change = lay(Way.CHANGES, "{}")
    ran = run(tmp_path, "list")
    for said in (photo, change, "ModelUnavailable", "No weights.", "changes", "candid redrive start"):
        assert said in ran.out
    assert change not in run(tmp_path, "list", "--way", "photos").out
    ran = run(tmp_path, "show", photo)
    assert ("washington-county" in ran.out, KEY.rpartition("/")[2] in ran.out) == (True, True)
    ran = run(tmp_path, "start", photo, change)
    assert "Sent again: 1 photo to enrolment, 1 change of bookings." in ran.out
    assert "0 changes of bookings still open, which come once more." in ran.out
    ran = run(tmp_path, "start", photo)
    assert (ran.code, "Nothing was sent again." in ran.out, photo in ran.out) == (0, True, True)
    other = lay(Way.EVENTS, "{}")
    assert "1 event not of Candid's, left where they are." in run(tmp_path, "start", "--all").out
    ran = run(tmp_path, "drop", other, "--reason", "Nobody's.", "--yes")
    assert ran.out.strip() == "1 letter dropped."
    assert "Nobody's." in run(tmp_path, "list", "--dropped").out


def test_wrong_use_is_told_and_nothing_is_asked(served: Invoked, tmp_path: Path) -> None:
    for arguments, said in (
        (("start", "x", "--all"), "Name the letters, or give --all."),
        (("start", "--way", "photos"), "Name the letters, or give --all."),
        (("drop", "x", "--yes"), "Say why, in 3 to 200 characters."),
        (("drop", "--reason", "Nobody's.", "--yes"), "Name the letters."),
        (("list", "--way", "smith"), "'smith' is not one of"),
    ):
        ran = run(tmp_path, *arguments)
        assert (ran.code, said in ran.err) == (2, True), ran.err
    assert served.asked == []
    ran = run(tmp_path, "drop", "x", "--reason", "Nobody's.")
    assert (ran.code, "Nothing was deleted." in ran.err) == (1, True)
    assert served.asked == []


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [(b"n\n", 1, "Nothing was deleted."), (b"\n", 1, "Nothing was deleted."), (b"\x03", 130, "")],
)
def test_nothing_is_dropped_where_somebody_says_no_or_stops(
    served: Invoked, tmp_path: Path, typed: bytes, code: int, said: str
) -> None:
    ran = asked("redrive", "drop", "x", "--reason", "Nobody's.", "--json", cwd=tmp_path, typed=typed)
    assert (ran.code, said in ran.err) == (code, True), ran.err
    # A program reads stdout: the refusal, and nothing of the question.
    assert ran.out == "" or list(ran.json) == ["error"]
    assert not ran.out.startswith(" ")
    assert served.asked == []


def test_what_somebody_agrees_to_is_dropped(served: Invoked, tmp_path: Path) -> None:
    letter = lay(Way.EVENTS, "{}")
    ran = asked("redrive", "drop", letter, "--reason", "Nobody's.", cwd=tmp_path, typed=b"y\n")
    assert (ran.code, ran.out) == (0, "1 letter dropped.\n"), ran.err


def test_a_letter_that_is_gone_is_one_sentence(served: Invoked, tmp_path: Path) -> None:
    ran = run(tmp_path, "show", "6d0ee3ba-94d5-4d0a-b6f5-5c3f2d6f3b52")
    assert (ran.code, ran.out) == (1, "")
    assert "There is no such dead letter" in ran.err
