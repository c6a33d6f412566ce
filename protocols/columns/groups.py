"""Rows in consecutive groups, one a point, and whole-column arithmetic over them.

Integers wrap in every function here, on purpose: a difference that overflows is undone by
a sum that overflows back, so the full range of int64 needs no other path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from protocols.samples import Int64s

Bools = npt.NDArray[np.bool_]
Column = npt.NDArray[Any]
Rows = Bools | slice


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Consecutive groups of rows; none is empty.

    Args:
        starts: The first row of each group.
        counts: Rows of each group.
        rows: Their sum.
        each: Rows of every group, if it is known that all have as many; else 0.
    """

    starts: Int64s
    counts: Int64s
    rows: int
    each: int

    @classmethod
    def of(cls, counts: Int64s) -> Groups:
        """Groups of these sizes, one after the other."""
        ends = counts.cumsum()
        return cls(ends - counts, counts, int(ends[-1]) if len(ends) else 0, 0)

    @classmethod
    def even(cls, count: int, each: int) -> Groups:
        """So many groups of as many rows each."""
        return cls(np.arange(0, count * each, each), np.full(count, each), count * each, each)

    @classmethod
    def join(cls, parts: Sequence[Groups]) -> Groups:
        """All groups, one after the other."""
        each = parts[0].each
        if each and all(part.each == each for part in parts):
            return cls.even(sum(map(len, parts)), each)
        return parts[0] if len(parts) == 1 else cls.of(np.concatenate([part.counts for part in parts]))

    def split(self, sizes: Sequence[int]) -> list[Groups]:
        """The inverse of `join`: the first so many groups, the next so many and so on."""
        if len(sizes) == 1:
            return [self]
        parts = []
        at = row = 0
        for size in sizes:
            end = int(self.starts[at + size]) if at + size < len(self) else self.rows
            starts, counts = self.starts[at : at + size] - row, self.counts[at : at + size]
            parts.append(Groups(starts, counts, end - row, self.each))
            at, row = at + size, end
        return parts

    def __len__(self) -> int:
        return len(self.counts)

    def spread(self, per_group: Column) -> Column:
        """Each group's item, repeated for each of its rows."""
        return per_group.repeat(self.counts)

    def sums(self, column: Column, dtype: type[np.generic]) -> Column:
        """The sum of each group's rows."""
        total: Column = np.add.reduceat(column, self.starts, dtype=dtype)
        return total

    def counted(self, mask: Bools) -> Int64s:
        """How many rows of each group the mask has."""
        largest = int(self.counts.max(initial=0))
        narrow = np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.int64
        return self.sums(mask.view(np.uint8), narrow).astype(np.int64)

    def groups_of(self, rows: Int64s) -> Int64s:
        """The group in which each row lies."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def rows_of(self, chosen: Bools) -> tuple[Rows, Groups]:
        """The rows of the chosen groups, to index a column with, and the groups they form."""
        if chosen.all():
            return slice(None), self
        return self.spread(chosen), Groups.of(self.counts[chosen])

    def samples(self, most: int) -> Int64s:
        """At most so many rows spread evenly over each group, one column a group.

        Where a group has fewer, rows of its neighbours are among them.
        """
        count = min(most, int(self.counts.max()))
        places = np.arange(count)[:, None] * np.maximum(self.counts // count, 1)
        places += self.starts
        return places

    def differences(self, column: Column) -> Column:
        """Each row less the row before it; the first of each group as it is."""
        out = np.empty_like(column)
        np.subtract(column[1:], column[:-1], out=out[1:])
        out[self.starts] = column[self.starts]
        return out

    def running_sums(self, column: Column) -> Column:
        """The inverse of `differences`."""
        total = column.cumsum(dtype=column.dtype)
        total -= self.spread(total[self.starts] - column[self.starts])
        return total


def same(some: Column, others: Column) -> bool:
    """Whether two columns are equal throughout; `np.array_equal` without its preparations."""
    return len(some) == len(others) and not np.count_nonzero(some != others)


def zigzag(numbers: Column) -> Column:
    """Signed to unsigned, small to small.

    >>> zigzag(np.array([0, -1, 1, -2])).tolist()
    [0, 1, 2, 3]
    """
    bits = numbers.itemsize * 8
    folded = numbers << 1
    folded ^= numbers >> (bits - 1)
    return folded.view(f"u{numbers.itemsize}")


def unzigzag(folded: Column) -> Column:
    """The inverse of `zigzag`."""
    signed = f"i{folded.itemsize}"
    numbers = (folded >> 1).view(signed)
    numbers ^= -((folded & 1).view(signed))
    return numbers
