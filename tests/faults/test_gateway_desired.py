"""A whole gateway whose desired state changes: new sessions in one process, returns, drift, reports."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_runtime import main
from edge_runtime.apps.loading import load_apps
from edge_runtime.buffer import Buffer, Store
from edge_runtime.config import GatewayConfig
from edge_runtime.configread import load
from edge_runtime.desired import service as services
from edge_runtime.desired.firmware import NoSlots
from edge_runtime.desired.recovery import load_home
from edge_runtime.desired.service import DesiredService
from edge_runtime.session import BUFFER
from protocols import columns
from protocols.batch import Header, Kind
from protocols.daemon import EventLog, Stop, alone
from protocols.desired import (
    AppSettings,
    Document,
    Drift,
    Grant,
    InstanceSettings,
    Item,
    ItemKind,
    ItemState,
    Report,
)
from protocols.errors import InputError, Problem
from protocols.field import registry
from protocols.field.base import FieldPoint, Group
from protocols.identity import Identity
from protocols.package import archive
from protocols.records import Gap, GapCause, parse_events, parse_gaps
from tests.app_parts import manifest
from tests.desired.parts import Shelf
from tests.faults.test_gateway import NoClock, inflate_if_record
from tests.unit.fake_driver import FakeDriver

CONFIG = """
[gateway]
id = "unit-1"
site = "plant-a"

[scan.fast]
period_s = 0.1

[device.plc]
driver = "modbus-tcp"
host = "192.0.2.1"

[buffer]
flush_s = 0.2
"""
HEAD = "name,device,address,type,scan_class,unit,low,high,report\n"
P1 = "P1,plc,holding:0,f64,fast,,0,1e12,always\n"
P2 = "P2,plc,holding:4,f64,fast,,0,100,always\n"
POISON = "P9,plc,holding:666,f64,fast,,0,100,always\n"
"""A point that the check lets pass and the device's driver refuses."""

PROGRAM = b"""
PROGRAM half
VAR_INPUT x : LREAL; END_VAR
VAR_OUTPUT y : LREAL; END_VAR
y := 0.5 * x;
END_PROGRAM
"""


class Picky(FakeDriver):
    def plan(self, points: list[FieldPoint]) -> list[Group]:  # type: ignore[override]
        for point in points:
            if point.address == "holding:666":
                place = f"point {point.id}"
                raise InputError([Problem("", place, point.address, "a register that the device has")])
        return super().plan(points)


