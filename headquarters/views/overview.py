"""The group at a glance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from headquarters.tenancy.scope import Scope
from headquarters.views.alarms import AlarmCounts, StandingAlarm, counts, standing_alarms
from headquarters.views.enrolment import enrolment
from headquarters.views.gateways import GatewayRow, gateway_rows
from headquarters.views.hubs import HubRow, hubs
from headquarters.views.rollouts import RolloutRow, rollouts
from headquarters.views.sources import Sources
from headquarters.views.standing import Standing

ALARMS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class SiteSummary:
    """One site.

    Args:
        site: Its name; empty for gateways of none.
        gateways: How many.
        by_standing: Of these, by how they stand.
        rate: Samples a second.
        points: Series.
        alarms: Announced and not normal.
    """

    site: str
    gateways: int
    by_standing: dict[str, int]
    rate: float
    points: int
    alarms: int


@dataclass(frozen=True, slots=True)
class Lake:
    """The lake as a whole; only for those who see all of it.

    Args:
        rows: Samples in it.
        size_bytes: Of all tables.
        files: Of all tables.
        latency_p99_s: How long after their time samples are durable; `None` while nothing comes.
        is_failing: Whether the disk refuses, and nothing is taken in.
    """

    rows: int
    size_bytes: int
    files: int
    latency_p99_s: float | None
    is_failing: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The group at a glance.

    Args:
        now_us: When this was.
        is_running: Whether headquarters takes data in.
        seen_us: When it last said that it does; `None`: never.
        gateways: How many.
        by_standing: Of these, by how they stand.
        hubs: Every hub.
        points: Series.
        rate: Samples a second.
        sites: By name.
        alarms: How many stand.
        urgent: The most urgent of these.
        rollouts: Those that are under way.
        asking: Nodes that wait for an approval.
        lake: `None` with a limited scope, and before there is a lake.
    """

    now_us: int
    is_running: bool
    seen_us: int | None
    gateways: int
    by_standing: dict[str, int]
    hubs: tuple[HubRow, ...]
    points: int
    rate: float
    sites: tuple[SiteSummary, ...]
    alarms: AlarmCounts
    urgent: tuple[StandingAlarm, ...]
    rollouts: tuple[RolloutRow, ...]
    asking: int
    lake: Lake | None


def overview(sources: Sources, scope: Scope) -> Overview:
    """The group, or the part of it that is seen, at a glance.

    Raises:
        StoreError: A store cannot be read.
    """
    rows, alarms = gateway_rows(sources, scope), standing_alarms(sources, scope)
    status = sources.last_status()
    return Overview(
        now_us=sources.now_us(),
        is_running=sources.status() is not None,
        seen_us=None if status is None else int(status["time"] * 1e6),
        gateways=len(rows),
        by_standing=_by_standing(rows),
        hubs=hubs(sources, scope),
        points=sum(row.points for row in rows),
        rate=round(sum(row.rate for row in rows), 3),
        sites=_sites(rows),
        alarms=counts(alarms),
        urgent=tuple(alarms[:ALARMS_SHOWN]),
        rollouts=tuple(row for row in rollouts(sources, scope) if row.is_open),
        asking=len(enrolment(sources, scope).asking),
        lake=_lake(sources) if scope.sites is None else None,
    )


def _by_standing(rows: list[GatewayRow]) -> dict[str, int]:
    found = Counter(str(row.standing) for row in rows)
    return {str(standing): found.get(standing, 0) for standing in Standing}


def _sites(rows: list[GatewayRow]) -> tuple[SiteSummary, ...]:
    sites: dict[str, list[GatewayRow]] = {}
    for row in rows:
        sites.setdefault(row.site, []).append(row)
    return tuple(
        SiteSummary(
            site,
            len(members),
            _by_standing(members),
            round(sum(row.rate for row in members), 3),
            sum(row.points for row in members),
            sum(row.alarms for row in members),
        )
        for site, members in sorted(sites.items())
    )


def _lake(sources: Sources) -> Lake | None:
    status = sources.last_status()
    if status is None:
        return None
    tables = status["tables"]
    return Lake(
        tables["samples"]["rows"],
        sum(table["bytes"] for table in tables.values()),
        sum(table["files"] for table in tables.values()),
        status["lake_latency_p99_s"],
        bool(status["failing"]),
    )
