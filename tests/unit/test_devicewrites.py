"""Orders on their way to devices: in order, the newest value only, no device waiting for another."""

from __future__ import annotations

import asyncio
import io

from edge_runtime.devicewrites import DeviceWrites, Order, Result
from protocols.daemon import EventLog
from protocols.field.base import FieldPoint, FieldType
from protocols.points import Point
from tests.unit.fake_driver import FakeDriver


class SlowDriver(FakeDriver):
    """Takes a value when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Semaphore(0)

    async def write(self, point: FieldPoint, value: float) -> None:
        await self.let.acquire()
        await super().write(point, value)


class Desk:
    """Two devices, and the results."""

    def __init__(self) -> None:
        self.slow, self.quick = SlowDriver(), FakeDriver()
        self.log = io.StringIO()
        self.writes = DeviceWrites({"slow": self.slow, "quick": self.quick}, EventLog(stream=self.log))
        self.results: list[Result] = []
        self.number = 0

    def order(self, device: str, point: int, value: float) -> None:
        self.number += 1
        where = Point(point, f"P{point}", device, "a", FieldType.F64, "fast")
        self.writes.put(Order(("app", "one", "out"), where, value, value, 1, self.number))

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


async def test_writes_to_a_device_go_out_in_order_with_the_newest_value_of_each_point() -> None:
    desk = Desk()
    desk.writes.start(desk.results.append)
    desk.order("slow", 1, 1.0)
    await desk.settle()
    for point, value in ((2, 2.0), (3, 3.0), (2, 2.5), (1, 1.5)):
        desk.order("slow", point, value)
    for _ in range(4):
        desk.slow.let.release()
    await desk.settle()
    assert desk.slow.written == [(1, 1.0), (2, 2.5), (3, 3.0), (1, 1.5)]
    assert [result.order.number for result in desk.results] == [1, 4, 3, 5]
    await desk.writes.stop()


async def test_a_slow_device_delays_no_other() -> None:
    desk = Desk()
    desk.writes.start(desk.results.append)
    desk.order("slow", 1, 1.0)
    for value in (1.0, 2.0):
        desk.order("quick", 1, value)
        await desk.settle()
    assert desk.quick.written == [(1, 1.0), (1, 2.0)] and desk.slow.written == []
    desk.slow.let.release()
    await desk.writes.stop()


async def test_a_failed_write_is_a_result_and_is_not_repeated() -> None:
    desk = Desk()
    desk.writes.start(desk.results.append)
    desk.quick.refuses = "nobody answers"
    desk.order("quick", 1, 1.0)
    await desk.settle()
    desk.quick.refuses = ""
    await desk.settle()
    assert [result.error for result in desk.results] == ["nobody answers"] and desk.quick.written == []
    await desk.writes.stop()


async def test_a_bug_of_a_driver_costs_its_write_only() -> None:
    desk = Desk()
    desk.writes.start(desk.results.append)

    async def broken(point: FieldPoint, value: float) -> None:
        raise KeyError("oops")

    desk.quick.write = broken  # type: ignore[method-assign]
    desk.order("quick", 1, 1.0)
    await desk.settle()
    del desk.quick.write
    desk.order("quick", 1, 2.0)
    await desk.settle()
    assert [bool(result.error) for result in desk.results] == [True, False]
    assert "driver-bug" in desk.log.getvalue() and desk.quick.written == [(1, 2.0)]
    await desk.writes.stop()


async def test_a_result_says_since_when_the_device_had_been_connected() -> None:
    desk = Desk()
    desk.writes.start(desk.results.append)
    desk.slow.status.connected_since_us = 5
    desk.order("slow", 1, 1.0)
    await desk.settle()
    desk.slow.status.connected_since_us = 9
    desk.slow.let.release()
    await desk.settle()
    assert desk.results[0].since_us == 5 and desk.writes.since_us("slow") == 9
    await desk.writes.stop()


async def test_what_waits_at_a_stop_is_not_sent_and_nothing_is_taken_any_more() -> None:
    desk = Desk()
    desk.order("slow", 1, 0.0)
    desk.writes.start(desk.results.append)
    desk.order("slow", 1, 1.0)
    await desk.settle()
    desk.order("slow", 2, 2.0)
    await desk.settle()
    stopping = asyncio.create_task(desk.writes.stop())
    await desk.settle()
    desk.slow.let.release()
    desk.slow.let.release()
    await stopping
    desk.order("slow", 3, 3.0)
    await desk.settle()
    assert desk.slow.written == [(1, 1.0)], "the one that was under way"


async def test_an_order_that_comes_as_the_last_one_ends_is_carried_out() -> None:
    desk = Desk()

    def again(result: Result) -> None:
        if result.order.number < 3:
            desk.order("quick", 1, float(result.order.number))

    desk.writes.start(again)
    desk.order("quick", 1, 0.0)
    await desk.settle()
    assert desk.quick.written == [(1, 0.0), (1, 1.0), (1, 2.0)]
    await desk.writes.stop()
