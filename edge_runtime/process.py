"""From what drivers deliver to what is stored: scale, check the range, keep what is worth it.

Rules:
1. A scaled value is an f64; what is not scaled stays as it was read, bit for bit.
2. A good value outside the engineering range is marked uncertain
   (Uncertain_EngineeringUnitsExceeded), never changed. Other qualities pass as they are.
3. With report mode `always` and no scaling a block passes through untouched.

Pure; works on whole blocks. The scalar definition of the same is the oracle in its tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge_runtime.report import Reporter, Rows
from protocols.points import Point, Report
from protocols.samples import (
    UNCERTAIN_ENGINEERING_UNITS_EXCEEDED,
    SampleBlock,
    UInt32s,
    ValueType,
    good,
    usable,
)


class Processed(NamedTuple):
    """What is left of some samples.

    Args:
        blocks: Samples to store.
        thinned: Samples left out on purpose.
        held: Samples that a swinging door holds back now.
        seen: All samples, scaled and checked: what rules read.
    """

    blocks: list[SampleBlock]
    thinned: int
    held: int
    seen: list[SampleBlock]


class _Reporting:
    """The points of one travelling type that are not always reported."""

    def __init__(self, type: ValueType, points: Sequence[Point]) -> None:
        self.reporter = Reporter(type, points)
        ids: UInt32s = np.array([point.id for point in points], np.uint32)
        self._order = np.argsort(ids)
        self._sorted = ids[self._order]

    def split(self, block: SampleBlock) -> tuple[Rows, Rows, Rows]:
        """(samples always kept, samples to decide on, the points of the latter)."""
        at = np.minimum(np.searchsorted(self._sorted, block.point), len(self._sorted) - 1)
        reported = self._sorted[at] == block.point
        return np.flatnonzero(~reported), np.flatnonzero(reported), self._order[at[reported]]


class _Column:
    """How the points of one raw type are scaled and checked."""

    def __init__(self, type: ValueType, points: Sequence[Point]) -> None:
        self.type = type
        ids: UInt32s = np.array([point.id for point in points], np.uint32)
        self._order = np.argsort(ids)
        self._sorted = ids[self._order]
        self._last_ids = ids
        self._last_rows: Rows = np.arange(len(points))
        self.scale = np.array([point.scale for point in points], np.float64)
        self.offset = np.array([point.offset for point in points], np.float64)
        self.scaled = np.array([point.scaled for point in points], np.bool_)
        self.low = np.array([-np.inf if point.low is None else point.low for point in points], np.float64)
        self.high = np.array([np.inf if point.high is None else point.high for point in points], np.float64)
        self.numeric = type in (ValueType.F64, ValueType.F32, ValueType.I64)
        self.ranged = self.numeric and any(p.low is not None or p.high is not None for p in points)

    def rows(self, ids: UInt32s) -> Rows:
        """The rows of points in this column; the same points again cost next to nothing."""
        if ids is not self._last_ids and not np.array_equal(ids, self._last_ids):
            self._last_rows = self._order[np.searchsorted(self._sorted, ids)]
            self._last_ids = ids
        return self._last_rows

    def apply(self, block: SampleBlock) -> list[SampleBlock]:
        if not self.ranged and not self.scaled.any():
            return [block]
        rows = self.rows(block.point)
        scaled = self.scaled[rows]
        if not scaled.any():
            return [self._checked(block, rows)]
        if scaled.all():
            return [self._checked(self._scale(block, rows), rows)]
        changed, same = np.flatnonzero(scaled), np.flatnonzero(~scaled)
        return [
            self._checked(self._scale(block.take(changed), rows[changed]), rows[changed]),
            self._checked(block.take(same), rows[same]),
        ]

    def _scale(self, block: SampleBlock, rows: Rows) -> SampleBlock:
        with np.errstate(over="ignore", invalid="ignore"):
            value = block.value.astype(np.float64) * self.scale[rows] + self.offset[rows]
        if self.type is ValueType.I64:
            value[~usable(block.quality)] = np.nan  # an integer that was not read stands as 0
        return SampleBlock(ValueType.F64, block.point, block.time, value, block.quality, block.source_time)

    def _checked(self, block: SampleBlock, rows: Rows) -> SampleBlock:
        if not self.ranged:
            return block
        outside = ((block.value < self.low[rows]) | (block.value > self.high[rows])) & good(block.quality)
        if not outside.any():
            return block
        quality = block.quality.copy()
        quality[outside] = UNCERTAIN_ENGINEERING_UNITS_EXCEEDED
        return SampleBlock(block.type, block.point, block.time, block.value, quality, block.source_time)


class Processor:
    """Processes the samples of one collecting task.

    Args:
        points: The task's points.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        self._columns = {
            raw: _Column(raw, [point for point in points if point.type.value_type is raw])
            for raw in {point.type.value_type for point in points}
        }
        reported = [point for point in points if point.report is not Report.ALWAYS]
        self._reporting = {
            kind: _Reporting(kind, [point for point in reported if point.value_type is kind])
            for kind in {point.value_type for point in reported}
        }

    def process(self, blocks: Sequence[SampleBlock]) -> Processed:
        """Scale, check and choose.

        Args:
            blocks: As drivers deliver them; of one point in the order of time.
        """
        kept: list[SampleBlock] = []
        thinned = 0
        seen = [scaled for block in blocks for scaled in self._columns[block.type].apply(block)]
        if not self._reporting:
            return Processed(seen, 0, 0, seen)
        for scaled in seen:
            reporting = self._reporting.get(scaled.type)
            if reporting is None:
                kept.append(scaled)
                continue
            always, decide, points = reporting.split(scaled)
            if len(always):
                kept.append(scaled.take(always))
            if len(decide):
                reported = reporting.reporter.report(scaled.take(decide), points)
                thinned += reported.thinned
                if len(reported.block):
                    kept.append(reported.block)
        return Processed(kept, thinned, self._count_held(), seen)

    def flush(self) -> list[SampleBlock]:
        """What swinging doors still hold back, at a clean stop."""
        blocks = [reporting.reporter.flush() for reporting in self._reporting.values()]
        return [block for block in blocks if len(block)]

    def settled_us(self, instant_us: int) -> int:
        """Up to here every sample is decided, when `instant_us` was processed last."""
        settled = [reporting.reporter.settled_us for reporting in self._reporting.values()]
        return min([instant_us, *(time_us for time_us in settled if time_us is not None)])

    def _count_held(self) -> int:
        return sum(reporting.reporter.held for reporting in self._reporting.values())
