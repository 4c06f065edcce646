"""Decoding: every kind that is read, upright, bounded; everything else refused by a sentence."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from candid.errors import ImageFormatUnsupported, ImageTooLarge, ImageTooSmall, ImageUnreadable, PhotoRefused
from candid.faces.image import HEIC_IS_READ, content_type, decode
from tests.portraits import engine, portrait


def gradient(mode: str = "RGB", size: tuple[int, int] = (96, 64)) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    rgb = np.stack([across, down, 255 - across], axis=-1).astype(np.uint8)
    return Image.fromarray(rgb).convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


STORED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""The transposition that a camera held so writes, by EXIF orientation."""
KINDS = [
    ("PNG", "image/png", 0),
    ("BMP", "image/bmp", 0),
    ("TIFF", "image/tiff", 0),
    ("JPEG", "image/jpeg", 6),
    ("WEBP", "image/webp", 6),
    ("JPEG2000", "image/jp2", 6),
]


@pytest.mark.parametrize(("kind", "mime", "tolerance"), KINDS)
def test_every_kind_is_read_as_the_same_pixels(kind: str, mime: str, tolerance: float) -> None:
    data = saved(gradient(), kind)
    pixels = decode(data)
    assert content_type(data) == mime
    assert pixels.dtype == np.uint8
    assert pixels.shape == (64, 96, 3)
    assert np.abs(pixels[:, :, ::-1].astype(int) - np.asarray(gradient())).mean() <= tolerance


@pytest.mark.skipif(not HEIC_IS_READ, reason="pillow-heif is not installed on this machine")
def test_heic_is_read() -> None:
    data = saved(gradient(), "HEIF", quality=90)
    assert content_type(data) == "image/heic"
    assert np.abs(decode(data)[:, :, ::-1].astype(int) - np.asarray(gradient())).mean() < 8


@pytest.mark.skipif(not HEIC_IS_READ, reason="pillow-heif is not installed on this machine")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phones_heic_is_upright(orientation: int) -> None:
    stored = gradient().transpose(Image.Transpose(STORED[orientation])) if orientation > 1 else gradient()
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(saved(stored, "HEIF", exif=exif.tobytes(), quality=90))
    assert pixels.shape == (64, 96, 3)
    assert np.abs(pixels[:, :, ::-1].astype(int) - np.asarray(gradient())).mean() < 8


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr"])
def test_grey_palette_and_cmyk_become_colour(mode: str) -> None:
    kind = "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG"
    assert decode(saved(gradient(mode), kind)).shape == (64, 96, 3)


def test_sixteen_bits_keep_their_range() -> None:
    ramp = np.tile(np.linspace(0, 65535, 96), (64, 1)).astype(np.uint16)
    pixels = decode(saved(Image.fromarray(ramp), "PNG"))
    assert pixels[0, 0, 0] == 0
    assert pixels[0, -1, 0] == 255
    assert abs(int(pixels[0, 48, 0]) - 128) <= 2


@pytest.mark.parametrize(
    ("mode", "colour", "clear"), [("RGBA", (200, 0, 0, 0), None), ("RGB", (200, 0, 0), (200, 0, 0)), ("L", 9, 9)]
)
def test_what_is_transparent_is_white(mode: str, colour: object, clear: object) -> None:
    image = Image.new(mode, (64, 64), colour)  # type: ignore[arg-type]
    options = {} if clear is None else {"transparency": clear}
    assert (decode(saved(image, "PNG", **options)) == 255).all()


def test_fractions_instead_of_colours_are_refused_rather_than_read_as_black() -> None:
    image = Image.fromarray(np.full((64, 64), 0.5, np.float32))
    with pytest.raises(ImageFormatUnsupported, match="fractions"):
        decode(saved(image, "TIFF"))


def test_an_animation_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert decode(data)[32, 32].tolist() == [0, 0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied_so_that_the_face_is_the_same(orientation: int) -> None:
    upright = Image.open(io.BytesIO(portrait("person_a_1")))
    stored = upright.transpose(Image.Transpose(STORED[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(stored, "PNG", exif=exif)
    assert np.array_equal(decode(data), decode(saved(upright, "PNG")))
    template = engine().templates(decode(data), engine().detect(decode(data))[:1])[0]
    original = decode(portrait("person_a_1"))
    assert float(template @ engine().templates(original, engine().detect(original)[:1])[0]) > 0.999


def png_without_pixels(width: int, height: int) -> bytes:
    """A header that promises a picture, and the beginning of an empty one."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b""))


def test_too_many_pixels_are_refused_by_the_header_alone() -> None:
    with pytest.raises(ImageTooLarge, match=r"20000 × 20000|million"):
        decode(png_without_pixels(20_000, 20_000))


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(ImageTooLarge, match="MB"):
        decode(b"\xff\xd8" + bytes(16 * 1024 * 1024))


def test_too_few_pixels_are_refused() -> None:
    with pytest.raises(ImageTooSmall):
        decode(saved(gradient(size=(31, 200)), "PNG"))


@pytest.mark.parametrize("kind", [*(kind for kind, _, _ in KINDS), *(["HEIF"] if HEIC_IS_READ else [])])
@given(part=st.floats(0, 0.99))
@example(part=0.003)  # JPEG 2000's headers and nothing behind them.
@settings(max_examples=25, deadline=None)
def test_a_photo_that_is_cut_off_is_refused(kind: str, part: float) -> None:
    data = whole(kind)
    with pytest.raises(PhotoRefused):
        decode(data[: int(len(data) * part)])


@cache
def whole(kind: str) -> bytes:
    return saved(Image.open(io.BytesIO(portrait("person_a_1"))), kind)


def test_a_canvas_that_an_animation_only_promises_is_refused_before_it_is_made() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    data = bytearray(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    canvas = data.index(b"VP8X") + 12
    data[canvas : canvas + 6] = 2 * (16_383).to_bytes(3, "little")
    with pytest.raises(ImageTooLarge):
        decode(bytes(data))


@pytest.mark.parametrize("size", [(40_000, 64), (64, 40_000)])
def test_a_strip_of_an_image_is_searched_without_failing(size: tuple[int, int]) -> None:
    assert engine().detect(decode(saved(Image.new("RGB", size, "grey"), "PNG"))) == ()


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_no_bytes_raise_anything_but_a_refusal_and_no_refusal_quotes_them(noise: bytes) -> None:
    for head in (b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"II*\x00", b"BM", b"RIFF\x99\x00\x00\x00WEBPVP8 "):
        with pytest.raises(PhotoRefused) as refusal:
            decode(head + noise)
        assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", ImageUnreadable),
        (b"<html><body>not a photo</body></html>", ImageFormatUnsupported),
        (b"%PDF-1.7 ...", ImageFormatUnsupported),
        (b"GIF89a" + bytes(64), ImageFormatUnsupported),
        (b"\xff\xd8\xff\xe0" + bytes(64), PhotoRefused),
    ],
)
def test_what_is_no_photo_is_refused(data: bytes, error: type[PhotoRefused]) -> None:
    with pytest.raises(error):
        decode(data)
    assert content_type(data) is None


def test_a_machine_without_memory_is_no_fault_of_the_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Image.Image) -> None:
        raise MemoryError

    data = saved(Image.new("RGB", (64, 64)), "PNG")
    monkeypatch.setattr(Image.Image, "load", full)
    with pytest.raises(MemoryError):
        decode(data)
