"""Programs tried out on a table: times and inputs on the left, what must come out on the right.

::

    time  level | high   events
    0s    1.0   | FALSE
    5s    9.0!  | TRUE!  alarm 'too high' 9.0!

`?` behind a value says that it is uncertain, `!` that it is bad. The column `events`, when
there is one, holds what is told in that scan, separated by `;`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.program import Program, compile_program, library
from edge_runtime.rules.running.inputs import InputStage
from edge_runtime.rules.running.runner import Event, Runner

SIGNS = ("", "?", "!")
_TIME = re.compile(r"(\d+)(ms|s|m|h|)")
_MS = {"": 1, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


class Table(NamedTuple):
    """A table as written.

    Args:
        inputs: Names of inputs.
        outputs: Names of outputs.
        times_ms: Of each row.
        given: Cells left of the line, without the time.
        wanted: Cells right of the line.
        told: What the column `events` holds, or `None` without such a column.
    """

    inputs: list[str]
    outputs: list[str]
    times_ms: list[int]
    given: list[list[str]]
    wanted: list[list[str]]
    told: list[str] | None


def read(text: str) -> Table:
    """A table from its text."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    left, right = (part.split() for part in lines[0].split("|"))
    assert left[0] == "time", f"the first column is time, not {left[0]}"
    has_events = right[-1:] == ["events"]
    outputs = right[:-1] if has_events else right
    table = Table(left[1:], outputs, [], [], [], [] if has_events else None)
    for line in lines[1:]:
        before, _, after = line.partition("|")
        time, *given = before.split()
        cells = after.split(maxsplit=len(outputs))
        table.times_ms.append(milliseconds(time))
        table.given.append(given)
        table.wanted.append(cells[: len(outputs)])
        if table.told is not None:
            table.told.append(cells[len(outputs)] if len(cells) > len(outputs) else "")
    return table


def milliseconds(text: str) -> int:
    """`5s`, `1m`, `250ms` or plain milliseconds."""
    found = _TIME.fullmatch(text)
    assert found is not None, f"{text!r} is no time"
    return int(found[1]) * _MS[found[2]]


def check(program: Program, text: str, **parameters: str) -> None:
    """Run a program over a table; what comes out must be what stands there, to six digits."""
    table = read(text)
    runner = Runner(program)
    for column, own in zip(program.parameters, runner.parameters, strict=True):
        if column.name in parameters:
            own[0] = cell(parameters[column.name], column.type)[0]
    scans = Scans(program, runner)
    types = {column.name: column.type for column in (*program.inputs, *program.outputs)}
    found, told = [], []
    for time_ms, given in zip(table.times_ms, table.given, strict=True):
        cells = {name: cell(text, types[name]) for name, text in zip(table.inputs, given, strict=True)}
        outputs, events = scans.scan(time_ms, cells)
        found.append([written(*outputs[name], types[name]) for name in table.outputs])
        told.append("; ".join(event_text(program, event) for event in events))
    wanted = [
        [
            written(*cell(text, types[name]), types[name])
            for name, text in zip(table.outputs, row, strict=True)
        ]
        for row in table.wanted
    ]
    shown = "\n".join(" ".join([*row, events]) for row, events in zip(found, told, strict=True))
    assert found == wanted, f"what came out:\n{shown}"
    assert table.told is None or told == table.told, f"what was told:\n{shown}"


def check_block(block: str, text: str, **fixed: str) -> None:
    """Run one standard block over a table whose columns are its inputs and outputs."""
    table = read(text)
    unit = library().units[block]
    ins = "".join(f"{name} : {unit.symbols[name].type}; " for name in table.inputs)
    outs = "".join(f"{name} : {unit.symbols[name].type}; " for name in table.outputs)
    given = [f"{name} := {name}" for name in table.inputs] + [f"{k} := {v}" for k, v in fixed.items()]
    taken = [f"{name} => {name}" for name in table.outputs]
    source = (
        f"PROGRAM p VAR_INPUT {ins}END_VAR VAR_OUTPUT {outs}END_VAR VAR tried : {block}; END_VAR\n"
        f"tried({', '.join(given + taken)}); END_PROGRAM"
    )
    check(compile_program(source), text)


Cell = tuple[float, int]
"""A value and its quality."""


class Scans:
    """A program of one instance, scan by scan.

    Args:
        program: The program.
        runner: Its columns.
    """

    def __init__(self, program: Program, runner: Runner | None = None) -> None:
        self._program = program
        self._runner = runner or Runner(program)
        self._stage = InputStage(program.inputs, 1)

    def scan(self, time_ms: int, cells: dict[str, Cell]) -> tuple[dict[str, Cell], Sequence[Event]]:
        """One scan; an input that is left out is bad."""
        runner = self._runner
        runner.times[0] = time_ms
        for index, column in enumerate(self._program.inputs):
            value, quality = cells.get(column.name, (0, 2))
            values, qualities = self._stage.take(index, np.array([[value]]), np.array([[quality]], np.int8))
            runner.inputs[index][:] = values.tolist()
            runner.qualities[index][:] = qualities.tolist()
        events = runner.events(runner.step())
        outputs = zip(self._program.outputs, runner.outputs, runner.output_qualities, strict=True)
        return {column.name: (value[0], quality[0]) for column, value, quality in outputs}, events


def cell(text: str, type: Type) -> Cell:
    """A cell's value and quality."""
    plain = text.rstrip("?!")
    quality = SIGNS.index(text[len(plain) :])
    if type is Type.BOOL:
        return {"FALSE": 0, "TRUE": 1, "0": 0, "1": 1}[plain], quality
    if type is Type.TIME:
        return milliseconds(plain), quality
    return (float(plain) if type.is_real else int(plain)), quality


def written(value: float, quality: int, type: Type) -> str:
    """A value and quality as a cell."""
    if type is Type.BOOL:
        return ("FALSE", "TRUE")[int(value)] + SIGNS[quality]
    return (f"{value:.6g}" if type.is_real else f"{value}") + SIGNS[quality]


def event_text(program: Program, event: Event) -> str:
    """What was told, as `alarm 'text' 9.0`."""
    site = program.events[event.code // 2]
    kind = "returned" if event.code % 2 else site.kind
    return f"{kind} '{site.text}' {written(event.value, event.quality, Type.LREAL)}"
