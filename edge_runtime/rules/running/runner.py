"""Runs a program's generated code: its columns, its state, its events.

The code is the same on every runtime; only the columns differ: lists on CPython, numpy
arrays under numba. Nothing of Python but `range`, `int` and `float` is in its reach.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.rules.checking.typed import Value
from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.program import Column, Program
from edge_runtime.rules.running.inputs import BAD
from edge_runtime.rules.running.narrowing import one_row

Step = Callable[..., int]
Cells = npt.NDArray[Any]


class Event(NamedTuple):
    """What a program emitted.

    Args:
        row: The scan's row.
        instance: Which instance.
        code: Twice the index of its `EventSite`, one more for `returned`.
        time_ms: The scan's time.
        value: Its value.
        quality: 0 good, 1 uncertain, 2 bad.
    """

    row: int
    instance: int
    code: int
    time_ms: int
    value: float
    quality: int


def add64(one: int, other: int) -> int:
    """A sum of 64 bits."""
    return wrap_lint(one + other)


def sub64(one: int, other: int) -> int:
    """A difference of 64 bits."""
    return wrap_lint(one - other)


def mul64(one: int, other: int) -> int:
    """A product of 64 bits."""
    return wrap_lint(one * other)


def wrap_lint(value: int) -> int:
    """Two's complement of 64 bits: Python's integers do not wrap by themselves."""
    return ((value + 9223372036854775808) & 18446744073709551615) - 9223372036854775808


@cache
def load(code: str) -> Step:
    """The step function on CPython; see also `narrowing`."""
    names: dict[str, Any] = {
        "__builtins__": {"range": range, "int": int, "float": float},
        "wrap64": wrap_lint,
        "add64": add64,
        "sub64": sub64,
        "mul64": mul64,
        "sqrt": math.sqrt,
    }
    exec(compile(code, "<rules>", "exec"), names)  # noqa: S102  our own generator's output
    step: Step = names["step"]
    return step


class Runner:
    """A program's columns for a number of instances, run row by row on CPython.

    Args:
        program: The program.
        instances: How many.
        rows: Scans that one call can hold.
    """

    def __init__(self, program: Program, instances: int = 1, rows: int = 1) -> None:
        self.program = program
        self.instances = instances
        self.rows = rows
        cells = rows * instances
        self._step = load(one_row(program.code) if rows == 1 else program.code)
        self.times: list[int] = [0] * rows
        self.inputs = [[column.initial[0]] * cells for column in program.inputs]
        self.qualities = [[BAD] * cells for _ in program.inputs]
        self.parameters = tuple([column.initial[0]] * instances for column in program.parameters)
        self.states = tuple(list(column.initial) * instances for column in program.states)
        scratch = tuple(list(column.initial) * instances for column in program.scratch)
        self._kept_and_scratch = self.states + scratch
        self.outputs = tuple([column.initial[0]] * cells for column in program.outputs)
        self.output_qualities = tuple([BAD] * cells for _ in program.outputs)
        room = cells * program.events_max
        self._events: tuple[list[Any], ...] = tuple([0] * room for _ in range(5))
        self._cell = array("f", [0.0])
        self._filled = [b""] * len(program.inputs)

    def step(self, rows: int | None = None) -> int:
        """Run all instances over the first rows. Returns the number of events."""
        return self._step(
            0, self.rows if rows is None else rows, 0, self.instances, self.instances,
            self.times, self._cell, self.inputs, self.qualities, self.parameters, self._kept_and_scratch,
            self.outputs, self.output_qualities, self._events, 0,
        )  # fmt: skip

    def fill(self, at: int, cells: Cells, marks: Cells) -> None:
        """What the program sees of an input, instance by instance; for a runner of one row.

        Args:
            at: Which input.
            cells: Values in its type.
            marks: Qualities, int8.
        """
        self.inputs[at] = cells.tolist()
        packed = marks.tobytes()
        if packed != self._filled[at]:  # they seldom change
            self._filled[at] = packed
            self.qualities[at][:] = packed

    def link(self, at: int, earlier: Runner, output: int) -> None:
        """Let an input be what another program's output is, from now on."""
        self.inputs[at] = earlier.outputs[output]
        self.qualities[at] = earlier.output_qualities[output]

    def output(self, at: int) -> tuple[Cells, Cells]:
        """An output's values in its type, and their qualities; what is not finite is bad."""
        type, of = self.program.outputs[at].type, self.program.quality_of[at]
        values: list[Any] = self.outputs[at]
        few = type is Type.BOOL  # the faster way is for small integers only
        packed = bytes(values) if few else struct.pack(f"={len(values)}{type.code}", *values)
        cells = np.frombuffer(packed, type.code)
        marks = self._filled[of] if of >= 0 else b""
        seen = np.frombuffer(marks or bytes(self.output_qualities[at]), np.int8)
        if type.is_real and not (finite := np.isfinite(cells)).all():
            seen = np.where(finite, seen, BAD).astype(np.int8)
        return cells, seen

    def events(self, count: int) -> list[Event]:
        """The first events of the last call."""
        instances, codes, times, values, qualities = self._events
        rows = {} if self.rows == 1 else {time: row for row, time in reversed(list(enumerate(self.times)))}
        return [
            Event(rows.get(times[n], 0), instances[n], codes[n], times[n], float(values[n]), qualities[n])
            for n in range(count)
        ]

    def snapshot(self) -> bytes:
        """The state, packed little-endian in the order of the program's states."""
        return b"".join(
            pack(column, values) for column, values in zip(self.program.states, self.states, strict=True)
        )

    def restore(self, packed: bytes) -> None:
        """Take a snapshot's state over.

        Args:
            packed: From `snapshot` of the same program and number of instances.

        Raises:
            ValueError: It is of another size.
        """
        at = 0
        found = []
        for column in self.program.states:
            count = self.instances * max(1, column.length)
            form = f"<{count}{column.type.code}"
            size = struct.calcsize(form)
            if len(packed) < at + size:
                raise ValueError("the snapshot is of another program")
            found.append(list(struct.unpack_from(form, packed, at)))
            at += size
        if at != len(packed):
            raise ValueError("the snapshot is of another program")
        for values, own in zip(found, self.states, strict=True):
            own[:] = values

    def retained(self) -> list[dict[str, bytes]]:
        """What a cold start keeps, for each instance: RETAIN variables by name and type, as `snapshot`."""
        kept: list[dict[str, bytes]] = [{} for _ in range(self.instances)]
        for column, values in self._retain_columns():
            count = max(1, column.length)
            for at, found in enumerate(kept):
                found[_signature(column)] = pack(column, values[at * count : (at + 1) * count])
        return kept

    def retain(self, instance: int, kept: Mapping[str, bytes]) -> None:
        """Take over for one instance what `retained` gave, perhaps of another version of the program.

        Args:
            instance: Which.
            kept: What there is; a variable that has another type now begins with its initial value.
        """
        for column, values in self._retain_columns():
            count = max(1, column.length)
            form = f"<{count}{column.type.code}"
            packed = kept.get(_signature(column), b"")
            if len(packed) == struct.calcsize(form):
                values[instance * count : (instance + 1) * count] = struct.unpack(form, packed)

    def stand(self, instance: int, standing: Collection[str]) -> None:
        """Let the alarm blocks of one instance have told what is known to stand, and nothing else.

        Args:
            instance: Which.
            standing: Paths of the alarms that stand.
        """
        paths = {f"{site.path}.ACTIVE": site.path for site in self.program.events if site.kind == "alarm"}
        for column, values in zip(self.program.states, self.states, strict=True):
            if column.name in paths:
                values[instance] = int(paths[column.name] in standing)

    def _retain_columns(self) -> Iterator[tuple[Column, list[Value]]]:
        for column, values in zip(self.program.states, self.states, strict=True):
            if column.retain:
                yield column, values


def _signature(column: Column) -> str:
    return f"{column.name} {column.type}[{column.length}]"


def pack(column: Column, values: Sequence[Value]) -> bytes:
    """A column's values, little-endian; every NaN is the same one."""
    code = column.type.code
    if column.type.is_real:
        cells = np.array(values, f"<{code}")
        cells[np.isnan(cells)] = np.nan
        return cells.tobytes()
    return struct.pack(f"<{len(values)}{code}", *values)
