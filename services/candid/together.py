"""Several things at once, in threads that know what the caller's knows: the id that is followed, and when the invocation ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

_THREADS: Final = 8

T = TypeVar("T")
A = TypeVar("A")


def at_once(work: Callable[[A], T], things: Sequence[A]) -> list[T]:
    """``work`` on each thing, eight at a time at most; in their order. Raises what the first failure raised."""
    if len(things) < 2:
        return [work(one) for one in things]
    with ThreadPoolExecutor(min(_THREADS, len(things))) as pool:
        # A context can be entered by one thread at a time.
        begun = [pool.submit(copy_context().run, work, one) for one in things]
        try:
            return [one.result() for one in begun]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
