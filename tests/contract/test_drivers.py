"""The driver suite over the servers of the drivers' own libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract import driver_suite, write_suite
from tests.contract.worlds import World, start_modbus, start_opcua
from tests.peers.foreign import ForeignServer

START: dict[str, Callable[[Path], tuple[ForeignServer, World]]] = {
    "modbus": start_modbus,
    "opcua": start_opcua,
}


@pytest.fixture(scope="module", params=list(START))
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    server, world = START[request.param](tmp_path_factory.mktemp(request.param))
    with server:
        yield world


for _suite in (driver_suite, write_suite):
    for _name in dir(_suite):
        if _name.startswith("test_"):
            globals()[_name] = getattr(_suite, _name)
