"""The image of a request: its bytes, or an object of S3 that lies where the caller's agency has registered its photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from candid import storage
from candid.errors import ImageFormatUnsupported, InvalidRequest
from candid.faces import image as images
from candid.faces.image import Pixels
from candid.gallery.places import MARKER, says_so
from candid.rekognition.calls import Call
from candid.rekognition.errors import UnreadableObject

LEAST_SIDE: Final = 80
_READ: Final = frozenset({"image/jpeg", "image/png"})


def image_of(call: Call, member: str) -> Pixels:
    """The pixels of an image that a call names. Raises ``InvalidRequest``, ``UnreadableObject``, ``PhotoRefused``."""
    return decoded(image_bytes(call, member))


def image_bytes(call: Call, member: str) -> bytes:
    """The bytes of an image that a call names: exactly one of ``Bytes`` and ``S3Object``. Raises as ``image_of``."""
    image = call.asked[member]
    if len(image.keys() & {"Bytes", "S3Object"}) != 1:
        raise InvalidRequest(f"{member} must have Bytes or S3Object, and not both. Send one of them.")
    if "S3Object" in image:
        return _object(call, member, image["S3Object"])
    data: bytes = image["Bytes"]
    return data


def _object(call: Call, member: str, named: Mapping[str, str]) -> bytes:
    """What lies where the caller's agency has registered a place that says that it is the agency's."""
    if not named.keys() >= {"Bucket", "Name"}:
        raise InvalidRequest(f"{member}.S3Object must have Bucket and Name. Send both.")
    place = call.work.places.holding(call.agency, named["Bucket"], named["Name"])
    if place is None:
        raise UnreadableObject(
            f"{member}.S3Object lies nowhere that your agency has registered. Register the place (POST /v1/places), or send the "
            "image as Bytes."
        )
    if not says_so(place, named["Name"]):
        raise UnreadableObject(
            f"{member}.S3Object lies in a place that does not say that it is your agency's, or that Candid may not read. Put an "
            f"object {MARKER} that holds {call.agency} into the place, and let the stack's ImageObjects name it."
        )
    data = storage.read_foreign(named["Bucket"], named["Name"], named.get("Version"))
    if data is None:
        raise UnreadableObject(f"{member}.S3Object is not there, or may not be read. Check its name and its version.")
    return data


def decoded(data: bytes) -> Pixels:
    """A JPEG's or PNG's pixels, as ``candid.faces.image.decode`` has them, which raises the rest; ``InvalidRequest`` for one of
    less than 80 px a side."""
    if images.content_type(data) not in _READ:
        raise ImageFormatUnsupported("Request has invalid image format. Send a JPEG or a PNG.")
    pixels = images.decode(data)
    if min(pixels.shape[:2]) < LEAST_SIDE:
        raise InvalidRequest(f"The image has a side of less than {LEAST_SIDE} pixels. Send a larger one.")
    return pixels
