"""Headquarters' metrics, over its status; and what it takes to be ready."""

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
    """Why headquarters takes no batches; empty when it does."""
    reasons = ["it has stopped"] if status["stopped"] else []
    if status["failing"]:
        reasons.append("the lake fails; see the log")
    return reasons


def _sessions(status: Status) -> Iterator[Reading]:
    yield (), float(len(status["sessions"]))


def _holes(status: Status) -> Iterator[Reading]:
    yield (), float(len(status["holes"]))


def _waited(status: Status) -> Iterator[Reading]:
    yield (), max((float(hole["waited_s"]) for hole in status["holes"]), default=0.0)


def _days_left(status: Status) -> Iterator[Reading]:
    for role, alarm in entries(status, ["updates", "alarms"], "role"):
        yield (role,), 86_400.0 * alarm["days_left"]


METRICS = (
    Metric(
        "catchment_hq_info",
        GAUGE,
        "",
        "1; the name of headquarters.",
        info(headquarters=["headquarters"]),
        ("headquarters",),
    ),
    Metric(
        "catchment_hq_start_timestamp_seconds",
        GAUGE,
        "seconds",
        "When it started, since 1970.",
        at("started"),
    ),
    Metric(
        "catchment_hq_failing",
        GAUGE,
        "",
        "1 while the lake is closed after a failure.",
        flag(lambda s: bool(s["failing"])),
    ),
    Metric("catchment_hq_commits_total", COUNTER, "", "Commits to the lake since the start.", at("commits")),
    Metric(
        "catchment_hq_failed_commits_total",
        COUNTER,
        "",
        "Commits that failed; senders were paused.",
        at("failures"),
    ),
    Metric("catchment_hq_batches_total", COUNTER, "", "Batches committed since the start.", at("batches")),
    Metric("catchment_hq_rows_total", COUNTER, "", "Rows committed since the start.", at("rows")),
    Metric(
        "catchment_hq_refused_batches_total",
        COUNTER,
        "",
        "Batches refused with a signed reason.",
        at("refused"),
    ),
    Metric(
        "catchment_hq_duplicate_batches_total",
        COUNTER,
        "",
        "Batches that were here already.",
        at("duplicates"),
    ),
    Metric(
        "catchment_hq_refused_keys_total",
        COUNTER,
        "",
        "Connections refused because of their key.",
        at("refused_keys"),
    ),
    Metric(
        "catchment_hq_ingest_latency_p50_seconds",
        GAUGE,
        "seconds",
        "How long after their time half of the samples of the last two minutes were durable.",
        at("lake_latency_p50_s"),
    ),
    Metric(
        "catchment_hq_ingest_latency_p99_seconds",
        GAUGE,
        "seconds",
        "The same for 99 of 100.",
        at("lake_latency_p99_s"),
    ),
    Metric(
        "catchment_hq_commit_p50_seconds",
        GAUGE,
        "seconds",
        "How long half of the last commits took at most.",
        at("commit_p50_ms", scale=1e-3),
    ),
    Metric(
        "catchment_hq_commit_p99_seconds",
        GAUGE,
        "seconds",
        "The same for 99 of 100.",
        at("commit_p99_ms", scale=1e-3),
    ),
    Metric("catchment_hq_sessions", GAUGE, "", "Hubs and gateways with a session.", _sessions),
    Metric(
        "catchment_hq_session_silent_seconds",
        GAUGE,
        "seconds",
        "Since a node with a session was heard.",
        each(["sessions"], []),
        ("node",),
    ),
    Metric(
        "catchment_hq_holes",
        GAUGE,
        "",
        "Chains that wait for batches which their sender no longer holds.",
        _holes,
    ),
    Metric(
        "catchment_hq_hole_waited_max_seconds",
        GAUGE,
        "seconds",
        "How long the oldest of them has waited.",
        _waited,
    ),
    Metric("catchment_hq_table_rows", GAUGE, "", "Rows of a table.", each(["tables"], ["rows"]), ("table",)),
    Metric(
        "catchment_hq_table_bytes",
        GAUGE,
        "bytes",
        "Size of a table's files.",
        each(["tables"], ["bytes"]),
        ("table",),
    ),
    Metric(
        "catchment_hq_table_files", GAUGE, "", "Files of a table.", each(["tables"], ["files"]), ("table",)
    ),
    Metric(
        "catchment_hq_upkeep_merges_total",
        COUNTER,
        "",
        "Merges of small files since the start.",
        at("upkeep", "merges"),
    ),
    Metric(
        "catchment_hq_upkeep_dirty_hours",
        GAUGE,
        "",
        "Hours whose roll-ups are behind.",
        at("upkeep", "dirty_hours"),
    ),
    Metric("catchment_hq_open_rollouts", GAUGE, "", "Roll-outs under way.", at("desired", "open_rollouts")),
    Metric(
        "catchment_hq_updates_failing",
        GAUGE,
        "",
        "1 while the update repository cannot be signed.",
        flag(lambda s: bool((s.get("updates") or {}).get("failing"))),
    ),
    Metric(
        "catchment_hq_updates_expire_seconds",
        GAUGE,
        "seconds",
        "Until update metadata expires that somebody must sign; there only when it is soon.",
        _days_left,
        ("role",),
    ),
    Metric(
        "catchment_hq_web_starts_total",
        COUNTER,
        "",
        "Starts of the web process since the start.",
        at("web", "starts"),
    ),
    *of_machine("hq"),
    *of_capacity("hq"),
)
"""Every metric of headquarters."""
