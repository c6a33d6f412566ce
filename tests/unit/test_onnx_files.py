"""What a model file may hold, and what is refused before onnxruntime sees it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.rules.models.model import Model, onnxsession
from edge_runtime.rules.models.onnxfile import RefusedError, inspect
from protocols.errors import InputError
from protocols.package.modelspec import ModelInput, ModelOutput, ModelSpec
from tests.onnx_parts import model, pca, weighted_sum

SPEC = ModelSpec("m", "models/m.onnx", (ModelInput("a"), ModelInput("b")), (ModelOutput("y"),))
SUM = [helper.make_node("MatMul", ["x", "w"], ["y"])]
WEIGHTS = {"w": np.ones((2, 1))}


def plain() -> onnx.ModelProto:
    return model(SUM, 2, [("y", ["rows", 1])], WEIGHTS)


def with_external_data() -> onnx.ModelProto:
    made = plain()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return made


def with_external_data_in_a_constant() -> onnx.ModelProto:
    value = numpy_helper.from_array(np.ones((2, 1)), "v")
    value.data_location = TensorProto.EXTERNAL
    nodes = [helper.make_node("Constant", [], ["w"], value=value), *SUM]
    return model(nodes, 2, [("y", ["rows", 1])])


def with_custom_operator() -> onnx.ModelProto:
    nodes = [helper.make_node("Shell", ["x"], ["y"], domain="com.example")]
    return model(nodes, 2, [("y", ["rows", 1])], domains=[("com.example", 1)])


def with_operator_of_undeclared_domain() -> onnx.ModelProto:
    return model(
        [helper.make_node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft")],
        2,
        [("y", ["rows", 1])],
        WEIGHTS,
    )


def with_loop() -> onnx.ModelProto:
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"])], "body", [], [])
    return model([helper.make_node("Loop", ["", "t"], ["y"], body=body)], 2, [("y", ["rows", 1])])


def with_chance() -> onnx.ModelProto:
    return model([helper.make_node("RandomNormalLike", ["x"], ["y"])], 2, [("y", ["rows", 2])])


def with_function() -> onnx.ModelProto:
    made = plain()
    made.functions.append(
        helper.make_function(
            "own",
            "F",
            ["p"],
            ["q"],
            [helper.make_node("Identity", ["p"], ["q"])],
            [helper.make_opsetid("", 17)],
        )
    )
    return made


def with_sparse_weights() -> onnx.ModelProto:
    made = plain()
    made.graph.sparse_initializer.append(
        helper.make_sparse_tensor(
            numpy_helper.from_array(np.ones(1), "s"), numpy_helper.from_array(np.array([0]), "i"), [2]
        )
    )
    return made


def with_training() -> onnx.ModelProto:
    made = plain()
    made.training_info.add()
    return made


REFUSED = (
    (with_external_data, "external data"),
    (with_external_data_in_a_constant, "external data"),
    (with_custom_operator, "com.example"),
    (with_operator_of_undeclared_domain, "com.microsoft"),
    (with_loop, "If, Loop, Scan"),
    (with_chance, "without chance"),
    (with_function, "functions of its own"),
    (with_sparse_weights, "sparse"),
    (with_training, "training"),
    (lambda: model(SUM, 2, [("y", ["rows", 1])], WEIGHTS, opset=6), "version 7 to 21"),
    (lambda: model(SUM, 2, [("y", ["rows", 1])], WEIGHTS, opset=99), "version 7 to 21"),
    (lambda: model([], 2, [("y", ["rows", 1])]), "1 to 10000 operators"),
)


@pytest.mark.parametrize(("make", "reason"), REFUSED)
def test_a_file_that_could_reach_beyond_itself_is_refused(
    make: Callable[[], onnx.ModelProto], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        inspect(make().SerializeToString())


def test_a_plain_graph_is_accepted() -> None:
    assert inspect(plain().SerializeToString()) == (1, 17)
    assert inspect(pca(5, 2)).operators == 5


def test_a_file_cut_off_anywhere_is_refused_or_refused_by_onnxruntime() -> None:
    data = weighted_sum([1.0, 2.0])
    for end in range(len(data)):
        with pytest.raises(InputError):
            Model.load(SPEC, data[:end])


def test_a_changed_byte_gives_a_refusal_or_a_model_and_nothing_else() -> None:
    data = weighted_sum([1.0, 2.0])
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        try:
            Model.load(SPEC, changed)
        except InputError:
            continue


SHAPES = (
    (weighted_sum([1.0]), r"got \['rows', 1\]|expected.*input \[rows, 2\]"),
    (weighted_sum([1.0, 1.0], rows=4), r"input \[rows, 2\]"),
    (pca(2, 1), "the outputs that app.toml declares"),
)


@pytest.mark.parametrize(("data", "reason"), SHAPES)
def test_a_graph_that_is_not_as_declared_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Model.load(SPEC, data)


def test_two_inputs_are_refused() -> None:
    made = plain()
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.DOUBLE, [1]))
    with pytest.raises(InputError, match="one input tensor"):
        Model.load(SPEC, made.SerializeToString())


def test_an_input_of_whole_numbers_is_refused() -> None:
    nodes = [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)]
    made = model(nodes, 2, [("y", [1, 1])], type=TensorProto.INT64)
    with pytest.raises(InputError, match="an input of"):
        Model.load(SPEC, made.SerializeToString())


def test_a_graph_that_would_take_all_memory_is_refused() -> None:
    """An outer product of 100,000 by 100,000 is 80 GB."""
    nodes = [
        helper.make_node("ConstantOfShape", ["column"], ["a"]),
        helper.make_node("ConstantOfShape", ["row"], ["b"]),
        helper.make_node("MatMul", ["a", "b"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["t"], to=TensorProto.DOUBLE),
        helper.make_node("MatMul", ["x", "w"], ["u"]),
        helper.make_node("Add", ["u", "t"], ["y"]),
    ]
    weights = {"column": np.array([100_000, 1]), "row": np.array([1, 100_000]), **WEIGHTS}
    made = model(nodes, 2, [("y", ["rows", 1])], weights)
    with pytest.raises(InputError, match="can be run"):
        Model.load(SPEC, made.SerializeToString())


def test_a_graph_that_takes_too_long_is_refused_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxsession, "TRIAL_S", 0.0)
    nodes = [
        helper.make_node("MatMul", ["x" if at == 0 else f"h{at}", "w"], [f"h{at + 1}" if at < 2999 else "y"])
        for at in range(3000)
    ]
    slow = model(nodes, 300, [("y", ["rows", 300])], {"w": np.eye(300)})
    with pytest.raises(RefusedError, match="256 rows in 0 s"):
        onnxsession.Graph(slow.SerializeToString(), 300, [f"y{at}" for at in range(300)])
