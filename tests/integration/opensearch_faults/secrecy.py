"""A look-out for what must never be logged: templates, subject ids, booking ids (design rule 8)."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from candid.gallery.index import Template

_DIGITS = re.compile(r"0\.0*(\d{6})")
_SHOWN = re.compile(r"0\.0*\d{6}|\d\.\d{5}")
_OURS = ("opensearch", "opensearchpy", "urllib3", "candid")
_PLAIN = frozenset(vars(logging.makeLogRecord({})))


class LookOut(logging.Handler):
    """Everything that any logger says while it is on, at every level, and every exception that is shown to it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(logging.Formatter().format(record))
        # A record's own times and places are left out: their digits are anybody's.
        self.said.append(repr({name: value for name, value in vars(record).items() if name not in _PLAIN}))
        self.said.append(repr((record.msg, record.args)))

    def see(self, error: BaseException) -> None:
        """Take note of all that printing, logging or reporting the exception would show, what it came from included."""
        known: set[int] = set()
        pending: list[BaseException | None] = [error]
        while pending:
            one = pending.pop()
            if one is None or id(one) in known:
                continue
            known.add(id(one))
            self.said += [str(one), repr(one)]
            # What ``from None`` hides is shown by nobody; it is in ``__context__`` all the same.
            pending += [one.__cause__, None if one.__suppress_context__ else one.__context__]
        self.said.append("".join(traceback.format_exception(error)))
        self.said.append(repr(getattr(error, "members", "")))
        self.said.append(repr(getattr(error, "failures", "")))

    def hear(self, text: str) -> None:
        """Take note of a log that is written elsewhere."""
        self.said.append(text)

    def assert_silent_about(self, secrets: Iterable[str]) -> None:
        """None of ``secrets`` was said. Fails with the place alone."""
        heard = "\n".join(self.said)
        wanted = set(secrets)
        numbers = {one for one in wanted if _SHOWN.fullmatch(one)}
        # Thousands of numbers are looked for at once.
        said = {found[1] for found in re.finditer(f"(?=({_SHOWN.pattern}))", heard)}
        said |= {found[1] for found in re.finditer(r"(?=(\d\.\d{5}))", heard)}
        for secret in (wanted - numbers) | (numbers & said):
            where = heard.find(secret)
            assert where < 0, (
                f"a secret of {len(secret)} characters was logged after: {heard[max(0, where - 300) : where]}"
            )


def digits(template: Template) -> set[str]:
    """A template's numbers as JSON, NumPy or Python print them, up to their sixth significant digit."""
    shown = [_DIGITS.match(f"{abs(float(number)):.15f}") for number in template]
    # NumPy prefers 3.12745e-02 where an array has small numbers.
    return {one[0] for one in shown if one is not None} | {f"{abs(float(number)):.8e}"[:7] for number in template}


@contextmanager
def look_out(level: int = logging.DEBUG) -> Iterator[LookOut]:
    """Listen to every logger for the length of a ``with``, as one who has turned everything on to find a fault; to those that
    speak neither for Candid nor for its way to OpenSearch from ``level``."""
    heard, root = LookOut(), logging.getLogger()
    names = [name for name in logging.Logger.manager.loggerDict if name.split(".")[0] in _OURS]
    loggers = [root, *(logging.getLogger(name) for name in names)]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(level if one is root else logging.DEBUG)
    logging.captureWarnings(True)
    root.addHandler(heard)
    try:
        yield heard
    finally:
        root.removeHandler(heard)
        logging.captureWarnings(False)
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
