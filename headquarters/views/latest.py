"""Latest values of chosen series, and what changed of them since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headquarters.tenancy.scope import Scope
from headquarters.views.livefeed import Value
from headquarters.views.seeing import point_of
from headquarters.views.sources import Sources

SERIES_MAX = 2000
"""Series that one page follows: a wall screen has some hundred values."""


@dataclass(frozen=True, slots=True)
class Latest:
    """Latest values.

    Args:
        values: In the order asked for; without those that have none, or are not seen.
        is_live: Whether headquarters answers now; else these are the last it told.
        version: For `changed`.
    """

    values: tuple[Value, ...]
    is_live: bool
    version: int


def latest(sources: Sources, scope: Scope, series: Iterable[int]) -> Latest:
    """The latest values of some series."""
    return changed(sources, scope, series, 0)


def changed(sources: Sources, scope: Scope, series: Iterable[int], version: int) -> Latest:
    """Those values of some series that changed since.

    Args:
        sources: Where to look.
        scope: Whose.
        series: Which.
        version: `Latest.version` of the last time.
    """
    seen = [number for number in dict.fromkeys(series) if point_of(sources, scope, number) is not None]
    now, values = sources.live.since(version, seen)
    return Latest(tuple(values), sources.live.is_live, now)
