"""How full the disk of headquarters and the stores of hubs are, and when they will be full."""

from __future__ import annotations

from dataclasses import dataclass

from headquarters.operations.hubs import said_by_hubs
from headquarters.views.sources import Sources
from protocols.records import StoreUse


@dataclass(frozen=True, slots=True)
class Forecast:
    """One disk or store.

    Args:
        node: Whose it is.
        role: `headquarters` or `hub`.
        what: `disk`; of a hub also `store`, of batches, and `mirror`, in which the least used make room.
        used_bytes: Used now.
        limit_bytes: At which it is full.
        hours: Hours that the forecast is made from; at least a day, else there is none. 0: none is made.
        per_day_bytes: What is used more each day; `None` while that is not known.
        earliest_days: Until it is full, at the earliest (95 %); `None`: never, or not known.
        likely_days: Most likely.
        latest_days: At the latest.
        reported_us: When it was said; `None` for headquarters, now.
    """

    node: str
    role: str
    what: str
    used_bytes: int
    limit_bytes: int
    hours: int
    per_day_bytes: int | None
    earliest_days: float | None
    likely_days: float | None
    latest_days: float | None
    reported_us: int | None


def forecasts(sources: Sources) -> tuple[Forecast, ...]:
    """What is known now: headquarters first, then hubs by name.

    Raises:
        StoreError: The store of reports cannot be read.
    """
    found = []
    told = (sources.last_status() or {}).get("capacity")
    if told:
        use = StoreUse(
            "disk",
            told["used_bytes"],
            told["limit_bytes"],
            told["hours"],
            told["per_day_bytes"],
            tuple(told["full_in_days"]),
        )
        found.append(_forecast(sources.config.id, "headquarters", use, None))
    for hub, said in said_by_hubs(sources):
        found += [_forecast(hub, "hub", use, said.received_us) for use in said.report.stores]
    return tuple(found)


def _forecast(node: str, role: str, use: StoreUse, reported_us: int | None) -> Forecast:
    earliest, likely, latest = use.full_in_days
    return Forecast(
        node=node,
        role=role,
        what=use.what,
        used_bytes=use.used_bytes,
        limit_bytes=use.limit_bytes,
        hours=use.hours,
        per_day_bytes=use.per_day_bytes,
        earliest_days=earliest,
        likely_days=likely,
        latest_days=latest,
        reported_us=reported_us,
    )
