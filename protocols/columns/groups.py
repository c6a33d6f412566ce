"""Rows in consecutive groups, one a point, and whole-column arithmetic over them.

Integers wrap at 64 bits in every function here, on purpose: a difference that overflows
is undone by a sum that overflows back, so the full range of int64 needs no other path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from protocols.columns.frame import Bools, UInt64s
from protocols.samples import Int64s


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Consecutive groups of rows; none is empty.

    Args:
        starts: The first row of each group.
        counts: Rows of each group.
        rows: Their sum.
    """

    starts: Int64s
    counts: Int64s
    rows: int

    @classmethod
    def of(cls, counts: Int64s) -> Groups:
        """Groups of these sizes, one after the other."""
        ends = np.cumsum(counts)
        return cls(ends - counts, counts, int(ends[-1]) if len(ends) else 0)

    def __len__(self) -> int:
        return len(self.counts)

    def spread(self, per_group: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Each group's item, repeated for each of its rows."""
        if len(per_group) and (self.counts == self.counts[0]).all():
            return np.repeat(per_group, int(self.counts[0]))
        return np.repeat(per_group, self.counts)

    def sums(self, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The sum of each group's rows."""
        return np.add.reduceat(column, self.starts)

    def counted(self, mask: Bools) -> Int64s:
        """How many rows of each group the mask has."""
        rows = np.flatnonzero(mask)
        return np.bincount(self.groups_of(rows), minlength=len(self))

    def groups_of(self, rows: Int64s) -> Int64s:
        """The group in which each row lies."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def rows_of(self, chosen: Bools) -> tuple[Bools | slice, Groups]:
        """The rows of the chosen groups, as an index, and the groups they form."""
        if chosen.all():
            return slice(None), self
        return self.spread(chosen), Groups.of(self.counts[chosen])

    def firsts(self) -> Bools:
        """Where a group begins."""
        mask = np.zeros(self.rows, np.bool_)
        mask[self.starts] = True
        return mask

    def differences(self, column: Int64s) -> Int64s:
        """Each row less the row before it; zero where a group begins."""
        out = np.empty_like(column)
        np.subtract(column[1:], column[:-1], out=out[1:])
        out[self.starts] = 0
        return out

    def running_sums(self, column: Int64s) -> Int64s:
        """The inverse of `differences` for groups that begin at zero; others keep their first."""
        total = np.cumsum(column)
        total -= self.spread(total[self.starts] - column[self.starts])
        return total


def zigzag(numbers: Int64s) -> UInt64s:
    """Signed to unsigned, small to small: 0, -1, 1, -2 become 0, 1, 2, 3."""
    folded: UInt64s = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    return folded


def unzigzag(folded: UInt64s) -> Int64s:
    """The inverse of `zigzag`."""
    return (folded >> np.uint64(1)).view(np.int64) ^ -((folded & np.uint64(1)).view(np.int64))
