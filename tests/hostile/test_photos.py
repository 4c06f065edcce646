"""Bad photos, through the embed function: each is enrolled or rejected with a reason that a clerk understands; none fails the
function, is tried again, or leaves a record half written; the others of its batch are enrolled.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from candid.faces.image import HEIC_IS_READ, decode
from candid.gallery.booking import BookingState, PhotoState
from candid.gallery.photos import PhotoKey
from tests.conftest import MEASURED, counted
from tests.contract.events import object_created, photo_batch
from tests.hostile import photos
from tests.hostile.memory import decoded, enrolled
from tests.hostile.size import tries
from tests.integration.embedding import Station, side_by_side, station
from tests.portraits import engine, portrait

REFUSED_BYTES = 48 * 2**20
"""What refusing a bomb may take, beside the file itself."""
DECODED_BYTES = {"JPEG": 650 * 2**20, "WEBP": 900 * 2**20, "JPEG2000": 1_300 * 2**20}
OTHERWISE = 450 * 2**20
"""What decoding the largest photo that is read may take, by kind: its pixels, four bytes each, and once more as they are handed
on. Of a progressive JPEG two bytes of each pixel's each colour are held beside that; WebP's decoder holds it four times, OpenJPEG
four bytes of each pixel's each colour."""
FUNCTION_BYTES = 2_048 * 2**20
"""What embed has."""

STORED = 50
"""Photos that one set of stores is given: moto copies a whole table for each transaction."""

pytestmark = pytest.mark.slow

KINDS = (*photos.KINDS, *(["HEIF"] if HEIC_IS_READ else []))
SETTLED = {PhotoState.ENROLLED, PhotoState.REJECTED}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path) as one:
        yield one


def arrived(here: Station, *data: bytes) -> list[PhotoKey]:
    """Photos, each of a booking of its own, whose events came in one batch; none of which is to come again."""
    keys = []
    for photo in data:
        (key,) = here.register(number=f"N{len(here.wire.calls)}-{len(keys)}")
        here.put(key, photo)
        keys.append(key)
    assert here.invoke(photo_batch(*(object_created(str(key)) for key in keys))) == []
    return keys


def outcome(here: Station, key: PhotoKey) -> str:
    """``enrolled`` or the reason, after a look at all that was left behind."""
    photo = here.photo(key)
    assert photo.state in SETTLED
    assert photo.announced
    assert photo.held_until is None or photo.held_until <= here.clock()
    if photo.state is PhotoState.ENROLLED:
        assert here.booking(key).state is BookingState.ENROLLED
        assert len(photo.face_ids) == 1
        return "enrolled"
    assert here.booking(key).state is BookingState.REJECTED
    assert photo.face_ids == frozenset()
    assert photo.sentence
    assert photo.sentence.endswith(".")
    assert photo.sentence.isprintable()
    return str(photo.reason)


