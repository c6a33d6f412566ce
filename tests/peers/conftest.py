"""Running servers of other vendors, one of each a session; `tests.peers.foreign` starts more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.foreign import ModbusPeer, OpcUaPeer, start_modbus, start_opcua


@pytest.fixture(scope="session")
def modbus_peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModbusPeer]:
    """A Modbus TCP server on libmodbus."""
    peer = start_modbus(tmp_path_factory.mktemp("libmodbus"))
    with peer.server:
        yield peer


@pytest.fixture(scope="session")
def opcua_peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpcUaPeer]:
    """An OPC UA server on node-opcua."""
    peer = start_opcua(tmp_path_factory.mktemp("node-opcua"))
    with peer.server:
        yield peer
