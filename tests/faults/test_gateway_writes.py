"""A gateway whose app writes to a device: real Modbus servers, one of which dies and comes back."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime import pointids
from edge_runtime.apps.install import Wanted, install
from edge_runtime.config import DeviceConfig
from protocols.field.base import FieldPoint, FieldType
from protocols.field.registry import create
from protocols.package import archive
from protocols.points import Point
from protocols.records import EventType
from tests.contract.worlds import QUICK
from tests.faults.test_gateway import Gateway
from tests.faults.test_gateway_apps import events, gateway_id, series
from tests.peers.foreign import ROOT, ForeignServer, free_port

PROGRAM = b"""
PROGRAM guard
VAR_INPUT x : LREAL; END_VAR
VAR_OUTPUT trip : BOOL; level : DINT; END_VAR
VAR delay : TON; END_VAR
delay(IN := x > 10.0, PT := T#300ms);
trip := delay.Q;
level := LREAL_TO_DINT(x);
END_PROGRAM
"""
MANIFEST = """
[app]
id = "guard"
version = "1.0.0"
class = "safety"
publisher = "catchment"
period_s = 0.1
title = {en = "Guard", zh = "\u76d1\u89c6"}
summary = {en = "Guards.", zh = "\u76d1\u89c6"}
[permissions]
read = ["x"]
write = ["trip", "level"]
events = true
[[program]]
file = "programs/guard.st"
"""
GRANTS = """
[grant.one.trip]
point = "XV"
[grant.one.level]
point = "LC"
low = 0
high = 50
"""
POINTS = (
    Point(1, "X", "meter", "holding:0", FieldType.UINT16, "fast"),
    Point(2, "XV", "plc", "coil:3", FieldType.BOOL, "fast"),
    Point(3, "LC", "plc", "holding:10#CDAB", FieldType.INT32, "fast"),
)


class Plant:
    """Two Modbus servers, and a hand that turns their values."""

    def __init__(self) -> None:
        self.ports = {"meter": free_port(), "plc": free_port()}
        self.servers: dict[str, ForeignServer] = {}

    def start(self, device: str) -> None:
        command = [sys.executable, "-m", "tests.contract.servers", "modbus", str(self.ports[device])]
        self.servers[device] = ForeignServer(command, ROOT).__enter__()

    def kill(self, device: str) -> None:
        self.servers.pop(device).__exit__(None, None, None)

    def set_x(self, value: int) -> None:
        asyncio.run(self._set(value))

    async def _set(self, value: int) -> None:
        driver = create("modbus-tcp", {"host": "127.0.0.1", "port": self.ports["meter"], **QUICK})
        await driver.connect()
        await driver.write(FieldPoint(1, "holding:0", FieldType.UINT16), value)
        await driver.close()


@pytest.fixture
def plant() -> Iterator[Plant]:
    made = Plant()
    try:
        for device in made.ports:
            made.start(device)
        made.set_x(0)
        yield made
    finally:
        for device in list(made.servers):
            made.kill(device)


@pytest.fixture
def gateway(tmp_path: Path, plant: Plant) -> Gateway:
    made = Gateway(tmp_path / "gw", flush_s=0.2)
    devices = {
        name: DeviceConfig(name, "modbus-tcp", {"host": "127.0.0.1", "port": port, **QUICK})
        for name, port in plant.ports.items()
    }
    made.config = replace(made.config, devices=devices, points=POINTS)
    ids = pointids.PointIds()
    for point in made.config.points:
        ids.claim(point.id, point.name, point.value_type)
    pointids.save(made.config.home, ids)
    package = archive.pack({"app.toml": MANIFEST.encode(), "programs/guard.st": PROGRAM})
    install(made.config, package, "guard.capp", Wanted(instance="one", inputs={"x": "X"}))
    with (made.config.home / "apps" / "guard.toml").open("a") as settings:
        settings.write(GRANTS)
    return made


def log_has(gateway: Gateway, event: str) -> None:
    until = time.monotonic() + 10.0
    while event not in gateway.events():
        assert time.monotonic() < until, gateway.log.getvalue()
        time.sleep(0.02)


def test_a_trip_is_written_and_read_back_within_a_scan_of_the_rule_s_delay(
    gateway: Gateway, plant: Plant
) -> None:
    gateway.run(3.0, lambda: plant.set_x(20))
    high = [t for t, (value, _) in series(gateway)[1].items() if value > 10]
    trips = [t for t, (value, _) in series(gateway)[gateway_id(gateway, "guard.one.trip")].items() if value]
    assert min(trips) == min(high) + 300_000
    written = [e for e in events(gateway) if e.type is EventType.WRITE and e.source == "trip"]
    assert [(e.transition, e.value, e.detail["point"]) for e in written] == [
        ("written", 0.0, "XV"),
        ("written", 1.0, "XV"),
    ]
    assert written[1].detail["scan_us"] == min(trips)
    read_back = min(t for t, (value, _) in series(gateway)[2].items() if value)
    assert 0 < read_back - min(trips) <= 300_000, "one scan to write, one to read, one for a busy machine"
