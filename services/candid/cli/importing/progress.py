"""How an import's progress is shown: two bars on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from candid.cli.importing.tally import Counts
from candid.cli.rendering.words import count, duration

_FIRST_LINE: Final = 2.0
_LINE_EVERY: Final = 10.0
_RATE_OVER: Final = 15.0
_TOLD_AFTER: Final = 3.0
_TOLD_FROM: Final = 20


class Pace:
    """Photos a second over the last seconds, and the time left at that pace."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []

    def at(self, done: int, total: int, now: float) -> tuple[float, float | None]:
        """Photos a second, and seconds left (None while nothing can be said)."""
        self._marks = [mark for mark in self._marks if now - mark[0] <= _RATE_OVER] or self._marks[-1:]
        self._marks.append((now, done))
        since, then = self._marks[0]
        rate = (done - then) / (now - since) if now > since else 0.0
        # The first photos tell of cold functions, not of the pace.
        told = rate > 0 and now - since >= _TOLD_AFTER and done - then >= _TOLD_FROM
        return rate, (total - done) / rate if told else None


def steps(counts: Counts, *, waits: bool) -> int:
    """How far along an import is, in photos: one that waits is done when it is settled."""
    return counts.settled + counts.failed + counts.bad_rows if waits else counts.handled


class Display(Protocol):
    """Shows counts while an import runs."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, counts: Counts) -> None:
        """Show these."""
        ...

    def say(self, sentence: str) -> None:
        """Say something beside the progress."""
        ...


def display(console: Console, *, waits: bool) -> Display:
    """Bars where the console is a terminal, lines where it is not."""
    return Bars(console, waits=waits) if console.is_terminal else Lines(console, waits=waits)


class Lines:
    """Plain lines, for logs."""

    def __init__(self, console: Console, *, waits: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._waits = waits
        self._clock = clock
        self._pace = Pace()
        self._next = clock() + _FIRST_LINE

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self, counts: Counts) -> None:
        """A line, if the last one is a while ago."""
        now = self._clock()
        rate, left = self._pace.at(steps(counts, waits=self._waits), counts.total, now)
        if now < self._next:
            return
        self._next = now + _LINE_EVERY
        said = f"{count(counts.handled)} of {count(counts.total)} handled"
        if self._waits:
            said += f", {count(counts.enrolled)} enrolled, {count(counts.rejected.total())} rejected"
        if counts.failed or counts.bad_rows:
            said += f", {count(counts.failed + counts.bad_rows)} failed"
        said += f"; {rate:.1f} photos/s"
        self.say(said + (f", about {duration(left)} left" if left is not None else ""))

    def say(self, sentence: str) -> None:
        """A line."""
        self._console.print(Text(sentence))


class Bars:
    """One bar for what is handled, failed or not, one for what is enrolled or rejected."""

    def __init__(self, console: Console, *, waits: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            _Number(),
            _Rate(),
            _Left(),
            console=console,
            refresh_per_second=5,
        )
        self._handled = self._progress.add_task("Handled", total=None)
        self._settled = self._progress.add_task("Enrolled or rejected", total=None) if waits else None
        self._paces = {self._handled: Pace(), **({self._settled: Pace()} if self._settled is not None else {})}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, counts: Counts) -> None:
        """Move the bars."""
        self._move(self._handled, counts.handled, counts.total)
        if self._settled is not None:
            self._move(self._settled, counts.settled, max(counts.total - counts.failed - counts.bad_rows, 0))

    def say(self, sentence: str) -> None:
        """A line above the bars."""
        self._progress.console.print(Text(sentence))

    def _move(self, task: object, done: int, total: int) -> None:
        for known, pace in self._paces.items():
            if known == task:
                rate, left = pace.at(done, total, time.monotonic())
                self._progress.update(known, completed=done, total=total, rate=rate, left=left)


class _Number(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{count(int(task.completed))} of {count(int(task.total or 0))}")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.fields.get('rate', 0.0):.1f}/s")


class _Left(ProgressColumn):
    def render(self, task: Task) -> Text:
        left = task.fields.get("left")
        if task.total and task.completed >= task.total:
            return Text("done")
        return Text(f"{duration(left)} left" if left is not None else "")
