"""Photos that something is wrong with, made of the sample portraits: cut, spoilt, mislabelled, or bombs."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

from PIL import Image

from tests.portraits import portrait

PORTRAITS: Final = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2")
KINDS: Final = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "JPEG2000")


def opened(name: str = "person_a_1") -> Image.Image:
    """A portrait as an image."""
    return Image.open(io.BytesIO(portrait(name))).convert("RGB")


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """An image as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned(orientation: int) -> bytes:
    """EXIF that says so (1 to 8)."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def mutated(chance: random.Random) -> bytes:
    """A portrait with one to six bytes, or ranges of bytes, changed, taken out, doubled, moved or cut off."""
    data = bytearray(portrait(chance.choice(PORTRAITS)))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        at = chance.randrange(len(data)) if chance.random() < 0.7 else chance.randrange(min(700, len(data)))
        length = chance.choice((1, 1, 1, 2, 4, 16, 256, 4096))
        what = chance.randrange(6)
        if what == 0:
            data[at : at + length] = chance.randbytes(len(data[at : at + length]))
        elif what == 1:
            data[at] ^= 1 << chance.randrange(8)
        elif what == 2:
            del data[at : at + length]
        elif what == 3:
            data[at:at] = data[at : at + length]
        elif what == 4:
            data[at:at] = chance.choice((b"\xff", b"\x00", b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc4")) * length
        elif chance.random() < 0.2:
            del data[max(at, 1) :]
        if not data:
            data = bytearray(b"\xff")
    return bytes(data)


def png(width: int, height: int, rows: bytes = b"", *, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header promises so much, with these (compressed) rows."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


SIDE: Final = 20_000


def bilevel_png() -> bytes:
    """A PNG whose every row is there."""
    return png(SIDE, SIDE, zlib.compress(bytes(SIDE * SIDE // 8 + SIDE), 9), depth=1, colour=0)


def lying_jpeg2000() -> bytes:
    """A portrait whose header says more, in the container and in the code stream."""
    data = bytearray(saved(opened(), "JPEG2000"))
    for at in (data.index(b"ihdr") + 4, data.index(b"\xff\x51") + 6):
        data[at : at + 8] = struct.pack(">II", SIDE, SIDE)
    return bytes(data)


def lying_jpeg() -> bytes:
    """A portrait whose frame header says more."""
    data = bytearray(portrait("person_a_1"))
    frame = next(at for at in range(len(data) - 9) if data[at] == 0xFF and data[at + 1] in (0xC0, 0xC2))
    data[frame + 5 : frame + 9] = struct.pack(">HH", SIDE, SIDE)
    return bytes(data)


def empty_bmp() -> bytes:
    """A BMP without a pixel."""
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, SIDE, SIDE, 1, 24, 0, 0, 0, 0, 0, 0)


BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "a PNG's header alone": lambda: png(SIDE, SIDE),
    "a PNG, all of it": bilevel_png,
    "a TIFF": lambda: saved(Image.new("1", (SIDE, SIDE)), "TIFF", compression="group4"),
    "a JPEG 2000 that lies": lying_jpeg2000,
    "a JPEG that lies": lying_jpeg,
    "a BMP that lies": empty_bmp,
}
"""Small files that would be pictures of 20,000 × 20,000: each within the limit of bytes and over the limit of pixels."""
