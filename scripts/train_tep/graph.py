"""The trained model as an ONNX graph: the same bytes for the same figures.

Scaling is not in the graph but in app.toml, where whoever runs the app can read it.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from scripts.train_tep.pca import Pca

OPSET = 17
IR_VERSION = 8
"""Read by every onnxruntime since 1.12."""


def onnx_bytes(pca: Pca) -> bytes:
    """The graph: from scaled rows to `t2` and `spe`, each of [rows, 1]."""
    nodes = [
        helper.make_node("MatMul", ["x", "loadings"], ["scores"]),
        helper.make_node("Mul", ["scores", "scores"], ["squares"]),
        helper.make_node("MatMul", ["squares", "precision"], ["t2"]),
        helper.make_node("MatMul", ["scores", "back"], ["explained"]),
        helper.make_node("Sub", ["x", "explained"], ["residual"]),
        helper.make_node("ReduceSumSquare", ["residual"], ["spe"], axes=[1], keepdims=1),
    ]
    weights = {
        "loadings": pca.loadings,
        "precision": 1.0 / pca.variances[:, None],
        "back": np.ascontiguousarray(pca.loadings.T),
    }
    graph = helper.make_graph(
        nodes,
        "pca",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["rows", len(pca.mean)])],
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows", 1]) for name in ("t2", "spe")],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="catchment",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    return bytes(model.SerializeToString(deterministic=True))
