"""All series that there are, in memory, as their latest definitions say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headquarters.lake.query import Engine


@dataclass(frozen=True, slots=True)
class Point:
    """One series: a point of one gateway with one type of value.

    Args:
        series: Its number.
        gateway: The gateway.
        point: The point's id there.
        name: The plant's name (tag).
        type: `f64`, `f32`, `i64`, `bool` or `text`.
        unit: UCUM code, or empty.
        site: The site that it belongs to.
        description: For people.
        scan_period_ms: How often a sample is due.
        resolution: Largest error that thinning may leave; 0 when every scan is kept.
        low: Lower end of the engineering range.
        high: Upper end.
        provisional: Whether no definition has come yet.
        valid_from_us: When the definition was made.
    """

    series: int
    gateway: str
    point: int
    name: str
    type: str
    unit: str
    site: str
    description: str
    scan_period_ms: int
    resolution: float
    low: float | None
    high: float | None
    provisional: bool
    valid_from_us: int


_SQL = (
    "SELECT series, gateway, point, name, type, coalesce(unit, ''), coalesce(site, ''), "
    "coalesce(description, ''), coalesce(scan_period_ms, 0), coalesce(resolution, 0), low, high, "
    "provisional, coalesce(epoch_us(valid_from), 0) FROM series ORDER BY name, gateway, series"
)


_SITES = (
    "SELECT series, gateway, list(DISTINCT coalesce(site, '')) FROM series_history GROUP BY series, gateway"
)


class PointBook:
    """The series, sorted by name; replaced whole when a definition comes.

    Args:
        points: In the order of name, gateway and series.
        sites: All sites that definitions of a series ever named, and the gateway: (series, gateway, sites).
    """

    def __init__(
        self, points: Sequence[Point] = (), sites: Iterable[tuple[int, str, Iterable[str]]] = ()
    ) -> None:
        self.points = tuple(points)
        self.sites: dict[int, frozenset[str]] = {}
        """Of each series, every site that it was ever of."""
        self.gateway_sites: dict[str, frozenset[str]] = {}
        """Of each gateway, every site that a series of it was ever of."""
        for series, gateway, named in sites:
            self.sites[series] = frozenset(named)
            self.gateway_sites[gateway] = self.gateway_sites.get(gateway, frozenset()) | self.sites[series]
        self.by_series = {point.series: point for point in self.points}
        self.per_gateway: dict[str, int] = {}
        for point in self.points:
            self.per_gateway[point.gateway] = self.per_gateway.get(point.gateway, 0) + 1
        self.texts = tuple(
            f"{point.name}\n{point.gateway}\n{point.description}\n{point.unit}\n{point.site}".casefold()
            for point in self.points
        )

    @classmethod
    def read(cls, engine: Engine) -> PointBook:
        """All of them, from the lake.

        Raises:
            StoreError: The lake cannot be read.
        """
        points = [Point(*row) for row in engine.rows(_SQL)[1]]
        return cls(points, engine.rows(_SITES)[1])
