"""Which samples are kept: on change, by deadband, or by swinging door. Pure, whole columns at once.

Rules:
1. A change of quality, and the first sample of a point, are always kept; so is a sample
   when the point has been silent for its bound.
2. While the quality stays bad, and while the value stays the same NaN or infinity,
   nothing has changed.
3. `deadband`: every value left out is within the deadband of the value last kept.
4. `swinging_door`: every value left out is within the deadband of the straight line
   between the samples kept before and after it.

The door as Bristol drew it checks only that its leaves have not become parallel, and may
be off by twice the deadband. Here a sample may end a segment only when its own value lies
between the leaves that the values before it left open, which proves rule 4: each value left
out allowed exactly the slopes that keep the line within the deadband of it.

Source: E. H. Bristol, "Swinging door trending: adaptive trend recording?", ISA National
Conference Proceedings, 1990; the stricter test is the slope intersection of
H. Elmeleegy et al., "Online piece-wise linear approximation of numerical streams with
precision guarantees", VLDB 2009 (swing filter).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from protocols.points import Point, Report
from protocols.samples import NO_SOURCE_TIME, Int64s, SampleBlock, UInt32s, ValueType, concatenate, usable

Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

NEVER = 2**62
"""A silence bound, in microseconds, that is never reached."""


class Reported(NamedTuple):
    """What is left of some samples.

    Args:
        block: Kept samples; per point in the order of time.
        thinned: Samples that are now known to be left out.
    """

    block: SampleBlock
    thinned: int


class Reporter:
    """The report modes of points of one value type.

    Args:
        type: The type in which their values travel.
        points: The points; none of them with the mode `always`.
    """

    def __init__(self, type: ValueType, points: Sequence[Point]) -> None:
        n = len(points)
        self._type = type
        self._numeric = type is not ValueType.TEXT
        self._door = np.array([point.report is Report.SWINGING_DOOR for point in points], np.bool_)
        self._band = np.array(
            [0.0 if point.report is Report.CHANGE else point.deadband_absolute for point in points],
            np.float64,
        )
        self._silence = np.array(
            [NEVER if point.max_silence_s is None else round(point.max_silence_s * 1e6) for point in points],
            np.int64,
        )
        self._ids: UInt32s = np.array([point.id for point in points], np.uint32)
        # The sample last kept (of a door: where the segment begins).
        self._known = np.zeros(n, np.bool_)
        self._time = np.zeros(n, np.int64)
        self._value = np.zeros(n, type.dtype)
        self._quality = np.zeros(n, np.uint32)
        # Of a door: the slopes still allowed, and the sample that may end the segment.
        self._least = np.full(n, -np.inf)
        self._most = np.full(n, np.inf)
        self._held = np.zeros(n, np.bool_)
        self._held_time = np.zeros(n, np.int64)
        self._held_value = np.zeros(n, type.dtype)
        self._held_source = np.full(n, NO_SOURCE_TIME, np.int64)

    @property
    def settled_us(self) -> int | None:
        """Up to here the samples of all doors are decided; `None` when no door holds one back."""
        return int(self._time[self._held].min()) if self._held.any() else None

    @property
    def held(self) -> int:
        """Samples that doors hold back."""
        return int(self._held.sum())

    def report(self, block: SampleBlock, rows: Rows) -> Reported:
        """Decide on samples.

        Args:
            block: Samples; of one point in the order of time.
            rows: For each sample, the index of its point in `points`.
        """
        turns = _turns(rows)
        if len(turns) == 1:
            return self._report(block, rows)
        parts = [self._report(block.take(turn), rows[turn]) for turn in turns]
        joined = concatenate([part.block for part in parts])
        kept = joined[0] if joined else block.take(np.zeros(0, np.intp))
        return Reported(kept, sum(part.thinned for part in parts))

    def flush(self) -> SampleBlock:
        """Give out what the doors hold back; each segment ends there."""
        rows = np.flatnonzero(self._held)
        block = self._release(rows)
        self._restart(rows, self._held_time[rows], self._held_value[rows], self._quality[rows])
        return block

    # -- one sample a point ----------------------------------------------------------------------

    def _report(self, block: SampleBlock, rows: Rows) -> Reported:
        held_before = int(self._held[rows].sum())
        alike = self._known[rows] & (self._quality[rows] == block.quality)
        steady = alike & usable(block.quality)
        if self._numeric:
            values: Floats = block.value.astype(np.float64)
            last: Floats = self._value[rows].astype(np.float64)
            finite = np.isfinite(values) & np.isfinite(last)
            with np.errstate(invalid="ignore", over="ignore"):
                far = np.abs(values - last) > self._band[rows]
                if self._type is ValueType.I64:
                    far |= (self._band[rows] == 0.0) & (block.value != self._value[rows])
            same = np.where(finite, ~far, (values == last) | (np.isnan(values) & np.isnan(last)))
        else:
            values = last = np.zeros(len(rows))
            finite = np.zeros(len(rows), np.bool_)
            same = np.array(block.value == self._value[rows], np.bool_)
        silent = block.time - self._time[rows] >= self._silence[rows]
        keep = ~alike | silent | (steady & ~same)
        doors = self._door[rows]
        released = None
        if doors.any():
            released, keep = self._swing(block, rows, values, keep, doors, doors & steady & finite)
        kept = np.flatnonzero(keep)
        self._restart(rows[kept], block.time[kept], block.value[kept], block.quality[kept])
        now = block.take(kept)
        blocks = [now] if released is None else [released, now]
        joined = concatenate(blocks)
        out = joined[0] if joined else now
        thinned = held_before + len(rows) - len(out) - int(self._held[rows].sum())
        return Reported(out, thinned)

    def _swing(
        self, block: SampleBlock, rows: Rows, values: Floats, keep: Mask, doors: Mask, moving: Mask
    ) -> tuple[SampleBlock, Mask]:
        """Decide for doors: which held samples go out, and which samples go out at once.

        Args:
            block: Samples, one a point.
            rows: Their points.
            values: Their values as f64.
            keep: What the rules common to all modes would keep.
            doors: Which samples are of doors.
            moving: Which of those continue a segment of finite values of one quality.
        """
        later = block.time > np.where(self._held[rows], self._held_time[rows], self._time[rows])
        keep = keep | (moving & ~later)  # no line passes two samples of one moment
        moving = moving & later
        fits = moving & self._fits(rows, block.time, values)
        # What ends here: a segment that this sample does not fit, or that cannot go on at all.
        broken = doors & self._held[rows] & ~fits & (moving | keep)
        ended = rows[broken]
        released = self._release(ended)
        self._restart(ended, self._held_time[ended], self._held_value[ended], self._quality[ended])
        going = np.flatnonzero(moving)
        self._narrow(rows[going], block.time[going], values[going])
        self._hold(rows[going], block, going)
        silent = block.time - self._time[rows] >= self._silence[rows]
        return released, np.where(moving, silent, keep)

    def _fits(self, rows: Rows, time: Int64s, values: Floats) -> Mask:
        """Whether a line from where the segment began to this sample respects all values left out."""
        slope = self._slope(rows, time, values, 0.0)
        return np.asarray((slope >= self._least[rows]) & (slope <= self._most[rows]), np.bool_)

    def _narrow(self, rows: Rows, time: Int64s, values: Floats) -> None:
        """Allow from now on only slopes that pass this sample within its deadband."""
        band = self._band[rows]
        self._least[rows] = np.maximum(self._least[rows], self._slope(rows, time, values, -band))
        self._most[rows] = np.minimum(self._most[rows], self._slope(rows, time, values, band))

    def _slope(self, rows: Rows, time: Int64s, values: Floats, shift: Floats | float) -> Floats:
        apart = np.maximum(time - self._time[rows], 1).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            begin: Floats = self._value[rows].astype(np.float64)
            return np.asarray((values + shift - begin) / apart, np.float64)

    def _hold(self, rows: Rows, block: SampleBlock, chosen: Rows) -> None:
        self._held[rows] = True
        self._held_time[rows] = block.time[chosen]
        self._held_value[rows] = block.value[chosen]
        source = block.source_time
        self._held_source[rows] = NO_SOURCE_TIME if source is None else source[chosen]

    def _release(self, rows: Rows) -> SampleBlock:
        source: Int64s | None = self._held_source[rows]
        if source is not None and not (source != NO_SOURCE_TIME).any():
            source = None
        return SampleBlock(
            self._type,
            self._ids[rows],
            self._held_time[rows],
            self._held_value[rows],
            self._quality[rows],
            source,
        )

    def _restart(self, rows: Rows, time: Int64s, value: npt.NDArray[Any], quality: UInt32s) -> None:
        """A sample was kept: compare with it from now on, and let a door swing wide open."""
        self._known[rows] = True
        self._time[rows] = time
        self._value[rows] = value
        self._quality[rows] = quality
        self._least[rows] = -np.inf
        self._most[rows] = np.inf
        self._held[rows] = False


def _turns(rows: Rows) -> list[Rows]:
    """Split samples so that each part has a point at most once, in the order of arrival."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    if len(first) == len(rows):
        return [np.arange(len(rows))]
    rank = np.arange(len(rows)) - np.repeat(first, np.diff(first, append=len(rows)))
    by_arrival = np.empty(len(rows), np.intp)
    by_arrival[order] = rank
    return [np.flatnonzero(by_arrival == turn) for turn in range(int(rank.max()) + 1)]
