"""How full headquarters' disk is and when it will be full, as its own process measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headquarters.views.sources import Sources


@dataclass(frozen=True, slots=True)
class Forecast:
    """One disk or store.

    Args:
        what: What it is.
        used_bytes: Used now.
        limit_bytes: At which it is full.
        hours: Hours that the forecast is made from; at least a day, else there is none.
        per_day_bytes: What is used more each day; `None` while that is not known.
        earliest_days: Until it is full, at the earliest (95 %); `None`: never, or not known.
        likely_days: Most likely.
        latest_days: At the latest.
    """

    what: str
    used_bytes: int
    limit_bytes: int
    hours: int
    per_day_bytes: int | None
    earliest_days: float | None
    likely_days: float | None
    latest_days: float | None


def of_status(status: dict[str, Any] | None) -> tuple[Forecast, ...]:
    """The forecasts in a status; none before headquarters has run."""
    told = (status or {}).get("capacity")
    if not told:
        return ()
    return (
        Forecast(
            told["what"],
            told["used_bytes"],
            told["limit_bytes"],
            told["hours"],
            told["per_day_bytes"],
            *told["full_in_days"],
        ),
    )


def forecasts(sources: Sources) -> tuple[Forecast, ...]:
    """What is known now."""
    return of_status(sources.last_status())
