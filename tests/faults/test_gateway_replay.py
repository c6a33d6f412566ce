"""What a gateway recorded of an app is replayed exactly: over restarts, late devices and cold starts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import pointids
from edge_runtime.apps.install import Wanted, install
from edge_runtime.buffer import Buffer, Store
from edge_runtime.config import DeviceConfig, ScanClass
from edge_runtime.session import BUFFER
from headquarters import trust
from headquarters.lake.query import Engine
from headquarters.replay.package import job_of
from headquarters.replay.report import Report as Found
from headquarters.replay.run import Replay
from headquarters.replay.timeline import Timeline
from protocols.field import registry
from protocols.field.base import Group
from protocols.package import archive
from protocols.points import Report
from protocols.records import AppSight, AppState, StateKind
from protocols.samples import SampleBlock
from tests.app_parts import manifest
from tests.faults.test_gateway import MS, Gateway, NoClock
from tests.lake_parts import Headquarters, only
from tests.unit.fake_driver import FakeDriver

PROGRAM = b"""
PROGRAM watch
VAR_INPUT x : LREAL; y : LREAL; slow : LREAL; whole : DINT; END_VAR
VAR_OUTPUT total, seconds : DINT; sum : LREAL; high : BOOL; END_VAR
VAR scans : DINT; guard, always : HIGH_ALARM; lost : R_TRIG; END_VAR
scans := scans + 1;
total := scans;
seconds := whole;
sum := x + 2.0 * y + slow;
guard(IN := DINT_TO_LREAL(scans MOD 9), LIMIT := 3.5, ON_DELAY := T#200ms, TEXT := 'many scans');
always(IN := x, LIMIT := -1.0, ON_DELAY := T#300ms, TEXT := 'always');
high := guard.ACTIVE;
lost(CLK := IS_BAD(y));
IF lost.Q THEN EVENT('y is lost', VALUE := x); END_IF;
END_PROGRAM
"""
MANIFEST = manifest("watch", read=("x", "y", "slow", "whole"), events=True)
STUCK_S = 1.6
"""Longer than a scan waits for what it reads."""


class Stepping(FakeDriver):
    """Its values change twice a second."""

    async def read(self, group: Group, instant_us: int) -> list[SampleBlock]:
        blocks = await super().read(group, instant_us)
        return [replace(block, value=np.floor(2.0 * block.value)) for block in blocks]


class Plant:
    """Two devices; the second one can get stuck in a read, and its values are kept on change."""

    def __init__(self) -> None:
        self.stuck = False

    def create(self, name: str, settings: Any, context: Any) -> FakeDriver:
        return Stepping(before=self._before) if context.device == "other" else FakeDriver()

    async def _before(self, instant_us: int) -> None:
        if self.stuck and instant_us % (300 * MS):  # the fast class, not the slow one
            self.stuck = False
            await asyncio.sleep(STUCK_S)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Gateway, Engine, Path]:
    """A gateway's three lives, in a lake: one with a device that is late, a warm and a cold start."""
    root = tmp_path_factory.mktemp("replayed")
    gateway, plant = Gateway(root / "gw", flush_s=0.2), Plant()
    places = (
        ("plc", "fast", Report.ALWAYS),
        ("other", "fast", Report.CHANGE),
        ("other", "slow", Report.CHANGE),
    )
    points = tuple(
        replace(point, device=device, scan_class=scan, report=report)
        for point, (device, scan, report) in zip(gateway.config.points, places, strict=False)
    )
    scans = {**gateway.config.scan, "slow": ScanClass("slow", 300 * MS)}
    devices = {**gateway.config.devices, "other": DeviceConfig("other", "fake", {})}
    gateway.config = replace(gateway.config, points=points, scan=scans, devices=devices)
    ids = pointids.PointIds()
    for point in points:
        ids.claim(point.id, point.name, point.value_type)
    pointids.save(gateway.config.home, ids)
    package = archive.pack({"app.toml": MANIFEST, "programs/watch.st": PROGRAM})
    (root / "watch.capp").write_bytes(package)
    inputs = {"x": "P1", "y": "P2", "slow": "P3", "whole": "P1"}
    install(gateway.config, package, "watch.capp", Wanted(instance="one", inputs=inputs))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(registry, "create", plant.create)
        gateway.run(4.0, lambda: setattr(plant, "stuck", True))
        gateway.run(1.0)
        (gateway.config.data / "app-state" / "watch.state").unlink()
        gateway.run(1.0)
    return gateway, Engine(in_lake(gateway, root / "hq")), root


def in_lake(gateway: Gateway, home: Path) -> Path:
    """The lake that took all in."""
    headquarters = Headquarters(home)
    trust.allow(home, gateway.identity.public)
    headquarters = Headquarters(home)
    store = Store.open(gateway.config.data / BUFFER)
    buffer = Buffer(store, "gw1", gateway.identity.signing, headquarters=None, clock=NoClock())
    batches = [
        batch
        for offer in sorted(
            buffer.offers(), key=lambda offer: (str(offer.chain.stream) != "meta", offer.chain)
        )
        for batch in buffer.read(offer.chain, offer.oldest, 1 << 20, 1 << 40)
    ]
    store.close()
    headquarters.now_us = max(only(batch).header.t_max_us for batch in batches)
    headquarters.take(*map(only, batches))
    return headquarters.settings.lake


def replay(recorded: tuple[Gateway, Engine, Path], from_us: int = 0) -> Found:
    gateway, engine, root = recorded
    job = job_of(root / "watch.capp", gateway.config.home / "apps" / "watch.toml", "gw1")
    first_us, last_us = instants(engine)
    return Replay(engine, job).run(from_us or first_us, last_us + 1, lambda done, total: None)


def instants(engine: Engine) -> tuple[int, int]:
    sql = "SELECT epoch_us(min(time)), epoch_us(max(time)) FROM history WHERE name = 'watch.one.total'"
    [(first, last)] = engine.rows(sql)[1]
    return first, last


def marks(recorded: tuple[Gateway, Engine, Path]) -> list[AppState | AppSight]:
    gateway, engine, root = recorded
    job = job_of(root / "watch.capp", gateway.config.home / "apps" / "watch.toml", "gw1")
    return Timeline(engine, "gw1", "watch", job.key).marks(0, 1 << 60)


def test_states_are_recorded_at_each_start_and_stop(recorded: tuple[Gateway, Engine, Path]) -> None:
    kinds = [mark.kind for mark in marks(recorded) if isinstance(mark, AppState)]
    cold, warm, stop = StateKind.COLD, StateKind.WARM, StateKind.STOP
    assert kinds == [cold, stop, warm, stop, cold, stop]


def test_what_late_scans_did_not_see_is_recorded(recorded: tuple[Gateway, Engine, Path]) -> None:
    sights = [mark for mark in marks(recorded) if isinstance(mark, AppSight)]
    assert any(sight.lags[1] and not sight.lags[0] for sight in sights), "the second device alone was late"
    assert any(not any(sight.lags) for sight in sights), "it was on time again"


def test_all_of_it_is_replayed_to_the_bit(recorded: tuple[Gateway, Engine, Path]) -> None:
    report = replay(recorded)
    assert not report.differs, "\n".join(report.lines())
    assert report.trust.reasons == ()
    assert report.trust.states == 3
    texts = {event.text for event in report.recorded}
    assert texts == {"many scans", "y is lost", "always"}
    [total] = [output for output in report.outputs if output.name == "watch.one.total"]
    assert total.compared == report.scans and not total.only_recorded


def test_a_whole_number_of_a_program_can_be_read_from_a_point_of_floats(
    recorded: tuple[Gateway, Engine, Path],
) -> None:
    sql = (
        "SELECT min(value - epoch(time)), max(value - epoch(time)) FROM history WHERE quality = 0 AND name = "
    )
    [(low, high)] = recorded[1].rows(sql + "'watch.one.seconds'")[1]
    assert -0.5 <= low <= high <= 0.5


def test_a_cold_start_takes_back_what_its_first_scan_does_not_see(
    recorded: tuple[Gateway, Engine, Path],
) -> None:
    report = replay(recorded)
    told = [(event.transition, event.value is None) for event in report.recorded if event.text == "always"]
    assert told == [("raised", False), ("returned", True), ("raised", False)]


def test_points_kept_on_change_have_fewer_samples_than_scans(recorded: tuple[Gateway, Engine, Path]) -> None:
    sql = "SELECT name, count(*) FROM history WHERE name IN ('P1', 'P2') GROUP BY name ORDER BY name"
    (_, always), (_, changed) = recorded[1].rows(sql)[1]
    assert changed < always / 2


def test_a_replay_from_the_midst_begins_with_a_recorded_state(
    recorded: tuple[Gateway, Engine, Path],
) -> None:
    first_us, last_us = instants(recorded[1])
    warm = next(m for m in marks(recorded) if isinstance(m, AppState) and m.kind is StateKind.WARM)
    for from_us in (first_us + 3_000_000, warm.time_us + 500_000, last_us - 300_000):
        report = replay(recorded, from_us)
        assert not report.differs, "\n".join(report.lines())
        assert report.trust.state_us is not None and report.trust.reasons == ()
