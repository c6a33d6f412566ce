"""Collecting: one task for each device and scan class, in one asyncio loop.

Rules:
1. No task waits for another, for the disk or for the network: a turn ends with `Intake.put`.
2. Every instant of every point is a sample, or lies in a gap that is handed over with the
   next samples: the process was down, a turn took too long, the clock stepped.
3. A driver that fails in a way its interface does not know is a bug; it costs its group a
   bad sample and a line in the log, not the other devices their readings.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edge_runtime.buffer import Progress
from edge_runtime.clock import GatewayClock
from edge_runtime.config import ScanClass
from edge_runtime.intake import Delivery, Intake
from edge_runtime.process import Processor
from edge_runtime.scan import Missed, Schedule, Turn
from protocols.daemon import EventLog
from protocols.errors import DeviceError
from protocols.field.base import Driver, FieldPoint, Group
from protocols.field.notifications import NotificationCache
from protocols.points import Point, Report
from protocols.records import Gap, GapCause
from protocols.samples import BAD_DEVICE_FAILURE, SampleBlock, ValueType

SLEEP_MAX_S = 1.0
"""Longest sleep towards an instant, so that a step of the clock is noticed."""

DRAIN_S = 2.0
"""At a stop, how long a turn under way may still take."""

FIRST_VALUES_S = 5.0
"""How long a subscription may take to deliver its first values before its instants are served without."""

FIRST_VALUES_LOOK_S = 0.02
"""How often it is looked whether they are there."""


Show = Callable[[str, int, Sequence[SampleBlock]], None]


class CollectTask:
    """Reads one device's points of one scan class at their instants.

    Args:
        device: The device's name.
        scan: The scan class.
        points: Its points there.
        driver: The device's driver, shared with its other tasks.
        clock: Gateway time.
        intake: Takes what was collected.
        log: For bugs in drivers.
        reached: How far an earlier process came, or `None`.
        show: Told of what was read at an instant, before it is thinned: task, instant, samples.
    """

    def __init__(
        self,
        device: str,
        scan: ScanClass,
        points: Sequence[Point],
        driver: Driver,
        clock: GatewayClock,
        intake: Intake,
        log: EventLog,
        reached: Progress | None,
        show: Show | None = None,
    ) -> None:
        self._show = show
        self.name = f"{device}/{scan.name}"
        self.device = device
        self._driver = driver
        self._clock = clock
        self._intake = intake
        self._log = log
        self._processor = Processor(points)
        self._field_points = [FieldPoint(point.id, point.address, point.type) for point in points]
        self._ids = tuple(point.id for point in points)
        self._doors = tuple(point.id for point in points if point.report is Report.SWINGING_DOOR)
        self._cache = NotificationCache(self._field_points) if driver.capabilities.subscribe else None
        self._groups: list[Group] = [] if self._cache is not None else driver.plan(self._field_points)
        self._scan = scan
        self._reached = reached
        self.schedule = Schedule(scan.period_us, scan.phase_us, clock.now_us())
        self._gaps: list[Gap] = self._downtime(reached)
        self._instant_us = 0
        self.busy = False
        self.stopping = False
        self.samples = 0
        """Samples handed over."""
        self.thinned = 0
        """Samples left out on purpose."""

    @property
    def points(self) -> int:
        """Points it reads."""
        return len(self._ids)

    async def subscribe(self) -> None:
        """Begin the subscription, where the device has one; the device need not be there yet."""
        if self._cache is not None:
            await self._driver.subscribe(self._field_points, self._cache, self.schedule.period_us / 1e6)

    async def run(self) -> None:
        """Serve instants until told to stop, or cancelled."""
        if self._cache is not None:
            await self._first_values(self._cache)
        while not self.stopping:
            while (turn := self._turn()) is None:
                ahead_s = (self.schedule.next_us - self._clock.now_us()) / 1e6
                await asyncio.sleep(min(SLEEP_MAX_S, max(0.0, ahead_s)))
            self.busy = True
            await self.serve(turn)
            self.busy = False

    async def serve(self, turn: Turn) -> None:
        """Read one instant and hand it over."""
        if turn.missed is not None:
            self._gaps.append(self._explain(turn.missed))
        blocks = await self._read(turn.instant_us)
        self._hand_over(turn.instant_us, blocks)
        busy_us = self._clock.now_us() - turn.instant_us - turn.late_us
        counters = self.schedule.counters
        counters.busy_us_max = max(counters.busy_us_max, busy_us)

    def finish(self) -> None:
        """Hand over what swinging doors hold back, at a clean stop."""
        if self._instant_us:
            blocks = tuple(self._processor.flush())
            settled_us = self._told_until(self._instant_us)
            self._put(Delivery(self.name, self._instant_us, settled_us, blocks, points=self._ids))

    async def _first_values(self, cache: NotificationCache) -> None:
        """Begin only when there is something to serve: until then this process did not collect."""
        until_us = self._clock.now_us() + int(FIRST_VALUES_S * 1e6)
        while not cache.complete and self._clock.now_us() < until_us:
            await asyncio.sleep(FIRST_VALUES_LOOK_S)
        self.schedule = Schedule(self._scan.period_us, self._scan.phase_us, self._clock.now_us())
        self._gaps = self._downtime(self._reached)

    def _turn(self) -> Turn | None:
        return self.schedule.take(self._clock.now_us())

    async def _read(self, instant_us: int) -> list[SampleBlock]:
        if self._cache is not None:
            served = self._cache.serve(instant_us)
            self._gaps += [
                Gap(GapCause.SUBSCRIPTION, lost.from_us, lost.to_us, lost.points, detail=lost.why)
                for lost in served.lost
            ]
            return [*served.extras, *served.samples]
        results = await asyncio.gather(
            *(self._driver.read(group, instant_us) for group in self._groups), return_exceptions=True
        )
        blocks: list[SampleBlock] = []
        for group, result in zip(self._groups, results, strict=True):
            if isinstance(result, Exception):
                self._log.error("driver-bug", task=self.name, error=f"{type(result).__name__}: {result}")
                blocks += _failed(group.points, instant_us)
            elif isinstance(result, BaseException):
                raise result
            else:
                blocks += result
        return blocks

    def _hand_over(self, instant_us: int, blocks: Sequence[SampleBlock]) -> None:
        processed = self._processor.process(blocks)
        if self._show is not None:
            self._show(self.name, instant_us, processed.seen)
        self._instant_us = instant_us
        settled_us = self._processor.settled_us(instant_us) if self._doors else instant_us
        settled_us = min(settled_us, self._told_until(instant_us))
        gaps, self._gaps = tuple(self._gaps), []
        self._put(
            Delivery(
                self.name, instant_us, settled_us, tuple(processed.blocks), processed.thinned, gaps, self._ids
            )
        )
        self.thinned += processed.thinned

    def _told_until(self, instant_us: int) -> int:
        """Up to when it is told what a subscription missed."""
        dark_since_us = None if self._cache is None else self._cache.dark_since_us
        return instant_us if dark_since_us is None else dark_since_us

    def _put(self, delivery: Delivery) -> None:
        if self._intake.put(delivery):
            self.samples += delivery.samples

    def _explain(self, missed: Missed) -> Gap:
        steps = self._clock.steps()
        stepped = any(step.from_us < missed.to_us and step.to_us > missed.from_us for step in steps)
        if stepped:
            self._log.warning("clock-stepped", task=self.name, instants=missed.instants)
            return self._gap(GapCause.CLOCK_STEP, missed, "the clock was set forward")
        self.schedule.counters.overruns += 1
        return self._gap(GapCause.OVERRUN, missed, f"{self.name}: the turn before took too long")

    def _gap(self, cause: GapCause, missed: Missed, detail: str) -> Gap:
        samples = missed.instants * len(self._ids)
        return Gap(cause, missed.from_us, missed.to_us, self._ids, samples, detail=detail)

    def _downtime(self, reached: Progress | None) -> list[Gap]:
        """What nobody collected since an earlier process, and what its doors held in memory."""
        if reached is None:
            return []
        gaps = []
        missed = self.schedule.missed_since(reached.instant_us)
        if missed is not None:
            gaps.append(self._gap(GapCause.PROCESS_DOWN, missed, "the gateway was not running"))
        if reached.settled_us < reached.instant_us:
            gaps += self._unsettled(reached.settled_us + 1)
        return gaps

    def _unsettled(self, from_us: int) -> list[Gap]:
        """What an earlier process could not settle any more, from `from_us` up to the first instant."""
        to_us = self.schedule.next_us
        if self._cache is not None:
            detail = "the gateway ended before it could tell what its subscription missed"
            return [Gap(GapCause.SUBSCRIPTION, from_us, to_us, self._ids, detail=detail)]
        if self._doors:
            detail = "a swinging door held its last value in memory"
            return [Gap(GapCause.PROCESS_DOWN, from_us, to_us, self._doors, detail=detail)]
        return []


def _failed(points: Sequence[FieldPoint], instant_us: int) -> list[SampleBlock]:
    """Bad samples for all points of a group."""
    return [
        SampleBlock.bad(
            value_type,
            np.array([point.id for point in points if point.value_type is value_type], np.uint32),
            instant_us,
            BAD_DEVICE_FAILURE,
        )
        for value_type in ValueType
        if any(point.value_type is value_type for point in points)
    ]


class Collector:
    """All tasks of a gateway.

    Args:
        drivers: By device name, not yet connected.
        tasks: What to collect.
        log: For events.
    """

    def __init__(self, drivers: Mapping[str, Driver], tasks: Sequence[CollectTask], log: EventLog) -> None:
        self._drivers = drivers
        self.tasks = tuple(tasks)
        self._log = log
        self._running: dict[CollectTask, asyncio.Task[None]] = {}
        self._connecting: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; a device that does not answer keeps nobody waiting."""
        for device, driver in self._drivers.items():
            self._connecting.append(
                asyncio.create_task(self._connect(device, driver), name=f"connect {device}")
            )
        for task in self.tasks:
            self._running[task] = asyncio.create_task(task.run(), name=task.name)

    def failure(self) -> BaseException | None:
        """What ended a task that should run for ever, or `None`."""
        for running in [*self._running.values(), *self._connecting]:
            if running.done() and not running.cancelled() and running.exception() is not None:
                return running.exception()
        return None

    async def stop(self) -> None:
        """End after the turns under way, hand over what is held back, and close the drivers."""
        for connecting in self._connecting:
            connecting.cancel()
        for task, running in self._running.items():
            task.stopping = True
            if not task.busy:
                running.cancel()
        everything = [*self._running.values(), *self._connecting]
        if everything:
            _, late = await asyncio.wait(everything, timeout=DRAIN_S)
            for running in late:
                running.cancel()
        await asyncio.gather(*everything, return_exceptions=True)
        for task in self.tasks:
            task.finish()
        for driver in self._drivers.values():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(driver.close(), DRAIN_S)

    async def _connect(self, device: str, driver: Driver) -> None:
        for task in self.tasks:
            if task.device == device:
                await task.subscribe()
        try:
            await driver.connect()
        except DeviceError as error:
            self._log.warning("device-unreachable", device=device, error=str(error))
