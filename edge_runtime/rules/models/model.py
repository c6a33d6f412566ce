"""Models of an app: from inputs to features, through an ONNX graph, to outputs with quality.

Rules:
1. Features are `(value - offset) / scale`, each input with its last `window` scans, oldest first.
2. A bad input anywhere in its window, or a window that is not full yet: the output is its last
   good value and bad. A value outside the validity envelope, or an uncertain one: uncertain.
   A result that is not finite counts as none.
3. A model of mode `shadow` is evaluated like any other; programs see its fallback, bad.
4. The same code serves one scan on the gateway and years at headquarters, with the same bits.
   What goes on from scan to scan is in a `Memory` that the caller keeps.

`livemodels` adds the time budget of the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.rules.models.onnxfile import RefusedError
from edge_runtime.rules.models.onnxsession import Graph
from edge_runtime.rules.running.inputs import BAD
from protocols.errors import InputError, Problem
from protocols.package import Package
from protocols.package.modelspec import Mode, ModelSpec

Cells = npt.NDArray[Any]
Int8s = npt.NDArray[np.int8]
Infer = Callable[[Cells], Cells | None]
"""From features (n, features) to results (n, outputs); `None` when there was no answer."""

UNCERTAIN = 1

CELLS_MAX = 1 << 22
"""Features made at a time: 32 MB."""


class Scored(NamedTuple):
    """What a model said.

    Args:
        values: (n, outputs).
        qualities: The same, 0 to 2.
    """

    values: Cells
    qualities: Int8s


class Features(NamedTuple):
    """What a graph is asked.

    Args:
        rows: (n, features), in the order of scans, then instances.
        marks: Quality of each row.
    """

    rows: Cells
    marks: Int8s


class Memory:
    """What a model keeps from scan to scan, for a number of instances.

    Args:
        spec: The model's declaration.
        instances: How many.
    """

    def __init__(self, spec: ModelSpec, instances: int) -> None:
        older = spec.depth - 1
        self.instances = instances
        self.values = np.zeros((older, instances, len(spec.inputs)))
        """Values of the scans before, oldest first."""
        self.marks = np.full((older, instances, len(spec.inputs)), BAD, np.int8)
        """Their qualities, with the envelope's."""
        self.last = np.tile([output.fallback or 0.0 for output in spec.outputs], (instances, 1))
        """Last good outputs."""

    def pack(self) -> bytes:
        """All of it, little-endian."""
        parts = (self.values.astype("<f8"), self.marks, self.last.astype("<f8"))
        return b"".join(part.tobytes() for part in parts)

    def restore(self, packed: bytes) -> None:
        """Take over what `pack` gave.

        Raises:
            ValueError: It is of another model or number of instances.
        """
        if len(packed) != self.values.nbytes + self.marks.nbytes + self.last.nbytes:
            raise ValueError("the snapshot is of another model")
        at = 0
        for cells, code in ((self.values, "<f8"), (self.marks, "i1"), (self.last, "<f8")):
            cells[...] = np.frombuffer(packed, code, cells.size, at).reshape(cells.shape)
            at += cells.nbytes


