"""What every driver that subscribes does, over asyncua's own server; tests/peers runs it over node-opcua."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import subscribe_suite
from tests.contract.worlds import World, start_opcua


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    server, world = start_opcua(Path(tmp_path_factory.mktemp("opcua")))
    with server:
        yield world


for _name in dir(subscribe_suite):
    if _name.startswith("test_"):
        globals()[_name] = getattr(subscribe_suite, _name)
