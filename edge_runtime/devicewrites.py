"""Writes to devices: one task for each device that is written to, in the collecting loop.

Rules:
1. Orders come from any thread and keep nobody waiting; those for one device go out one after
   the other, in the order in which their points were first asked for.
2. Of a point that is asked for again before its turn, only the newest value is written: so a
   device has at most one order a point waiting.
3. Every order that was begun has one result. Nothing is repeated here.
4. At a stop the write under way may end; what waits is not sent.

What may be written is not decided here: `edge_runtime.apps.outputs` is the gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from protocols.daemon import EventLog
from protocols.errors import DeviceError
from protocols.field.base import Driver, FieldPoint
from protocols.points import Point

DRAIN_S = 2.0
"""At a stop, how long a write under way may still take."""


class Order(NamedTuple):
    """A value to be written.

    Args:
        who: App, instance and output that want it.
        point: Where.
        value: In the point's unit: what the device will mean by `raw`.
        raw: What the device is sent.
        time_us: Of the scan that gave it.
        number: Counted up by whoever orders, to tell a result's order from a newer one.
    """

    who: tuple[str, str, str]
    point: Point
    value: float
    raw: float
    time_us: int
    number: int


class Result(NamedTuple):
    """What became of an order.

    Args:
        order: The order.
        error: Why it failed, or empty.
        since_us: Since when the device had been connected, when it was begun.
    """

    order: Order
    error: str
    since_us: int | None


class DeviceWrites:
    """What is to be written to the devices of a gateway.

    Args:
        drivers: By device.
        log: For bugs in drivers.
    """

    def __init__(self, drivers: Mapping[str, Driver], log: EventLog) -> None:
        self._drivers = drivers
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: Callable[[Result], None] = _nobody
        self._waiting: dict[str, dict[int, Order]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, done: Callable[[Result], None]) -> None:
        """Begin, in the loop in which the drivers run.

        Args:
            done: Takes results, in the loop; must not wait.
        """
        self._done = done
        self._loop = asyncio.get_running_loop()

    def put(self, order: Order) -> None:
        """Have a value written, between start and stop; any thread may call it."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop ended by a fault, and nobody told us
                loop.call_soon_threadsafe(self._take, order)

    def since_us(self, device: str) -> int | None:
        """Since when a device is connected, or `None`; any thread may call it."""
        return self._drivers[device].status.connected_since_us

    async def stop(self) -> None:
        """End after the writes under way."""
        self._loop = None
        self._waiting.clear()
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _take(self, order: Order) -> None:
        if self._loop is None:
            return
        device = order.point.device
        self._waiting.setdefault(device, {})[order.point.id] = order
        if device not in self._tasks:
            self._tasks[device] = asyncio.create_task(self._write_all(device), name=f"write {device}")

    async def _write_all(self, device: str) -> None:
        driver = self._drivers[device]
        while waiting := self._waiting.get(device):
            order = waiting.pop(next(iter(waiting)))
            since_us = driver.status.connected_since_us
            self._done(Result(order, await self._write(driver, order), since_us))
        del self._tasks[device]  # at once, so that the next order finds none that is ending

    async def _write(self, driver: Driver, order: Order) -> str:
        """Write one value. Returns why it failed, or nothing."""
        point = order.point
        try:
            await driver.write(FieldPoint(point.id, point.address, point.type), order.raw)
        except DeviceError as error:
            return str(error)
        except Exception as error:  # a bug of the driver costs this write only
            why = f"{type(error).__name__}: {error}"
            self._log.error("driver-bug", device=point.device, error=why)
            return why
        return ""


def _nobody(result: Result) -> None:
    """Take a result that nobody waits for."""
