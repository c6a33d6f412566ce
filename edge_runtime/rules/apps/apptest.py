"""Runs the recorded tests of a package and says where an app differs from them.

The app runs as on a gateway: scan by scan, on CPython, for one instance. Integers, BOOL and
TIME must be equal; REAL and LREAL too, unless app.toml sets a `tolerance`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from edge_runtime.rules.apps.app import AppEvent, LiveApp, Scorer
from edge_runtime.rules.apps.build import BuiltApp
from edge_runtime.rules.apps.parameters import expected
from edge_runtime.rules.apps.recording import (
    EVENT_COLUMNS,
    QUALITY,
    TIME,
    ExpectedEvent,
    Recording,
    Table,
    parse_cell,
    read_recording,
)
from edge_runtime.rules.checking.typed import Value
from edge_runtime.rules.checking.types import Type, to_real
from edge_runtime.rules.models.model import load_models
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


def run_tests(built: BuiltApp, tests: Sequence[str]) -> Iterator[Outcome]:
    """Run tests of a package, one after the other.

    Args:
        built: The app.
        tests: Their names, of `Package.tests()`.

    Raises:
        InputError: Its models cannot be loaded.
    """
    for name in tests:
        try:
            recording = read_recording(built, name)
        except InputError as error:
            yield Outcome(name, 0, 0, (), error.problems)
            continue
        yield run_test(built, recording, load_models(built.package))


def run_test(built: BuiltApp, recording: Recording, scorers: Sequence[Scorer] = ()) -> Outcome:
    """Run one test.

    Args:
        built: The app.
        recording: The test.
        scorers: Its models, loaded for one instance.
    """
    outputs, happened = _play(built, recording, scorers)
    differences: list[Difference] = []
    compared = 0
    if recording.expected is not None:
        for cells, difference in _compare_outputs(built, recording.expected, outputs):
            compared += cells
            differences += difference
    if recording.events is not None:
        file = built.package.place(f"tests/{recording.name}/events.csv")
        differences += _compare_events(file, recording.events, happened, built.package.manifest.tolerance)
        compared += len(recording.events)
    return Outcome(recording.name, len(recording.times_ms), compared, tuple(differences))


def record(built: BuiltApp, name: str) -> dict[str, str]:
    """What an app gives for the input of a test, as the files that would expect it.

    Whoever records reads the files before relying on them: they say what the app does, not
    what it should do.

    Args:
        built: The app.
        name: The test; it needs an `input.csv`.

    Returns:
        `expected.csv` and `events.csv`: their text by name.

    Raises:
        InputError: With every problem of the input, or the models cannot be loaded.
    """
    recording = read_recording(built, name, with_expectations=False)
    outputs, happened = _play(built, recording, load_models(built.package))
    types = {each: _type(built, each) for each in built.outputs}
    rows: list[list[str]] = [[TIME, *(column for each in types for column in (each, each + QUALITY))]]
    for time_ms, found in outputs.items():
        cells = (
            cell
            for each, type_ in types.items()
            for cell in (_shown(found[each][0], type_), str(found[each][1]))
        )
        rows.append([f"{time_ms / 1000:.15g}", *cells])
    events = [[*EVENT_COLUMNS]]
    for told in happened:
        value = "" if math.isnan(told.value) else repr(told.value)
        events.append([f"{told.time_ms / 1000:.15g}", told.kind, told.text, value, str(told.quality)])
    return {"expected.csv": _csv(rows), "events.csv": _csv(events)}


_Cells = dict[str, tuple[Value, int]]
"""What a scan recorded, by output: value and quality."""


class _Told(NamedTuple):
    """An event of the app, as `events.csv` writes it."""

    time_ms: int
    kind: str
    text: str
    value: float
    quality: int


def _play(
    built: BuiltApp, recording: Recording, scorers: Sequence[Scorer]
) -> tuple[dict[int, _Cells], list[_Told]]:
    """Outputs by the scan's time, and events."""
    parameters = {name: [value] for name, value in recording.parameters.items()}
    live = LiveApp(built.app, 1, parameters, scorers)
    outputs: dict[int, _Cells] = {}
    happened: list[_Told] = []
    for row, time_ms in enumerate(recording.times_ms):
        scan = live.scan(
            time_ms,
            {name: np.array([cells[row]]) for name, cells in recording.values.items()},
            {name: np.array([marks[row]], np.int8) for name, marks in recording.qualities.items()},
        )
        outputs[time_ms] = {
            name: (cells[0].item(), scan.qualities[name][0].item()) for name, cells in scan.outputs.items()
        }
        happened += [_told(built, time_ms, event) for event in scan.events]
    return outputs, happened


def _told(built: BuiltApp, time_ms: int, event: AppEvent) -> _Told:
    site = built.app.programs[event.program].program.events[event.event.code // 2]
    kind = "returned" if event.event.code % 2 else site.kind
    return _Told(time_ms, kind, site.text, event.event.value, event.event.quality)


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


# -- outputs -------------------------------------------------------------------------------------


def _compare_outputs(
    built: BuiltApp, table: Table, given: dict[int, _Cells]
) -> Iterator[tuple[int, list[Difference]]]:
    """Cells compared and where they differ, a column at a time."""
    for column, cells in table.columns.items():
        name = column.removesuffix(QUALITY)
        of_quality = name != column
        type_ = _type(built, name)
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
                    found.append(
                        Difference(
                            table.file, place, column, cell, _shown(got, Type.INT if of_quality else type_)
                        )
                    )
        yield sum(1 for cell in cells if cell), found


def _same(wanted: Value, got: Value, type: Type, tolerance: float) -> bool:
    if type is Type.REAL:
        wanted = to_real(float(wanted))
    if not type.is_real or wanted == got:
        return wanted == got
    return abs(got - wanted) <= tolerance * max(1.0, abs(wanted))


def _type(built: BuiltApp, output: str) -> Type:
    return built.app.outputs[output].type if output in built.app.outputs else Type.LREAL


def _shown(value: Value, type: Type) -> str:
    """A value as it is written in `expected.csv`."""
    if type is Type.BOOL:
        return "true" if value else "false"
    return repr(value)


# -- events --------------------------------------------------------------------------------------


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
