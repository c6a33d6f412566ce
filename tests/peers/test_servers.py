"""The foreign servers serve what their first lines promise; else every test on them misleads."""

from __future__ import annotations

from pathlib import Path

import pytest
from asyncua import Client
from asyncua.ua import StatusCodes
from pymodbus.client import ModbusTcpClient

from tests.peers import foreign
from tests.peers.foreign import ModbusPeer, OpcUaPeer


def word(register: int) -> int:
    return (register * 40503 + 7) % 65536


def bit(number: int) -> bool:
    return bool((number * 11) >> 3 & 1)


def test_libmodbus_serves_all_four_tables(modbus_peer: ModbusPeer) -> None:
    with ModbusTcpClient("127.0.0.1", port=modbus_peer.port) as client:
        assert client.read_holding_registers(9875, count=125).registers == [
            word(r) for r in range(9875, 10000)
        ]
        assert client.read_input_registers(0, count=3).registers == [65535 - word(r) for r in range(3)]
        assert client.read_coils(8, count=16).bits == [bit(c) for c in range(8, 24)]
        assert client.read_discrete_inputs(8, count=16).bits == [not bit(c) for c in range(8, 24)]
        assert client.read_holding_registers(9999, count=2).isError()


async def test_node_opcua_serves_constants_ramps_and_status(opcua_peer: OpcUaPeer) -> None:
    async with Client(opcua_peer.endpoint) as client:
        nodes = [
            client.get_node(f"ns={opcua_peer.namespace};s={name}") for name in ("Int64", "UInt64", "String")
        ]
        assert await client.read_values(nodes) == [-(2**63), 2**64 - 1, "锅炉 boiler"]
        ramp = client.get_node(f"ns={opcua_peer.namespace};s=Ramp2")
        value = await ramp.read_data_value(raise_on_bad_status=False)
        assert value.StatusCode is not None
        assert value.StatusCode.value == StatusCodes.BadSensorFailure
        assert value.SourceTimestamp is not None


def test_a_missing_server_names_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "MODBUS_SERVER", foreign.ROOT / "build" / "peers" / "none")
    with pytest.raises(foreign.MissingPeerError, match="make peers"):
        foreign.start_modbus(tmp_path)
