"""Runs a program by the interpreter and on the three runtimes, and compares to the bit.

CPython goes scan by scan over lists as the gateway does, MicroPython over arrays as a board does,
numba over whole columns as headquarters does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge_runtime.rules.program import Column, Program, compile_program
from edge_runtime.rules.reading.parse import parse
from edge_runtime.rules.running.inputs import InputStage
from edge_runtime.rules.running.runner import Runner
from edge_runtime.rules.running.vectorised import EVENT_FIELDS, ColumnRunner
from tests.rules import columns, programs
from tests.rules.columns import Cells, Inputs
from tests.rules.oracle import Emitted, Oracle
from tests.rules.vocabulary import library

SIDE = Path(__file__).with_name("micropython_side.py")
INTERPRETER = Path(sys.executable).with_name("micropython")
HEAP = "heapsize=256m"

Told = tuple[int, int, int, bytes, int]
"""An event: instance, code, time, value's bits, quality."""


class Case(NamedTuple):
    """A program with what it is run on."""

    seed: int
    text: str
    program: Program
    inputs: Inputs
    instances: int


class Trace(NamedTuple):
    """All that a run gave, comparable to the bit: reals as binary64 with one NaN, the rest as int64."""

    outputs: dict[str, bytes]
    qualities: dict[str, bytes]
    states: dict[str, bytes]
    events: list[Told]


def case(seed: int, size: int = 5) -> Case:
    """A random program with random inputs."""
    return case_of(programs.program(seed, size), seed)


def case_of(text: str, seed: int, instances: int | None = None) -> Case:
    """A program with random inputs."""
    program = compile_program(text)
    instances = instances or 1 + seed % 3
    return Case(seed, text, program, columns.inputs(program, seed, 12, instances), instances)


# -- comparable forms ----------------------------------------------------------------------------


def bits(cells: Any) -> bytes:
    """Cells of a column in the comparable form."""
    array = np.asarray(cells)
    if array.dtype.kind == "f":
        wide = array.astype(np.float64)
        wide[np.isnan(wide)] = np.nan
        return wide.tobytes()
    return array.astype(np.int64).tobytes()


def typed(column: Column, cells: Any) -> bytes:
    """The same, of a list that may hold an integer where a real is meant."""
    return bits(np.array(cells, np.float64 if column.type.is_real else np.int64))


def _told(events: Iterable[Sequence[Any]]) -> list[Told]:
    return [
        (int(instance), int(code), int(time), bits([float(value)]), int(quality))
        for instance, code, time, value, quality in events
    ]


def _by_name(described: Sequence[Column], cells: Iterable[Any]) -> dict[str, bytes]:
    return {
        column.name.upper(): typed(column, values) for column, values in zip(described, cells, strict=True)
    }


def _finite(described: Sequence[Column], outputs: Iterable[Any], seen: Iterable[Any]) -> dict[str, bytes]:
    """Qualities; the host makes that of an output bad that is not finite."""
    found = {}
    for column, cells, qualities in zip(described, outputs, seen, strict=True):
        finite = np.isfinite(np.array(cells, np.float64))
        found[column.name.upper()] = bits(np.where(finite, np.array(qualities), 2))
    return found


def staged(case: Case) -> tuple[list[Cells], list[Cells]]:
    """Inputs and qualities as the program sees them, cell by cell."""
    stage = InputStage(case.program.inputs, case.instances)
    taken = [
        stage.take(index, values, qualities)
        for index, (values, qualities) in enumerate(
            zip(case.inputs.values, case.inputs.qualities, strict=True)
        )
    ]
    return [values for values, _ in taken], [qualities for _, qualities in taken]


# -- the runtimes --------------------------------------------------------------------------------


def on_cpython(case: Case) -> Trace:
    """Scan by scan, over lists; half-way all is stopped, and started again from a snapshot."""
    program, given = case.program, staged(case)
    runner = _started(case)
    outputs: list[list[Any]] = [[] for _ in program.outputs]
    seen: list[list[int]] = [[] for _ in program.outputs]
    events: list[Sequence[Any]] = []
    for row in range(case.inputs.rows):
        if row == case.inputs.rows // 2:
            kept, runner = runner.snapshot(), _started(case)
            runner.restore(kept)
        events += _scan(case, runner, row, *given)
        for index in range(len(outputs)):
            outputs[index] += runner.outputs[index]
            seen[index] += runner.output_qualities[index]
    return Trace(
        _by_name(program.outputs, outputs),
        _finite(program.outputs, outputs, seen),
        _by_name(program.states, runner.states),
        _told(events),
    )


