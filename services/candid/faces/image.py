"""Bytes to pixels, safely: kinds that are on a list, limits checked in the header before any pixel is decoded.

Metadata is dropped and the EXIF orientation applied, so that what comes out is the picture as a person sees it.
"""

from __future__ import annotations

import io
import warnings
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from candid.errors import ImageFormatUnsupported, ImageTooLarge, ImageTooSmall, ImageUnreadable

try:
    import pillow_heif

    pillow_heif.register_heif_opener()
    HEIC_IS_READ = True
except ImportError:  # The library has no wheel for every machine; without it HEIC is a kind that is not read.
    HEIC_IS_READ = False

Pixels = NDArray[np.uint8]
"""(height, width, 3), blue green red, 0 to 255, upright."""

MAX_BYTES: Final = 15 * 1024 * 1024
MAX_PIXELS: Final = 50_000_000
MIN_SIDE: Final = 32
_STRIP_ROWS: Final = 256
_BACKDROP: Final = (255, 255, 255)
_TYPES: Final = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "JPEG2000": "image/jp2",
    "HEIF": "image/heic",
}
# MPO (two JPEGs in one) is what Pillow finds behind JPEG; HEIF is a format once its library has registered it.
_FORMATS: Final = [name for name in _TYPES if name != "MPO" and (HEIC_IS_READ or name != "HEIF")]
_KINDS: Final = "JPEG, PNG, WebP, BMP, TIFF, JPEG 2000" + (" or HEIC" if HEIC_IS_READ else "")
# Pillow's own limit only warns below twice its value; ours is checked first and this stops what a decoder finds later.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


def decode(data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The first frame of an image, upright, (H, W, 3) uint8 BGR.

    Grey, palette, CMYK, 16-bit and alpha (over white) are converted. Raises ``ImageTooLarge`` (over ``max_bytes`` or
    ``max_pixels``, before decoding), ``ImageTooSmall`` (a side under 32 px), ``ImageFormatUnsupported``, and
    ``ImageUnreadable`` for what is no image or is cut off.
    """
    if len(data) > max_bytes:
        raise ImageTooLarge(f"The image has more than {max_bytes // 2**20} MB. Send a smaller one.")
    image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"The image has {width} × {height} pixels; at most {max_pixels // 10**6} million are read. Send a smaller one."
        )
    if min(width, height) < MIN_SIDE:
        raise ImageTooSmall(
            f"The image has {width} × {height} pixels; a side must have at least {MIN_SIDE}. Send a larger one."
        )
    if image.format == "JPEG2000" and not _has_its_end(data):
        raise ImageUnreadable("The image is damaged or cut off. Export it again.")
    if image.mode == "F":
        raise ImageFormatUnsupported("The image holds fractions instead of colours. Export it as JPEG or PNG.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_bgr(image)
    except MemoryError:
        raise  # No fault of the photo's: it comes again.
    except Exception as error:
        # Decoders fail in many ways (OSError, SyntaxError, struct.error, …) and their texts can quote the file.
        raise ImageUnreadable("The image is damaged or cut off. Export it again.") from _nameless(error)


def content_type(data: bytes) -> str | None:
    """What the bytes are by their own account, e.g. ``image/png``; None for a kind that is not read."""
    try:
        return _TYPES[str(_open(data).format)]
    except (ImageUnreadable, ImageFormatUnsupported):
        return None


def _open(data: bytes) -> Image.Image:
    if not data:
        raise ImageUnreadable("The file is empty. Send it again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:
        raise ImageFormatUnsupported(f"The file is not an image that Candid reads. Send {_KINDS}.") from None
    except Image.DecompressionBombError:
        raise ImageTooLarge(
            f"The image has more than {MAX_PIXELS // 10**6} million pixels. Send a smaller one."
        ) from None
    except Exception as error:
        raise ImageUnreadable("The image's header is damaged. Export it again.") from _nameless(error)


def _has_its_end(data: bytes) -> bool:
    """Whether JPEG 2000's end of codestream follows its data (ISO/IEC 15444-1, A.4.4): no data hold FF followed by more than 8F.
    OpenJPEG reads what is cut off behind its headers as an even grey."""
    start_of_data = data.find(b"\xff\x93")
    return start_of_data >= 0 and data.find(b"\xff\xd9", start_of_data) >= 0


def _to_bgr(image: Image.Image) -> Pixels:
    """Strip by strip: each step from one mode to another would otherwise take the whole picture's memory once more."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        strip = image.crop((0, top, width, min(top + _STRIP_ROWS, height)))
        pixels[top : top + _STRIP_ROWS] = np.asarray(_to_rgb(strip))[:, :, ::-1]
    return pixels


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow's own conversion to 8 bits clips; scanners write 16 bits over the whole range.
        values = np.asarray(image, np.float32)
        return Image.fromarray(np.clip(values / 257.0, 0, 255).astype(np.uint8)).convert("RGB")
    # One colour, or some of a palette's, stands for what is clear.
    if "transparency" in image.info and image.mode in {"1", "L", "P", "RGB"}:
        image = image.convert("RGBA")
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"}:
        above = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", above.size, (*_BACKDROP, 255)), above).convert("RGB")
    return image.convert("RGB")


def _nameless(error: Exception) -> Exception:
    """The kind of a failure without its text."""
    return RuntimeError(type(error).__name__)
