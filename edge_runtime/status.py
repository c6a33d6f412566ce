"""What the gateway says of itself each second: `data/status.json`.

Rates are means over the last few seconds, so that a flush interval of ten seconds does
not look like ten halts.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from edge_runtime.buffer import Buffer
from edge_runtime.clock import GatewayClock
from edge_runtime.collect import CollectTask
from edge_runtime.config import GatewayConfig
from edge_runtime.uplink import UplinkStatus
from edge_runtime.writer import Writer
from protocols.daemon import iso_time
from protocols.field.base import Driver
from protocols.forecast import USAGE, Usage
from protocols.metrics import machine

RATE_S = 10
"""Rates are means over so many status lines."""


class Seen(NamedTuple):
    """Counters at one moment."""

    monotonic_s: float
    samples: int
    batches: int
    bytes: int


class StatusBoard:
    """Puts the status together; called by one thread.

    Args:
        config: The gateway's configuration.
        buffer: This thread's buffer.
        clock: Gateway time.
        tasks: What collects.
        drivers: By device.
        writer: What stores.
        uplink: What sends, or `None`.
        started_us: When this process began.
        apps: Tells of the apps that run.
        alarms_raised: Tells how many alarms were raised since the session began.
        desired: Tells of the desired state; `None` where nobody manages the gateway.
    """

    def __init__(
        self,
        config: GatewayConfig,
        buffer: Buffer,
        clock: GatewayClock,
        tasks: Sequence[CollectTask],
        drivers: Mapping[str, Driver],
        writer: Writer,
        uplink: UplinkStatus | None,
        started_us: int,
        apps: Callable[[], list[dict[str, Any]]] = list,
        alarms_raised: Callable[[], int] = int,
        desired: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self._config = config
        self._buffer = buffer
        self._clock = clock
        self._tasks = tasks
        self._drivers = drivers
        self._writer = writer
        self._uplink = uplink
        self._started_us = started_us
        self._apps = apps
        self._alarms_raised = alarms_raised
        self._desired = desired
        self._usage = Usage(config.data / USAGE, "the gateway's buffer")
        self._seen: deque[Seen] = deque(maxlen=RATE_S + 1)

    def status(self, state: str, monotonic_s: float) -> dict[str, Any]:
        """The status now.

        Args:
            state: `running`, `stopping` or `stopped`.
            monotonic_s: A clock that never jumps, for the rates.
        """
        now_us = self._clock.now_us()
        return {
            "gateway": self._config.id,
            "site": self._config.site,
            "state": state,
            "time": iso_time(now_us / 1e6),
            "started": iso_time(self._started_us / 1e6),
            "pid": os.getpid(),
            "points": len(self._config.points),
            "rates": self._rates(monotonic_s),
            "backlog": self._backlog(now_us),
            "ledger": self._ledger(),
            "uplink": None if self._uplink is None else asdict(self._uplink),
            "store": {
                "trouble": self._writer.trouble,
                "used_bytes": self._buffer.used_bytes,
                "quota_bytes": self._config.buffer.quota_bytes,
            },
            "clock": self._clock_fields(),
            "devices": [self._device(name, driver) for name, driver in self._drivers.items()],
            "tasks": [self._task(task) for task in self._tasks],
            "apps": self._apps(),
            "alarms_raised": self._alarms_raised(),
            "desired": None if self._desired is None else self._desired(),
            "chains": [
                {"chain": str(offer.chain), "oldest": offer.oldest, "next": offer.next}
                for offer in self._buffer.offers()
            ],
            "capacity": self._usage.describe(
                self._buffer.used_bytes, self._config.buffer.quota_bytes, now_us / 1e6
            ),
            **machine(self._config.data),
        }

    def _rates(self, monotonic_s: float) -> dict[str, float]:
        samples = sum(task.samples for task in self._tasks)
        batches, size = (
            (0, 0) if self._uplink is None else (self._uplink.batches_sent, self._uplink.bytes_sent)
        )
        seen = Seen(monotonic_s, samples, batches, size)
        self._seen.append(seen)
        before = self._seen[0]
        seconds = max(seen.monotonic_s - before.monotonic_s, 1e-9)
        if len(self._seen) == 1:
            return {"samples_per_s": 0.0, "batches_sent_per_s": 0.0, "bytes_sent_per_s": 0.0}
        return {
            "samples_per_s": round((seen.samples - before.samples) / seconds, 1),
            "batches_sent_per_s": round((seen.batches - before.batches) / seconds, 2),
            "bytes_sent_per_s": round((seen.bytes - before.bytes) / seconds, 1),
        }

    def _backlog(self, now_us: int) -> dict[str, Any]:
        backlog = self._buffer.backlog()
        seconds = 0.0 if backlog.oldest_us is None else max(0.0, (now_us - backlog.oldest_us) / 1e6)
        return {
            "batches": backlog.batches,
            "unsent": backlog.unsent,
            "bytes": backlog.bytes,
            "seconds": round(seconds, 3),
        }

    def _ledger(self) -> dict[str, Any]:
        counts = self._buffer.counts()
        return {
            "collected": counts.collected,
            "thinned": counts.thinned,
            "journalled": counts.journalled,
            "sealed": counts.sealed,
            "dropped": dict(counts.dropped),
            "buried": dict(counts.buried),
            "unaccounted": counts.unaccounted,
        }

    def _clock_fields(self) -> dict[str, Any]:
        stamp = self._clock.stamp()
        return {
            "state": stamp.state.name.lower(),
            "offset_us": stamp.offset_us,
            "boot_id": stamp.boot_id.hex(),
        }

    def _device(self, name: str, driver: Driver) -> dict[str, Any]:
        return {"device": name, **asdict(driver.status), "state": driver.status.state.value}

    def _task(self, task: CollectTask) -> dict[str, Any]:
        counters = task.schedule.counters
        return {
            "task": task.name,
            "points": task.points,
            "samples": task.samples,
            "thinned": task.thinned,
            "served": counters.served,
            "missed": counters.missed,
            "overruns": counters.overruns,
            "late_ms_mean": round(counters.late_us_sum / 1000 / max(1, counters.served), 3),
            "late_ms_max": round(counters.late_us_max / 1000, 3),
            "busy_ms_max": round(counters.busy_us_max / 1000, 3),
        }
