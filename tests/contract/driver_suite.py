"""What every driver does, whatever it talks to; run over real servers by the modules that import it.

A `world` fixture says which. Points are read, also where a driver would rather subscribe.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from protocols.errors import DeviceError, InputError
from protocols.field.base import Driver, DriverContext, DriverState, FieldPoint, FieldType, Group
from protocols.field.registry import create
from protocols.samples import BAD, SampleBlock
from tests.contract.proxy import Proxy
from tests.contract.worlds import World, same
from tests.peers.foreign import free_port

BOUND_S = 2.5
"""More than any driver may wait with these settings, on a busy machine."""

RECOVERY_S = 10.0


def driver(world: World, port: int, **settings: object) -> Driver:
    return create(world.driver, world.settings(port) | settings, DriverContext(device="dut"))


@asynccontextmanager
async def connected(world: World, **settings: object) -> AsyncIterator[tuple[Driver, Proxy]]:
    async with Proxy(world.port) as proxy:
        device = driver(world, proxy.port, **settings)
        try:
            await device.connect()
            yield device, proxy
        finally:
            await device.close()


async def read(
    device: Driver, groups: list[Group], instant_us: int = 5_000_000
) -> dict[int, tuple[Any, int]]:
    """Value and quality by point; asserts that each comes once, with the stamp, in its own type."""
    blocks: list[SampleBlock] = []
    for group in groups:
        started = time.monotonic()
        got = await device.read(group, instant_us)
        assert time.monotonic() - started < BOUND_S
        assert sorted(point.id for point in group.points) == sorted(i for b in got for i in b.point.tolist())
        types = {point.id: point.value_type for point in group.points}
        assert all(types[i] is block.type for block in got for i in block.point.tolist())
        blocks += got
    for block in blocks:
        assert (block.time == instant_us).all()
    return {
        point: (value, quality)
        for block in blocks
        for point, value, quality in zip(
            block.point.tolist(), block.value.tolist(), block.quality.tolist(), strict=True
        )
    }


def all_bad(got: dict[int, tuple[Any, int]]) -> bool:
    return all(quality >= BAD for _, quality in got.values())


def right(world: World, got: dict[int, tuple[Any, int]]) -> None:
    """Assert that what was read is what the server has."""
    types = {point.id: point.type for point in world.points}
    for point, (value, quality) in world.values.items():
        assert got[point][1] == quality, f"point {point}"
        if quality < BAD:
            assert same(got[point][0], value, types[point]), f"point {point}"


async def recovered(world: World, device: Driver, groups: list[Group]) -> None:
    """Wait until everything is read again."""
    deadline = time.monotonic() + RECOVERY_S
    while all_bad(got := await read(device, groups)) or got[world.points[0].id][1] >= BAD:
        assert time.monotonic() < deadline, device.status
        await asyncio.sleep(0.02)
    right(world, got)


async def test_every_point_is_read_once_with_its_stamp_and_value(world: World) -> None:
    async with connected(world) as (device, _):
        right(world, await read(device, device.plan(world.points)))
        assert device.status.state is DriverState.CONNECTED
        assert device.status.responses >= 1 and device.status.bytes_received > 0


async def test_rows_keep_their_places_from_read_to_read(world: World) -> None:
    async with connected(world) as (device, _):
        [group, *_] = device.plan(world.points)
        layouts = []
        for instant_us in (1_000_000, 2_000_000):
            blocks = await device.read(group, instant_us)
            layouts.append([(block.type, block.point.tolist()) for block in blocks])
        assert layouts[0] == layouts[1]


async def test_an_address_that_the_device_lacks_marks_only_its_own_point(world: World) -> None:
    async with connected(world) as (device, _):
        groups = device.plan((*world.points, world.missing))
        for _ in range(2):
            got = await read(device, groups)
            assert got[world.missing.id][1] >= BAD
            right(world, got)


async def test_reads_at_the_same_time_keep_their_own_stamps(world: World) -> None:
    async with connected(world) as (device, _):
        groups = device.plan(world.points)
        both = await asyncio.gather(read(device, groups, 1_000_000), read(device, groups, 2_000_000))
        for got in both:
            right(world, got)


async def test_addresses_that_make_no_sense_are_all_told_at_once(world: World) -> None:
    async with connected(world) as (device, _):
        wrong = [FieldPoint(number, world.wrong, FieldType.F32) for number in (1, 2)]
        with pytest.raises(InputError) as refusal:
            device.plan(wrong)
        assert [problem.value for problem in refusal.value.problems] == [world.wrong] * 2


async def test_a_device_that_is_not_there_is_bad_at_once_and_good_when_it_comes(world: World) -> None:
    port = free_port()
    device = driver(world, port)
    try:
        with pytest.raises(DeviceError):
            await device.connect()
        groups = device.plan(world.points)
        started = time.monotonic()
        assert all_bad(await read(device, groups))
        assert time.monotonic() - started < 0.5
        async with Proxy(world.port, port):
            await recovered(world, device, groups)
            await device.close()
    finally:
        await device.close()


async def test_a_lost_connection_is_bad_quality_and_comes_back(world: World) -> None:
    async with connected(world) as (device, proxy):
        groups = device.plan(world.points)
        right(world, await read(device, groups))
        proxy.set("drop")
        assert all_bad(await read(device, groups))
        proxy.set("pass")
        await recovered(world, device, groups)
        assert device.status.disconnects >= 1 and device.status.connects >= 2


async def test_a_silent_device_costs_a_bounded_wait_and_then_none(world: World) -> None:
    async with connected(world) as (device, proxy):
        groups = device.plan(world.points)
        proxy.set("silent")
        for _ in range(4):
            assert all_bad(await read(device, groups))
        quick = 0
        for _ in range(10):
            started = time.monotonic()
            assert all_bad(await read(device, groups))
            quick += time.monotonic() - started < 0.1
        assert quick >= 7, "most reads of a silent device answer at once"
        proxy.set("pass")
        await recovered(world, device, groups)


@pytest.mark.parametrize("mode", ("garbage", "truncate", "trickle", "mix"))
async def test_a_hostile_device_is_bad_quality_and_no_error(world: World, mode: str) -> None:
    async with connected(world) as (device, proxy):
        groups = device.plan(world.points)
        proxy.set(mode)
        deadline = time.monotonic() + 0.8
        while time.monotonic() < deadline:
            await read(device, groups)
            await asyncio.sleep(0.01)
        proxy.set("pass")
        await recovered(world, device, groups)


async def test_a_silent_device_delays_no_other(world: World) -> None:
    async with connected(world) as (device, _), connected(world) as (other, proxy):
        groups = device.plan(world.points)
        proxy.set("silent")
        waiting = asyncio.create_task(read(other, other.plan(world.points)))
        for _ in range(3):
            started = time.monotonic()
            right(world, await read(device, groups))
            assert time.monotonic() - started < 1.0
        assert all_bad(await waiting)


async def test_close_may_come_twice_and_in_the_middle_of_a_read(world: World) -> None:
    async with connected(world) as (device, proxy):
        groups = device.plan(world.points)
        proxy.set("silent")
        waiting = asyncio.create_task(read(device, groups))
        await asyncio.sleep(0.05)
        await device.close()
        assert all_bad(await waiting)
        await device.close()
        assert all_bad(await read(device, groups))
        assert device.status.state is DriverState.CLOSED
        with pytest.raises(DeviceError):
            await device.connect()


async def test_a_read_may_be_cancelled(world: World) -> None:
    async with connected(world) as (device, proxy):
        groups = device.plan(world.points)
        proxy.set("silent")
        waiting = asyncio.create_task(read(device, groups))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        proxy.set("pass")
        await recovered(world, device, groups)
