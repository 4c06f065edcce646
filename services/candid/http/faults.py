"""What pydantic finds wrong with a member of a request, in plain English. Never what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_LONGEST_NAME: Final = 100
_BRANCHES: Final = ("literal[", "constrained-", "[key]")
"""What pydantic ends a place with where a member may be of several kinds, or is wrong in its name."""
_WORDS: Final = {
    "extra_forbidden": "there is no such member",
    "missing": "this member is required",
    "string_type": "must be a text",
    "string_unicode": "must be a text of whole characters",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} or fewer characters",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} or fewer entries",
    "datetime_parsing": "must be a time that there is, as 2026-11-23T08:00:00Z",
    "datetime_from_date_parsing": "must be a time that there is, as 2026-11-23T08:00:00Z",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "union_tag_invalid": "must name one of these in {discriminator}: {expected_tags}",
    "union_tag_not_found": "must have the member {discriminator}",
}
"""By pydantic's name for the error; what is in braces is the limit that the model sets."""


def fault(error: Mapping[str, Any]) -> dict[str, str]:
    """A member of ``fields`` for one of pydantic's errors."""
    place = [str(part) for part in error["loc"]]
    if len(place) > 1 and place[-1].startswith(_BRANCHES):
        place.pop()
    kind = error["type"]
    if kind in _WORDS:
        limits = error.get("ctx", {}).items()
        whole = {
            name: int(limit) if isinstance(limit, float) and limit.is_integer() else limit for name, limit in limits
        }
        problem = _WORDS[kind].format_map(whole)
    elif kind == "value_error":
        problem = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    else:
        # Some of pydantic's own texts quote what was sent.
        problem = "is not what it must be"
    return {"field": _shown(".".join(place)) or "(body)", "problem": problem}


def _shown(name: str) -> str:
    """A member's name as an answer can hold it: short, and of printable characters alone. Where there is no such member, the name
    is what somebody sent: control characters would reach a terminal, and half a surrogate pair is no UTF-8."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name[:_LONGEST_NAME])
    return shown + "…" * (len(name) > _LONGEST_NAME)
