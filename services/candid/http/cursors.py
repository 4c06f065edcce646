"""Cursors: where the next page of a listing begins, bound to the listing that it came from."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from candid.errors import InvalidRequest

Key = Mapping[str, Any]
"""A DynamoDB key (LastEvaluatedKey), string attributes alone."""


def encode(key: Key | None, *listing: str | None) -> str | None:
    """A cursor for ``key``; None at a listing's end. ``listing`` names what is listed: route, agency, and every filter."""
    if key is None:
        return None
    plain = {name: value["S"] for name, value in key.items()}
    text = json.dumps({"of": _mark(listing), "key": plain}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str | None, *listing: str | None) -> dict[str, Any] | None:
    """The key in ``cursor``; None where a listing begins. Raises ``InvalidRequest`` for a cursor that this listing did not give
    out."""
    if cursor is None:
        return None
    wrong = InvalidRequest(
        "The cursor is not one of this listing. Use next_cursor of the page before, with the same filters."
    )
    try:
        value = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise wrong from None
    if not isinstance(value, dict) or value.get("of") != _mark(listing) or not isinstance(value.get("key"), dict):
        raise wrong
    # Keys are of printable ASCII alone. DynamoDB fails at half a surrogate pair, not as at a key that it does not have.
    if not all(
        isinstance(text, str) and text and text.isascii() and text.isprintable() for text in value["key"].values()
    ):
        raise wrong
    return {name: {"S": text} for name, text in value["key"].items()}


def _mark(listing: tuple[str | None, ...]) -> str:
    return sha256("\0".join("" if part is None else "=" + part for part in listing).encode()).hexdigest()[:16]
