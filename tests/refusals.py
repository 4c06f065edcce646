"""What the text of a refusal must be: what is wrong first, then what to do, in at most three sentences of plain characters.

A sentence says what to do if it begins with one of ``VERBS`` or with a command of ``candid``'s.
"""

from __future__ import annotations

import re
from typing import Final

VERBS: Final = frozenset(
    {
        *("Ask", "Begin", "Build", "Call", "Check", "Correct", "Delete", "Deploy", "Do", "Drop", "Export", "Fetch"),
        *("Get", "Give", "Install", "Leave", "Let", "Look", "Make", "Name", "Open", "Put", "Register", "Revoke", "Run"),
        *(
            "Search",
            "See",
            "Send",
            "Set",
            "Sign",
            "Start",
            "Stop",
            "Store",
            "Swap",
            "Take",
            "Try",
            "Unset",
            "Upload",
            "Use",
        ),
        "Wait",
    }
)
LONGEST: Final = 450


def wrong(text: str) -> str | None:
    """What is wrong with the text of a refusal; None where nothing is."""
    sentences = re.split(r"(?<=\.) (?=\S)", text)
    telling = [one.startswith("`candid ") or re.split("[ ,:]", one)[0] in VERBS for one in sentences]
    if not text.endswith("."):
        return "it does not end as a sentence does"
    if not text.isprintable() or len(text) > LONGEST:
        return "it is too long, or holds control characters"
    if telling[0]:
        return "it does not begin with what is wrong"
    if not any(telling):
        return "it does not say what to do"
    if len(sentences) > 3:
        return "it has more than three sentences"
    return None
