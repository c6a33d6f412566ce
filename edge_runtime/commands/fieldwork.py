"""Reads and writes that somebody asks for now, in the loop in which the drivers run.

Other threads ask and wait for a bounded time. At the end of the session nobody waits any more.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from itertools import count
from typing import TYPE_CHECKING, Any

from edge_runtime.devicewrites import DeviceWrites, Order, Result
from protocols import samples
from protocols.errors import DeviceError
from protocols.field.base import Driver, FieldPoint
from protocols.points import Point

if TYPE_CHECKING:
    from edge_runtime.testread import Reading

WHO = ("", "", "")
"""Who orders writes here: no app has such a name."""

READ_S = 15.0
"""Longest wait for one device, all of its requests together."""

WRITE_S = 20.0
"""Longest wait for a write: drivers give up earlier, but others may be before it."""


class EndedError(DeviceError):
    """The gateway ended, or begins anew, while this was under way."""


class FieldWork:
    """What is read and written on demand.

    Args:
        drivers: By device.
        devices: Takes orders to write.
        now_us: Gateway time.
    """

    def __init__(
        self, drivers: Mapping[str, Driver], devices: DeviceWrites, now_us: Callable[[], int]
    ) -> None:
        self._drivers = drivers
        self._devices = devices
        self._now_us = now_us
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._pending: dict[int, Future[str]] = {}
        self._reading: set[Future[Any]] = set()
        self._numbers = count(1)

    def start(self) -> None:
        """Begin, in the loop in which the drivers run."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self._loop = None
        with self._lock:
            for future in (*self._pending.values(), *self._reading):
                future.cancel()

    def read(self, points: Sequence[Point]) -> list[Reading]:
        """Read points fresh from their devices; one that does not answer gives bad readings.

        Raises:
            EndedError: The gateway ended.
        """
        by_device: dict[str, list[Point]] = {}
        for point in points:
            by_device.setdefault(point.device, []).append(point)
        found: dict[int, Reading] = {}
        futures = [self._submit(device, chosen) for device, chosen in by_device.items()]
        for future in futures:
            try:
                found.update(future.result())
            except CancelledError as error:
                raise EndedError("the gateway ended before the device had answered") from error
            finally:
                with self._lock:
                    self._reading.discard(future)
        return [found[point.id] for point in points]

    def write(self, point: Point, value: float, raw: float) -> str:
        """Have one value written. Returns why it failed, or nothing.

        Raises:
            EndedError: Nobody knows whether it was written.
        """
        number = next(self._numbers)
        future: Future[str] = Future()
        with self._lock:
            self._pending[number] = future
        try:
            self._devices.put(Order(WHO, point, value, raw, self._now_us(), number))
            return future.result(WRITE_S)
        except (TimeoutError, CancelledError) as error:
            raise EndedError("nobody said whether the device took it; read it") from error
        finally:
            with self._lock:
                self._pending.pop(number, None)

    def wrote(self, result: Result) -> None:
        """Take what became of an order; called in the loop."""
        with self._lock:
            future = self._pending.get(result.order.number)
        if future is not None and future.set_running_or_notify_cancel():
            future.set_result(result.error)

    def _submit(self, device: str, points: list[Point]) -> Future[Mapping[int, Reading]]:
        loop = self._loop
        if loop is None:
            raise EndedError("the gateway is ending")
        future = asyncio.run_coroutine_threadsafe(self._read(device, points), loop)
        with self._lock:
            self._reading.add(future)
        return future

    async def _read(self, device: str, points: list[Point]) -> Mapping[int, Reading]:
        from edge_runtime.testread import readings, unread

        driver = self._drivers[device]
        now_us = self._now_us()
        try:
            async with asyncio.timeout(READ_S):
                blocks = []
                for group in driver.plan([FieldPoint(p.id, p.address, p.type) for p in points]):
                    blocks += await driver.read(group, now_us)
        except TimeoutError:
            return unread(points, f"no answer within {READ_S:g} s", samples.BAD_TIMEOUT, now_us)
        except DeviceError as error:
            return unread(points, str(error), samples.BAD_NO_COMMUNICATION, now_us)
        return readings(points, blocks)
