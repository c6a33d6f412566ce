"""The rows of a block, sorted by point; those of one point stay as they came.

Most blocks are scan after scan of the same points. Those are a table that only has to be
turned, not sorted, and of whose stamps one column is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from protocols.columns.groups import Column, Groups, same
from protocols.samples import NO_SOURCE_TIME, Int64s, SampleBlock, UInt32s

_LOOK_AHEAD = 4096
"""Rows in which most first scans end: no need to look at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrangement:
    """How a block's rows are arranged by point.

    Args:
        block: As it came.
        ids: The points, rising.
        groups: The rows of each.
        order: Where each row was, or how many points a scan has if all scans are alike,
            or `None` if the rows were in order.
    """

    block: SampleBlock
    ids: UInt32s
    groups: Groups
    order: Int64s | int | None

    @classmethod
    def of(cls, block: SampleBlock) -> Arrangement:
        """Find the arrangement of a block that has rows."""
        point = block.point
        width = _rising(point[:_LOOK_AHEAD]) or _rising(point) or len(point)
        if len(point) % width == 0 and same(point[width:], point[:-width]):
            return cls(block, point[:width], Groups.even(width, len(point) // width), width)
        order: Int64s | None = None
        if (point[1:] < point[:-1]).any():
            order = _stable_order(point)
            point = point.take(order)
        starts = np.concatenate(([0], np.flatnonzero(point[1:] != point[:-1]) + 1))
        return cls(block, point[starts], Groups.of(np.diff(starts, append=len(point))), order)

    def column(self, column: Column) -> Column:
        """A column of the block in this arrangement."""
        if self.order is None:
            return column
        if isinstance(self.order, int):
            return column.reshape(-1, self.order).T.reshape(-1) if self.order > 1 else column
        return column.take(self.order)

    @property
    def line(self) -> Int64s | None:
        """The stamps that all points share, where that is plain to see: in a table."""
        if not isinstance(self.order, int):
            return None
        time = self.block.time
        steps = time[1:] != time[:-1]
        steps[self.order - 1 :: self.order] = False  # between scans
        return None if np.count_nonzero(steps) else time[:: self.order].copy()

    @property
    def gaps(self) -> Column:
        """How many ids are left out before each."""
        gaps = self.ids.astype(np.uint64)
        gaps[1:] -= self.ids[:-1] + np.uint64(1)
        return gaps

    @property
    def source_time(self) -> Int64s:
        """The source times, also where the block has none."""
        if self.block.source_time is None:
            return np.full(self.groups.rows, NO_SOURCE_TIME, np.int64)
        return self.column(self.block.source_time)


def _rising(point: UInt32s) -> int:
    """How many ids rise from the first on; 0 if all do."""
    stops = point[1:] <= point[:-1]
    row = int(stops.argmax()) if len(stops) else 0
    return row + 1 if len(stops) and stops[row] else 0


def _stable_order(point: UInt32s) -> npt.NDArray[Any]:
    least = int(point.min())
    if int(point.max()) - least < 1 << 16:
        return np.argsort((point - np.uint32(least)).astype(np.uint16), kind="stable")  # a radix sort
    return np.argsort(point, kind="stable")
