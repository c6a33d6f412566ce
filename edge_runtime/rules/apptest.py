"""Runs the recorded tests of a package and says where an app differs from them.

The app runs as on a gateway: scan by scan, on CPython, for one instance. Integers, BOOL and
TIME must be equal; REAL and LREAL too, unless app.toml sets a `tolerance`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from edge_runtime.rules.app import AppEvent, LiveApp, Scorer
from edge_runtime.rules.appbuild import BuiltApp
from edge_runtime.rules.models import Model, ModelScorer
from edge_runtime.rules.parameters import expected
from edge_runtime.rules.recording import QUALITY, ExpectedEvent, Recording, Table, parse_cell, read_recording
from edge_runtime.rules.typed import Value
from edge_runtime.rules.types import Type, to_real
from protocols.errors import InputError, Problem


class Difference(NamedTuple):
    """Where an app does not do what was recorded.

    Args:
        file: The file of the expectation.
        row: The row in it; for an event that was not expected the scan's time.
        column: The column.
        expected: What stands there.
        got: What the app gave.
    """

    file: str
    row: str
    column: str
    expected: str
    got: str


class Outcome(NamedTuple):
    """How one test went.

    Args:
        name: The test.
        scans: Scans that ran.
        compared: Cells and events that were compared.
        differences: Where the app differs; empty when it passed.
        problems: What is wrong with the test itself; then nothing ran.
    """

    name: str
    scans: int
    compared: int
    differences: tuple[Difference, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all is as recorded."""
        return not self.differences and not self.problems


def load_models(built: BuiltApp, instances: int = 1) -> tuple[ModelScorer, ...]:
    """The models of an app, loaded by onnxruntime.

    Raises:
        InputError: A model is not as app.toml declares it, or onnxruntime is not installed.
    """
    package, problems, found = built.package, [], []
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


def run_tests(built: BuiltApp) -> Iterator[Outcome]:
    """Run every test of a package, one after the other.

    Raises:
        InputError: Its models cannot be loaded.
    """
    for name in built.package.tests():
        try:
            recording = read_recording(built, name)
        except InputError as error:
            yield Outcome(name, 0, 0, (), error.problems)
            continue
        yield run_test(built, recording, load_models(built))


def run_test(built: BuiltApp, recording: Recording, scorers: Sequence[Scorer] = ()) -> Outcome:
    """Run one test.

    Args:
        built: The app.
        recording: The test.
        scorers: Its models, loaded for one instance.
    """
    parameters = {name: [value] for name, value in recording.parameters.items()}
    live = LiveApp(built.app, 1, parameters, scorers)
    given: dict[int, dict[str, tuple[Value, int]]] = {}
    happened: list[_Told] = []
    for row, time_ms in enumerate(recording.times_ms):
        scan = live.scan(
            time_ms,
            {name: np.array([cells[row]]) for name, cells in recording.values.items()},
            {name: np.array([marks[row]], np.int8) for name, marks in recording.qualities.items()},
        )
        given[time_ms] = {name: (cells[0], scan.qualities[name][0]) for name, cells in scan.outputs.items()}
        happened += [_told(built, time_ms, event) for event in scan.events]
    differences: list[Difference] = []
    compared = 0
    if recording.expected is not None:
        for cells, difference in _compare_outputs(built, recording.expected, given):
            compared += cells
            differences += difference
    if recording.events is not None:
        file = built.package.place(f"tests/{recording.name}/events.csv")
        differences += _compare_events(file, recording.events, happened, built.package.manifest.tolerance)
        compared += len(recording.events)
    return Outcome(recording.name, len(recording.times_ms), compared, tuple(differences))


# -- outputs -------------------------------------------------------------------------------------


def _compare_outputs(
    built: BuiltApp, table: Table, given: dict[int, dict[str, tuple[Value, int]]]
) -> Iterator[tuple[int, list[Difference]]]:
    """Cells compared and where they differ, a column at a time."""
    for column, cells in table.columns.items():
        name = column.removesuffix(QUALITY)
        of_quality = name != column
        type_ = built.app.outputs[name].type if name in built.app.outputs else Type.LREAL
        found = []
        for place, time_ms, cell in zip(table.places, table.times_ms, cells, strict=True):
            if cell:
                value, quality = given[time_ms][name]
                wanted = parse_cell(cell, Type.INT if of_quality else type_)
                got: Value = quality if of_quality else value
                if wanted is None:
                    words = f"{expected(type_)}, got {cell!r}"
                    found.append(Difference(table.file, place, column, words, ""))
                elif not _same(wanted, got, type_, built.package.manifest.tolerance):
                    found.append(Difference(table.file, place, column, cell, shown(got, type_, of_quality)))
        yield sum(1 for cell in cells if cell), found


def _same(wanted: Value, got: Value, type: Type, tolerance: float) -> bool:
    if type is Type.REAL:
        wanted = to_real(float(wanted))
    if not type.is_real or wanted == got:
        return wanted == got
    return abs(got - wanted) <= tolerance * max(1.0, abs(wanted))


def shown(value: Value, type: Type, of_quality: bool = False) -> str:
    """A value as it is written in `expected.csv`."""
    if of_quality:
        return str(value)
    if type is Type.BOOL:
        return "true" if value else "false"
    return repr(value)


# -- events --------------------------------------------------------------------------------------


class _Told(NamedTuple):
    """An event of the app, as `events.csv` writes it."""

    time_ms: int
    kind: str
    text: str
    value: float
    quality: int


def _told(built: BuiltApp, time_ms: int, event: AppEvent) -> _Told:
    site = built.app.programs[event.program].program.events[event.event.code // 2]
    kind = "returned" if event.event.code % 2 else site.kind
    return _Told(time_ms, kind, site.text, event.event.value, event.event.quality)


def _compare_events(
    file: str, wanted: Sequence[ExpectedEvent], happened: Sequence[_Told], tolerance: float
) -> Iterator[Difference]:
    """Both in order; from the first that is missing or too much the rest is compared by what it is."""
    missing = list(wanted)
    for told in happened:
        match = next((each for each in missing if _names(each) == (told.time_ms, told.kind, told.text)), None)
        if match is None:
            yield Difference(file, f"time {told.time_ms / 1000:.15g}", "text", "nothing", _words(told))
            continue
        missing.remove(match)
        if match.value is not None and not _same(match.value, told.value, Type.LREAL, tolerance):
            yield Difference(file, match.place, "value", repr(match.value), repr(told.value))
        if match.quality is not None and match.quality != told.quality:
            yield Difference(file, match.place, "quality", str(match.quality), str(told.quality))
    for each in missing:
        yield Difference(file, each.place, "text", f"{each.kind} {each.text!r}", "nothing")


def _names(each: ExpectedEvent) -> tuple[int, str, str]:
    return each.time_ms, each.kind, each.text


def _words(told: _Told) -> str:
    return f"{told.kind} {told.text!r} with {told.value!r}"
