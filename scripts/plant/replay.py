"""Any table of numbers as a plant: each column a point, each row held for two ticks.

A file is a CSV (comma, semicolon or tab) or separated by blanks, with or without a header
line. Columns become f64 points `c01`, `c02`, ... or, where there is a header, keep its words
as their descriptions. A point `row` counts the rows from 0, so that what arrived can be
matched with the file bit for bit; after the last row the first one follows.

Rules:
1. Numbers are read as Python reads them, which is correctly rounded (pandas' default is not).
2. Cells that are empty or no number are NaN; a column without any number is left out.
3. What a row is and what a column stays the user's business: files that are stored
   transposed, as TEP's d00.dat, want `transpose`.

>>> table = parse("a;b\\n1;2.5\\n3;\\n")
>>> table.names, table.rows.tolist()
(('a', 'b'), [[1.0, 2.5], [3.0, nan]])
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

import numpy as np

from scripts.plant.catalogue import Kind, PlantPoint
from scripts.plant.model import GOOD, UInt32s
from scripts.plant.unit import Array

TICKS_A_ROW = 2
"""A scan grid half a period off sees each row twice, and one late scan loses no row."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of numbers.

    Args:
        names: A header word, or `column N` counted from 1, for each column that is kept.
        rows: Shape (rows, columns).
    """

    names: tuple[str, ...]
    rows: Array


def parse(text: str, transpose: bool = False) -> Table:
    """Read a table.

    Args:
        text: The file.
        transpose: Rows of the file are columns of the table; such a file has no header.

    Raises:
        ValueError: It has no numbers, or lines of different lengths; the message says where.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    cells = [(number, _split(line)) for number, line in lines]
    if not cells:
        raise ValueError("expected rows of numbers, got an empty file")
    header = _header(cells[0][1])
    width = len(cells[0][1])
    for number, row in cells:
        if len(row) != width:
            raise ValueError(f"expected {width} columns as in line 1, got {len(row)} at line {number}")
    body = [[_number(cell) for cell in row] for _, row in (cells[1:] if header else cells)]
    rows = np.array(body, np.float64)
    if transpose:
        rows, header = rows.T, None
    if rows.size == 0 or np.isnan(rows).all():
        raise ValueError("expected at least one row with a number")
    names = header or [f"column {n + 1}" for n in range(rows.shape[1])]
    kept = [not np.isnan(column).all() for column in rows.T]
    return Table(tuple(name for name, keep in zip(names, kept, strict=True) if keep), rows[:, kept])


class Replay:
    """A table as a source of values.

    Args:
        table: What to replay.
        prefix: Put before the names of the points, so that two servers of one table differ.
    """

    def __init__(self, table: Table, prefix: str) -> None:
        self._table = table
        self._ticks = 0
        width = max(2, len(str(len(table.names))))
        columns = [
            PlantPoint(f"{prefix}c{n + 1:0{width}d}", Kind.F64, "", -1, 1.0, None, None, 0, name)
            for n, name in enumerate(table.names)
        ]
        counter = PlantPoint(
            f"{prefix}row", Kind.UINT32, "", 0, 1.0, None, None, 0, "row of the file, from 0"
        )
        self.points = (counter, *columns)

    def step(self, dt: float) -> None:
        """Let one tick pass; how long it is does not matter."""
        self._ticks += 1

    def held(self) -> Array:
        """The row's number, then the row."""
        row = self._ticks // TICKS_A_ROW % len(self._table.rows)
        return np.concatenate([[float(row)], self._table.rows[row]])

    def texts(self) -> list[str]:
        """None."""
        return []

    def status(self) -> UInt32s:
        """All good."""
        return np.full(len(self.points), GOOD, np.uint32)

    def order(self, name: str, block: int, seconds: float, point: str) -> None:
        """A table takes no orders.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"expected a simulated plant for {name!r}, got a replayed table")


def _split(line: str) -> list[str]:
    for separator in (",", ";", "\t"):
        if separator in line:
            return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    return re.split(r"\s+", line.strip())


def _header(cells: list[str]) -> list[str] | None:
    """The first line, if no cell of it is a number."""
    return cells if all(np.isnan(_number(cell)) for cell in cells) else None


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
