"""The gateway's metrics, over its status; and what it takes to be ready."""

from __future__ import annotations

from collections.abc import Iterator

from protocols.metrics import (
    COUNTER,
    GAUGE,
    Metric,
    Reading,
    Status,
    at,
    each,
    entries,
    flag,
    info,
    of_capacity,
    of_machine,
)


def why_not_ready(status: Status) -> list[str]:
    """Why a gateway does not collect and store; empty when it does.

    An upstream that is out of reach is no reason: a gateway is made to go on without.
    """
    reasons = []
    if status["state"] != "running":
        reasons.append(f"it is {status['state']}")
    if status["store"]["trouble"]:
        reasons.append(f"the store: {status['store']['trouble']}")
    return reasons


def _connected(status: Status) -> Iterator[Reading]:
    for name, device in entries(status, ["devices"], "device"):
        yield (name,), float(device["state"] == "connected")


def _apps(status: Status) -> Iterator[Reading]:
    yield (), float(len(status.get("apps", ())))


def _clock(status: Status) -> bool:
    return bool(status["clock"]["state"] == "synchronised")


def _connected_up(status: Status) -> bool:
    return bool((status.get("uplink") or {}).get("connected"))


METRICS = (
    Metric(
        "catchment_edge_info",
        GAUGE,
        "",
        "1; names of the gateway and its site.",
        info(gateway=["gateway"], site=["site"]),
        ("gateway", "site"),
    ),
    Metric(
        "catchment_edge_running", GAUGE, "", "1 while it collects.", flag(lambda s: s["state"] == "running")
    ),
    Metric("catchment_edge_points", GAUGE, "", "Points in the table.", at("points")),
    Metric("catchment_edge_apps", GAUGE, "", "Apps that run.", _apps),
    Metric(
        "catchment_edge_samples_collected_total",
        COUNTER,
        "",
        "Samples collected, by the ledger.",
        at("ledger", "collected"),
    ),
    Metric(
        "catchment_edge_samples_thinned_total",
        COUNTER,
        "",
        "Of these, left out by report modes.",
        at("ledger", "thinned"),
    ),
    Metric(
        "catchment_edge_samples_sealed_total",
        COUNTER,
        "",
        "Of these, in signed batches.",
        at("ledger", "sealed"),
    ),
    Metric(
        "catchment_edge_samples_dropped_total",
        COUNTER,
        "",
        "Of these, given up before they were sealed, by cause.",
        each(["ledger", "dropped"], []),
        ("cause",),
    ),
    Metric(
        "catchment_edge_samples_buried_total",
        COUNTER,
        "",
        "Samples in batches that were given up, by cause.",
        each(["ledger", "buried"], []),
        ("cause",),
    ),
    Metric(
        "catchment_edge_samples_unaccounted",
        GAUGE,
        "",
        "Samples that the ledger does not explain; always 0.",
        at("ledger", "unaccounted"),
    ),
    Metric("catchment_edge_backlog_batches", GAUGE, "", "Batches that are held.", at("backlog", "batches")),
    Metric(
        "catchment_edge_backlog_unsent_batches", GAUGE, "", "Of these, not sent yet.", at("backlog", "unsent")
    ),
    Metric(
        "catchment_edge_backlog_bytes",
        GAUGE,
        "bytes",
        "Size of the batches that are held.",
        at("backlog", "bytes"),
    ),
    Metric(
        "catchment_edge_backlog_seconds",
        GAUGE,
        "seconds",
        "Age of the oldest sample that is held.",
        at("backlog", "seconds"),
    ),
    Metric(
        "catchment_edge_store_used_bytes", GAUGE, "bytes", "Used of the buffer.", at("store", "used_bytes")
    ),
    Metric(
        "catchment_edge_store_quota_bytes",
        GAUGE,
        "bytes",
        "What the buffer may use.",
        at("store", "quota_bytes"),
    ),
    Metric(
        "catchment_edge_store_trouble",
        GAUGE,
        "",
        "1 while nothing can be stored.",
        flag(lambda s: bool(s["store"]["trouble"])),
    ),
    Metric(
        "catchment_edge_upstream_connected",
        GAUGE,
        "",
        "1 while an upstream is connected.",
        flag(_connected_up),
    ),
    Metric(
        "catchment_edge_upstream_sessions_total",
        COUNTER,
        "",
        "Sessions opened with upstreams.",
        at("uplink", "sessions"),
    ),
    Metric(
        "catchment_edge_sent_batches_total",
        COUNTER,
        "",
        "Batches sent, repeats included.",
        at("uplink", "batches_sent"),
    ),
    Metric(
        "catchment_edge_sent_bytes_total",
        COUNTER,
        "bytes",
        "Bytes given to the link.",
        at("uplink", "bytes_sent"),
    ),
    Metric(
        "catchment_edge_receipt_timestamp_seconds",
        GAUGE,
        "seconds",
        "When headquarters gave the last receipt, since 1970; 0 for never.",
        at("uplink", "receipt_us", scale=1e-6),
    ),
    Metric(
        "catchment_edge_clock_synchronised",
        GAUGE,
        "",
        "1 while the clock is known to be right.",
        flag(_clock),
    ),
    Metric(
        "catchment_edge_clock_offset_seconds",
        GAUGE,
        "seconds",
        "By how much the clock is known to be wrong.",
        at("clock", "offset_us", scale=1e-6),
    ),
    Metric(
        "catchment_edge_device_connected", GAUGE, "", "1 while a device answers.", _connected, ("device",)
    ),
    Metric(
        "catchment_edge_device_requests_total",
        COUNTER,
        "",
        "Requests sent to a device.",
        each(["devices"], ["requests"], key="device"),
        ("device",),
    ),
    Metric(
        "catchment_edge_device_timeouts_total",
        COUNTER,
        "",
        "Of these, not answered in time.",
        each(["devices"], ["timeouts"], key="device"),
        ("device",),
    ),
    Metric(
        "catchment_edge_device_exceptions_total",
        COUNTER,
        "",
        "Of these, refused by the device.",
        each(["devices"], ["exceptions"], key="device"),
        ("device",),
    ),
    Metric(
        "catchment_edge_device_malformed_total",
        COUNTER,
        "",
        "Messages of a device that made no sense.",
        each(["devices"], ["malformed"], key="device"),
        ("device",),
    ),
    Metric(
        "catchment_edge_device_writes_total",
        COUNTER,
        "",
        "Values that a device confirmed to have taken.",
        each(["devices"], ["writes"], key="device"),
        ("device",),
    ),
    Metric(
        "catchment_edge_device_writes_failed_total",
        COUNTER,
        "",
        "Values that it did not take.",
        each(["devices"], ["writes_failed"], key="device"),
        ("device",),
    ),
    Metric(
        "catchment_edge_scans_total",
        COUNTER,
        "",
        "Scans served.",
        each(["tasks"], ["served"], key="task"),
        ("task",),
    ),
    Metric(
        "catchment_edge_scans_missed_total",
        COUNTER,
        "",
        "Scans left out because the one before took too long.",
        each(["tasks"], ["missed"], key="task"),
        ("task",),
    ),
    Metric(
        "catchment_edge_scan_late_max_seconds",
        GAUGE,
        "seconds",
        "The latest a scan has begun after its instant.",
        each(["tasks"], ["late_ms_max"], 1e-3, "task"),
        ("task",),
    ),
    Metric(
        "catchment_edge_alarms_raised_total",
        COUNTER,
        "",
        "Alarms raised in this session.",
        at("alarms_raised"),
    ),
    *of_machine("edge"),
    *of_capacity("edge"),
)
"""Every metric of a gateway."""
