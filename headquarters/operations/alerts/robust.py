"""How far a value is from what is usual, in robust standard deviations.

The modified z-score: `0.6745 (x - median) / MAD`, where MAD is the median of the absolute deviations from
the median. Nearly half of the values may be wild without moving it, which a mean and a standard deviation do
not survive. Where more than half are the same, MAD is 0 and the mean absolute deviation takes its place, as
`(x - median) / (1.2533 MeanAD)`. The scale is never below a hundredth of the median: a series that never
moves must not make an event of its first small step.

Source: B. Iglewicz, D. C. Hoaglin, "How to Detect and Handle Outliers", ASQC Quality Press, 1993.

>>> round(modified_z(30.0, [10, 11, 9, 10, 12, 8, 10, 11]), 1)
13.5
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

LEAST_SCALE = 0.01
"""Of the median."""


def modified_z(value: float, usual: Sequence[float]) -> float:
    """The score of a value.

    Args:
        value: The value.
        usual: What there was before; not empty.

    Returns:
        Robust standard deviations above (below: negative) the median; 0 where nothing ever moved from 0.
    """
    middle = median(usual)
    deviations = [abs(each - middle) for each in usual]
    spread = median(deviations)
    scale = spread / 0.6745 if spread > 0 else 1.2533 * fmean(deviations)
    scale = max(scale, LEAST_SCALE * abs(middle))
    return (value - middle) / scale if scale > 0 else 0.0
