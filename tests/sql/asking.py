"""Asks both lakes the same, and compares what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import duckdb
import pyarrow as pa

from headquarters.lake.query import Engine
from headquarters.services.sql.errors import QueryError
from headquarters.services.sql.execute import Executor
from headquarters.services.sql.rights import Reach
from headquarters.services.sql.task import Bounds, Task
from protocols.errors import InputError
from tests.sql.worlds import CANARY, CANARY_NUMBER, REACH, world

BOUNDS = Bounds(seconds=20, memory_bytes=256 << 20, spill_bytes=64 << 20, threads=1, rows=10_000)

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Answer:
    """What came of a query: columns and rows, or an error."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    error: QueryError | None = None

    @property
    def seen(self) -> str:
        """Everything that the asker is shown."""
        return f"{self.columns} {self.rows} {self.error}"

    @property
    def leaks(self) -> bool:
        """Whether anything of somebody else is in it."""
        numbers = (cell for row in self.rows for cell in _flat(row) if isinstance(cell, (int, float)))
        return CANARY in self.seen.upper() or any(-1 < abs(n) - CANARY_NUMBER < 100 for n in numbers)


@cache
def executor() -> Executor:
    """The governed way, in this process: the same code that a worker runs."""
    return Executor(world().full, Path(mkdtemp(prefix="catchment-spill-")))


@cache
def plain() -> Engine:
    """DuckDB as it is, over the asker's rows alone."""
    return Engine(world().own)


@cache
def _result() -> Path:
    return Path(mkdtemp(prefix="catchment-result-")) / "result.arrow"


def governed(
    sql: str, reach: Reach = REACH, parameters: dict[str, Any] | None = None, bounds: Bounds = BOUNDS
) -> Answer:
    """Ask the lake of many owners."""
    executor().begin()
    task = Task(sql, reach, str(_result()), parameters or {}, bounds=bounds)
    try:
        executor().run(task)
    except QueryError as error:
        return Answer(error=error)
    with pa.OSFile(str(_result())) as source:
        return answer_of(pa.ipc.open_file(source).read_all())


def own(sql: str, parameters: dict[str, Any] | None = None) -> Answer | None:
    """Ask the asker's own lake; `None` when DuckDB has no answer."""
    try:
        if parameters:
            rows = plain()._connection.execute(sql, parameters).to_arrow_table()
        else:
            rows = plain().arrow(sql).read_all()
    except (InputError, duckdb.Error):
        return None
    return answer_of(rows)


def answer_of(rows: pa.Table) -> Answer:
    """A result in a form that compares."""
    columns = [_cells(column) for column in rows.columns]
    return Answer(tuple(rows.column_names), tuple(zip(*columns, strict=True)) if columns else ())


def same(left: Answer, right: Answer) -> bool:
    """Whether two answers hold the same rows, in any order, numbers but for the order of summing.

    A column that an expression has no name for is named by either in its own way.
    """
    if len(left.columns) != len(right.columns) or len(left.rows) != len(right.rows):
        return False
    for ours, theirs in zip(left.columns, right.columns, strict=True):
        if theirs.isidentifier() and ours != theirs and theirs != "count_star":
            return False
    return sorted(map(_key, left.rows)) == sorted(map(_key, right.rows))


def _cells(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return list(column.to_pylist())


def _flat(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [each for part in value for each in _flat(part)]
    if isinstance(value, dict):
        return [each for part in value.values() for each in _flat(part)]
    return [value]


def _key(row: tuple[Any, ...]) -> str:
    return repr([_rounded(cell) for cell in row])


def _rounded(cell: Any) -> Any:
    if isinstance(cell, float):
        return "nan" if math.isnan(cell) else float(f"{cell:.9g}") + 0.0
    if isinstance(cell, (list, tuple)):
        return [_rounded(each) for each in cell]
    if isinstance(cell, dict):
        return {name: _rounded(each) for name, each in cell.items()}
    return cell
