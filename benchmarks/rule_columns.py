"""Rules over columns of the lake under numba, against the same function in CPython.

A row is one instance in one scan. The function is compiled before it is timed. *With the input
stage* is what a replay does once the columns are read: hold last good values, then the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.frame import Row, Setting, best_seconds
from benchmarks.rule_plant import START_US, Cells, signal
from benchmarks.rule_programs import PUMP, TIMED, WATCH
from edge_runtime.rules.program import Program, compile_program
from edge_runtime.rules.running.inputs import InputStage
from edge_runtime.rules.running.runner import Runner
from edge_runtime.rules.running.vectorised import ColumnRunner

ROWS = 1_000_000
PLAIN_ROWS = 20_000
"""As many of them CPython runs."""

RATIO = ">= 30"


def measure(setting: Setting) -> Iterator[Row]:
    """Three programs, one instance and many."""
    budget_s = 2.0 if setting.quick else 8.0
    yield from _paces("threshold + TON", TIMED, 1, 150.0, budget_s)
    yield from _paces("threshold + TON", TIMED, 1_000, 150.0, budget_s)
    yield from _paces("threshold + TON + ALARM", WATCH, 1, None, budget_s)
    yield from _paces("15 lines", PUMP, 1, 15.0, budget_s)
    yield from _paces("15 lines", PUMP, 1_000, 15.0, budget_s)


def _paces(name: str, source: str, instances: int, promised: float | None, budget_s: float) -> Iterator[Row]:
    program = compile_program(source)
    scans = ROWS // instances
    columns = [signal(each.name, scans, instances).astype(each.type.code) for each in program.inputs]
    times_ms = (START_US // 1000 + 1000 * np.arange(scans)).astype(np.int64)
    runner = ColumnRunner(program, instances)
    flat = [column.reshape(-1) for column in columns]
    good = [np.zeros(ROWS, np.int8) for _ in columns]
    stage = InputStage(program.inputs, instances)
    marks = np.zeros((scans, instances), np.int8)

    def alone() -> None:
        runner.run(times_ms, flat, good)

    def staged() -> None:
        taken = [stage.take(at, column, marks) for at, column in enumerate(columns)]
        runner.run(times_ms, [cells for cells, _ in taken], [seen for _, seen in taken])

    alone()
    plain = _in_cpython(program, instances, times_ms, flat)
    took, took_staged, took_plain = best_seconds(alone, staged, plain, budget_s=budget_s)
    title = f"{name}, {instances:,} instance{'s' * (instances > 1)}, numba"
    pace, unit = ROWS / took / 1e6, "M rows/s"
    plain_rows = max(1, PLAIN_ROWS // instances) * instances
    if promised is not None:
        yield Row.of(title, pace, unit, "promised", promised, ">= 1")
    yield Row.of(title, pace, unit, "same function in CPython", plain_rows / took_plain / 1e6, RATIO)
    yield Row.of(f"{title}, with the input stage", ROWS / took_staged / 1e6, unit, "without", pace)


def _in_cpython(
    program: Program, instances: int, times_ms: Cells, columns: list[Cells]
) -> Callable[[], object]:
    scans = max(1, PLAIN_ROWS // instances)
    runner = Runner(program, instances, scans)
    runner.times[:] = times_ms[:scans].tolist()
    for own, cells in zip(runner.inputs, columns, strict=True):
        own[:] = cells[: scans * instances].tolist()
    for seen in runner.qualities:
        seen[:] = [0] * (scans * instances)
    return runner.step