def _started(case: Case) -> Runner:
    runner = Runner(case.program, case.instances, 1)
    for own, given in zip(runner.parameters, case.inputs.parameters, strict=True):
        own[:] = given.tolist()
    return runner


def _scan(
    case: Case, runner: Runner, row: int, values: list[Cells], qualities: list[Cells]
) -> list[Sequence[Any]]:
    """One row. Returns its events, without the row's number."""
    runner.times[0] = int(case.inputs.times_ms[row])
    cells = slice(row * case.instances, (row + 1) * case.instances)
    for index in range(len(values)):
        runner.inputs[index][:] = values[index][cells].tolist()
        runner.qualities[index][:] = qualities[index][cells].tolist()
    return [event[1:] for event in runner.events(runner.step())]


def on_numba(case: Case) -> Trace:
    """All rows at once, compiled."""
    values, qualities = staged(case)
    runner = ColumnRunner(case.program, case.instances, case.inputs.parameters)
    outcome = runner.run(case.inputs.times_ms, values, qualities)
    program = case.program
    return Trace(
        _by_name(program.outputs, outcome.outputs),
        _finite(program.outputs, outcome.outputs, outcome.qualities),
        _by_name(program.states, runner.states),
        _told(outcome.events.tolist()),
    )


def on_micropython(cases: Sequence[Case]) -> list[Trace | str]:
    """All rows of many cases in one process, over arrays; an error's text where one arose."""
    with tempfile.TemporaryDirectory() as folder:
        sent, found = Path(folder, "cases"), Path(folder, "results")
        sent.write_text("".join(json.dumps(_packed(case)) + "\n" for case in cases), encoding="utf-8")
        command = [str(INTERPRETER), "-X", HEAP, str(SIDE), str(sent), str(found)]
        subprocess.run(command, check=True, timeout=600)
        lines = found.read_text(encoding="utf-8").splitlines()
    return [_unpacked(case, json.loads(line)) for case, line in zip(cases, lines, strict=True)]


def _packed(case: Case) -> dict[str, Any]:
    program, cells = case.program, case.inputs.rows * case.instances
    values, qualities = staged(case)
    room = cells * program.events_max
    initial = [
        np.tile(np.array(each.initial, each.type.code), case.instances)
        for each in program.states + program.scratch
    ]
    return {
        "code": program.code, "rows": case.inputs.rows, "instances": case.instances,
        "times": _hex(case.inputs.times_ms),
        "inputs": [_hex(each) for each in values],
        "qualities": [_hex(each) for each in qualities],
        "parameters": [_hex(each) for each in case.inputs.parameters],
        "states": [_hex(each) for each in initial],
        "outputs": [_hex(np.zeros(cells, each.type.code)) for each in program.outputs],
        "seen": [_hex(np.zeros(cells, "b")) for _ in program.outputs],
        "events": [_hex(np.zeros(room, EVENT_FIELDS[name])) for name in EVENT_FIELDS.names or ()],
    }  # fmt: skip


def _hex(cells: Cells) -> str:
    """The type's letter (`q` also for what numpy calls `l`) and the bytes."""
    letter = cells.dtype.char.replace("l", "q")
    return letter + np.ascontiguousarray(cells).tobytes().hex()


def _unpacked(case: Case, found: dict[str, Any]) -> Trace | str:
    if "error" in found:
        return str(found["error"])
    program = case.program

    outputs = _cells_of(program.outputs, found["outputs"])
    events = [
        np.frombuffer(bytes.fromhex(text), EVENT_FIELDS[name])[: found["count"]].tolist()
        for name, text in zip(EVENT_FIELDS.names or (), found["events"], strict=True)
    ]
    return Trace(
        _by_name(program.outputs, outputs),
        _finite(
            program.outputs, outputs, [np.frombuffer(bytes.fromhex(text), "b") for text in found["qualities"]]
        ),
        _by_name(program.states, _cells_of(program.states, found["states"][: len(program.states)])),
        _told(zip(*events, strict=True)),
    )


def _cells_of(described: Sequence[Column], packed: Sequence[str]) -> list[Cells]:
    return [
        np.frombuffer(bytes.fromhex(text), column.type.code)
        for column, text in zip(described, packed, strict=True)
    ]


# -- the judge -----------------------------------------------------------------------------------


