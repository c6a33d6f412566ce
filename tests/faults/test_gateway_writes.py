"""A gateway whose app writes to a device: real Modbus servers, one of which dies and comes back."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
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
from tests.app_parts import manifest
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
MANIFEST = manifest("guard", write=("trip", "level"), events=True)
GRANTS = """
[grant.one.trip]
point = "XV"
[grant.one.level]
point = "LC"
low = 0
high = 50
"""
PATIENT = QUICK | {"timeout_s": 3.0}
"""A busy machine's server may be late; one that is dead says so at once."""

X = Point(1, "X", "meter", "holding:0", FieldType.UINT16, "fast")
XV = Point(2, "XV", "plc", "coil:3", FieldType.BOOL, "fast")
LC = Point(3, "LC", "plc", "holding:10#CDAB", FieldType.INT32, "fast")
POINTS = (X, XV, LC)


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

    def set(self, device: str, point: Point, value: float) -> None:
        asyncio.run(self._use(device, point, value))

    def get(self, device: str, point: Point) -> float:
        return asyncio.run(self._use(device, point, None))

    async def _use(self, device: str, point: Point, value: float | None) -> float:
        driver = create("modbus-tcp", {"host": "127.0.0.1", "port": self.ports[device], **QUICK})
        await driver.connect()
        try:
            field = FieldPoint(point.id, point.address, point.type)
            if value is not None:
                await driver.write(field, value)
            [block] = await driver.read(driver.plan([field])[0], 1)
            return float(block.value[0])
        finally:
            await driver.close()


def make_gateway(home: Path, plant: Plant) -> Gateway:
    made = Gateway(home, flush_s=0.2)
    devices = {
        name: DeviceConfig(name, "modbus-tcp", {"host": "127.0.0.1", "port": port, **PATIENT})
        for name, port in plant.ports.items()
    }
    made.config = replace(made.config, devices=devices, points=POINTS)
    ids = pointids.PointIds()
    for point in made.config.points:
        ids.claim(point.id, point.name, point.value_type)
    pointids.save(made.config.home, ids)
    package = archive.pack({"app.toml": MANIFEST, "programs/guard.st": PROGRAM})
    install(made.config, package, "guard.capp", Wanted(instance="one", inputs={"x": "X"}))
    with (made.config.home / "apps" / "guard.toml").open("a") as settings:
        settings.write(GRANTS)
    return made


class Story:
    """A gateway's life: x rises, leaves the grant of `level`, and falls while the device is away."""

    def __init__(self, home: Path) -> None:
        self.plant = Plant()
        self.coil = self.level = -1.0
        try:
            for device in self.plant.ports:
                self.plant.start(device)
            self.plant.set("meter", X, 0)
            self.gateway = make_gateway(home, self.plant)
            self.gateway.run(0.5, self._tell)
            self.coil = self.plant.get("plc", XV)
            self.level = self.plant.get("plc", LC)
        finally:
            for device in list(self.plant.servers):
                self.plant.kill(device)
        self.writes = [e for e in events(self.gateway) if e.type is EventType.WRITE]
        self.series = series(self.gateway)

    def _tell(self) -> None:
        self._until(lambda: self.plant.get("plc", LC) == 0)
        self.plant.set("meter", X, 20)
        self._until(lambda: self.plant.get("plc", XV) == 1)
        self.plant.set("meter", X, 99)
        self._until(lambda: "app-write-refused" in self.gateway.events())
        self.refused_level = self.plant.get("plc", LC)
        self.plant.set("meter", X, 30)
        self._until(lambda: "app-write-allowed" in self.gateway.events())
        self.plant.kill("plc")
        self.plant.set("meter", X, 5)
        self._until(lambda: self.gateway.events().count("app-write-failed") == 2)
        self.plant.start("plc")
        self._until(lambda: self.gateway.events().count("app-write-recovered") == 2)

    def _until(self, happened: Callable[[], bool]) -> None:
        until = time.monotonic() + 15.0
        while not happened():
            assert time.monotonic() < until, self.gateway.log.getvalue()
            time.sleep(0.02)

    def told(self, output: str) -> list[tuple[str, float | None]]:
        """Transitions and values of one output."""
        return [(event.transition, event.value) for event in self.writes if event.source == output]

    def output(self, name: str) -> dict[int, tuple[float, int]]:
        return self.series[gateway_id(self.gateway, f"guard.one.{name}")]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("writes") / "gw")


def test_a_trip_is_written_at_the_scan_at_which_the_rule_s_delay_ends(story: Story) -> None:
    high = min(t for t, (value, _) in story.series[1].items() if value > 10)
    tripped = min(t for t, (value, _) in story.output("trip").items() if value)
    assert tripped == min(t for t in story.output("trip") if t >= high + 300_000)
    [written] = [event for event in story.writes if event.source == "trip" and event.value == 1.0]
    assert written.detail["scan_us"] == tripped and written.time_us > tripped
    back = min(t for t, (value, quality) in story.series[2].items() if value and not quality)
    assert 0 < back - tripped <= 500_000, "one scan to write, one to read, the others for a busy machine"


def test_a_value_outside_its_range_is_told_once_and_never_written(story: Story) -> None:
    told = story.told("level")
    assert told[:5] == [
        ("written", 0.0),
        ("written", 20.0),
        ("write-refused", 99.0),
        ("write-allowed", 30.0),
        ("written", 30.0),
    ]
    assert story.refused_level == 20


def test_a_device_that_dies_is_told_once_and_gets_the_value_of_then_when_it_is_back(story: Story) -> None:
    assert story.told("trip") == [
        ("written", 0.0),
        ("written", 1.0),
        ("write-failed", 0.0),
        ("written", 0.0),
        ("write-recovered", 0.0),
    ]
    assert story.told("level")[5:] == [("write-failed", 5.0), ("written", 5.0), ("write-recovered", 5.0)]
    assert (story.coil, story.level) == (0, 5)


def test_collection_of_the_other_device_goes_on_all_the_time(story: Story) -> None:
    first = min(t for t, (_, quality) in story.series[2].items() if not quality)
    [dead, *_, last] = sorted(t for t, (_, q) in story.series[2].items() if q and t > first)
    during = {t: quality for t, (_, quality) in story.series[1].items() if dead <= t <= last}
    assert len(during) > (last - dead) // 200_000, "but for the overruns of a busy machine"
    assert not any(during.values())


def test_an_auditor_finds_who_wrote_what_where(story: Story) -> None:
    event = next(event for event in story.writes if event.value == 20.0)
    assert (event.app, event.instance, event.source, event.text) == ("guard", "one", "level", "LC = 20")
    assert event.detail == {
        "point": "LC",
        "device": "plc",
        "address": "holding:10#CDAB",
        "raw": 20,
        "scan_us": event.detail["scan_us"],
    }
    assert event.number > 0, "it is in the gateway's journal"


def test_the_status_counts_writes(story: Story) -> None:
    status = story.gateway.status()
    apps, devices = status["apps"], status["devices"]
    assert isinstance(apps, list) and isinstance(devices, list)
    [app] = apps
    writes = app["writes"]
    assert writes["made"] == len([event for event in story.writes if event.transition == "written"])
    assert writes["refused"] >= 1 and writes["failed"] >= 2 and writes["troubles"] == []
    [plc] = [device for device in devices if device["device"] == "plc"]
    assert plc["writes"] == writes["made"] and plc["writes_failed"] == writes["failed"]
