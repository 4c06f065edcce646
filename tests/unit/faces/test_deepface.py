"""DeepFace's models behind Candid's alignment: real loading, weights placed or generated in DEEPFACE_HOME."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from candid.errors import ModelUnavailable
from candid.faces import deepface as deepface_module
from candid.faces.alignment import align
from candid.faces.deepface import DeepFaceEmbedder
from candid.faces.engine import FaceEngine
from candid.faces.image import decode
from candid.faces.registry import model_card
from tests.portraits import MODELS, ROOT, engine, portrait

needs_deepface = pytest.mark.skipif(
    find_spec("deepface") is None, reason="DeepFace is not installed (infra/requirements/deepface.txt)"
)

needs_tensorflow = pytest.mark.skipif(
    find_spec("deepface") is None or find_spec("tensorflow") is None,
    reason="TensorFlow is not installed (infra/requirements/tensorflow.txt)",
)

KERAS = """
import os
from pathlib import Path
from typing import Any

import numpy as np
from deepface import DeepFace  # First: it chooses which Keras TensorFlow brings.
from deepface.commons import weight_utils
from deepface.models.facial_recognition.tf import DeepID

from candid.faces import deepface as deepface_module
from candid.faces.deepface import DeepFaceEmbedder

# DeepFace's own architecture with random weights, saved where DeepFace looks for the published ones.
load, fetch = weight_utils.load_model_weights, weight_utils.download_weights_if_necessary
weight_utils.load_model_weights = lambda model, weight_file: model
weight_utils.download_weights_if_necessary = lambda **_: ""
made = DeepID.load_model()
weight_utils.load_model_weights, weight_utils.download_weights_if_necessary = load, fetch
folder = Path(os.environ["DEEPFACE_HOME"]) / ".deepface" / "weights"
made.save_weights(str(folder / "deepid_keras_weights.h5"))

