"""Models in apps: scaling, windows, envelope, held values, and the same bits live and in a replay."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_runtime.rules.models.model import Model, ModelScorer
from protocols.errors import InputError
from protocols.package.modelspec import Mode, ModelInput, ModelOutput, ModelSpec, faults
from tests.onnx_parts import model, network, pca, weighted_sum

Y = (ModelOutput("y"),)


def spec_of(*inputs: ModelInput, outputs: tuple[ModelOutput, ...] = Y, **options: Any) -> ModelSpec:
    return ModelSpec("m", "models/m.onnx", inputs, outputs, **options)


def loaded(spec: ModelSpec, weights: list[float]) -> Model:
    return Model.load(spec, weighted_sum(weights))


def score(scorer: ModelScorer, *rows: tuple[list[float], list[int]]) -> tuple[list[float], list[int]]:
    values, qualities = scorer.evaluate(
        np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], np.int8)
    )
    return values[:, 0].tolist(), qualities[:, 0].tolist()


def test_inputs_are_scaled_as_declared() -> None:
    spec = spec_of(ModelInput("a", offset=10.0, scale=2.0), ModelInput("b", scale=0.5))
    scorer = ModelScorer(loaded(spec, [1.0, 100.0]), 1)
    assert score(scorer, ([14.0, 3.0], [0, 0])) == ([602.0], [0])


def test_a_window_gives_the_last_values_oldest_first() -> None:
    scorer = ModelScorer(loaded(spec_of(ModelInput("a", window=3)), [1.0, 10.0, 100.0]), 1)
    assert score(scorer, ([1.0], [0])) == ([0.0], [2])
    assert score(scorer, ([2.0], [0])) == ([0.0], [2])
    assert score(scorer, ([3.0], [0])) == ([321.0], [0])
    assert score(scorer, ([4.0], [0])) == ([432.0], [0])


def test_windows_of_different_lengths_end_at_the_same_scan() -> None:
    spec = spec_of(ModelInput("a", window=2), ModelInput("b"))
    scorer = ModelScorer(loaded(spec, [1.0, 10.0, 100.0]), 1)
    score(scorer, ([1.0, 7.0], [0, 0]))
    assert score(scorer, ([2.0, 8.0], [0, 0])) == ([821.0], [0])


def test_every_instance_has_a_window_of_its_own() -> None:
    scorer = ModelScorer(loaded(spec_of(ModelInput("a", window=2)), [1.0, 10.0]), 2)
    score(scorer, ([1.0], [0]), ([5.0], [0]))
    assert score(scorer, ([2.0], [0]), ([6.0], [0])) == ([21.0, 65.0], [0, 0])


@pytest.mark.parametrize(("value", "quality"), [(0.0, 0), (10.0, 0), (-0.1, 1), (10.1, 1)])
def test_outside_the_validity_envelope_an_output_is_uncertain(value: float, quality: int) -> None:
    scorer = ModelScorer(loaded(spec_of(ModelInput("a", low=0.0, high=10.0)), [1.0]), 1)
    assert score(scorer, ([value], [0])) == ([value], [quality])


def test_an_output_stays_uncertain_while_the_window_holds_a_value_outside() -> None:
    scorer = ModelScorer(loaded(spec_of(ModelInput("a", high=10.0, window=2)), [1.0, 1.0]), 1)
    found = [score(scorer, ([value], [0]))[1][0] for value in (1.0, 11.0, 1.0, 1.0)]
    assert found == [2, 1, 1, 0]


def test_a_bad_input_holds_the_last_good_output() -> None:
    scorer = ModelScorer(loaded(spec_of(ModelInput("a")), [1.0]), 1)
    rows = [([1.0], [0]), ([2.0], [2]), ([3.0], [1]), ([4.0], [2])]
    assert [score(scorer, row) for row in rows] == [([1.0], [0]), ([1.0], [2]), ([3.0], [1]), ([3.0], [2])]


def test_before_there_was_a_good_output_it_is_the_fallback() -> None:
    spec = spec_of(ModelInput("a"), outputs=(ModelOutput("y", fallback=7.5),))
    assert score(ModelScorer(loaded(spec, [1.0]), 1), ([1.0], [2])) == ([7.5], [2])


def test_a_result_that_is_not_finite_counts_as_none() -> None:
    scorer = ModelScorer(loaded(spec_of(ModelInput("a")), [1e300]), 1)
    assert score(scorer, ([2.0], [0])) == ([2e300], [0])
    assert score(scorer, ([1e300], [0])) == ([2e300], [2])


def test_programs_see_the_fallback_of_a_shadow_model_and_its_outputs_are_there_to_be_recorded() -> None:
    spec = spec_of(ModelInput("a"), outputs=(ModelOutput("y", fallback=-1.0),), mode=Mode.SHADOW)
    scorer = ModelScorer(loaded(spec, [2.0]), 1)
    assert score(scorer, ([3.0], [0])) == ([-1.0], [2])
    assert scorer.scored.values.tolist() == [[6.0]]
    assert scorer.scored.qualities.tolist() == [[0]]


# -- the same bits live and in a replay ----------------------------------------------------------


def two_outputs(features: int, window: int = 1) -> ModelSpec:
    inputs = tuple(ModelInput(f"x{n}", offset=0.1, scale=1.7, window=window) for n in range(features))
    return ModelSpec("m", "models/m.onnx", inputs, (ModelOutput("t2"), ModelOutput("spe")))


def many_outputs(features: int, classes: int) -> ModelSpec:
    inputs = tuple(ModelInput(f"x{n}") for n in range(features))
    return ModelSpec("m", "models/m.onnx", inputs, tuple(ModelOutput(f"p{n}") for n in range(classes)))


GRAPHS = (
    (two_outputs(52), pca(52, 9)),
    (two_outputs(4, window=5), pca(20, 3)),
    (many_outputs(7, 3), network(7, 19, 3)),
    (many_outputs(7, 3), network(7, 19, 3, TensorProto.FLOAT)),
)


@pytest.mark.parametrize(("spec", "data"), GRAPHS)
@pytest.mark.parametrize("instances", [1, 3])
def test_many_scans_at_once_give_the_bits_of_scan_by_scan(
    spec: ModelSpec, data: bytes, instances: int
) -> None:
    loaded = Model.load(spec, data)
    assert loaded.graph.batched
    drawn = np.random.default_rng(instances)
    rows = 200 * instances
    values = drawn.normal(size=(rows, len(spec.inputs))) * 3
    qualities = drawn.choice(3, p=[0.97, 0.02, 0.01], size=values.shape).astype(np.int8)
    live, replayed = ModelScorer(loaded, instances), ModelScorer(loaded, instances)
    scans = [slice(at, at + instances) for at in range(0, rows, instances)]
    one_by_one = [live.evaluate(values[scan], qualities[scan]) for scan in scans]
    at_once = replayed.evaluate(values, qualities)
    assert np.concatenate([found[0] for found in one_by_one]).tobytes() == at_once[0].tobytes()
    assert np.concatenate([found[1] for found in one_by_one]).tobytes() == at_once[1].tobytes()
    assert live.memory.pack() == replayed.memory.pack()


def test_a_graph_whose_rows_depend_on_each_other_is_asked_row_by_row() -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Add", ["x", "mean"], ["y"]),
    ]
    data = model(nodes, 1, [("y", ["rows", 1])]).SerializeToString()
    made = Model.load(spec_of(ModelInput("a")), data)
    assert not made.graph.batched
    assert score(ModelScorer(made, 2), ([1.0], [0]), ([5.0], [0])) == ([2.0, 10.0], [0, 0])


def test_a_graph_for_one_row_is_asked_row_by_row() -> None:
    made = Model.load(spec_of(ModelInput("a")), weighted_sum([2.0], rows=1))
    assert score(ModelScorer(made, 2), ([1.0], [0]), ([5.0], [0])) == ([2.0, 10.0], [0, 0])


def test_a_replay_goes_on_from_a_snapshot() -> None:
    made = loaded(spec_of(ModelInput("a", window=3)), [1.0, 10.0, 100.0])
    first, second = ModelScorer(made, 1), ModelScorer(made, 1)
    score(first, ([1.0], [0]))
    score(first, ([2.0], [0]))
    second.memory.restore(first.memory.pack())
    assert score(second, ([3.0], [0])) == ([321.0], [0])
    with pytest.raises(ValueError, match="another model"):
        ModelScorer(made, 2).memory.restore(first.memory.pack())


# -- declarations --------------------------------------------------------------------------------

WRONG = (
    (spec_of(), "input"),
    (spec_of(ModelInput("a"), outputs=()), "output"),
    (spec_of(ModelInput("a"), ModelInput("a")), "input 2, name"),
    (spec_of(ModelInput("a", scale=0.0)), "input 1, scale"),
    (spec_of(ModelInput("a", offset=float("nan"))), "input 1, offset"),
    (spec_of(ModelInput("a", low=float("inf"))), "input 1, low"),
    (spec_of(ModelInput("a", low=2.0, high=1.0)), "input 1, low"),
    (spec_of(ModelInput("a", window=0)), "input 1, window"),
    (spec_of(ModelInput("a"), outputs=(ModelOutput("y", fallback=float("nan")),)), "output 1, fallback"),
    (spec_of(ModelInput("a"), time_budget_ms=0), "time_budget_ms"),
    (spec_of(*(ModelInput(f"a{n}", window=1000) for n in range(11))), "input"),
)


@pytest.mark.parametrize(("spec", "place"), WRONG)
def test_a_wrong_declaration_is_told_with_its_place(spec: ModelSpec, place: str) -> None:
    assert [fault[0] for fault in faults(spec)] == [place]


def test_a_right_declaration_has_no_faults() -> None:
    assert faults(spec_of(ModelInput("a", low=0.0, high=1.0, window=1000))) == []


def test_without_onnxruntime_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"requirements/onnx\.txt"):
        loaded(spec_of(ModelInput("a")), [1.0])
