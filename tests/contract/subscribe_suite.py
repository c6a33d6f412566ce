"""What every driver that subscribes does: nothing lost that is not declared.

The server's `Ramp` points grow by one each period, so that a missing notification shows as
a step of more than one. They are collected through a `NotificationCache`, as the gateway does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from protocols.errors import DeviceError
from protocols.field.base import Driver, FieldPoint, Lost
from protocols.field.notifications import NotificationCache, Served
from protocols.samples import BAD, NO_SOURCE_TIME
from tests.contract.driver_suite import driver
from tests.contract.proxy import Proxy
from tests.contract.worlds import World, same

PERIOD_US = 100_000
PATIENCE_S = 15.0


class Collector:
    """Serves a cache at instants, as a gateway does, and remembers everything."""

    def __init__(self, points: tuple[FieldPoint, ...]) -> None:
        self.cache = NotificationCache(points)
        self.rows: dict[int, list[tuple[int, object, int, int]]] = {point.id: [] for point in points}
        self.lost: list[Lost] = []
        self.instant_us = 0

    async def scan(self) -> dict[int, tuple[object, int]]:
        """Wait for the next instant; value and quality of each point there."""
        now_us = time.time_ns() // 1000
        self.instant_us = (max(now_us, self.instant_us) // PERIOD_US + 1) * PERIOD_US
        await asyncio.sleep((self.instant_us - now_us) / 1e6)
        served = self.cache.serve(self.instant_us)
        self._remember(served)
        return {
            point: (value, quality)
            for block in served.samples
            for point, value, quality in zip(
                block.point.tolist(), block.value.tolist(), block.quality.tolist(), strict=True
            )
        }

    def _remember(self, served: Served) -> None:
        self.lost += served.lost
        for block in [*served.extras, *served.samples]:
            source = block.source_time if block.source_time is not None else [NO_SOURCE_TIME] * len(block)
            for row in zip(
                block.point.tolist(),
                block.time.tolist(),
                block.value.tolist(),
                block.quality.tolist(),
                source,
                strict=True,
            ):
                self.rows[row[0]].append((row[1], row[2], row[3], int(row[4])))

    async def until_good(self, point: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (await self.scan())[point][1] >= BAD:
            assert time.monotonic() < deadline, "no value came"

    async def until_bad(self, point: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (await self.scan())[point][1] < BAD:
            assert time.monotonic() < deadline, "the value stayed good"

    def undeclared_steps(self, point: int) -> list[tuple[int, int]]:
        """Steps of more than one that no declared interval covers, by the times at either side."""
        good = [(at, value) for at, value, quality, _ in sorted(self.rows[point]) if quality < BAD]
        declared = [lost for lost in self.lost if point in lost.points]
        steps = []
        for (t0, v0), (t1, v1) in pairwise(good):
            assert isinstance(v0, float) and isinstance(v1, float)
            if v1 - v0 > 1 and not any(each.from_us <= t1 and each.to_us >= t0 for each in declared):
                steps.append((t0, t1))
        return steps


RAMP = 103


@asynccontextmanager
async def subscribed(world: World, **settings: object) -> AsyncIterator[tuple[Driver, Proxy, Collector]]:
    points = (*world.points, world.missing)
    async with Proxy(world.port) as proxy:
        device = driver(world, proxy.port, **settings)
        collector = Collector(points)
        try:
            await device.connect()
            subscription = await device.subscribe(points, collector.cache, PERIOD_US / 1e6)
            assert subscription.points == points
            yield device, proxy, collector
        finally:
            await device.close()


async def test_every_point_gets_its_value_and_the_missing_one_its_reason(world: World) -> None:
    async with subscribed(world) as (device, _, collector):
        assert device.capabilities.subscribe
        await collector.until_good(RAMP)
        got = await collector.scan()
        types = {point.id: point.type for point in world.points}
        for point, (value, quality) in world.values.items():
            assert got[point][1] == quality, f"point {point}"
            if quality < BAD:
                assert same(got[point][0], value, types[point]), f"point {point}"
        assert got[world.missing.id][1] >= BAD
        assert device.status.notifications >= len(world.points)


async def test_every_change_comes_once_in_order_with_its_source_time(world: World) -> None:
    async with subscribed(world) as (_, _, collector):
        await collector.until_good(RAMP)
        for _ in range(10):
            await collector.scan()
        assert collector.lost == []
        assert collector.undeclared_steps(RAMP) == []
        rows = sorted(collector.rows[RAMP])
        times = [at for at, *_ in rows]
        assert len(set(times)) == len(times), "no two samples of a point share a time"
        good = [row for row in rows if row[2] < BAD]
        sources = [source for *_, source in good]
        assert sources == sorted(sources) and NO_SOURCE_TIME not in sources
        assert len({value for _, value, _, _ in good}) >= 5


@pytest.mark.parametrize("mode", ("drop", "silent", "garbage"))
async def test_what_an_outage_may_have_lost_is_declared(world: World, mode: str) -> None:
    async with subscribed(world) as (device, proxy, collector):
        await collector.until_good(RAMP)
        for _ in range(3):
            await collector.scan()
        before_us = collector.instant_us
        proxy.set(mode)
        await collector.until_bad(RAMP)
        proxy.set("pass")
        await collector.until_good(RAMP)
        await collector.scan()
        assert device.status.disconnects >= 1
        told, since = [lost for lost in collector.lost if RAMP in lost.points]
        assert before_us - 10 * PERIOD_US < told.from_us < told.to_us == since.from_us < since.to_us
        assert since.to_us <= collector.instant_us
        assert collector.undeclared_steps(RAMP) == []


async def test_a_queue_that_overflows_at_the_server_is_declared(world: World) -> None:
    async with subscribed(world, queue_size=2, publishing_ms=1000) as (_, _, collector):
        await collector.until_good(RAMP)
        for _ in range(22):
            await collector.scan()
        assert any(RAMP in lost.points for lost in collector.lost)
        assert collector.undeclared_steps(RAMP) == []


async def test_a_closed_subscription_brings_nothing_more(world: World) -> None:
    points = world.points
    async with Proxy(world.port) as proxy:
        device = driver(world, proxy.port)
        collector = Collector(points)
        try:
            await device.connect()
            subscription = await device.subscribe(points, collector.cache)
            await collector.until_good(RAMP)
            await subscription.close()
            await subscription.close()
            count = device.status.notifications
            for _ in range(3):
                await collector.scan()
            assert device.status.notifications == count
        finally:
            await device.close()


async def test_a_subscription_may_be_made_before_the_device_is_there(world: World) -> None:
    async with Proxy(world.port) as proxy:
        proxy.set("drop")
        device = driver(world, proxy.port)
        collector = Collector(world.points)
        try:
            with pytest.raises(DeviceError):
                await device.connect()
            await device.subscribe(world.points, collector.cache)
            assert (await collector.scan())[RAMP][1] >= BAD
            proxy.set("pass")
            await collector.until_good(RAMP)
            assert collector.lost == []
        finally:
            await device.close()


async def test_a_driver_told_to_read_refuses_to_subscribe(world: World) -> None:
    device = driver(world, world.port, collect="read")
    assert not device.capabilities.subscribe
    with pytest.raises(DeviceError):
        await device.subscribe(world.points, NotificationCache(world.points))
    await device.close()


async def test_browsing_lists_what_can_be_collected(world: World) -> None:
    async with Proxy(world.port) as proxy:
        device = driver(world, proxy.port)
        try:
            await device.connect()
            found = {node.path: node for node in await device.browse()}
            by_address = {point.address: point for point in world.points}
            node = found["Plant/Int32"]
            assert node.type is by_address[node.address].type
            assert len([path for path in found if path.startswith("Plant/Ramp")]) == 100
            assert len(await device.browse(limit=5)) == 5
        finally:
            await device.close()
