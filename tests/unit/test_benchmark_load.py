"""When a run under load counts as broken."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.benchmarks.load.figures import FLAT_MB_A_THOUSAND, Asked, Memory, failures


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


@pytest.mark.parametrize("statuses", [{"s201": 99, "s500": 1}, {"s201": 99, "s503": 1}, {"s429": 100}])
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
