"""Weights are checked by their SHA-256, and what is loaded is what was checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from candid.errors import ModelUnavailable
from candid.faces import weights
from candid.faces.engine import FaceEngine
from candid.faces.image import decode
from candid.faces.registry import detector_card, model_card
from tests.portraits import MODELS, engine, portrait

NAMES = [detector_card().weights, str(model_card("sface").weights)]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with good weights, which a test may harm."""
    engine()
    for name in NAMES:
        (tmp_path / name).write_bytes((MODELS / name).read_bytes())
    return tmp_path


def _flipped(place: float) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        at = int(place * (len(data) - 1))
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return flip


HARM: dict[str, Callable[[bytes], bytes]] = {
    "the first bit flipped": _flipped(0),
    "a bit in the middle flipped": _flipped(0.5),
    "the last bit flipped": _flipped(1),
    "cut off": lambda data: data[:-1],
    "half of it": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "longer": lambda data: data + b"\0",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("harm", HARM)
def test_weights_with_another_digest_are_refused_by_their_name(models: Path, name: str, harm: str) -> None:
    file = models / name
    file.write_bytes(HARM[harm](file.read_bytes()))
    with pytest.raises(ModelUnavailable) as refused:
        FaceEngine(model_card("sface"), models).load()
    assert str(refused.value) == (
        f"The weights {name} are damaged or of another version. Delete them and fetch them again."
    )


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_not_there_or_cannot_be_read_are_refused_by_their_name(models: Path, name: str) -> None:
    (models / name).unlink()
    with pytest.raises(ModelUnavailable, match=f"The weights {name} are not there"):
        FaceEngine(model_card("sface"), models).load()
    (models / name).mkdir()
    with pytest.raises(ModelUnavailable, match=f"The weights {name} can't be read"):
        FaceEngine(model_card("sface"), models).load()


def test_the_weights_of_one_are_not_taken_for_the_others(models: Path) -> None:
    first, second = (models / name for name in NAMES)
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    with pytest.raises(ModelUnavailable, match="another version"):
        FaceEngine(model_card("sface"), models).load()


@pytest.mark.parametrize("keep", [0, 2_000])
def test_a_file_that_is_swapped_once_it_was_read_changes_nothing(
    models: Path, keep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, swapped = Path.read_bytes, []

    def then_swapped(path: Path) -> bytes:
        data = read(path)
        if path.parent == models:
            path.write_bytes(data[:keep] + bytes(len(data) - keep))
            swapped.append(path.name)
        return data

    monkeypatch.setattr(Path, "read_bytes", then_swapped)
    fresh = FaceEngine(model_card("sface"), models)
    fresh.load()
    assert swapped == NAMES, "each is read once"
    pixels = decode(portrait("person_a_1"))
    faces = fresh.detect(pixels)
    assert [face.confidence for face in faces] == [face.confidence for face in engine().detect(pixels)]
    assert np.array_equal(fresh.templates(pixels, faces), engine().templates(pixels, faces))


@pytest.mark.parametrize("name", NAMES)
def test_what_has_its_digest_and_is_no_model_is_refused_without_its_content(
    models: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (models / name).write_bytes(b"secret-content")
    read = weights.read

    def trusting(path: Path, digest: str) -> bytes:
        return read(path, hashlib.sha256(b"secret-content").hexdigest() if path.name == name else digest)

    monkeypatch.setattr(weights, "read", trusting)
    with pytest.raises(ModelUnavailable, match=f"can't load the weights {name}") as refused:
        FaceEngine(model_card("sface"), models).load()
    assert "secret-content" not in str(refused.value)
