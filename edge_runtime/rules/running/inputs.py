"""The input stage: from samples to what a program sees (docs/rules-reference.md, section 8).

Rules:
1. A bad value, and one that is not finite or not within the input's type, is replaced by
   the last good one (before there was any, by the declared initial value) and is bad.
2. The same code serves one scan on the gateway and a million rows at headquarters.

>>> stage = InputStage([Column("x", Type.REAL, None, (1.5,))], instances=1)
>>> values, qualities = stage.take(0, np.array([[2.0], [np.nan], [4.0]]), np.array([[0], [0], [2]], np.int8))
>>> values.tolist(), qualities.tolist()
([2.0, 2.0, 2.0], [0, 2, 2])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.rules.checking.types import Type, bounds
from edge_runtime.rules.program import Column

BAD = 2

AGE_PERIODS = 3
"""For so many of its periods the latest sample of a point counts that is read more slowly than the app
scans: one missing now and then is bridged; more is a fault that an app must see."""

Int8s = npt.NDArray[np.int8]
Cells = npt.NDArray[Any]


class InputStage:
    """Keeps the last good value of every input of every instance.

    Args:
        columns: The program's inputs.
        instances: How many.
    """

    def __init__(self, columns: Sequence[Column], instances: int) -> None:
        self._columns = tuple(columns)
        self._dtypes = tuple(np.dtype(column.type.code) for column in columns)
        self.last: list[Cells] = [
            np.full(instances, column.initial[0], np.dtype(column.type.code)) for column in columns
        ]
        """Last good values, an array of instances for each input."""

    def take(self, index: int, values: Cells, qualities: Int8s) -> tuple[Cells, Int8s]:
        """What the program sees of one input.

        Args:
            index: Which input.
            values: (rows, instances), of any number type or bool.
            qualities: (rows, instances), 0 to 2.

        Returns:
            Values in the input's type and qualities, each flat: row by row. They may be those
            that were given.
        """
        column = self._columns[index]
        cells, sound = _typed(values, column.type)
        sound &= qualities < BAD
        seen = qualities.astype(np.int8, copy=False)
        if not sound.all():
            seen = np.where(sound, seen, BAD).astype(np.int8)
            cells = _held(cells, sound, self.last[index])
        self.last[index] = cells[-1].copy()
        return cells.reshape(-1), seen.reshape(-1)

    def take_scan(self, index: int, values: Cells, qualities: Int8s) -> tuple[Cells, Int8s]:
        """As `take`, for one scan: an array of instances.

        Comparing bytes is several times faster than asking numpy, for some thousand instances.
        """
        dtype = self._dtypes[index]
        if (
            values.dtype == dtype
            and dtype.kind == "f"
            and b"\0" not in np.isfinite(values).tobytes()
            and qualities.tobytes() == bytes(len(qualities))
        ):
            self.last[index] = values.copy()
            return values, qualities
        return self.take(index, values[None, :], qualities[None, :])

    def snapshot(self) -> bytes:
        """The last good values, little-endian."""
        return b"".join(cells.astype(cells.dtype.newbyteorder("<")).tobytes() for cells in self.last)

    def restore(self, packed: bytes) -> None:
        """Take last good values over.

        Raises:
            ValueError: They are of other inputs.
        """
        if len(packed) != sum(cells.nbytes for cells in self.last):
            raise ValueError("the snapshot is of another app")
        at = 0
        for cells in self.last:
            cells[:] = np.frombuffer(packed, cells.dtype.newbyteorder("<"), len(cells), at)
            at += cells.nbytes


def _typed(values: Cells, type: Type) -> tuple[Cells, npt.NDArray[np.bool_]]:
    """Values in a type, and which of them are finite and within it."""
    dtype = np.dtype(type.code)
    if type is Type.BOOL:
        return (values != 0).astype(dtype), ~_nan(values)
    if type.is_real:
        if values.dtype == dtype:
            cells = np.ascontiguousarray(values)
            return cells, np.isfinite(cells)
        with np.errstate(over="ignore"):
            cells = values.astype(dtype)
        return cells, np.isfinite(cells)
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            values = np.rint(values)
        low, high = bounds(type)
        sound = (values >= float(low)) & (values < float(high + 1))
        return np.where(sound, values, 0.0).astype(dtype), sound
    low, high = bounds(type)
    return values.astype(dtype), (values >= low) & (values <= high)


def _nan(values: Cells) -> npt.NDArray[np.bool_]:
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, np.bool_)


def _held(cells: Cells, sound: npt.NDArray[np.bool_], last: Cells) -> Cells:
    """Where a cell is not sound, the last sound one above it."""
    rows = np.arange(1, len(cells) + 1)[:, None]
    origin = np.maximum.accumulate(np.where(sound, rows, 0), axis=0)
    return np.take_along_axis(np.vstack([last[None, :], cells]), origin, axis=0)
