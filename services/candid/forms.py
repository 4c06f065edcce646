"""Texts that must be of a form, with words for whoever sends another: pydantic would quote the pattern."""

from __future__ import annotations

import re

from pydantic import AfterValidator


def of_form(pattern: str, words: str) -> AfterValidator:
    """A validator of texts that match ``pattern`` from end to end; of others the error says that they must be ``words``."""
    form = re.compile(pattern)

    def check(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError(f"must be {words}")
        return text

    return AfterValidator(check)


def printable(text: str) -> str:
    """``text`` if a person can see it whole: no control characters, no line's end, not blank. Else ``ValueError``."""
    if not text.strip() or not text.isprintable():
        raise ValueError("must be printable text and not blank")
    return text
