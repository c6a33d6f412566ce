"""The hub's metrics, over its status; and what it takes to be ready."""

from __future__ import annotations

from collections.abc import Iterator

from protocols.metrics import (
    COUNTER,
    GAUGE,
    Metric,
    Read,
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
    """Why a hub takes no batches; empty when it does.

    An upstream that is out of reach is no reason: a hub is made to store on without.
    """
    reasons = ["it has stopped"] if status["stopped"] else []
    if status["no_room"]:
        reasons.append(f"no room: {status['no_room']}")
    return reasons


def _connected(path: str) -> Read:
    def read(status: Status) -> Iterator[Reading]:
        for name, entry in entries(status, [path]):
            yield (name,), float(bool(entry["connected"]))

    return read


def _gateways(status: Status) -> Iterator[Reading]:
    yield (), float(sum(bool(entry["connected"]) for _, entry in entries(status, ["gateways"])))


def _gateway(name: str, type: str, unit: str, help: str, field: str) -> Metric:
    return Metric(
        f"catchment_hub_gateway_{name}", type, unit, help, each(["gateways"], [field]), ("gateway",)
    )


def _upstream(name: str, type: str, unit: str, help: str, field: str) -> Metric:
    return Metric(
        f"catchment_hub_upstream_{name}", type, unit, help, each(["upstreams"], [field]), ("upstream",)
    )


METRICS = (
    Metric("catchment_hub_info", GAUGE, "", "1; the name of the hub.", info(hub=["hub"]), ("hub",)),
    Metric(
        "catchment_hub_start_timestamp_seconds",
        GAUGE,
        "seconds",
        "When it started, since 1970.",
        at("started"),
    ),
    Metric(
        "catchment_hub_no_room",
        GAUGE,
        "",
        "1 while it takes nothing in for want of room.",
        flag(lambda s: bool(s["no_room"])),
    ),
    Metric("catchment_hub_store_used_bytes", GAUGE, "bytes", "Used of the store.", at("used_bytes")),
    Metric("catchment_hub_store_quota_bytes", GAUGE, "bytes", "What the store may use.", at("quota_bytes")),
    Metric(
        "catchment_hub_stored_batches_total", COUNTER, "", "Batches stored since the start.", at("stored")
    ),
    Metric(
        "catchment_hub_commits_total",
        COUNTER,
        "",
        "Transactions of the store since the start.",
        at("commits"),
    ),
    Metric(
        "catchment_hub_duplicate_batches_total",
        COUNTER,
        "",
        "Batches that were here already.",
        at("duplicates"),
    ),
    Metric(
        "catchment_hub_refused_keys_total",
        COUNTER,
        "",
        "Connections refused because of their key.",
        at("refused_keys"),
    ),
    Metric("catchment_hub_refusals", GAUGE, "", "Signed refusals that are remembered.", at("refusals")),
    Metric(
        "catchment_hub_quarantined_batches",
        GAUGE,
        "",
        "Batches set aside because the disk changed them.",
        at("quarantined"),
    ),
    Metric("catchment_hub_gateways_connected", GAUGE, "", "Gateways with a session.", _gateways),
    Metric(
        "catchment_hub_gateway_connected",
        GAUGE,
        "",
        "1 while a gateway has a session.",
        _connected("gateways"),
        ("gateway",),
    ),
    _gateway("silent_seconds", GAUGE, "seconds", "Since a gateway with a session was heard.", "silent_s"),
    _gateway("batches_total", COUNTER, "", "Batches ever taken from a gateway.", "batches"),
    _gateway("samples_total", COUNTER, "", "Samples in them.", "samples"),
    _gateway("bytes_total", COUNTER, "bytes", "Size of them.", "bytes"),
    _gateway("held_batches", GAUGE, "", "Of these, still held.", "held"),
    Metric(
        "catchment_hub_upstream_connected",
        GAUGE,
        "",
        "1 while an upstream is connected.",
        _connected("upstreams"),
        ("upstream",),
    ),
    _upstream("backlog_batches", GAUGE, "", "Batches held that an upstream is not known to have.", "backlog"),
    _upstream("sent_batches_total", COUNTER, "", "Batches sent to it.", "batches_sent"),
    _upstream("sent_bytes_total", COUNTER, "bytes", "Bytes sent to it.", "bytes_sent"),
    Metric(
        "catchment_hub_mirror_used_bytes",
        GAUGE,
        "bytes",
        "Used by what came down.",
        at("mirror", "used_bytes"),
    ),
    Metric(
        "catchment_hub_mirror_fetched_bytes_total",
        COUNTER,
        "bytes",
        "Fetched from headquarters since the start.",
        at("mirror", "fetched_bytes"),
    ),
    Metric(
        "catchment_hub_mirror_served_bytes_total",
        COUNTER,
        "bytes",
        "Served to gateways since the start.",
        at("mirror", "served_bytes"),
    ),
    Metric(
        "catchment_hub_headquarters_silent_seconds",
        GAUGE,
        "seconds",
        "Since headquarters stopped answering the mirror.",
        at("mirror", "headquarters_silent_s"),
    ),
    Metric(
        "catchment_hub_landing_waiting_files",
        GAUGE,
        "",
        "Files of a one-way isolator that wait.",
        each(["landings"], ["files_waiting"], key="directory"),
        ("directory",),
    ),
    Metric(
        "catchment_hub_landing_stored_batches_total",
        COUNTER,
        "",
        "Batches stored from files.",
        each(["landings"], ["stored"], key="directory"),
        ("directory",),
    ),
    *of_machine("hub"),
    *of_capacity("hub"),
)
"""Every metric of a hub."""
