"""The gateway as the supervisor sees it: what its status means, and how its data is migrated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_runtime.slots.health import MB, HealthLimits, Reading
from edge_runtime.slots.tier import Tier


def read(status: Mapping[str, Any]) -> Reading:
    """What `data/status.json` of a gateway means.

    Samples are those collected, bad ones included: dead devices are not the firmware's fault.
    Losses are scan instants that were not served; late is how late scans begin on average.
    """
    tasks = status["tasks"]
    uplink = status["uplink"]
    trouble = status["store"]["trouble"]
    unaccounted = status["ledger"]["unaccounted"]
    if not trouble and unaccounted:
        trouble = f"cannot account for {unaccounted} samples"
    return Reading(
        str(status["time"]),
        status["state"] == "running",
        sum(task["samples"] for task in tasks),
        sum(task["missed"] for task in tasks),
        sum(task["served"] + task["missed"] for task in tasks),
        max((task["late_ms_mean"] for task in tasks), default=0.0),
        None if uplink is None else bool(uplink.get("connected", True)),
        f"says of its store: {trouble}" if trouble else "",
    )


TIER = Tier("edge", "catchment-edge", read, HealthLimits(memory_bytes=1000 * MB))