chips = np.random.default_rng(5).integers(0, 256, (2, 55, 47, 3), dtype=np.uint8)
rows = DeepFaceEmbedder("DeepID", 160).embed(chips)
expected = made(chips.astype(np.float32) / 255, training=False).numpy()
assert rows.shape == (2, 160) and rows.dtype == np.float32
assert expected.std() > 0
assert np.allclose(rows, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)
"""


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / ".deepface" / "weights"
    folder.mkdir(parents=True)
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    monkeypatch.setenv("DEEPFACE_BACKEND_ENGINE", "onnx")
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "deepface"]:
        del sys.modules[name]  # DeepFace keeps built models for a process's life.


@needs_deepface
def test_deepfaces_sface_makes_the_defaults_templates(weights: Path) -> None:
    engine()
    shutil.copy(MODELS / "face_recognition_sface_2021dec.onnx", weights)
    through = FaceEngine(model_card("deepface:SFace"), MODELS)
    for name in ("person_a_1", "person_b_2", "impostor_1"):
        image = decode(portrait(name))
        faces = engine().detect(image)
        assert np.abs(through.templates(image, faces) - engine().templates(image, faces)).max() < 1e-4


@needs_deepface
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda _: b""]
)
def test_deepfaces_sface_is_not_loaded_from_a_file_of_another_digest(
    weights: Path, damage: Callable[[bytes], bytes]
) -> None:
    engine()
    name = "face_recognition_sface_2021dec.onnx"
    (weights / name).write_bytes(damage((MODELS / name).read_bytes()))
    with pytest.raises(
        ModelUnavailable, match=r"face_recognition_sface_2021dec\.onnx are damaged or of another version"
    ):
        FaceEngine(model_card("deepface:SFace"), MODELS).load()


@needs_deepface
def test_deepfaces_sface_runs_what_was_checked_though_the_file_was_swapped_before_deepface_opened_it(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine()
    file = weights / "face_recognition_sface_2021dec.onnx"
    shutil.copy(MODELS / file.name, file)
    build = deepface_module._build

    def swapped(name: str) -> Any:
        linear(file, 112, 112, 128)
        return build(name)

    monkeypatch.setattr(deepface_module, "_build", swapped)
    through = FaceEngine(model_card("deepface:SFace"), MODELS)
    image = decode(portrait("person_a_1"))
    faces = engine().detect(image)
    assert np.abs(through.templates(image, faces) - engine().templates(image, faces)).max() < 1e-4
    assert file.read_bytes() != (MODELS / file.name).read_bytes()


def linear(file: Path, height: int, width: int, dimension: int) -> np.ndarray:
    """Writes a model that multiplies its pixels, (height, width, 3), by the random table that it answers."""
    import onnx

    size = height * width * 3
    table = np.random.default_rng(7).normal(0, 1 / np.sqrt(size), (size, dimension)).astype(np.float32)
    nodes = [
        onnx.helper.make_node("Flatten", ["input"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "table"], ["output"]),
    ]
    shapes = [("input", ["n", height, width, 3]), ("output", ["n", dimension])]
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes]
    graph = onnx.helper.make_graph(
        nodes, "linear", values[:1], values[1:], [onnx.numpy_helper.from_array(table, "table")]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, file)
    return table


@needs_deepface
def test_another_model_is_loaded_from_weights_in_deepfaces_home(weights: Path) -> None:
    table = linear(weights / "facenet512_weights.onnx", 160, 160, 512)
    chip = np.random.default_rng(8).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    row = DeepFaceEmbedder("Facenet512", 512).embed(chip[None])[0]
    expected = (chip.astype(np.float32) / 255).reshape(-1) @ table
    assert row.shape == (512,)
    assert np.allclose(row, expected / np.linalg.norm(expected), atol=1e-4)


@needs_deepface
@pytest.mark.parametrize(
    ("name", "file", "height", "width", "dimension"),
    [("Facenet512", "facenet512_weights.onnx", 160, 160, 512), ("DeepID", "deepid_weights.onnx", 55, 47, 160)],
)
def test_a_chip_is_fitted_as_deepface_itself_fits_it(
    weights: Path, name: str, file: str, height: int, width: int, dimension: int
) -> None:
    linear(weights / file, height, width, dimension)
    assert model_card(f"deepface:{name}").input == (width, height)
    image = decode(portrait("person_b_1"))
    chip = align(image, engine().detect(image)[0].landmarks)
    ours = DeepFaceEmbedder(name, dimension).embed(chip[None])[0]
    from deepface import DeepFace

    theirs = DeepFace.represent(chip, model_name=name, detector_backend="skip", align=False, enforce_detection=False)
    row = np.array(theirs[0]["embedding"], np.float32)
    assert np.allclose(ours, row / np.linalg.norm(row), atol=1e-5)


@needs_tensorflow
def test_a_keras_model_is_loaded_on_deepfaces_tensorflow_engine(tmp_path: Path) -> None:
    # In a process of its own: an engine is chosen once a process, and TensorFlow takes much memory.
    (tmp_path / ".deepface" / "weights").mkdir(parents=True)
    environment = os.environ | {
        "DEEPFACE_HOME": str(tmp_path),
        "DEEPFACE_BACKEND_ENGINE": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "services"), str(ROOT)]),
    }
    done = subprocess.run([sys.executable, "-c", KERAS], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@needs_deepface
def test_a_model_whose_weights_are_damaged_is_not_available(weights: Path) -> None:
    (weights / "facenet512_weights.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelUnavailable, match="Facenet512"):
        DeepFaceEmbedder("Facenet512", 512)


@pytest.mark.skipif(find_spec("deepface") is not None, reason="DeepFace is installed here")
def test_without_deepface_the_sentence_says_what_to_install() -> None:
    with pytest.raises(ModelUnavailable, match=r"deepface\.txt"):
        DeepFaceEmbedder("Facenet512", 512)
