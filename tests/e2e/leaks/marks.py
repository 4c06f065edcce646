"""What must not leak, in every form in which it could: as it is, in base64, in hexadecimal, as numbers, escaped.

Texts are recognisable words of one run's own. Photos, pixels, templates and tokens are looked for by windows of their bytes.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

import numpy as np

from candid.faces.image import decode
from candid.faces.selection import booking_face
from tests.portraits import engine

WINDOW: Final = 18
"""Bytes that are looked for together: six pixels."""
_WINDOWS: Final = 40
_COMPONENTS: Final = 16

FACES: Final = ("bytes of", "pixels of", "template of")
TOKENS: Final = ("token", "photo link", "upload link")
"""What begins what is found."""


class Marks:
    """All that was sent in, by what it is."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._forms: dict[bytes, str] = {}
        self._digits: dict[str, list[bytes]] = {}
        """Of a template: some of its components in decimal digits. One alone could be a coincidence."""

    def word(self, what: str) -> str:
        """A new recognisable word for ``what`` (a name, a number, …)."""
        word = f"{what.replace(' ', '')}Quackenbush{uuid.uuid4().hex[:10]}"
        self.text(what, word)
        return word

    def text(self, what: str, text: str) -> None:
        """Look for a text."""
        self._texts[text] = what
        data = text.encode()
        for form in (*_encoded(data), quote(text, safe="").encode(), json.dumps(text)[1:-1].encode()):
            self._forms[form.lower()] = what

    def secret(self, what: str, text: str) -> None:
        """Look for a token or a signature, and for any long part of it."""
        for part in re.split(r"[.&=?]", text):
            for start in range(0, max(len(part) - 24, 0) + 1, 24):
                if len(piece := part[start : start + 24]) == 24:
                    self._forms[piece.encode().lower()] = what

    def photo(self, what: str, data: bytes) -> None:
        """Look for a photo's bytes, its pixels, and the template of its face, if it has one."""
        self._bytes(f"bytes of {what}", data)
        image = decode(data)
        row = image[image.shape[0] // 2]
        for order in (row, row[:, ::-1]):  # BGR as Candid has them, and RGB as most others do.
            self._bytes(f"pixels of {what}", order.tobytes())
        for template in engine().templates(image, [booking_face(image, engine().detect(image))]):
            self._template(f"template of {what}", template)

    def found(self, where: bytes) -> list[str]:
        """What of it all ``where`` holds."""
        lower = where.lower()
        found = {what for form, what in self._forms.items() if form in lower}
        for what, components in self._digits.items():
            if sum(one in where for one in components) > 2:
                found.add(what)
        return sorted(found)

    def __len__(self) -> int:
        return len(self._forms) + len(self._digits)

    def _bytes(self, what: str, data: bytes) -> None:
        for window in _windows(data):
            if len(set(window)) < 9:  # An even area, or a marker that every JPEG has.
                continue
            for form in _encoded(window):
                self._forms[form.lower()] = what
            self._forms[", ".join(map(str, window)).encode()] = what
            rows = [", ".join(map(str, window[at : at + 3])) for at in range(0, WINDOW, 3)]
            self._forms["], [".join(rows).encode()] = what

    def _template(self, what: str, template: np.ndarray) -> None:
        data = template.astype("<f4").tobytes()
        for window in (data[at : at + 16] for at in range(0, len(data), 64)):
            for form in _encoded(window):
                self._forms[form.lower()] = what
        plain = [repr(float(one)) for one in template if 0.01 <= abs(one) < 1]
        self._digits[what] = [one.lstrip("-")[:9].encode() for one in plain[:_COMPONENTS]]


def _windows(data: bytes) -> Iterator[bytes]:
    """Some at the beginning, where a cut-off message ends, and some everywhere."""
    yield from (data[at : at + WINDOW] for at in range(0, 20 * WINDOW, WINDOW))
    step = max(len(data) // _WINDOWS, 1)
    yield from (data[at : at + WINDOW] for at in range(0, len(data) - WINDOW, step))


def _encoded(data: bytes) -> Iterable[bytes]:
    """As it is, in hexadecimal, as Python writes bytes, in base64 at each of its three places."""
    yield data
    yield data.hex().encode()
    yield repr(data)[2:-1].encode()
    for place in range(3):
        # The first and the last digits depend on what is beside it.
        text = base64.b64encode(bytes(place) + data)
        yield text[4 if place else 0 : -4]
