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

from edge_runtime.rules.apps.app import AppState, CompiledApp, Origin, Scorer, Source, score
from edge_runtime.rules.program import Column
from edge_runtime.rules.running.inputs import BAD
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


class ColumnApp(AppState[ColumnRunner]):
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
        super().__init__(app, instances, parameters, scorers, ColumnRunner)

    def run(self, times_ms: Cells, values: Mapping[str, Cells], qualities: Mapping[str, Cells]) -> Scans:
        """Run some scans.

        Args:
            times_ms: Time of each.
            values: For each of the app's inputs, (scans, instances).
            qualities: The same, 0 to 2.
        """
        seen = {
            name: self.stage.take(index, values[name], qualities[name])
            for index, name in enumerate(self.app.inputs)
        }
        scored = [(score(scorer, seen), scorer.scored) for scorer in self.scorers]
        done: list[Outcome] = []
        for wired, runner in zip(self.app.programs, self.runners, strict=True):
            wires = [_wire(source, seen, [see for see, _ in scored], done) for source in wired.sources]
            cells = [
                wire[0].astype(column.type.code)
                for wire, column in zip(wires, wired.program.inputs, strict=True)
            ]
            done.append(runner.run(times_ms, cells, [wire[1] for wire in wires]))
        return self._scans(done, scored)

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
        for scorer, (_, (values, marks)) in zip(self.scorers, scored, strict=True):
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
