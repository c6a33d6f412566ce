"""Small ONNX graphs for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Node = Any


def model(
    nodes: Sequence[Node],
    features: int,
    outputs: Sequence[tuple[str, list[Any]]],
    weights: dict[str, Any] | None = None,
    *,
    type: int = TensorProto.DOUBLE,
    rows: Any = "rows",
    opset: int = 17,
    domains: Sequence[tuple[str, int]] = (),
) -> onnx.ModelProto:
    """A graph with one input `x` of [rows, features]."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", type, [rows, features])],
        [helper.make_tensor_value_info(name, type, shape) for name, shape in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(*each) for each in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def weighted_sum(weights: Sequence[float], **options: Any) -> bytes:
    """y = x . weights, for each row."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    made = model(
        nodes,
        len(weights),
        [("y", [options.get("rows", "rows"), 1])],
        {"w": np.array(weights)[:, None]},
        **options,
    )
    return bytes(made.SerializeToString())


def network(features: int, hidden: int, classes: int, type: int = TensorProto.DOUBLE) -> bytes:
    """A small neural network with the functions whose last bits depend on the kernel."""
    kind = np.float64 if type == TensorProto.DOUBLE else np.float32
    drawn = np.random.default_rng(7)
    weights = {
        "a": drawn.normal(size=(features, hidden)) / np.sqrt(features),
        "b": drawn.normal(size=hidden),
        "c": drawn.normal(size=(hidden, classes)) / np.sqrt(hidden),
        "d": drawn.normal(size=classes),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "a", "b"], ["h1"]),
        helper.make_node("Tanh", ["h1"], ["h2"]),
        helper.make_node("Gemm", ["h2", "c", "d"], ["h3"]),
        helper.make_node("Softmax", ["h3"], ["y"], axis=1),
    ]
    outputs = [("y", ["rows", classes])]
    made = model(nodes, features, outputs, {k: v.astype(kind) for k, v in weights.items()}, type=type)
    return bytes(made.SerializeToString())


def pca(features: int, components: int) -> bytes:
    """T2 and SPE of principal components drawn at random."""
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(features, features)))[0][:, :components]
    nodes = [
        helper.make_node("MatMul", ["x", "basis"], ["scores"]),
        helper.make_node("Mul", ["scores", "scores"], ["squares"]),
        helper.make_node("MatMul", ["squares", "inverse"], ["t2"]),
        helper.make_node("MatMul", ["x", "rest"], ["residual"]),
        helper.make_node("ReduceSumSquare", ["residual"], ["spe"], axes=[1], keepdims=1),
    ]
    weights = {
        "basis": basis,
        "inverse": 1.0 / np.arange(1.0, components + 1)[:, None],
        "rest": np.eye(features) - basis @ basis.T,
    }
    outputs = [("t2", ["rows", 1]), ("spe", ["rows", 1])]
    return bytes(model(nodes, features, outputs, weights).SerializeToString())
