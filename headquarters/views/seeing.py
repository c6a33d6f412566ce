"""What a scope shows, in the one place that says so."""

from __future__ import annotations

from headquarters.tenancy.scope import Scope
from headquarters.views.pointbook import Point
from headquarters.views.sources import Sources
from protocols.errors import CatchmentError

EVERYTHING = Scope(None)
"""What headquarters itself sees."""


def sees_site(scope: Scope, site: str) -> bool:
    """Whether a site, its gateways and all that comes from them are seen."""
    return scope.sees_whole(site)


def sees_point(sources: Sources, scope: Scope, point: Point) -> bool:
    """Whether a series and its samples are seen: all sites that it was ever of must be.

    A gateway that moved to another owner takes no past along.
    """
    if scope.is_whole:
        return True
    sites = sources.points().sites.get(point.series, frozenset((point.site,)))
    return all(scope.sees_point(site, point.name) for site in sites)


def sees_records(sources: Sources, scope: Scope, gateway: str) -> bool:
    """Whether a gateway's own records (events, gaps, ledger) are seen: as its series, of all its sites."""
    sites = sources.points().gateway_sites.get(gateway, frozenset()) | {site_of(sources, gateway)}
    return all(scope.sees_whole(site) for site in sites)


def seen_points(sources: Sources, scope: Scope) -> list[Point]:
    """All series that are seen, sorted by name, gateway and number."""
    return [point for point in sources.points().points if sees_point(sources, scope, point)]


def point_of(sources: Sources, scope: Scope, series: int) -> Point | None:
    """One series; `None` when there is none, or it is not seen."""
    point = sources.points().by_series.get(series)
    return point if point is not None and sees_point(sources, scope, point) else None


def site_of(sources: Sources, node: str) -> str:
    """The site of a node: in the register, on the list by hand, or as its series say."""
    row = sources.nodes().get(node)
    return row.site if row is not None and row.site else sources.trust().site_of(node)


def sees_gateway(sources: Sources, scope: Scope, gateway: str) -> bool:
    """Whether a gateway is seen."""
    return scope.sites is None or scope.sees_whole(site_of(sources, gateway))


class UnseenError(CatchmentError):
    """What was named is not there, or not seen by who asks: both look the same.

    Args:
        what: What kind of thing, such as `gateway`.
        name: As it was named.
    """

    def __init__(self, what: str, name: object) -> None:
        super().__init__(f"expected a {what} that is here and that you may see, got {str(name)[:80]!r}")
        self.what = what


def need_gateway(sources: Sources, scope: Scope, gateway: str) -> None:
    """See that a gateway is there, and seen.

    Raises:
        UnseenError: It is not.
    """
    there = gateway in sources.nodes() or any(node.id == gateway for node in sources.trust().identities)
    if not there or not sees_gateway(sources, scope, gateway):
        raise UnseenError("gateway", gateway)
