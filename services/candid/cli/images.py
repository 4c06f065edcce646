"""Image files as the API takes them: what kind a file is, and when it is too large for a request.

Not here: decoding. What is in an image is for the server to see.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from candid.cli.api import Api, text
from candid.errors import CandidError

MAX_INLINE_BYTES: Final = 4_400_000
"""Of all images of one request: base64 adds a third, and a request ends at 6 MB."""
_BY_SUFFIX: Final = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpe": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".heic": "image/heic",
    ".heif": "image/heic",
    ".jp2": "image/jp2",
    ".j2k": "image/jp2",
}
_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x00\x00\x00\x0cjP  ", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
)
_HEIC_BRANDS: Final = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}


class NoImage(CandidError):
    """A file that can't be read, or is of no kind that Candid takes."""


def has_image_suffix(path: Path) -> bool:
    """Whether a file's name says that it is an image of a kind that Candid takes."""
    return path.suffix.lower() in _BY_SUFFIX


def content_type(head: bytes, path: Path) -> str:
    """The kind by a file's first bytes (16 suffice), else by its name. Raises ``NoImage``."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return "image/heic"
    if by_name := _BY_SUFFIX.get(path.suffix.lower()):
        return by_name
    raise NoImage(
        "The file is no image of a kind that Candid reads. Send JPEG, PNG, WebP, BMP, TIFF, HEIC or JPEG 2000."
    )


def read(path: Path) -> bytes:
    """A file's bytes. Raises ``NoImage`` for one that is not there, not readable or empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NoImage(f"{path} can't be read: {why(error)}. Check the path.") from error
    if not data:
        raise NoImage(f"{path} is empty. Name another file.")
    return data


def why(error: OSError) -> str:
    """What the system says of a file, as the end of a sentence."""
    told = (error.strerror or "it is not readable").rstrip(".")
    return told[:1].lower() + told[1:]


def as_probe(api: Api, path: Path) -> dict[str, str]:
    """The members of a search request that carry ``path``: inline, or uploaded before if it is too large for that."""
    data = read(path)
    if len(data) <= MAX_INLINE_BYTES:
        return {"probe": text(data)}
    link = api.probe_link(content_type(data[:16], path))
    if len(data) > link.upload.max_bytes:
        raise NoImage(
            f"{path} has {megabytes(len(data))}; at most {megabytes(link.upload.max_bytes)} are taken. Send a smaller copy."
        )
    api.client.upload(link.upload.url, link.upload.fields, data)
    return {"probe_id": link.probe_id}


def inline(*paths: Path) -> list[bytes]:
    """The bytes of images that travel in one request. Raises ``NoImage`` where they are too large for that together."""
    read_ones = [read(path) for path in paths]
    size = sum(map(len, read_ones))
    if size > MAX_INLINE_BYTES:
        one = "The image has" if len(paths) == 1 else "The images together have"
        raise NoImage(f"{one} {megabytes(size)}; at most {megabytes(MAX_INLINE_BYTES)} are taken. Send smaller copies.")
    return read_ones


def megabytes(size: int) -> str:
    """A size in words."""
    return f"{size / 1_000_000:.1f} MB"
