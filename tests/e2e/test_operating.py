"""``candid index`` as an operator runs it, on a whole stack: Lambda's Invoke, the queue, the embed function, HTTP."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.e2e.stack import Stack, portrait
from tests.e2e.test_photos import agency, search, searched
from tests.unit.cli.running import Ran, candid


def operate(stack: Stack, *arguments: str) -> Ran:
    return candid("index", *arguments, cwd=stack.root, env={"CANDID_HOME": str(stack.root / ".candid")})


def roles(stack: Stack) -> dict[str, Any]:
    """Indexes by role."""
    return {one["role"]: one for one in operate(stack, "status", "--json").json["indexes"]}


def test_table_index_and_bucket_agree_after_all_that_other_tests_did(stack: Stack) -> None:
    api = stack.api(agency())
    stack.settled(api, stack.book(api, portrait("person_a_1.jpg")))
    ran = operate(stack, "verify")
    assert (ran.code, "Table, index and bucket agree." in ran.out) == (0, True), ran.out


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
    assert operate(stack, "verify").code == 0
