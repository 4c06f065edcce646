"""DeepFace's models behind Candid's alignment: real loading, weights placed or generated in DEEPFACE_HOME."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from candid.errors import ModelUnavailable
from candid.faces.deepface import DeepFaceEmbedder
from candid.faces.engine import FaceEngine
from candid.faces.image import decode
from candid.faces.registry import model_card
from tests.portraits import MODELS, engine, portrait

needs_deepface = pytest.mark.skipif(
    find_spec("deepface") is None, reason="DeepFace is not installed (infra/requirements/deepface.txt)"
)


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
def test_another_model_is_loaded_from_weights_in_deepfaces_home(weights: Path) -> None:
    import onnx

    rng = np.random.default_rng(7)
    size = 160 * 160 * 3
    table = rng.normal(0, 1 / np.sqrt(size), (size, 512)).astype(np.float32)
    nodes = [
        onnx.helper.make_node("Flatten", ["input"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "table"], ["output"]),
    ]
    shapes = [("input", ["n", 160, 160, 3]), ("output", ["n", 512])]
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes]
    graph = onnx.helper.make_graph(
        nodes, "facenet512", values[:1], values[1:], [onnx.numpy_helper.from_array(table, "table")]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, weights / "facenet512_weights.onnx")
    chip = rng.integers(0, 256, (160, 160, 3), dtype=np.uint8)
    row = DeepFaceEmbedder("Facenet512", 512).embed(chip[None])[0]
    expected = (chip.astype(np.float32) / 255).reshape(-1) @ table
    assert row.shape == (512,)
    assert np.allclose(row, expected / np.linalg.norm(expected), atol=1e-4)


@needs_deepface
def test_a_model_whose_weights_are_damaged_is_not_available(weights: Path) -> None:
    (weights / "facenet512_weights.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelUnavailable, match="Facenet512"):
        DeepFaceEmbedder("Facenet512", 512)


@pytest.mark.skipif(find_spec("deepface") is not None, reason="DeepFace is installed here")
def test_without_deepface_the_sentence_says_what_to_install() -> None:
    with pytest.raises(ModelUnavailable, match=r"deepface\.txt"):
        DeepFaceEmbedder("Facenet512", 512)