class Judged(NamedTuple):
    """What the interpreter says: as `Trace`, but states by path and events told in words."""

    outputs: dict[str, bytes]
    qualities: dict[str, bytes]
    oracles: list[Oracle]
    events: list[list[Emitted]]


def by_oracle(case: Case) -> Judged:
    """Every instance by itself, scan by scan."""
    source, program = parse(case.text), case.program
    outputs: dict[str, list[Any]] = {column.name.upper(): [] for column in program.outputs}
    seen: dict[str, list[int]] = {name: [] for name in outputs}
    oracles = []
    for instance in range(case.instances):
        parameters = {
            column.name: _plain(column, cells[instance])
            for column, cells in zip(program.parameters, case.inputs.parameters, strict=True)
        }
        oracles.append(Oracle(source, library().source, parameters))
    events: list[list[Emitted]] = [[] for _ in oracles]
    for row, time in enumerate(case.inputs.times_ms.tolist()):
        for instance, oracle in enumerate(oracles):
            given = {
                column.name: (_plain(column, values[row, instance]), int(qualities[row, instance]))
                for column, values, qualities in zip(
                    program.inputs, case.inputs.values, case.inputs.qualities, strict=True
                )
            }
            result = oracle.scan(time, given)
            events[instance] += result.events
            for name, (value, quality) in result.outputs.items():
                outputs[name].append(value)
                seen[name].append(quality)
    return Judged(
        _by_name(program.outputs, outputs.values()),
        {name: bits(each) for name, each in seen.items()},
        oracles,
        events,
    )


def _plain(column: Column, value: Any) -> Any:
    return bool(value) if column.type == "BOOL" else value.item()


def differences(case: Case, judged: Judged, trace: Trace | str) -> list[str]:
    """Where a runtime disagrees with the judge; nothing when it is right."""
    if isinstance(trace, str):
        return [trace]
    found = []
    for kind in ("outputs", "qualities"):
        ours, theirs = getattr(judged, kind), getattr(trace, kind)
        for column in case.program.outputs:
            name = column.name.upper()
            if ours[name] != theirs[name]:
                real = column.type.is_real and kind == "outputs"
                found += _cells(f"{kind} {name}", case, ours[name], theirs[name], real)
    return found + _state_differences(case, judged, trace) + _event_differences(case, judged, trace)


def _cells(what: str, case: Case, ours: bytes, theirs: bytes, real: bool) -> list[str]:
    form = np.float64 if real else np.int64
    one, two = np.frombuffer(ours, form), np.frombuffer(theirs, form)
    at = next(n for n in range(len(one)) if one[n : n + 1].tobytes() != two[n : n + 1].tobytes())
    row, instance = divmod(at, case.instances)
    return [f"{what}, row {row}, instance {instance}: expected {one[at]!r}, got {two[at]!r}"]


def _state_differences(case: Case, judged: Judged, trace: Trace) -> list[str]:
    found = []
    texts: dict[int, Any] = {}
    for column in case.program.states:
        held = [oracle.state(column.name) for oracle in judged.oracles]
        ours = [value for values in held if values is not None for value in values]
        if not ours:
            continue
        theirs = trace.states[column.name.upper()]
        if column.type == "STRING":
            pairs = set(zip(np.frombuffer(theirs, np.int64).tolist(), ours, strict=True))
            for index, text in pairs:
                if texts.setdefault(index, text) != text:
                    found.append(
                        f"state {column.name}: expected {text!r}, got text {index}, which is {texts[index]!r}"
                    )
        elif typed(column, ours) != theirs:
            form = np.float64 if column.type.is_real else np.int64
            found.append(f"state {column.name}: expected {ours}, got {np.frombuffer(theirs, form).tolist()}")
    return found


def _event_differences(case: Case, judged: Judged, trace: Trace) -> list[str]:
    found = []
    for instance, ours in enumerate(judged.events):
        expected = [(e.kind, e.path, e.text, e.priority, e.time_ms, bits([e.value]), e.quality) for e in ours]
        got = [_in_words(case, event) for event in trace.events if event[0] == instance]
        if expected != got:
            at = next(
                (n for n, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b),
                min(len(expected), len(got)),
            )
            found.append(
                f"event {at} of instance {instance}: expected {expected[at:][:1]}, got {got[at:][:1]}"
            )
    return found


def _in_words(case: Case, event: Told) -> tuple[Any, ...]:
    site = case.program.events[event[1] // 2]
    kind = "returned" if event[1] % 2 else site.kind
    return kind, site.path.upper(), site.text, site.priority, *event[2:]
