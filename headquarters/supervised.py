"""Headquarters as the supervisor sees it: what its status means, and how its data is migrated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_runtime.slots.health import MB, HealthLimits, Reading
from edge_runtime.slots.tier import Tier


def read(status: Mapping[str, Any]) -> Reading:
    """What `data/status.json` of headquarters means.

    Its measure is rows in the lake; losses are commits that failed, late is how long the slowest
    of a hundred commits takes.
    """
    return Reading(
        str(status["time"]),
        not status["stopped"],
        status["rows"],
        status["failures"],
        status["commits"] + status["failures"],
        status["commit_p99_ms"] or 0.0,
        None,
        "says that the lake cannot be written" if status["failing"] else "",
    )


TIER = Tier(
    "hq", "catchment-hq", read, HealthLimits(start_s=120.0, late_ms=10_000.0, memory_bytes=16_000 * MB)
)
