"""A rule app as it runs: models and programs in order, wired to each other and to points.

Each scan, for all instances at once: the input stage holds the last good values, models
are evaluated, then the programs one after the other; a program sees the outputs of those
before it. One scan on the gateway and a million rows at headquarters go the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from edge_runtime.rules.program import Column, Program
from edge_runtime.rules.running.inputs import InputStage
from edge_runtime.rules.running.runner import Event, Runner

Cells = npt.NDArray[Any]


class Origin(Enum):
    """Where a program's input comes from."""

    POINT = 1
    OUTPUT = 2
    """Of an earlier program of the app."""
    MODEL = 3


class Source(NamedTuple):
    """What one input of a program is wired to.

    Args:
        origin: See `Origin`.
        name: Of the app's input (POINT).
        step: Which program or model (OUTPUT, MODEL).
        output: Which of its outputs.
    """

    origin: Origin
    name: str = ""
    step: int = 0
    output: int = 0


class WiredProgram(NamedTuple):
    """A program and what its inputs are wired to.

    Args:
        program: The program.
        sources: One for each of its inputs.
    """

    program: Program
    sources: tuple[Source, ...]


class Scorer(Protocol):
    """A model as the app sees it; see `models`."""

    @property
    def inputs(self) -> Sequence[str]:
        """The app's inputs that it reads, in order."""

    @property
    def outputs(self) -> Sequence[str]:
        """Names of its outputs."""

    def evaluate(self, values: Cells, qualities: Cells) -> tuple[Cells, Cells]:
        """From (rows, inputs) to (rows, outputs), values and qualities; what the programs see."""

    @property
    def scored(self) -> tuple[Cells, Cells]:
        """What the model said last, to be recorded; programs do not see that of one in shadow mode."""

    def snapshot(self) -> bytes:
        """What it keeps from scan to scan."""

    def restore(self, packed: bytes) -> None:
        """Take a snapshot over.

        Raises:
            ValueError: It is of another model.
        """


@dataclass(frozen=True, slots=True)
class CompiledApp:
    """An app ready to run.

    Args:
        id: The app's id.
        version: Its version.
        programs: In the order in which they run.
        inputs: The app's inputs that are bound to points, by name; a name used by several
            programs stands once.
        parameters: The parameters of all programs, by name.
        outputs: The outputs of all programs, by name: derived points.
    """

    id: str
    version: str
    programs: tuple[WiredProgram, ...]
    inputs: Mapping[str, Column]
    parameters: Mapping[str, Column]
    outputs: Mapping[str, Column]

    @property
    def operations(self) -> int:
        """Most operations of one scan of one instance."""
        return sum(wired.program.operations for wired in self.programs)

    @property
    def state_bytes(self) -> int:
        """Bytes of one instance's state."""
        return sum(wired.program.state_bytes for wired in self.programs)


class AppEvent(NamedTuple):
    """What a program of an app emitted.

    Args:
        program: Which program.
        event: The event.
    """

    program: int
    event: Event


class Scan(NamedTuple):
    """What one scan gave.

    Args:
        outputs: Of programs and models, by name, one value an instance, in its type.
        qualities: The same, int8, 0 to 2.
        events: In order.
    """

    outputs: dict[str, Cells]
    qualities: dict[str, Cells]
    events: list[AppEvent]


class ProgramRunner(Protocol):
    """What runs one program: scan by scan, or over columns."""

    @property
    def program(self) -> Program:
        """The program."""

    @property
    def parameters(self) -> Sequence[Any]:
        """For each of its parameters, a value for every instance."""

    def snapshot(self) -> bytes:
        """Its state; the same of all runners."""

    def restore(self, packed: bytes) -> None:
        """Take a state over.

        Raises:
            ValueError: It is of another program.
        """


R = TypeVar("R", bound=ProgramRunner)


