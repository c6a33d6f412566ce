"""Held against each other: when gateways collected, and which gaps they declared. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import pairwise
from typing import NamedTuple


class Gap(NamedTuple):
    """A declared gap.

    Args:
        from_us: The first instant in it, microseconds since 1970.
        to_us: The first after it.
    """

    from_us: int
    to_us: int


def silence_us(instants: Iterable[int]) -> int:
    """The longest time between two scan instants with samples.

    >>> silence_us([1_000, 1_500, 4_000])
    2500
    """
    return max((after - before for before, after in pairwise(sorted(instants))), default=0)


def undeclared(instants: Collection[int], gaps: Iterable[Gap], period_us: int) -> list[int]:
    """Scan instants between the first sample and the last that have none and lie in no gap.

    Args:
        instants: Those with samples.
        gaps: What was declared.
        period_us: Between two scan instants, which are its multiples.

    >>> undeclared([1_000, 1_500, 4_000], [Gap(2_000, 3_500)], 500)
    [3500]
    """
    declared = sorted(gaps)
    return [
        instant
        for before, after in pairwise(sorted(instants))
        for instant in range(before + period_us, after, period_us)
        if not any(gap.from_us <= instant < gap.to_us for gap in declared)
    ]
