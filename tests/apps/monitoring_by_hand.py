"""What the process-monitoring app must say, by the formulas of a principal component analysis.

Loadings and variances are read out of the graph; nothing is asked of onnxruntime or the app.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edge_runtime.rules.apps.recording import Recording
from protocols.package import ModelInput, ModelSpec
from tests.apps.parts import APPS, built
from tests.apps.plainly import Alarms, Expected

T2 = "process state unusual (T2)"
SPE = "process variables do not fit together (SPE)"

Floats = npt.NDArray[np.float64]


class Trained(NamedTuple):
    """What is in the graph: (variables, components), and the variance of each component."""

    loadings: Floats
    variances: Floats


@functools.cache
def trained() -> Trained:
    """The app's model."""
    graph = onnx.load(str(APPS / "process-monitoring" / "models" / "pca.onnx")).graph
    weights = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    return Trained(weights["loadings"], 1.0 / weights["precision"].ravel())


def expect(recording: Recording) -> Expected:
    """T2 and SPE of each scan, and the alarms; the delay is zero."""
    manifest = built("process-monitoring").package.manifest
    [model] = manifest.models
    limits = {name: float(recording.parameters[f"{name}_limit"]) for name in ("t2", "spe")}
    expected = Expected()
    alarms = Alarms(expected.events)
    found = {"t2": 0.0, "spe": 0.0}
    for row, now_ms in enumerate(recording.times_ms):
        marks = [recording.qualities[each.name][row] for each in model.inputs]
        worst = max(marks)
        if worst < 2:  # without a value the model is not asked, and its last answer stands
            values = np.array([recording.values[each.name][row] for each in model.inputs], np.float64)
            if any(_outside(each, value) for each, value in zip(model.inputs, values.tolist(), strict=True)):
                worst = 1
            found = _statistics(model, values)
        over = {
            name: alarms.follow(text, now_ms, found[name] > limits[name], found[name])
            for name, text in (("t2", T2), ("spe", SPE))
        }
        cells = {**found, "pca_t2": found["t2"], "pca_spe": found["spe"]}
        expected.row(dict.fromkeys(cells, worst), **cells, t2_alarm=over["t2"], spe_alarm=over["spe"])
    return expected


def _statistics(model: ModelSpec, values: Floats) -> dict[str, float]:
    offsets = np.array([each.offset for each in model.inputs])
    scaled = (values - offsets) / np.array([each.scale for each in model.inputs])
    loadings, variances = trained()
    scores = scaled @ loadings
    residual = scaled - loadings @ scores
    return {"t2": float((scores**2 / variances).sum()), "spe": float((residual**2).sum())}


def _outside(each: ModelInput, value: float) -> bool:
    """Beyond what the model was trained with."""
    assert each.low is not None and each.high is not None
    return not each.low <= value <= each.high
