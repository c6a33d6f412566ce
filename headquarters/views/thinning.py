"""From many samples to as many as a chart has pixels; pure.

Rules:
1. Lowest and highest value of every pixel column stay: a spike of one sample is seen over 30 days.
2. The shape between them is MinMaxLTTB's.
3. Quality and gaps are not thinned away: what is closer together than a pixel is merged, and the
   worst of it counts.

Source: J. Van Der Donckt et al., "MinMaxLTTB: Leveraging MinMax-Preselection to Scale LTTB", 2023.

>>> import numpy as np
>>> time = np.arange(1_000_000, dtype=np.int64)
>>> value = np.sin(time / 1e5)
>>> value[123_456] = 40.0
>>> kept = thin(time, value, 100)
>>> len(kept) < 500, 123_456 in kept
(True, True)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tsdownsample import MinMaxDownsampler, MinMaxLTTBDownsampler

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WIDTH_MIN = 8
"""The algorithms want some columns; so few points more cost nothing."""

PER_PIXEL = 4
"""Samples a pixel column that need no thinning: first, lowest, highest and last."""

_shape: Any = MinMaxLTTBDownsampler
_extremes: Any = MinMaxDownsampler
_shape, _extremes = _shape(), _extremes()

GOOD, UNCERTAIN, BAD = 0, 1, 2
"""Severities of a StatusCode (OPC 10000-4, 7.39): its two highest bits."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time over which the quality was not good.

    Args:
        from_us: Begin.
        to_us: End, exclusive.
        severity: 1 uncertain, 2 bad: the worst of it.
    """

    from_us: int
    to_us: int
    severity: int


def thin(time: Int64s, value: Floats, width: int) -> Int64s:
    """Which samples to draw.

    Args:
        time: Ascending.
        value: One each, no NaN among them.
        width: Pixels.

    Returns:
        Their indices, ascending.
    """
    width = max(width, WIDTH_MIN)
    if len(time) <= PER_PIXEL * width or time[0] == time[-1]:
        return np.arange(len(time))
    elapsed = time - time[0]
    chosen: list[Any] = [
        _shape.downsample(elapsed, value, n_out=2 * width),
        _extremes.downsample(elapsed, value, n_out=2 * width),
        [0, len(time) - 1],
    ]
    return np.unique(np.concatenate([np.asarray(indices, np.int64) for indices in chosen]))


def spans_of(time: Int64s, severity: Int64s, end_us: int, merge_us: int) -> list[Span]:
    """Times of uncertain and bad quality.

    Args:
        time: Of each sample, ascending.
        severity: Of each sample.
        end_us: Until when the last sample counts.
        merge_us: Spans closer together than this become one.

    >>> time, severity = np.array([0, 10, 20, 30]), np.array([0, 2, 2, 0])
    >>> spans_of(time, severity, 40, 1)
    [Span(from_us=10, to_us=30, severity=2)]
    """
    if not len(time) or not severity.any():
        return []
    starts = np.flatnonzero(np.append(True, severity[1:] != severity[:-1]))
    ends = np.append(time[starts[1:]], end_us)
    found = zip(time[starts].tolist(), ends.tolist(), severity[starts].tolist(), strict=True)
    return merged((Span(start, max(end, start), worst) for start, end, worst in found if worst), merge_us)


def merged(spans: Iterable[Span], merge_us: int) -> list[Span]:
    """Spans in their order, with those that a pixel cannot tell apart put together.

    >>> merged([Span(0, 4, 1), Span(5, 9, 2), Span(50, 60, 1)], 10)
    [Span(from_us=0, to_us=9, severity=2), Span(from_us=50, to_us=60, severity=1)]
    """
    result: list[Span] = []
    for span in spans:
        last = result[-1] if result else None
        adjoins = last is not None and span.from_us - last.to_us < merge_us
        distinct = last is not None and (
            span.severity != last.severity and min(_length(last), _length(span)) >= merge_us
        )
        if last is not None and adjoins and not distinct:
            worst = max(last.severity, span.severity)
            result[-1] = Span(last.from_us, max(last.to_us, span.to_us), worst)
        else:
            result.append(span)
    return result


def with_breaks(
    time: Int64s, value: Floats, breaks: Iterable[tuple[int, int]]
) -> tuple[list[int], list[float | None]]:
    """The line to draw, interrupted wherever nothing is known.

    Args:
        time: Of each sample that is drawn, ascending.
        value: One each.
        breaks: Begin and end of each time of which nothing is known; where there are samples
            within all the same, the line goes on.

    >>> with_breaks(np.array([0, 10]), np.array([1.0, 2.0]), [(3, 8)])
    ([0, 3, 10], [1.0, None, 2.0])
    """
    at = sorted(
        {
            start
            for start, end in breaks
            if 0 < (low := int(np.searchsorted(time, start))) < len(time)
            and low == int(np.searchsorted(time, end))
        }
    )
    if not at:
        return time.tolist(), value.tolist()
    places = np.searchsorted(time, at)
    times: list[int] = np.insert(time, places, at).tolist()
    values: list[float] = np.insert(value, places, np.nan).tolist()
    return times, [None if math.isnan(each) else each for each in values]


def _length(span: Span) -> int:
    return span.to_us - span.from_us
