"""The driver suites over servers of other vendors: libmodbus and node-opcua."""

from __future__ import annotations

import pytest

from tests.contract import driver_suite, write_suite
from tests.contract.worlds import World, modbus_world, opcua_world
from tests.peers.foreign import ModbusPeer, OpcUaPeer


@pytest.fixture(scope="module", params=("libmodbus", "node-opcua"))
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "libmodbus":
        modbus: ModbusPeer = request.getfixturevalue("modbus_peer")
        return modbus_world(modbus.port)
    opcua: OpcUaPeer = request.getfixturevalue("opcua_peer")
    return opcua_world(opcua.port, opcua.namespace)


for _suite in (driver_suite, write_suite):
    for _name in dir(_suite):
        if _name.startswith("test_"):
            globals()[_name] = getattr(_suite, _name)