class Model:
    """A loaded model.

    Args:
        spec: Its declaration.
        graph: Its graph.
    """

    def __init__(self, spec: ModelSpec, graph: Graph) -> None:
        self.spec = spec
        self.graph = graph
        self._low = np.array([-np.inf if each.low is None else each.low for each in spec.inputs])
        self._high = np.array([np.inf if each.high is None else each.high for each in spec.inputs])
        windows = [each.window for each in spec.inputs]
        self._which = np.repeat(np.arange(len(windows)), windows)
        """Of each feature, which input it is of."""
        self._first = np.concatenate([np.arange(spec.depth - window, spec.depth) for window in windows])
        """Of each feature, the scan it is of in the first row, the oldest one known being 0."""
        self._depth = spec.depth
        self._offset = np.array([spec.inputs[at].offset for at in self._which])
        self._scale = np.array([spec.inputs[at].scale for at in self._which])

    @classmethod
    def load(cls, spec: ModelSpec, data: bytes) -> Model:
        """Load an ONNX file as declared.

        Args:
            spec: The declaration, without faults.
            data: The file.

        Raises:
            InputError: The file is not acceptable or not as declared; or onnxruntime is missing.
        """
        try:
            graph = Graph(data, spec.features, [output.name for output in spec.outputs])
        except RefusedError as error:
            place = f"model {spec.name!r}"
            expected, _, found = str(error).removeprefix("expected ").partition(", got ")
            raise InputError([Problem(spec.file, place, found, expected)]) from error
        return cls(spec, graph)

    def memory(self, instances: int) -> Memory:
        """The memory to begin with."""
        return Memory(self.spec, instances)

    def evaluate(self, values: Cells, qualities: Cells, memory: Memory, infer: Infer | None = None) -> Scored:
        """What the model says.

        Args:
            values: (scans x instances, inputs), instances within scans; the input stage has
                replaced what is bad by the last good value.
            qualities: The same, 0 to 2.
            memory: Goes on from call to call.
            infer: How the graph is asked; in a portion without an answer all is bad.
        """
        scans = max(1, CELLS_MAX // (len(self._which) * memory.instances)) * memory.instances
        portions = [
            self._portion(
                values[at : at + scans], qualities[at : at + scans], memory, infer or self.graph.run
            )
            for at in range(0, len(values), scans)
        ]
        if len(portions) == 1:
            return portions[0]
        outputs = len(self.spec.outputs)
        return Scored(
            np.concatenate([np.zeros((0, outputs)), *(portion.values for portion in portions)]),
            np.concatenate([np.zeros((0, outputs), np.int8), *(portion.qualities for portion in portions)]),
        )

    def fallback(self, rows: int) -> Scored:
        """What programs see of a model that does not act."""
        values = np.tile([output.fallback or 0.0 for output in self.spec.outputs], (rows, 1))
        return Scored(values, np.full(values.shape, BAD, np.int8))

    def _portion(self, values: Cells, qualities: Cells, memory: Memory, infer: Infer) -> Scored:
        features = self._features(values, qualities, memory)
        askable = features.marks < BAD
        results = np.full((len(values), len(self.spec.outputs)), np.nan)
        if askable.any():
            answer = infer(features.rows[askable])
            if answer is None:
                return self._unanswered(len(values), memory)
            results[askable] = answer
        marks = np.where(np.isfinite(results), features.marks[:, None], BAD).astype(np.int8)
        return Scored(_held(results, marks, memory), marks)

    def _features(self, values: Cells, qualities: Cells, memory: Memory) -> Features:
        """Windows and scaling; the memory goes on by these scans."""
        shape = (-1, memory.instances, len(self.spec.inputs))
        outside = ~((values >= self._low) & (values <= self._high))
        marks = np.maximum(qualities, np.where(outside, UNCERTAIN, 0)).astype(np.int8)
        all_values = np.concatenate([memory.values, values.reshape(shape)])
        all_marks = np.concatenate([memory.marks, marks.reshape(shape)])
        scans = len(all_values) - len(memory.values)
        memory.values, memory.marks = all_values[scans:].copy(), all_marks[scans:].copy()
        if self._depth == 1:
            return Features((values - self._offset) / self._scale, marks.max(axis=1))
        when = np.arange(scans)[:, None] + self._first
        picked = all_values[when, :, self._which].transpose(0, 2, 1).reshape(-1, len(self._which))
        worst = all_marks[when, :, self._which].max(axis=1)
        return Features((picked - self._offset) / self._scale, worst.reshape(-1))

    def _unanswered(self, rows: int, memory: Memory) -> Scored:
        values = np.tile(memory.last, (rows // memory.instances, 1))
        for at, output in enumerate(self.spec.outputs):
            if output.fallback is not None:
                values[:, at] = output.fallback
        return Scored(values, np.full(values.shape, BAD, np.int8))


class ModelScorer:
    """A model within an app: what `app.Scorer` asks for, without a time budget.

    Args:
        model: The model.
        instances: How many.
    """

    def __init__(self, model: Model, instances: int) -> None:
        self.model = model
        self.memory = model.memory(instances)
        self._scored = model.fallback(instances)

    @property
    def inputs(self) -> Sequence[str]:
        """The app's inputs that it reads, in order."""
        return [each.name for each in self.model.spec.inputs]

    @property
    def outputs(self) -> Sequence[str]:
        """Its outputs, as programs name them."""
        return self.model.spec.signals

    def evaluate(self, values: Cells, qualities: Cells) -> tuple[Cells, Cells]:
        """What programs see, for one scan or many; see `Model.evaluate`."""
        self._scored = self.model.evaluate(values, qualities, self.memory, self._infer)
        return self.model.fallback(len(values)) if self.model.spec.mode is Mode.SHADOW else self._scored

    @property
    def scored(self) -> Scored:
        """What the model said last, to be recorded; programs do not see that of one in shadow mode."""
        return self._scored

    def snapshot(self) -> bytes:
        """What it keeps from scan to scan."""
        return self.memory.pack()

    def restore(self, packed: bytes) -> None:
        """Take a snapshot over.

        Raises:
            ValueError: It is of another model or number of instances.
        """
        self.memory.restore(packed)

    def _infer(self, features: Cells) -> Cells | None:
        return self.model.graph.run(features)


def load_models(package: Package, instances: int = 1) -> tuple[ModelScorer, ...]:
    """The models of an app, loaded by onnxruntime.

    Raises:
        InputError: A model is not as app.toml declares it, or onnxruntime is not installed.
    """
    problems, found = [], []
    for spec in package.manifest.models:
        try:
            found.append(ModelScorer(Model.load(spec, package.files[spec.file]), instances))
        except InputError as error:
            problems += [
                Problem(package.place(spec.file), each.place, each.value, each.expected)
                for each in error.problems
            ]
    if problems:
        raise InputError(problems)
    return tuple(found)


class ReplayedModel(ModelScorer):
    """A model in a replay, which is told where the gateway's did not answer in time."""

    silent = False

    def _infer(self, features: Cells) -> Cells | None:
        return None if self.silent else super()._infer(features)


def _held(results: Cells, marks: Int8s, memory: Memory) -> Cells:
    """Where a result is bad, the last good one of its instance; the memory keeps the newest."""
    shape = (-1, *memory.last.shape)
    cells, sound = results.reshape(shape), (marks < BAD).reshape(shape)
    if not sound.all():
        order = np.arange(1, len(cells) + 1)[:, None, None]
        origin = np.maximum.accumulate(np.where(sound, order, 0), axis=0)
        cells = np.take_along_axis(np.concatenate([memory.last[None], cells]), origin, axis=0)
    memory.last = cells[-1].copy()
    return cells.reshape(results.shape)
