"""An app over columns: the same wiring as `app.LiveApp`, many scans at once, under numba.

Rules:
1. What a scan gives is to the bit what `LiveApp` gives: the input stage, the models and the
   generated code are the same, and state goes on from call to call.
2. Snapshots of the two are interchangeable: a replay begins with one that the gateway made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.rules.apps.app import CompiledApp, Origin, Scorer, Source, restore_held, snapshot_held
from edge_runtime.rules.program import Column
from edge_runtime.rules.running.inputs import BAD, InputStage
from edge_runtime.rules.running.vectorised import EVENT_FIELDS, ColumnRunner, Outcome

Cells = npt.NDArray[Any]

APP_EVENT_FIELDS = np.dtype(
    [("program", "i2"), *((name, EVENT_FIELDS[name]) for name in EVENT_FIELDS.names or ())]
)
"""One event of an app."""


class Scans(NamedTuple):
    """What many scans gave.

    Args:
        outputs: By name, (scans, instances).
        qualities: The same, 0 to 2.
        scored: Of the models, whatever their mode, by the name that programs use: the same.
        events: An array of `APP_EVENT_FIELDS`, in the order in which they happened.
    """

    outputs: dict[str, Cells]
    qualities: dict[str, Cells]
    scored: dict[str, tuple[Cells, Cells]]
    events: npt.NDArray[np.void]


class ColumnApp:
    """An app over many scans.

    Args:
        app: What runs.
        instances: How many.
        parameters: By name, a value for each instance; left out: the declared one.
        scorers: The app's models, loaded.
    """

    def __init__(
        self,
        app: CompiledApp,
        instances: int,
        parameters: Mapping[str, Sequence[Any]] | None = None,
        scorers: Sequence[Scorer] = (),
    ) -> None:
        self.app = app
        self.instances = instances
        self._scorers = tuple(scorers)
        self._names = list(app.inputs)
        self._stage = InputStage(list(app.inputs.values()), instances)
        self._runners = [ColumnRunner(wired.program, instances) for wired in app.programs]
        for runner in self._runners:
            for column, cells in zip(runner.program.parameters, runner.parameters, strict=True):
                given = (parameters or {}).get(column.name)
                if given is not None:
                    cells[:] = given

    def run(self, times_ms: Cells, values: Mapping[str, Cells], qualities: Mapping[str, Cells]) -> Scans:
        """Run some scans.

        Args:
            times_ms: Time of each.
            values: For each of the app's inputs, (scans, instances).
            qualities: The same, 0 to 2.
        """
        seen = {
            name: self._stage.take(index, values[name], qualities[name])
            for index, name in enumerate(self._names)
        }
        scored = [self._score(scorer, seen) for scorer in self._scorers]
        done: list[Outcome] = []
        for wired, runner in zip(self.app.programs, self._runners, strict=True):
            wires = [_wire(source, seen, [see for see, _ in scored], done) for source in wired.sources]
            cells = [
                wire[0].astype(column.type.code)
                for wire, column in zip(wires, wired.program.inputs, strict=True)
            ]
            done.append(runner.run(times_ms, cells, [wire[1] for wire in wires]))
        return self._scans(done, scored)

    def snapshot(self) -> list[bytes]:
        """All state, as `LiveApp.snapshot`."""
        models = [scorer.snapshot() for scorer in self._scorers]
        return [snapshot_held(self._stage), *models, *(runner.snapshot() for runner in self._runners)]

    def restore(self, parts: Sequence[bytes], *, retained_only: bool = False) -> None:
        """As `LiveApp.restore`.

        Raises:
            ValueError: It is of another app.
        """
        if len(parts) != 1 + len(self._scorers) + len(self._runners):
            raise ValueError("the snapshot is of another app")
        if not retained_only:
            restore_held(self._stage, parts[0])
            for scorer, packed in zip(self._scorers, parts[1:], strict=False):
                scorer.restore(packed)
        for runner, packed in zip(self._runners, parts[1 + len(self._scorers) :], strict=True):
            runner.restore(packed, retained_only=retained_only)

    def _score(
        self, scorer: Scorer, seen: Mapping[str, tuple[Cells, Cells]]
    ) -> tuple[tuple[Cells, Cells], tuple[Cells, Cells]]:
        """What programs see of a model, and what it said."""
        values = np.column_stack([seen[name][0].astype(np.float64) for name in scorer.inputs])
        marks = np.column_stack([seen[name][1] for name in scorer.inputs])
        return scorer.evaluate(values, marks), scorer.scored

    def _scans(
        self, done: Sequence[Outcome], scored: Sequence[tuple[tuple[Cells, Cells], tuple[Cells, Cells]]]
    ) -> Scans:
        shape = (-1, self.instances)
        found = Scans({}, {}, {}, _events(done))
        for wired, outcome in zip(self.app.programs, done, strict=True):
            for at, column in enumerate(wired.program.outputs):
                cells = outcome.outputs[at]
                found.outputs[column.name] = cells.reshape(shape)
                found.qualities[column.name] = _finite(column, cells, outcome.qualities[at]).reshape(shape)
        for scorer, (_, (values, marks)) in zip(self._scorers, scored, strict=True):
            for at, name in enumerate(scorer.outputs):
                found.scored[name] = values[:, at].reshape(shape), marks[:, at].reshape(shape)
        return found


def _wire(
    source: Source,
    seen: Mapping[str, tuple[Cells, Cells]],
    scored: Sequence[tuple[Cells, Cells]],
    done: Sequence[Outcome],
) -> tuple[Cells, Cells]:
    """The cells that one input of a program reads."""
    if source.origin is Origin.OUTPUT:
        earlier = done[source.step]
        return earlier.outputs[source.output], earlier.qualities[source.output]
    if source.origin is Origin.MODEL:
        values, marks = scored[source.step]
        return values[:, source.output], marks[:, source.output].copy()
    return seen[source.name]


def _events(done: Sequence[Outcome]) -> npt.NDArray[np.void]:
    """Events of all programs, scan by scan, in each scan program by program."""
    found = np.zeros(sum(len(outcome.events) for outcome in done), APP_EVENT_FIELDS)
    at = 0
    for program, outcome in enumerate(done):
        part = found[at : at + len(outcome.events)]
        part["program"] = program
        for name in EVENT_FIELDS.names or ():
            part[name] = outcome.events[name]
        at += len(outcome.events)
    return found[np.argsort(found["time_ms"], kind="stable")]


def _finite(column: Column, cells: Cells, marks: Cells) -> Cells:
    """An output's qualities; what is not finite is bad."""
    if not column.type.is_real:
        return marks
    return np.where(np.isfinite(cells), marks, BAD).astype(np.int8)
