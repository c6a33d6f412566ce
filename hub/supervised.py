"""The hub as the supervisor sees it: what its status means, and how its data is migrated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_runtime.slots.health import MB, HealthLimits, Reading
from edge_runtime.slots.tier import Tier


def read(status: Mapping[str, Any]) -> Reading:
    """What `data/status.json` of a hub means; its measure is batches stored."""
    upstreams = status["upstreams"].values()
    full = status["no_room"]
    return Reading(
        str(status["time"]),
        not status["stopped"],
        status["stored"],
        0,
        0,
        0.0,
        all(each["connected"] for each in upstreams) if upstreams else None,
        f"says of its store: {full}" if full else "",
    )


TIER = Tier("hub", "catchment-hub", read, HealthLimits(memory_bytes=4000 * MB))
