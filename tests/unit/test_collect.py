"""Collecting: every instant of every point is a sample or a declared gap, whatever devices do."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable

import pytest

from edge_runtime.buffer import Progress
from edge_runtime.clock import GatewayClock
from edge_runtime.collect import Collector, CollectTask
from edge_runtime.config import ScanClass
from edge_runtime.intake import Delivery, Intake
from protocols.daemon import EventLog
from protocols.field.base import (
    Driver,
    FieldType,
    Lost,
)
from protocols.points import Point, Report
from protocols.records import GapCause
from protocols.samples import BAD_DEVICE_FAILURE, BAD_NO_COMMUNICATION, SampleBlock, ValueType
from tests.unit.fake_driver import FakeDriver
from tests.unit.virtual_loop import run

S = 1_000_000
T0 = 1_700_000_000 * S


class Site:
    """Devices, a clock that can be set, and what was collected."""

    def __init__(self, devices: dict[str, FakeDriver]) -> None:
        self.devices = devices
        self.step_us = 0
        self.reached: dict[str, Progress] = {}
        self.log = io.StringIO()
        self.report = Report.ALWAYS
        self.turns: dict[str, int] = {}

    def now_us(self) -> int:
        return T0 + 500_000 + round(asyncio.get_running_loop().time() * S)

    async def collect(
        self, seconds: float, during: Callable[[], None] | None = None, at: float = 0.0
    ) -> None:
        """Collect for so long; at a second of it, something happens."""
        clock = GatewayClock(
            b"b" * 16,
            wall=lambda: self.now_us() + self.step_us,
            monotonic=self.now_us,
            synchronised=lambda: True,
        )
        self.intake = Intake(1_000_000)
        log = EventLog(stream=self.log, clock=lambda: 0.0)
        tasks = [
            CollectTask(
                name, ScanClass("fast", S), self.points(), driver, clock, self.intake, log,
                self.reached.get(f"{name}/fast"),
            )
            for name, driver in self.devices.items()
        ]  # fmt: skip
        drivers: dict[str, Driver] = dict(self.devices)
        collector = Collector(drivers, tasks, log)
        collector.start()
        await asyncio.sleep(at)
        if during is not None:
            during()
        await asyncio.sleep(seconds - at)
        assert collector.failure() is None
        await collector.stop()
        self.turns = {task.name: task.schedule.counters.served for task in tasks}
        self.deliveries, _ = self.intake.take()

    def points(self) -> list[Point]:
        return [
            Point(id, f"P{id}", "", str(id), FieldType.F64, "fast", report=self.report, deadband=0.5)
            for id in (1, 2)
        ]

    def of(self, device: str) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if delivery.task == f"{device}/fast"]

    def instants(self, device: str, point: int = 1) -> list[int]:
        """Seconds after the beginning of the samples of a point."""
        return [
            (int(t) - T0) // S
            for delivery in self.of(device)
            for block in delivery.blocks
            for p, t in zip(block.point, block.time, strict=True)
            if p == point
        ]

    def gaps(self, device: str) -> list[tuple[GapCause, int, int]]:
        return [
            (gap.cause, (gap.t_from_us - T0) // S, (gap.t_to_us - T0) // S)
            for delivery in self.of(device)
            for gap in delivery.gaps
        ]


def test_every_point_has_a_sample_at_every_instant() -> None:
    site = Site({"plc": FakeDriver()})
    run(site.collect(60.0))
    assert site.instants("plc") == list(range(1, 61))
    assert site.instants("plc", 2) == list(range(1, 61))
    assert site.gaps("plc") == []
    assert all(delivery.instant_us == int(delivery.blocks[0].time[0]) for delivery in site.of("plc")[:-1])
    assert site.devices["plc"].closed == 1


def test_a_dead_device_delays_no_other_and_is_bad_at_every_instant() -> None:
    async def silence(instant_us: int) -> None:
        await asyncio.sleep(0.9)

    site = Site({"dead": FakeDriver(silence, unreachable=True), "alive": FakeDriver()})
    run(site.collect(30.0))
    assert site.instants("alive") == list(range(1, 31))
    assert site.instants("dead") == list(range(1, 31))
    assert "device-unreachable" in site.log.getvalue()
    blocks = [block for delivery in site.of("dead") for block in delivery.blocks]
    assert {int(q) for block in blocks for q in block.quality} == {BAD_NO_COMMUNICATION}


def test_a_turn_that_takes_too_long_declares_the_instants_it_cost() -> None:
    async def slow_once(instant_us: int) -> None:
        if instant_us == T0 + 5 * S:
            await asyncio.sleep(3.2)

    site = Site({"plc": FakeDriver(slow_once)})
    run(site.collect(12.0))
    assert site.instants("plc") == [1, 2, 3, 4, 5, 8, 9, 10, 11, 12]
    assert site.gaps("plc") == [(GapCause.OVERRUN, 6, 8)]
    [gap] = [gap for delivery in site.of("plc") for gap in delivery.gaps]
    assert (gap.points, gap.samples) == ((1, 2), 4)


def test_instants_that_a_step_of_the_clock_skipped_are_declared_as_that() -> None:
    site = Site({"plc": FakeDriver()})

    def step() -> None:
        site.step_us = 100 * S

    run(site.collect(10.0, step, at=4.0))
    assert site.gaps("plc") == [(GapCause.CLOCK_STEP, 5, 105)]
    assert site.instants("plc") == [1, 2, 3, 4, *range(105, 111)]


def test_a_clock_that_is_set_back_costs_no_instant_and_doubles_none() -> None:
    site = Site({"plc": FakeDriver()})

    def step() -> None:
        site.step_us = -3600 * S

    run(site.collect(60.0, step, at=4.0))
    seen = site.instants("plc")
    assert seen == list(range(1, len(seen) + 1))
    assert 55 <= len(seen) <= 60, "scanning goes on a little slower"
    assert site.gaps("plc") == []


def test_what_nobody_collected_since_the_last_run_is_declared_first() -> None:
    site = Site({"plc": FakeDriver()})
    site.reached = {"plc/fast": Progress(T0 - 9 * S, T0 - 9 * S)}
    run(site.collect(3.0))
    assert site.gaps("plc") == [(GapCause.PROCESS_DOWN, -8, 1)]
    assert site.instants("plc") == [1, 2, 3]


def test_a_short_restart_between_two_instants_leaves_no_gap() -> None:
    site = Site({"plc": FakeDriver()})
    site.reached = {"plc/fast": Progress(T0, T0)}
    run(site.collect(3.0))
    assert site.gaps("plc") == []


def test_what_a_swinging_door_held_at_a_kill_is_declared() -> None:
    site = Site({"plc": FakeDriver()})
    site.report = Report.SWINGING_DOOR
    site.reached = {"plc/fast": Progress(T0, T0 - 30 * S)}
    run(site.collect(3.0))
    assert site.gaps("plc") == [(GapCause.PROCESS_DOWN, -30, 1)]


def test_a_clean_stop_hands_over_what_a_swinging_door_holds() -> None:
    site = Site({"plc": FakeDriver()})
    site.report = Report.SWINGING_DOOR
    run(site.collect(20.0))
    assert site.instants("plc") == [1, 20]
    last = site.of("plc")[-1]
    assert last.settled_us == last.instant_us == T0 + 20 * S
    assert site.of("plc")[10].settled_us == T0 + S


def test_a_driver_with_a_bug_costs_its_own_group_only() -> None:
    async def fail(instant_us: int) -> None:
        if instant_us == T0 + 2 * S:
            raise KeyError("no such register")

    site = Site({"plc": FakeDriver(fail, per_group=1), "other": FakeDriver()})
    run(site.collect(3.0))
    assert site.instants("plc") == site.instants("other") == [1, 2, 3]
    quality = [int(block.quality[0]) for block in site.of("plc")[1].blocks]
    assert quality == [BAD_DEVICE_FAILURE, BAD_DEVICE_FAILURE]
    assert {json.loads(line)["event"] for line in site.log.getvalue().splitlines()} == {"driver-bug"}


def test_subscribed_values_are_given_at_every_instant_and_nothing_notified_is_lost() -> None:
    driver = FakeDriver(subscribes=True)
    site = Site({"dcs": driver})

    def notify() -> None:
        assert driver.sink is not None
        for ms, value in ((200, 7.0), (300, 8.0)):
            at = T0 + 3 * S + ms * 1000
            driver.sink.put([SampleBlock.make(ValueType.F64, [1], [at], [value], source_time=[at - 1000])])
        driver.sink.lost(Lost((2,), T0 + S, T0 + 2 * S, "the queue of the server ran over"))

    run(site.collect(6.0, notify, at=3.0))
    values = [
        (int(t) - T0, float(v))
        for delivery in site.of("dcs")
        for block in delivery.blocks
        for p, t, v, q in zip(block.point, block.time, block.value, block.quality, strict=True)
        if p == 1 and q == 0
    ]
    assert values == [(3 * S + 200_000, 7.0), (4 * S, 8.0), (5 * S, 8.0), (6 * S, 8.0)]
    assert site.gaps("dcs") == [(GapCause.SUBSCRIPTION, 1, 2)]
    assert len(site.instants("dcs", 2)) == 6


@pytest.mark.parametrize(("answers", "first"), [(True, 1), (False, 6)])
def test_instants_of_a_subscription_begin_with_its_first_values_or_without_them(
    answers: bool, first: int
) -> None:
    site = Site({"dcs": FakeDriver(subscribes=True, first_values=answers)})
    site.reached = {"dcs/fast": Progress(T0 - 3 * S, T0 - 3 * S)}
    run(site.collect(8.0))
    assert site.instants("dcs", 1) == list(range(first, 9))
    assert site.gaps("dcs") == [(GapCause.PROCESS_DOWN, -2, first)]


def test_a_process_that_ends_without_a_subscription_leaves_the_declaring_to_the_next_one() -> None:
    driver = FakeDriver(subscribes=True)
    site = Site({"dcs": driver})

    def notify() -> None:
        assert driver.sink is not None
        at = T0 + 2 * S + 200_000
        driver.sink.put([SampleBlock.make(ValueType.F64, [1, 2], [at] * 2, [7.0] * 2)])
        driver.sink.down(T0 + 4 * S + 100_000, BAD_NO_COMMUNICATION)

    run(site.collect(6.0, notify, at=2.0))
    reached = [(d.instant_us - T0, d.settled_us - T0) for d in site.of("dcs")]
    assert reached == [
        (S, S), (2 * S, 2 * S), (3 * S, 3 * S), (4 * S, 4 * S), (5 * S, 4 * S), (6 * S, 4 * S), (6 * S, 4 * S)
    ]  # fmt: skip

    site.reached = {"dcs/fast": Progress(T0, T0 - 30 * S)}
    run(site.collect(3.0))
    assert site.gaps("dcs") == [(GapCause.SUBSCRIPTION, -30, 1)]


def test_a_turn_under_way_at_a_stop_is_waited_for() -> None:
    async def slow(instant_us: int) -> None:
        await asyncio.sleep(0.8)

    site = Site({"plc": FakeDriver(slow)})
    run(site.collect(3.7))
    assert site.instants("plc") == [1, 2, 3, 4]
