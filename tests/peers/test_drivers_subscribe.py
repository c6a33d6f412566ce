"""The suite of subscribing drivers over node-opcua."""

from __future__ import annotations

import pytest

from tests.contract import subscribe_suite
from tests.contract.worlds import World, opcua_world
from tests.peers.foreign import OpcUaPeer


@pytest.fixture(scope="module")
def world(opcua_peer: OpcUaPeer) -> World:
    return opcua_world(opcua_peer.port, opcua_peer.namespace)


for _name in dir(subscribe_suite):
    if _name.startswith("test_"):
        globals()[_name] = getattr(subscribe_suite, _name)
