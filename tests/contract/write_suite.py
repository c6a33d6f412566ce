"""What every driver does with a value to write; run over real servers by the modules that import it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from protocols.errors import DeviceError
from protocols.field.base import Driver, FieldPoint, FieldType
from protocols.field.registry import driver_type
from protocols.field.writing import fault
from tests.contract.driver_suite import BOUND_S, connected, driver, read, recovered, right
from tests.contract.worlds import World, same
from tests.peers.foreign import free_port


async def read_one(device: Driver, point: FieldPoint) -> Any:
    """The value of one point, which is good."""
    value, quality = (await read(device, device.plan([point])))[point.id]
    assert quality == 0, f"point {point.id}"
    return value


async def refusal(device: Driver, point: FieldPoint, value: float) -> str:
    """Why a write fails, within bounded time."""
    started = time.monotonic()
    with pytest.raises(DeviceError) as refused:
        await device.write(point, value)
    assert time.monotonic() - started < BOUND_S
    return str(refused.value)


async def test_what_is_written_is_read_back_bit_for_bit(world: World) -> None:
    async with connected(world) as (device, _):
        for point, new, old in world.writes:
            await device.write(point, new)
            assert same(await read_one(device, point), new, point.type), f"point {point.id}"
            await device.write(point, old)
            assert same(await read_one(device, point), old, point.type), f"point {point.id}"
        assert device.status.writes == 2 * len(world.writes) and device.status.writes_failed == 0
        right(world, await read(device, device.plan(world.points)))


async def test_a_refused_write_is_an_error_and_the_next_one_works(world: World) -> None:
    async with connected(world) as (device, _):
        for point in world.refused:
            why = await refusal(device, point, point.type is FieldType.BOOL or 1)
            assert "perhaps written" not in why
        assert device.status.writes_failed == len(world.refused)
        point, new, old = world.writes[0]
        await device.write(point, new)
        await device.write(point, old)
        right(world, await read(device, device.plan(world.points)))


async def test_a_value_that_the_type_does_not_hold_is_never_sent(world: World) -> None:
    async with connected(world) as (device, _):
        before = device.status.requests
        for point, _, _ in world.writes:
            for wrong in (float("nan"), float("inf"), 2**64):
                if fault(point.type, wrong):
                    with pytest.raises(ValueError, match="expected"):
                        await device.write(point, wrong)
        with pytest.raises(ValueError, match="expected"):
            await device.write(world.unwritable, 1)
        assert device.status.requests - before <= 2, "a subscription's own"


def test_what_can_be_read_only_is_known_before_it_is_written(world: World) -> None:
    kind = driver_type(world.driver)
    assert kind.writable(world.unwritable.address, world.unwritable.type)
    assert not any(kind.writable(point.address, point.type) for point, _, _ in world.writes)


async def test_a_write_without_a_connection_fails_at_once(world: World) -> None:
    device = driver(world, free_port())
    point, new, _ = world.writes[0]
    try:
        started = time.monotonic()
        with pytest.raises(DeviceError):
            await device.connect()
        assert "not sent" in await refusal(device, point, new)
        assert time.monotonic() - started < BOUND_S
    finally:
        await device.close()
    assert "not sent" in await refusal(device, point, new)


@pytest.mark.parametrize("mode", ("silent", "deaf"))
async def test_a_write_that_is_not_confirmed_ends_soon_and_is_not_repeated(world: World, mode: str) -> None:
    point, new, old = world.writes[0]
    async with connected(world) as (device, proxy), connected(world) as (other, _):
        await device.write(point, old)
        proxy.set(mode)
        assert "perhaps written" in await refusal(device, point, new)
        await other.write(point, old)
        proxy.set("pass")
        await recovered(world, device, device.plan(world.points))
        assert same(await read_one(device, point), old, point.type), "nothing was written once more"


async def test_a_connection_that_is_lost_under_a_write_fails_it(world: World) -> None:
    point, new, old = world.writes[0]
    async with connected(world) as (device, proxy):
        await device.write(point, old)
        proxy.set("silent")
        writing = asyncio.create_task(refusal(device, point, new))
        await asyncio.sleep(0.05)
        proxy.set("drop")
        assert "perhaps written" in await writing
        proxy.set("pass")
        await recovered(world, device, device.plan(world.points))
        assert same(await read_one(device, point), old, point.type)


@pytest.mark.parametrize("mode", ("garbage", "trickle"))
async def test_a_hostile_answer_to_a_write_is_an_error_of_the_device(world: World, mode: str) -> None:
    point, _, old = world.writes[0]
    async with connected(world) as (device, proxy):
        await device.write(point, old)
        proxy.set(mode)
        assert await refusal(device, point, old)
        proxy.set("pass")
        await recovered(world, device, device.plan(world.points))
