"""Joins the granted outputs of apps to devices, and tells what was written.

The scans' thread calls it, but for `wrote`, which the collecting loop calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edge_runtime.alarms.manager import AlarmManager
from edge_runtime.apps.derived import Derived, Recorder
from edge_runtime.apps.engine import task_name
from edge_runtime.apps.installed import InstalledApp
from edge_runtime.apps.outputs import Counters, Outputs, Said
from edge_runtime.devicewrites import DeviceWrites, Result
from edge_runtime.intake import Delivery
from protocols.daemon import EventLog
from protocols.records import EventRecord, EventType
from protocols.samples import SampleBlock


class _Writer(NamedTuple):
    """One app that has grants, and where its granted outputs are in its deliveries."""

    outputs: Outputs
    places: tuple[tuple[int, int], ...]


class AppWrites:
    """What the apps of a gateway write.

    Args:
        apps: What is installed.
        derived: The points of each app's outputs, by app id.
        devices: Takes orders.
        manager: Journals what is told.
        log: For what goes wrong.
        now_us: Gateway time.
    """

    def __init__(
        self,
        apps: Sequence[InstalledApp],
        derived: Mapping[str, Sequence[Derived]],
        devices: DeviceWrites,
        manager: AlarmManager,
        log: EventLog,
        now_us: Callable[[], int],
    ) -> None:
        self._devices = devices
        self._manager = manager
        self._log = log
        self._now_us = now_us
        self._results: deque[Result] = deque()
        self._writers = {
            task_name(app.id): _writer(app, derived[app.id], devices) for app in apps if app.grants
        }

    def wrote(self, result: Result) -> None:
        """Take what became of an order; any thread may call it."""
        self._results.append(result)

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Order what the outputs of scans ask for, and tell what became of earlier orders."""
        self._tell_results()
        for delivery in deliveries:
            writer = self._writers.get(delivery.task)
            if writer is None:
                continue
            decision = writer.outputs.scan(delivery.instant_us, _cells(delivery.blocks, writer.places))
            for order in decision.orders:
                self._devices.put(order)
            for said in decision.said:
                self._tell(writer.outputs.app, said)

    def status(self, app: str) -> dict[str, Any]:
        """What there is to know of an app's writes; any thread may call it."""
        writer = self._writers.get(task_name(app))
        counters = Counters() if writer is None else writer.outputs.counters
        troubles = [] if writer is None else writer.outputs.troubles()
        return {
            "made": counters.writes,
            "refused": counters.refused,
            "failed": counters.failed,
            "troubles": [
                {"instance": grant.instance, "output": grant.output, "point": grant.point.name, "why": why}
                for grant, why in troubles
            ],
        }

    def _tell_results(self) -> None:
        while self._results:
            result = self._results.popleft()
            outputs = self._writers[task_name(result.order.who[0])].outputs
            for said in outputs.done(result):
                self._tell(outputs.app, said)

    def _tell(self, app: InstalledApp, said: Said) -> None:
        grant, point = said.grant, said.grant.point
        fields = {"app": app.id, "instance": grant.instance, "output": grant.output, "point": point.name}
        match said.kind:
            case "write-refused":
                self._log.warning("app-write-refused", why=said.text, **fields)
            case "write-failed":
                self._log.warning("app-write-failed", why=said.text, **fields)
            case "write-allowed":
                self._log.info("app-write-allowed", **fields)
            case "write-recovered":
                self._log.info("app-write-recovered", **fields)
        detail = {
            "point": point.name,
            "device": point.device,
            "address": point.address,
            "raw": said.raw,
            "scan_us": said.time_us,
        }
        self._manager.tell(
            EventRecord(
                self._now_us(),
                EventType.WRITE,
                app.id,
                grant.instance,
                grant.output,
                said.text,
                transition=said.kind,
                value=said.value,
                detail=detail,
            )
        )


def _writer(app: InstalledApp, derived: Sequence[Derived], devices: DeviceWrites) -> _Writer:
    outputs = Outputs(app, devices.since_us)
    at = {instance.name: place for place, instance in enumerate(app.instances)}
    nothing = {each.output: np.zeros(len(at), np.int8) for each in derived}
    made = Recorder(derived).blocks(0, nothing, nothing)
    places = {
        id: (number, row) for number, block in enumerate(made) for row, id in enumerate(block.point.tolist())
    }
    ids = {each.output: each.ids for each in derived}
    return _Writer(outputs, tuple(places[ids[output][at[instance]]] for instance, output in outputs.names))


def _cells(blocks: Sequence[SampleBlock], places: Sequence[tuple[int, int]]) -> list[tuple[float, int]]:
    """Value and quality (0 to 2) at some places (block and row), which are the same at each scan."""
    return [
        (blocks[number].value[row].item(), int(blocks[number].quality[row]) >> 30) for number, row in places
    ]