class AppState(Generic[R]):
    """What an app keeps from scan to scan, whatever runs its programs.

    Args:
        app: What runs.
        instances: How many.
        parameters: By name, a value for each instance; left out: the declared one.
        scorers: The app's models, loaded.
        make: Makes what runs a program for so many instances.
    """

    def __init__(
        self,
        app: CompiledApp,
        instances: int,
        parameters: Mapping[str, Sequence[Any]] | None,
        scorers: Sequence[Scorer],
        make: Callable[[Program, int], R],
    ) -> None:
        self.app = app
        self.instances = instances
        self.scorers = tuple(scorers)
        self.stage = InputStage(list(app.inputs.values()), instances)
        self.runners = [make(wired.program, instances) for wired in app.programs]
        for runner in self.runners:
            for column, cells in zip(runner.program.parameters, runner.parameters, strict=True):
                given = (parameters or {}).get(column.name)
                if given is not None:
                    cells[:] = given

    def snapshot(self) -> list[bytes]:
        """All state: held inputs, then each model's and each program's."""
        models = [scorer.snapshot() for scorer in self.scorers]
        return [self.stage.snapshot(), *models, *(runner.snapshot() for runner in self.runners)]

    def restore(self, parts: Sequence[bytes]) -> None:
        """Take a snapshot over.

        Args:
            parts: From `snapshot` of the same app with as many instances.

        Raises:
            ValueError: It is of another app.
        """
        if len(parts) != 1 + len(self.scorers) + len(self.runners):
            raise ValueError("the snapshot is of another app")
        self.stage.restore(parts[0])
        for scorer, packed in zip(self.scorers, parts[1:], strict=False):
            scorer.restore(packed)
        for runner, packed in zip(self.runners, parts[1 + len(self.scorers) :], strict=True):
            runner.restore(packed)


def score(scorer: Scorer, seen: Mapping[str, tuple[Cells, Cells]]) -> tuple[Cells, Cells]:
    """What programs see of a model, given what they see of the inputs."""
    values = np.column_stack([seen[name][0].astype(np.float64) for name in scorer.inputs])
    qualities = np.column_stack([seen[name][1] for name in scorer.inputs])
    return scorer.evaluate(values, qualities)


class LiveApp(AppState[Runner]):
    """An app scan by scan, on CPython.

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
        super().__init__(app, instances, parameters, scorers, Runner)
        for wired, runner in zip(app.programs, self.runners, strict=True):
            for at, source in enumerate(wired.sources):
                if source.origin is Origin.OUTPUT:
                    runner.link(at, self.runners[source.step], source.output)

    def scan(self, time_ms: int, values: Mapping[str, Cells], qualities: Mapping[str, Cells]) -> Scan:
        """Run one scan.

        Args:
            time_ms: Its time.
            values: For each of the app's inputs, one value an instance.
            qualities: The same, 0 to 2.
        """
        seen = {
            name: self.stage.take_scan(index, values[name], qualities[name])
            for index, name in enumerate(self.app.inputs)
        }
        scored = [score(scorer, seen) for scorer in self.scorers]
        found = Scan({}, {}, [])
        for index, (wired, runner) in enumerate(zip(self.app.programs, self.runners, strict=True)):
            runner.times[0] = time_ms
            for at, source in enumerate(wired.sources):
                self._wire(runner, at, source, seen, scored)
            if count := runner.step():
                found.events.extend(AppEvent(index, event) for event in runner.events(count))
            for at, column in enumerate(wired.program.outputs):
                found.outputs[column.name], found.qualities[column.name] = runner.output(at)
        for scorer in self.scorers:
            cells, marks = scorer.scored
            for at, name in enumerate(scorer.outputs):
                found.outputs[name] = cells[:, at]
                found.qualities[name] = marks[:, at]
        return found

    def _wire(
        self,
        runner: Runner,
        at: int,
        source: Source,
        seen: Mapping[str, tuple[Cells, Cells]],
        scored: Sequence[tuple[Cells, Cells]],
    ) -> None:
        if source.origin is Origin.MODEL:
            values, qualities = scored[source.step]
            runner.fill(at, values[:, source.output], qualities[:, source.output].astype(np.int8))
        elif source.origin is Origin.POINT:
            runner.fill(at, *seen[source.name])

    # -- state over versions ---------------------------------------------------------------------

    def retained(self) -> list[dict[str, dict[str, bytes]]]:
        """What a cold start keeps: for each instance, by program, see `Runner.retained`."""
        kept: list[dict[str, dict[str, bytes]]] = [{} for _ in range(self.instances)]
        for name, runner in self._named():
            for found, own in zip(kept, runner.retained(), strict=True):
                found[name] = own
        return kept

    def retain(self, instance: int, kept: Mapping[str, Mapping[str, bytes]]) -> None:
        """Take over for one instance what `retained` gave, perhaps of another version of the app."""
        for name, runner in self._named():
            runner.retain(instance, kept.get(name, {}))

    def stand(self, instance: int, standing: Collection[str]) -> None:
        """Let the alarm blocks of one instance have told what is known to stand, by path."""
        for runner in self.runners:
            runner.stand(instance, standing)

    def _named(self) -> Iterator[tuple[str, Runner]]:
        """Programs by name; of several with the same name, which one it is stands behind it."""
        seen = Counter[str]()
        for runner in self.runners:
            name = runner.program.name
            yield f"{name}#{seen[name]}", runner
            seen[name] += 1
