"""Runs a program's generated code under numba, over columns: years of the lake in seconds.

The source is the one that the gateway runs; numba (extra `hq`) compiles it without fast
math, so that the results are the same to the bit.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.rules.program import Column, Program
from edge_runtime.rules.running.narrowing import all_instances, one_instance
from edge_runtime.rules.running.runner import Step, pack

Cells = npt.NDArray[Any]

EVENT_FIELDS = np.dtype(
    [("instance", "i4"), ("code", "i2"), ("time_ms", "i8"), ("value", "f8"), ("quality", "i1")]
)
"""One event of a replay."""

RECURSION_MAX = 50_000
"""Python's calls of Python take no room on the C stack; two of them a branch are usual in numba."""


class Outcome(NamedTuple):
    """What a program gave over rows.

    Args:
        outputs: For each output, cells row by row.
        qualities: The same, 0 to 2.
        events: An array of `EVENT_FIELDS`.
    """

    outputs: tuple[Cells, ...]
    qualities: tuple[Cells, ...]
    events: npt.NDArray[np.void]


@cache
def load_compiled(code: str) -> Step:
    """The step function, to be compiled by numba at its first call."""
    import numba

    njit = numba.njit(error_model="numpy")
    names: dict[str, Any] = {
        "__builtins__": {"range": range, "int": int, "float": float},
        "wrap64": njit(_same),
        "add64": njit(_add),
        "sub64": njit(_subtract),
        "mul64": njit(_multiply),
        "sqrt": math.sqrt,
    }
    exec(compile(code, "<rules>", "exec"), names)  # noqa: S102  our own generator's output
    compiled: Step = njit(names["step"])
    return compiled


def _same(value: int) -> int:
    """What a shift has left of 64 bits needs no wrapping under numba."""
    return value


# Unsigned arithmetic wraps by definition; of signed numba lets LLVM assume that it does not.


def _add(one: int, other: int) -> Any:
    return np.int64(np.uint64(one) + np.uint64(other))


def _subtract(one: int, other: int) -> Any:
    return np.int64(np.uint64(one) - np.uint64(other))


def _multiply(one: int, other: int) -> Any:
    return np.int64(np.uint64(one) * np.uint64(other))


class ColumnRunner:
    """A program over many rows; its state goes on from call to call.

    Args:
        program: The program.
        instances: How many.
        parameters: For each parameter, its value for every instance; `None` for the declared ones.
    """

    def __init__(
        self, program: Program, instances: int = 1, parameters: Sequence[Cells] | None = None
    ) -> None:
        self.program = program
        self.instances = instances
        narrow = one_instance if instances == 1 else all_instances
        self._step = load_compiled(narrow(program.code))
        self.parameters = tuple(_column(column, instances) for column in program.parameters)
        for own, given in zip(self.parameters, parameters or (), strict=parameters is not None):
            own[:] = given
        self.states = tuple(_column(column, instances) for column in program.states)
        self._kept_and_scratch = self.states + tuple(_column(c, instances) for c in program.scratch)

    def run(self, times_ms: Cells, inputs: Sequence[Cells], qualities: Sequence[Cells]) -> Outcome:
        """Run over rows.

        Args:
            times_ms: Time of each row.
            inputs: For each input, rows x instances cells in its type: see `InputStage`.
            qualities: The same, int8.
        """
        rows = len(times_ms)
        cells = rows * self.instances
        outputs = tuple(np.zeros(cells, np.dtype(c.type.code)) for c in self.program.outputs)
        seen = tuple(np.zeros(cells, np.int8) for _ in self.program.outputs)
        room = cells * self.program.events_max
        events = tuple(np.zeros(room, EVENT_FIELDS[name]) for name in EVENT_FIELDS.names or ())
        with _deep_recursion():
            count = self._step(
                0, rows, 0, self.instances, self.instances, times_ms, np.zeros(1, np.float32),
                tuple(inputs), tuple(qualities), self.parameters, self._kept_and_scratch,
                outputs, seen, events, 0,
            )  # fmt: skip
        found = np.zeros(count, EVENT_FIELDS)
        for name, column in zip(EVENT_FIELDS.names or (), events, strict=True):
            found[name] = column[:count]
        return Outcome(outputs, seen, found)

    def snapshot(self) -> bytes:
        """The state, as `Runner.snapshot`."""
        return b"".join(
            pack(column, cells.tolist())
            for column, cells in zip(self.program.states, self.states, strict=True)
        )

    def restore(self, packed: bytes) -> None:
        """As `Runner.restore`.

        Raises:
            ValueError: It is of another size.
        """
        if len(packed) != sum(cells.nbytes for cells in self.states):
            raise ValueError("the snapshot is of another program")
        at = 0
        for cells in self.states:
            cells[:] = np.frombuffer(packed, cells.dtype.newbyteorder("<"), len(cells), at)
            at += cells.nbytes


@contextmanager
def _deep_recursion() -> Iterator[None]:
    """Room for numba, which compiles at the first call and walks branches by recursion."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION_MAX))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _column(column: Column, instances: int) -> Cells:
    return np.tile(np.array(column.initial, np.dtype(column.type.code)), instances)
