"""What headquarters shows of itself: counters, and how late samples reach the lake."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from headquarters import limits
from headquarters.ingest.rows import SampleChunk

WINDOW_S = 120.0
"""The latency shown is that of the rows of the last two minutes."""

Counts = npt.NDArray[np.int64]

_UNIT_SHIFT = 10
_BINS = 1 << 20
"""Bins of 1024 us, so that a row costs a shift and not a division; the last holds all above 17 minutes."""


class Latency:
    """How long after their time samples became durable, as histograms."""

    def __init__(self) -> None:
        self._overall: Counts = np.zeros(1, np.int64)
        self._recent: deque[tuple[float, Counts, Counts]] = deque()

    def add(self, chunks: Iterable[SampleChunk], durable_us: int, now: float) -> None:
        """Count the rows of one commit.

        Args:
            chunks: What was committed.
            durable_us: When it was durable, microseconds since 1970.
            now: Seconds on the monotonic clock.
        """
        chunks = list(chunks)
        each = 1 + sum(map(len, chunks)) // limits.LATENCY_ROWS_MAX
        late = [(durable_us - chunk.time[::each]) >> _UNIT_SHIFT for chunk in chunks]
        if late:
            counted = each * np.bincount(np.clip(np.concatenate(late), 0, _BINS - 1))
            self._overall = _sum(self._overall, counted)
            bins = np.flatnonzero(counted)
            self._recent.append((now, bins, counted[bins]))
        while self._recent and now - self._recent[0][0] > WINDOW_S:
            self._recent.popleft()

    def describe(self) -> dict[str, float | None]:
        """Percentiles in seconds; `None` while nothing was counted."""
        recent: Counts = np.zeros(1, np.int64)
        if self._recent:
            bins = np.concatenate([bins for _, bins, _ in self._recent])
            recent = np.bincount(bins, np.concatenate([counts for _, _, counts in self._recent])).astype(
                np.int64
            )
        return {
            "lake_latency_p50_s": _percentile(recent, 0.50),
            "lake_latency_p99_s": _percentile(recent, 0.99),
            "lake_latency_overall_p99_s": _percentile(self._overall, 0.99),
        }


class Durations:
    """The last durations of something, and their percentiles."""

    def __init__(self, keep: int = 600) -> None:
        self._last: deque[float] = deque(maxlen=keep)

    def add(self, seconds: float) -> None:
        """Count one."""
        self._last.append(seconds)

    def describe(self, name: str) -> dict[str, Any]:
        """Percentiles in milliseconds."""
        values = list(self._last)
        p50, p99 = np.percentile(values, [50, 99]).tolist() if values else (None, None)
        return {f"{name}_p50_ms": _ms(p50), f"{name}_p99_ms": _ms(p99)}


def _sum(one: Counts, other: Counts) -> Counts:
    """Two histograms of different length together."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total


def _percentile(counted: Counts, part: float) -> float | None:
    total = int(counted.sum())
    if not total:
        return None
    at = int(np.searchsorted(np.cumsum(counted), part * total))
    return round(((at + 1) << _UNIT_SHIFT) / 1e6, 4)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000.0 * seconds, 2)