def test_mutated_photos_are_enrolled_or_rejected_and_leave_nothing_half_done(
    tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    chance = random.Random(20261126)  # noqa: S311
    became: Counter[str] = Counter()
    number = tries(120, 10_000)
    for first in range(0, number, STORED):
        with station(tmp_path / str(first)) as here:
            enrolled = became["enrolled"]
            for _ in range(min(STORED, number - first) // 10):
                for key in arrived(here, *(photos.mutated(chance) for _ in range(10))):
                    became[outcome(here, key)] += 1
            assert here.count() == became["enrolled"] - enrolled
    assert became["enrolled"] > number // 20
    assert sum(became.values()) - became["enrolled"] > number // 20
    record_property(MEASURED, f"Mutated photos: {number:,} tried, none failed or came again: {counted(became)}.")


def face_of(side: int) -> bytes:
    """A portrait's face so small, in a picture of 640 × 480."""
    small = photos.opened().resize((side * 2, side * 2))
    canvas = Image.new("RGB", (640, 480), "grey")
    canvas.paste(small, (300, 200))
    return photos.saved(canvas, quality=95)


def cut_by_the_frame() -> bytes:
    whole = photos.opened()
    return photos.saved(whole.crop((0, 0, int(whole.width * 0.45), whole.height)))


def sixteen_bit(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def from_behind() -> bytes:
    """A portrait whose face is hair, as the back of a head is."""
    whole = photos.opened()
    face = engine().detect(decode(portrait("person_a_1")))[0]
    hair = whole.crop((int(face.left), int(face.top - face.height / 8), int(face.left + face.width), int(face.top)))
    shape = Image.new("L", (int(face.width * 1.3), int(face.height * 1.3)))
    ImageDraw.Draw(shape).ellipse((0, 0, *shape.size), fill=255)
    whole.paste(hair.resize(shape.size), (int(face.left - face.width * 0.15), int(face.top - face.height * 0.1)), shape)
    return photos.saved(whole, quality=95)


NO_ENROLMENT = {"NO_FACE", "LOW_FACE_QUALITY"}
BAD: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "empty": (lambda: b"", {"IMAGE_UNREADABLE"}),
    "one byte": (lambda: b"\xff", {"IMAGE_FORMAT_UNSUPPORTED", "IMAGE_UNREADABLE"}),
    "HTML named .jpg": (lambda: b"<!doctype html><img src=x>" * 50, {"IMAGE_FORMAT_UNSUPPORTED"}),
    "a PDF": (lambda: b"%PDF-1.7\n" * 50, {"IMAGE_FORMAT_UNSUPPORTED"}),
    "an SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', {"IMAGE_FORMAT_UNSUPPORTED"}),
    "a GIF": (lambda: photos.saved(photos.opened(), "GIF"), {"IMAGE_FORMAT_UNSUPPORTED"}),
    "a photo that is HTML behind its end": (
        lambda: portrait("person_a_1") + b"<script>alert(1)</script>",
        {"enrolled"},
    ),
    "a photo that is a zip behind its end": (lambda: portrait("person_a_1") + b"PK\x05\x06" + bytes(18), {"enrolled"}),
    "a PNG that is a JPEG by its first bytes": (
        lambda: b"\xff\xd8\xff\xe0" + photos.saved(photos.opened(), "PNG"),
        {"IMAGE_FORMAT_UNSUPPORTED", "IMAGE_UNREADABLE"},
    ),
    "30 MB": (lambda: portrait("person_a_1") + bytes(30 * 2**20), {"IMAGE_TOO_LARGE"}),
    "no face": (lambda: photos.saved(Image.effect_noise((640, 480), 60).convert("RGB")), {"NO_FACE"}),
    "the back of a head": (from_behind, {"NO_FACE"}),
    "five faces": (
        lambda: side_by_side(*(portrait(name) for name in photos.PORTRAITS[:5])),
        {"SEVERAL_FACES"},
    ),
    "a face of 20 px": (lambda: face_of(20), NO_ENROLMENT),
    "a face that the frame cuts": (cut_by_the_frame, NO_ENROLMENT | {"enrolled"}),
    "grey": (lambda: photos.saved(photos.opened().convert("L")), {"enrolled"}),
    "CMYK": (lambda: photos.saved(photos.opened().convert("CMYK")), {"enrolled"}),
    "16 bits of grey": (lambda: photos.saved(sixteen_bit(photos.opened()), "PNG"), {"enrolled"}),
    "a palette": (lambda: photos.saved(photos.opened().convert("P"), "PNG"), {"enrolled"}),
    "transparent": (lambda: photos.saved(photos.opened().convert("RGBA"), "PNG"), {"enrolled"}),
    "animated": (
        lambda: photos.saved(
            photos.opened(), "WEBP", save_all=True, append_images=[Image.new("RGB", photos.opened().size, "grey")]
        ),
        {"enrolled"},
    ),
    **{f"as {kind}": (lambda kind=kind: photos.saved(photos.opened(), kind), {"enrolled"}) for kind in KINDS},  # type: ignore[misc]
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_photo_says_what_is_wrong_and_does_not_hold_up_its_batch(here: Station, what: str) -> None:
    made, expected = BAD[what]
    bad, good = arrived(here, made(), portrait("person_b_1"))
    assert outcome(here, bad) in expected
    assert outcome(here, good) == "enrolled"
    assert here.count() == 1 + (here.photo(bad).state is PhotoState.ENROLLED)


@pytest.mark.parametrize("kind", KINDS)
def test_a_photo_cut_off_at_every_tenth_is_rejected(here: Station, kind: str) -> None:
    whole = photos.saved(photos.opened(), kind)
    keys = arrived(here, *(whole[: len(whole) * tenth // 10] for tenth in range(1, 10)))
    assert {outcome(here, key) for key in keys} <= {"IMAGE_UNREADABLE", "IMAGE_FORMAT_UNSUPPORTED", "IMAGE_TOO_SMALL"}
    assert here.count() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_turned_by_exif_is_the_same_face(here: Station, orientation: int) -> None:
    turns = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    small = photos.opened()
    upright = small.resize((small.width * 4, small.height * 4))  # As many pixels as a camera gives a face.
    lying = upright
    for turn in turns.get(orientation, []):
        lying = lying.transpose(turn)
    exif = photos.turned(orientation)
    keys = arrived(here, photos.saved(upright, "PNG"), photos.saved(lying, "PNG", exif=exif))
    assert {outcome(here, key) for key in keys} == {"enrolled"}
    one, other = (_template(here, key) for key in keys)
    assert one == other, "of a lossless file the very same"
    (key,) = arrived(here, photos.saved(lying, "JPEG", exif=exif, quality=95, subsampling=0))
    assert outcome(here, key) == "enrolled"
    cosine = float(np.frombuffer(one, np.float32) @ np.frombuffer(_template(here, key), np.float32))
    assert cosine >= 0.999


def _template(here: Station, key: PhotoKey) -> bytes:
    label = {one.booking_id: one.id for one in here.index.scan(None, 100).labels}[key.booking_id]
    partition = next(one.partition for one in here.index.scan(None, 100).labels)
    (entry,) = here.index.get(partition, [label])
    return entry.template.tobytes()


@pytest.mark.parametrize("what", photos.BOMBS)
def test_a_bomb_is_refused_before_it_is_decoded(what: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(photos.BOMBS[what]())
    told = decoded(path)
    assert told["reason"] in {"IMAGE_TOO_LARGE", "IMAGE_UNREADABLE"}
    assert told["grown"] < REFUSED_BYTES, f"{told['grown'] / 2**20:.0f} MB"


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("RGB", "JPEG", {"exif": photos.turned(6)}),
        ("CMYK", "JPEG", {"progressive": True, "subsampling": 0}),
        ("RGBA", "PNG", {"compress_level": 1}),
        ("I;16", "PNG", {"compress_level": 1}),
        ("CMYK", "TIFF", {"compression": "tiff_lzw"}),
        ("RGB", "WEBP", {"quality": 50, "method": 0}),
        ("RGBA", "JPEG2000", {"quality_mode": "rates", "quality_layers": [100]}),
    ],
)
def test_the_largest_photo_that_is_read_fits_the_function(
    mode: str, kind: str, options: dict[str, object], tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    path = tmp_path / "large"
    large = Image.new("RGB", (7_070, 7_070), "grey")
    large.paste(photos.opened().resize((2_000, 2_000)), (2_500, 2_500))
    if "exif" in options:
        large = large.transpose(Image.Transpose.ROTATE_90)
    path.write_bytes(photos.saved(sixteen_bit(large) if mode == "I;16" else large.convert(mode), kind, **options))
    told = decoded(path)
    assert told.get("shape") == [7_070, 7_070, 3]
    whole = enrolled(path)
    record_property(
        MEASURED,
        f"50 megapixels of {mode} in {kind}: {told['grown'] / 2**20:,.0f} MB to decode; "
        f"a process that enrols it has {whole['peak'] / 2**20:,.0f} MB.",
    )
    assert whole["enrolled"]
    assert told["grown"] < DECODED_BYTES.get(kind, OTHERWISE)
    assert whole["peak"] < 0.9 * FUNCTION_BYTES
