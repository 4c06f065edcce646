"""Pagination tokens: where the next page of a listing begins, bound to the listing that it came from.

A token has at most 255 characters, and so may the place in it: a collection's name. A long one is packed two characters in one.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

from candid.rekognition.errors import UnreadableToken

_MARK: Final = 16
_LONG: Final = 200
NAME: Final = re.compile(r"[a-zA-Z0-9_.\-]{1,255}")
USER: Final = re.compile(r"[a-zA-Z0-9_.\-:]{1,128}")
ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PACKED: Final = 0x4E00
"""The first of 20,992 ideographs: two characters of ASCII are one of 16,384."""


def token(place: str, *listing: str) -> str:
    """A token for the page behind ``place`` (printable ASCII). ``listing`` names what is listed: operation, agency, filters."""
    return _mark(listing) + (place if len(place) <= _LONG else _pack(place))


def place(given: str | None, form: re.Pattern[str], *listing: str) -> str | None:
    """The place in a token, which is of ``form``; None where a listing begins. Raises ``UnreadableToken`` for one of another
    listing, or none."""
    if given is None:
        return None
    told = given[_MARK:]
    found = told if told.isascii() else _unpack(told)
    if given[:_MARK] != _mark(listing) or not form.fullmatch(found):
        raise UnreadableToken(
            "NextToken is not one of this listing. Use the one of the page before, with the same members."
        )
    return found


def _pack(text: str) -> str:
    codes = text.encode("ascii") + b"\0" * (len(text) % 2)
    return "".join(chr(_PACKED + (high << 7 | low)) for high, low in zip(codes[::2], codes[1::2], strict=True))


def _unpack(text: str) -> str:
    codes = [ord(char) - _PACKED for char in text]
    if not all(0 <= code < 1 << 14 for code in codes):
        return ""
    return "".join(chr(code >> 7) + chr(code & 0x7F) for code in codes).removesuffix("\0")


def _mark(listing: tuple[str, ...]) -> str:
    return sha256("\0".join(listing).encode()).hexdigest()[:_MARK]
