"""Random inputs for a program: what arrives from points, before the input stage."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.rules.checking.types import bounds
from edge_runtime.rules.program import Column, Program
from tests.rules.values import binary32

Cells = npt.NDArray[Any]

WHOLE = (0, 1, 2, 3, -1, -2, 5, 10, 100, 255, 1000)
REALS = (
    0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, 100.0, 0.1, -273.15, 1e-45, 5e-324, -5e-324, 2.2250738585072014e-308,
    1e30, -3.4e38, 1.7976931348623157e308, 9007199254740993.0, 2147483648.0, 1e19, 32767.5,
)  # fmt: skip


class Inputs(NamedTuple):
    """Everything that a run of a program sees.

    Args:
        times_ms: Of each row.
        values: For each input, (rows, instances).
        qualities: The same, int8.
        parameters: For each parameter, a value for every instance.
    """

    times_ms: Cells
    values: tuple[Cells, ...]
    qualities: tuple[Cells, ...]
    parameters: tuple[Cells, ...]

    @property
    def rows(self) -> int:
        return len(self.times_ms)


def inputs(program: Program, seed: int, rows: int, instances: int) -> Inputs:
    """Rows for a program; equal seeds make equal rows."""
    draw = Random(seed)
    values = tuple(_values(draw, column, rows, instances) for column in program.inputs)
    if draw.random() < 0.3:
        qualities = [np.zeros((rows, instances), np.int8) for _ in values]
    else:
        qualities = [_filled(draw, (0, 0, 0, 0, 0, 1, 2), rows, instances, "b") for _ in values]
    parameters = tuple(_values(draw, column, 1, instances)[0] for column in program.parameters)
    for parameter in parameters:
        if parameter.dtype.kind == "f":
            parameter[~np.isfinite(parameter)] = 1.0
    return Inputs(_times(draw, rows), values, tuple(qualities), parameters)


def _times(draw: Random, rows: int) -> Cells:
    """Irregular, some equal, seldom set back."""
    steps = draw.choice(((0, 1, 100, 1000), (1000,), (0, 250, 250, 5000, 60_000), (1, 7, 3_600_000)))
    now = draw.choice((0, 1_700_000_000_000, 5, 4_102_444_800_000))
    times = []
    for _ in range(rows):
        times.append(now)
        now += draw.choice(steps)
        if draw.random() < 0.02:
            now = max(0, now - 500)
    return np.array(times, np.int64)


def _values(draw: Random, column: Column, rows: int, instances: int) -> Cells:
    code = column.type.code
    if column.type.is_real:
        pool = [*REALS, float("nan"), float("inf"), *(draw.gauss(0, 50) for _ in range(10))]
        if code == "f":
            pool = [binary32(value) for value in pool]
        return _filled(draw, pool, rows, instances, code)
    if code == "b":
        return _filled(draw, (0, 1), rows, instances, code)
    low, high = bounds(column.type)
    pool = [*WHOLE, low, low + 1, high, high - 1, draw.randint(low, high)]
    return _filled(draw, pool, rows, instances, code)


def _filled(draw: Random, pool: Sequence[Any], rows: int, instances: int, code: str) -> Cells:
    """Values that often stay as they were."""
    stay = draw.choice((0.0, 0.5, 0.8))
    cells = np.zeros((rows, instances), np.dtype(code))
    for instance in range(instances):
        value = draw.choice(pool)
        for row in range(rows):
            if draw.random() >= stay:
                value = draw.choice(pool)
            cells[row, instance] = value
    return cells