class Managed:
    """A home, its headquarters, and what came of it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "gw"
        self.home.mkdir()
        Identity.create(self.home, "unit-1", "gateway", "plant-a")
        (self.home / "gateway.toml").write_text(CONFIG)
        (self.home / "points.csv").write_text(HEAD + P1)
        self.shelf = Shelf(folder / "shelf")
        self.log = io.StringIO()
        self.version = 0
        self.code: int | None = None
        self._stop = Stop()
        self._thread: threading.Thread | None = None
        self.service: DesiredService | None = None

    def desire(self, *items: Item) -> None:
        self.version += 1
        self.shelf.document = Document("unit-1", self.version, items)

    def start(self) -> None:
        self._stop = Stop()
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def stop(self) -> None:
        self._stop.ask()
        assert self._thread is not None
        self._thread.join(30)
        assert self.code == 0, self.log.getvalue()

    def end(self) -> None:
        """Stop, whatever a test left running."""
        self._stop.ask()
        if self._thread is not None:
            self._thread.join(30)

    def wait(self, what: Callable[[], bool], seconds: float = 40.0) -> None:
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, self.log.getvalue()
            time.sleep(0.05)

    def states(self) -> dict[str, str]:
        if self.service is None:
            return {}
        return {item["item"]: item["state"] for item in self.service.status()["items"]}

    def is_at(self, version: int, **states: str) -> bool:
        """Whether a version is in force, and items stand so; `_` in names is `/`."""
        if self.service is None or self.service.status()["document"] != version:
            return False
        return self.states() == {name.replace("_", "/"): state for name, state in states.items()}

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]

    def config(self) -> GatewayConfig:
        return load(self.home)

    def points(self, text: str, version: str, drift: Drift = Drift.REPORT) -> Item:
        path = f"config/unit-1-{version}.csv"
        return self._item(ItemKind.POINTS, "unit-1", version, path, text.encode(), drift)

    def app(self, version: str = "1.0.0", write: bool = False) -> Item:
        files = {
            "app.toml": manifest("half", write=("y",) if write else (), version=version),
            "programs/half.st": PROGRAM,
        }
        settings = AppSettings(
            instances={"one": InstanceSettings({"x": "P1"})},
            grants={"one": {"y": Grant("P2", 0.0, 50.0)}} if write else {},
        )
        length, sha256 = self.shelf.put(archive.pack(files))
        path = f"apps/own/half-{version}.capp"
        return Item(ItemKind.APP, "half", version, path, length, sha256, app=settings)

    def batches(self) -> Iterator[tuple[Header, bytes]]:
        store = Store.open(self.home / "data" / BUFFER)
        signing = Identity.load(self.home).signing
        buffer = Buffer(store, "unit-1", signing, headquarters=None, clock=NoClock())
        for offer in buffer.offers():
            for batch in buffer.read(offer.chain, offer.oldest, 1 << 20, 1 << 40):
                header = Header.parse(batch.header)
                yield header, inflate_if_record(header, batch.payload)
        store.close()

    def reports(self) -> list[Report]:
        return [Report.parse(payload) for header, payload in self.batches() if header.kind is Kind.REPORT]

    def _item(self, kind: ItemKind, id: str, version: str, path: str, data: bytes, drift: Drift) -> Item:
        length, sha256 = self.shelf.put(data)
        return Item(kind, id, version, path, length, sha256, drift=drift)

    def _live(self) -> None:
        log = EventLog(stream=self.log)
        config, identity = load_home(self.home), Identity.load(self.home)
        config.data.mkdir(exist_ok=True)
        with alone(config.data):
            self.service = DesiredService(config, identity, lambda *_: self.shelf, NoSlots(), log, 0.2)
            self.code = main.live(config, identity, log, self._stop, lambda *_: self.service)


@pytest.fixture
def managed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Managed]:
    monkeypatch.setattr(registry, "create", lambda name, settings, context: Picky())
    monkeypatch.setattr(services, "CONFIRM_S", 1.0)
    monkeypatch.setattr(services, "WATCH_S", 0.1)
    made = Managed(tmp_path)
    yield made
    made.end()


def stamps(home: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of all that desired state could touch."""
    found = {}
    for folder, _, names in os.walk(home):
        for name in names:
            path = Path(folder) / name
            inside = path.relative_to(home)
            if inside.parts[0] != "data" or inside.parts[1] == "desired" or inside.name == "point_ids.json":
                found[str(inside)] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def test_a_gateway_takes_what_is_desired_in_a_new_session_and_says_so(managed: Managed) -> None:
    managed.start()
    managed.wait(lambda: "gateway-ready" in managed.events())
    managed.desire(managed.points(HEAD + P2 + P1, "2"), managed.app())
    managed.wait(lambda: managed.is_at(1, points="active", app_half="active"))
    first = stamps(managed.home)
    time.sleep(1.0)
    assert stamps(managed.home) == first, "a no-op touches nothing"
    managed.desire(*managed.shelf.document.items)  # type: ignore[union-attr]
    managed.wait(lambda: managed.is_at(2, points="active", app_half="active"))
    changed = {name for name, stamp in stamps(managed.home).items() if first.get(name) != stamp}
    assert changed == {"data/desired/accepted"}, "nor does a new version of the same"
    managed.stop()
    assert [event for event in managed.events() if event == "gateway-ready"] == ["gateway-ready"] * 2
    config = managed.config()
    assert {point.name: point.id for point in config.points} == {"P1": 1, "P2": 2}, "ids are for good"
    last = managed.reports()[-1]
    assert last.document == 2 and last.settled and last.sha256 == managed.shelf.document.sha256  # type: ignore[union-attr]
    assert all(gap.cause is not GapCause.STORE_DAMAGED for gap in gaps(managed))
    instants = sorted(
        {
            int(t) // 100_000
            for header, payload in managed.batches()
            if header.kind is Kind.DATA
            for block in columns.decode(payload)
            for p, t in zip(block.point, block.time, strict=True)
            if p == 1
        }
    )
    missing = set(range(instants[0], instants[-1] + 1)) - set(instants)
    declared = {
        instant
        for gap in gaps(managed)
        for instant in range(gap.t_from_us // 100_000, gap.t_to_us // 100_000 + 1)
    }
    assert missing <= declared, "every instant has a sample or lies in a declared gap"


def gaps(managed: Managed) -> list[Gap]:
    return [
        gap for header, payload in managed.batches() if header.kind is Kind.GAP for gap in parse_gaps(payload)
    ]


def test_what_a_check_refuses_stops_nothing(managed: Managed) -> None:
    managed.start()
    managed.wait(lambda: "gateway-ready" in managed.events())
    before = (managed.home / "points.csv").read_bytes()
    managed.desire(managed.points(HEAD + "P1,nowhere,holding:0,f64,fast,,,,always\n", "2"), managed.app())
    managed.wait(lambda: managed.is_at(1, points="failed", app_half="active"))
    assert (managed.home / "points.csv").read_bytes() == before
    managed.stop()
    report = managed.reports()[-1]
    item = next(item for item in report.items if item.ref == "points")
    assert item.state is ItemState.FAILED and "nowhere" in item.why and "candidate" not in item.why


def test_what_does_not_run_goes_back_in_the_same_process(managed: Managed) -> None:
    managed.desire(managed.points(HEAD + P1, "1"))
    managed.start()
    managed.wait(lambda: managed.is_at(1, points="active"))
    managed.desire(managed.points(HEAD + P1 + POISON, "2"), managed.app())
    managed.wait(lambda: managed.is_at(2, points="failed", app_half="active"))
    managed.stop()
    assert "desired-returned" in managed.events()
    assert [point.name for point in managed.config().points] == ["P1"]
    item = next(item for item in managed.reports()[-1].items if item.ref == "points")
    assert item.running == "1" and "a register that the device has" in item.why


def test_local_changes_are_reported_as_drift(managed: Managed) -> None:
    managed.desire(managed.points(HEAD + P1, "1"))
    managed.start()
    managed.wait(lambda: managed.is_at(1, points="active"))
    (managed.home / "points.csv").write_text(HEAD + P1 + P2)
    managed.wait(lambda: managed.is_at(1, points="drifted"))
    assert (managed.home / "points.csv").read_text() == HEAD + P1 + P2
    managed.desire(managed.points(HEAD + P1, "1", Drift.OVERWRITE))
    managed.wait(lambda: managed.is_at(2, points="active"))
    managed.stop()
    assert (managed.home / "points.csv").read_text() == HEAD + P1
    states = [item.state for report in managed.reports() for item in report.items]
    assert ItemState.DRIFTED in states and states[-1] is ItemState.ACTIVE


def test_grants_of_a_managed_gateway_count_only_when_signed(managed: Managed) -> None:
    managed.desire(managed.points(HEAD + P1 + P2, "1"), managed.app(write=True))
    managed.start()
    managed.wait(lambda: managed.is_at(1, points="active", app_half="active"))
    managed.stop()
    [app] = load_apps(managed.config())
    assert [(grant.point.name, grant.low, grant.high) for grant in app.grants] == [("P2", 0.0, 50.0)]
    settings = managed.home / "apps" / "half.toml"
    settings.write_text(settings.read_text().replace("50.0", "100.0"))
    [app] = load_apps(managed.config())
    assert not app.grants and [grant.high for grant in app.ungranted] == [100.0]
    managed.start()
    managed.wait(lambda: managed.is_at(1, points="active", app_half="drifted"))
    managed.stop()
    told = [
        event
        for header, payload in managed.batches()
        if header.kind is Kind.EVENT
        for event in parse_events(payload)
        if event.transition == "grant-refused"
    ]
    assert told and told[0].detail == {"point": "P2", "low": 0.0, "high": 100.0}
    accepted = managed.home / "data" / "desired" / "accepted"
    accepted.write_bytes(accepted.read_bytes().replace(b"50.0", b"99.0"))
    [app] = load_apps(managed.config())
    assert not app.grants, "a document that was altered here grants nothing"


def test_a_refused_document_is_told_as_an_event(managed: Managed) -> None:
    managed.desire()
    managed.desire()
    managed.start()
    managed.wait(lambda: managed.service is not None and managed.service.status()["document"] == 2)
    managed.shelf.document = Document("unit-1", 1)
    managed.wait(lambda: "desired-refused" in managed.events())
    managed.stop()
    told = [
        event
        for header, payload in managed.batches()
        if header.kind is Kind.EVENT
        for event in parse_events(payload)
    ]
    assert any(event.transition == "refused" and "at least version 2" in event.text for event in told)
