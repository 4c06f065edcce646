"""When a run under load counts as broken."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from tests.benchmarks.load.asking import Searches
from tests.benchmarks.load.figures import (
    FLAT_MB_A_THOUSAND,
    UNANSWERED,
    Asked,
    Memory,
    failures,
    limit_failures,
    over_alone,
)


def asked(**statuses: int) -> Asked:
    counts = Counter({int(name.lstrip("s")): count for name, count in statuses.items()})
    return Asked(4, True, [number / 1000 for number in range(1, 101)], counts, 10.0)


def memory(name: str, growth: float, warm: float = 0.0) -> Memory:
    """A process that takes ``warm`` MB in the first quarter of its life, and ``growth`` a thousand searches."""
    searches = list(range(2_000, 10_000, 100))
    sizes = [100 + growth * done / 1000 + min(warm, warm * (done - 2_000) / 2_000) for done in searches]
    return Memory(name, searches, sizes)


def broken(
    *runs: Asked, watched: tuple[Memory, ...] = (), oldest: float = 1, lost: int = 0, unrecorded: int = 0
) -> int:
    return len(failures(runs, watched, oldest=oldest, bound=120, lost=lost, unrecorded=unrecorded))


def test_a_run_in_which_all_holds_is_not_broken() -> None:
    watched = (memory("candid-search (7)", 0.2, warm=300), memory("local AWS", 50))
    assert broken(asked(s201=100), watched=watched) == 0


@pytest.mark.parametrize(
    "statuses", [{"s201": 99, "s500": 1}, {"s201": 99, "s503": 1}, {"s429": 100}, {"s201": 99, f"s{UNANSWERED}": 1}]
)
def test_another_answer_than_a_search_breaks_it(statuses: dict[str, int]) -> None:
    assert broken(asked(s201=100), asked(**statuses)) == 1


def test_a_process_of_candids_that_grows_breaks_it() -> None:
    grows = memory("candid-search (7)", 2 * FLAT_MB_A_THOUSAND)
    assert grows.growth() == pytest.approx(2 * FLAT_MB_A_THOUSAND)
    assert broken(asked(s201=100), watched=(grows, memory("candid-embed (8)", 0))) == 1


def test_a_photo_that_waits_too_long_or_is_lost_and_a_search_that_is_not_stored_break_it() -> None:
    assert broken(asked(s201=1), oldest=121) == 1
    assert broken(asked(s201=1), lost=1, unrecorded=1) == 2


def test_percentiles_are_of_milliseconds() -> None:
    told = asked(s201=100).as_json()
    assert (told["p50_ms"], told["p99_ms"], told["a_second"]) == (50.5, 99.0, 10.0)


def test_a_worker_that_ended_breaks_it() -> None:
    told = failures([asked(s201=1)], [], oldest=1, bound=120, lost=0, unrecorded=0, ended=["candid-search (7)"])
    assert told == ["candid-search (7) ended while it was watched."]


def test_an_import_is_compared_with_the_same_searches_alone() -> None:
    twice = Asked(4, True, [2 * seconds for seconds in asked(s201=1).seconds], Counter(), 10.0)
    assert over_alone(asked(s201=1), twice) == {"p50": 2, "p95": 2, "p99": 2}


def limited(
    statuses: dict[int, int],
    retry_after: str | None = "60",
    *,
    recorded: int = 20,
    unaccounted: int = 0,
    after: int = 201,
) -> list[str]:
    """What breaks a run whose answers are these, each refusal with this Retry-After."""
    run = Asked(4, True)
    for status, count in statuses.items():
        for _ in range(count):
            run.note(0.1, status, retry_after)
    return limit_failures(run, recorded=recorded, unaccounted=unaccounted, after_the_wait=after)


def test_refusals_that_say_when_to_come_again_and_a_search_then_are_as_it_must_be() -> None:
    assert limited({201: 20, 429: 40}) == []
    assert limited({201: 20, 429: 39, 503: 1}, recorded=21) == []


@pytest.mark.parametrize("retry_after", [None, "", "0", "soon", "-5"])
def test_a_refusal_without_a_usable_retry_after_breaks_it(retry_after: str | None) -> None:
    assert limited({201: 20, 429: 40}, retry_after) == ["40 refusals came without Retry-After."]


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        ({201: 20, 429: 39, 500: 1}, "Other answers came"),
        ({201: 20, 429: 39, 504: 1}, "Other answers came"),
        ({201: 20, 429: 39, UNANSWERED: 1}, "Other answers came"),
        ({201: 20}, "The limit was not reached"),
    ],
)
def test_another_refusal_or_none_breaks_it(statuses: dict[int, int], told: str) -> None:
    (sentence,) = limited(statuses)
    assert sentence.startswith(told)


@pytest.mark.parametrize("what", [{"recorded": 19}, {"recorded": 21}, {"unaccounted": 1}, {"after": 429}])
def test_what_is_dropped_or_refused_after_the_wait_breaks_it(what: dict[str, int]) -> None:
    assert len(limited({201: 20, 429: 40}, **what)) == 1  # type: ignore[arg-type]


class Refusing(BaseHTTPRequestHandler):
    """Refuses with Retry-After."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(429)
        self.send_header("Retry-After", "7")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def refusing() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def searching(url: str) -> Asked:
    stack: Any = SimpleNamespace(told={"api_url": url}, tokens=lambda _: SimpleNamespace(token=lambda: "a token"))
    return Searches(stack, "an-agency", "a-case", [b"a probe"]).ask(Asked(2, False), 6)


def test_each_refusal_is_counted_once_and_not_asked_again() -> None:
    with refusing() as url:
        told = searching(url)
    assert (dict(told.statuses), told.without_retry_after, told.longest_retry_after) == ({429: 6}, 0, 7)


def test_a_search_that_nobody_answers_is_counted_and_its_client_goes_on() -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(
            ("127.0.0.1", 0)
        )  # Bound and not listening: nobody else takes the port, and connections are refused.
        told = searching(f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert dict(told.statuses) == {UNANSWERED: 6}
