"""Servers of other vendors that are killed, and come back on the same port."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocols.field.base import DriverContext
from protocols.field.registry import create
from tests.contract.driver_suite import all_bad, read, recovered, right
from tests.contract.worlds import World, modbus_world, opcua_world
from tests.peers.foreign import ForeignServer, start_modbus, start_opcua


def start(kind: str, folder: Path, port: int = 0) -> tuple[ForeignServer, World]:
    if kind == "libmodbus":
        modbus = start_modbus(folder, port)
        return modbus.server, modbus_world(modbus.port)
    opcua = start_opcua(folder, port)
    return opcua.server, opcua_world(opcua.port, opcua.namespace)


@pytest.mark.parametrize("kind", ("libmodbus", "node-opcua"))
async def test_a_killed_server_is_bad_and_good_again_when_it_returns(kind: str, tmp_path: Path) -> None:
    server, world = start(kind, tmp_path)
    device = create(world.driver, world.settings(world.port), DriverContext(device="dut"))
    try:
        await device.connect()
        groups = device.plan(world.points)
        right(world, await read(device, groups))
        server.kill()
        assert all_bad(await read(device, groups))
        server, world = start(kind, tmp_path, world.port)
        await recovered(world, device, groups)
    finally:
        await device.close()
        server.stop()
