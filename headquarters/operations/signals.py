"""What alerts can watch besides headquarters' own metrics: the fleet, certificates, backups, the lake's disk.

`measure` looks at the stores once; the metrics in `SIGNALS` are read from what it found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from headquarters.db.engine import reading
from headquarters.operations.metrics import METRICS
from headquarters.security.registry import KeyState
from headquarters.tenancy.store import Tenants
from headquarters.tenancy.usage import Quotas
from headquarters.views.gateways import gateway_rows
from headquarters.views.seeing import EVERYTHING
from headquarters.views.sources import Sources
from protocols.metrics import GAUGE, Metric, Reading, Status, at, entries, values

Value = tuple[str, dict[str, str], float]
"""A value of a metric: its name, its labels, and the value."""

_OUT = ("revoked", "quarantined")


def measure(sources: Sources, metadata: Engine) -> dict[str, Any]:
    """What there is to know now.

    Args:
        sources: The stores of headquarters.
        metadata: The metadata store.

    Raises:
        StoreError: One cannot be read.
    """
    now_us = sources.now_us()
    last = sources.last_status()
    return {
        "headquarters_silent_s": None if last is None else now_us / 1e6 - last["time"],
        "gateways": {
            row.id: {
                "site": row.site,
                "silent_s": None if row.received_us is None else (now_us - row.received_us) / 1e6,
                "backlog_s": row.backlog_s,
                "rate": row.rate,
            }
            for row in gateway_rows(sources, EVERYTHING)
            if row.state not in _OUT
        },
        "certificates": _certificates(sources, now_us / 1e6),
        "backup_age_s": _backup_age_s(sources, now_us / 1e6),
        "tenants": _tenants(metadata, now_us),
    }


def read(sources: Sources, metadata: Engine) -> list[Value]:
    """All values that alerts can watch: of headquarters while it runs, and of `SIGNALS`.

    Raises:
        StoreError: A store cannot be read.
    """
    status = sources.status()
    own = [] if status is None else list(values(METRICS, status))
    found = [*own, *values(SIGNALS, measure(sources, metadata))]
    return [
        (metric.name, dict(zip(metric.labels, labels, strict=True)), value) for metric, labels, value in found
    ]


def _certificates(sources: Sources, now: float) -> dict[str, float]:
    if sources.registry is None:
        return {}
    return {
        row.node.id: row.not_after - now
        for row in sources.registry.keys_of()
        if row.state is KeyState.CURRENT and sources.nodes()[row.node.id].state not in _OUT
    }


def _tenants(metadata: Engine, now_us: int) -> dict[str, dict[str, float]]:
    """What each tenant takes up, and which part of its quota that is, where it has one."""
    found: dict[str, dict[str, float]] = {}
    with reading(metadata) as session:
        for tenant in Tenants(session).all():
            used = Quotas(session).usage(tenant.id, now_us)["storage"]
            most = Quotas(session).limits(tenant.id).get("storage")
            found[tenant.id] = {"storage": used} | ({} if most is None else {"part": used / max(most, 1)})
    return found


def _backup_age_s(sources: Sources, now: float) -> float | None:
    """How old the newest complete backup is; where one is set and none was made, since when that is so."""
    config = sources.config
    if not config.backup.place:
        return None
    for path in (config.custody, config.home / "headquarters.toml"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if path == config.custody:
                document = json.loads(path.read_text(encoding="utf-8"))
                return now - datetime.fromisoformat(document["time"]).timestamp()
            return now - path.stat().st_mtime
    return None


def _gateway(field: str) -> Any:
    def each(status: Status) -> Iterator[Reading]:
        for name, entry in entries(status, ["gateways"]):
            yield (name, entry["site"]), entry[field]

    return each


def _expire(status: Status) -> Iterator[Reading]:
    for name, left in entries(status, ["certificates"]):
        yield (name,), left


def _tenant(field: str) -> Any:
    def each(status: Status) -> Iterator[Reading]:
        for name, entry in entries(status, ["tenants"]):
            if field in entry:
                yield (name,), entry[field]

    return each


_LABELS = ("gateway", "site")

SIGNALS = (
    Metric(
        "catchment_group_headquarters_silent_seconds",
        GAUGE,
        "seconds",
        "Since headquarters last said that it works.",
        at("headquarters_silent_s"),
    ),
    Metric(
        "catchment_group_gateway_silent_seconds",
        GAUGE,
        "seconds",
        "Since a batch of a gateway came.",
        _gateway("silent_s"),
        _LABELS,
    ),
    Metric(
        "catchment_group_gateway_backlog_seconds",
        GAUGE,
        "seconds",
        "Age of the oldest sample that a gateway still holds, as it reports.",
        _gateway("backlog_s"),
        _LABELS,
    ),
    Metric(
        "catchment_group_gateway_samples_per_second",
        GAUGE,
        "samples_per_second",
        "Samples of a gateway, over the last whole minutes; samples per second.",
        _gateway("rate"),
        _LABELS,
    ),
    Metric(
        "catchment_group_certificate_expires_seconds",
        GAUGE,
        "seconds",
        "Until the certificate of a node expires.",
        _expire,
        ("node",),
    ),
    Metric(
        "catchment_group_backup_age_seconds",
        GAUGE,
        "seconds",
        "Age of the newest complete backup; there only where [backup] place is set.",
        at("backup_age_s"),
    ),
    Metric(
        "catchment_group_tenant_storage_bytes",
        GAUGE,
        "bytes",
        "What the samples of a tenant's sites take up in lake and archive, as last measured.",
        _tenant("storage"),
        ("tenant",),
    ),
    Metric(
        "catchment_group_tenant_storage_used_ratio",
        GAUGE,
        "ratio",
        "Which part of its quota that is; there only where it has one.",
        _tenant("part"),
        ("tenant",),
    ),
)
"""Every further metric."""
