"""A gateway that runs an app: outputs as points, alarms and events as batches, state over a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime import pointids
from edge_runtime.alarms.manager import AlarmManager
from edge_runtime.alarms.store import ALARMS, AlarmStore
from edge_runtime.apps.install import Wanted, install, remove
from edge_runtime.apps.loading import load_apps
from protocols import columns
from protocols.batch import Kind
from protocols.field import registry
from protocols.package import archive
from protocols.records import EventRecord, EventType, parse_events
from tests.app_parts import manifest
from tests.faults.test_gateway import Gateway
from tests.unit.fake_driver import FakeDriver

PROGRAM = b"""
PROGRAM watch
VAR_INPUT x : LREAL; END_VAR
VAR_INPUT CONSTANT limit : LREAL := -1.0; END_VAR
VAR_OUTPUT twice : LREAL; scans : DINT; high : BOOL; END_VAR
VAR RETAIN total : DINT; END_VAR
VAR guard : HIGH_ALARM; END_VAR
total := total + 1;
scans := total;
twice := 2.0 * x;
guard(IN := x, LIMIT := limit, ON_DELAY := T#300ms, PRIORITY := 2, TEXT := 'x is high');
high := guard.ACTIVE;
IF total = 3 THEN EVENT('third scan', VALUE := x); END_IF;
END_PROGRAM
"""
LIMIT = """
[parameters.limit]
default = -1.0
low = -10.0
high = 10.0
"""


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setattr(registry, "create", lambda name, settings, context: FakeDriver())
    made = Gateway(tmp_path / "gw", flush_s=0.2)
    ids = pointids.PointIds()
    for point in made.config.points:
        ids.claim(point.id, point.name, point.value_type)
    pointids.save(made.config.home, ids)
    package = archive.pack(
        {"app.toml": manifest("watch", events=True, more=LIMIT), "programs/watch.st": PROGRAM}
    )
    for name, read in (("one", "P1"), ("two", "P2")):
        install(made.config, package, "watch.capp", Wanted(instance=name, inputs={"x": read}))
    return made


def events(gateway: Gateway) -> list[EventRecord]:
    return [
        record
        for header, payload in gateway.batches()
        if header.kind is Kind.EVENT
        for record in parse_events(payload)
    ]


def series(gateway: Gateway) -> dict[int, dict[int, tuple[float, int]]]:
    """Value and quality by point and time."""
    found: dict[int, dict[int, tuple[float, int]]] = {}
    for header, payload in gateway.batches():
        if header.kind is Kind.DATA:
            for block in columns.decode(payload):
                rows = zip(block.point, block.time, block.value, block.quality, strict=True)
                for point, time_us, value, quality in rows:
                    assert int(time_us) not in found.setdefault(int(point), {})
                    found[int(point)][int(time_us)] = float(value), int(quality)
    return found


def test_each_scan_of_an_app_has_outputs_computed_from_that_instants_samples(gateway: Gateway) -> None:
    assert gateway.run(2.0) == 0
    [app] = load_apps(gateway.config)
    by_point = series(gateway)
    outputs = {name: gateway_id(gateway, f"watch.one.{name}") for name in app.built.outputs}
    twice, read = by_point[outputs["twice"]], by_point[1]
    assert len(twice) > 10
    for time_us, (value, quality) in twice.items():
        assert quality == 0 and value == 2.0 * read[time_us][0]
    scans = [int(value) for _, (value, _) in sorted(by_point[outputs["scans"]].items())]
    assert scans == list(range(1, len(scans) + 1))


def test_an_alarm_comes_within_one_scan_of_its_delay(gateway: Gateway) -> None:
    gateway.run(2.0)
    told = events(gateway)
    raised = [e for e in told if e.type is EventType.ALARM and e.transition == "raised"]
    assert {(e.instance, e.source, e.text, e.priority) for e in raised} == {
        ("one", "guard", "x is high", 2),
        ("two", "guard", "x is high", 2),
    }
    first_us = min(series(gateway)[gateway_id(gateway, "watch.one.scans")])
    assert all(e.time_us == first_us + 300_000 for e in raised)
    third = [e for e in told if e.type is EventType.EVENT]
    assert [(e.instance, e.text, e.time_us) for e in third] == [
        ("one", "third scan", first_us + 200_000),
        ("two", "third scan", first_us + 200_000),
    ]


def test_a_restart_goes_on_with_the_state_and_declares_what_was_not_scanned(gateway: Gateway) -> None:
    gateway.run(1.0)
    gateway.run(1.0)
    total = series(gateway)[gateway_id(gateway, "watch.one.scans")]
    values = [int(value) for _, (value, _) in sorted(total.items())]
    assert values == list(range(1, len(values) + 1)), "the second run goes on counting"
    times = np.array(sorted(total))
    holes = np.flatnonzero(np.diff(times) > 100_000)
    own = gateway_id(gateway, "watch.one.scans")
    declared = [gap for gap in gateway.all_gaps() if gap.points is not None and own in gap.points]
    for hole in holes:
        assert any(
            gap.t_from_us <= times[hole] + 100_000 and times[hole + 1] <= gap.t_to_us for gap in declared
        )
    started = [e for e in events(gateway) if e.type is EventType.APP and e.transition == "started"]
    assert [e.detail["start"] for e in started] == ["cold", "warm"]
    raised = [e for e in events(gateway) if e.transition == "raised"]
    assert len(raised) == 2, "an alarm that stands over a restart is not raised again"


def test_alarms_of_an_instance_and_of_an_app_that_are_no_more_are_removed(gateway: Gateway) -> None:
    gateway.run(1.0)
    settings = gateway.config.home / "apps" / "watch.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text[: text.index("[instance.two]")], encoding="utf-8")
    gateway.run(0.2)
    assert removed(gateway) == ["two"]
    remove(gateway.config.home, "watch")
    gateway.run(0.2)
    assert removed(gateway) == ["two", "one"]


def removed(gateway: Gateway) -> list[str]:
    return [event.instance for event in events(gateway) if event.transition == "removed"]


def test_an_alarm_that_ended_after_the_last_state_on_disk_comes_again(gateway: Gateway) -> None:
    """A killed gateway's alarms are newer than its apps' state."""
    gateway.run(1.0)
    store = AlarmStore.open(gateway.config.data / ALARMS)
    AlarmManager(store, lambda records: None).return_("watch", "one", "guard", None, 0, 1)
    store.close()
    gateway.run(1.0)
    raised = [e.instance for e in events(gateway) if e.transition == "raised"]
    assert sorted(raised) == ["one", "one", "two"]


def test_a_new_version_with_one_more_instance_keeps_what_is_retained(gateway: Gateway) -> None:
    gateway.run(1.0)
    own = gateway_id(gateway, "watch.one.scans")
    before = len(series(gateway)[own])
    newer = manifest("watch", events=True, version="1.1.0", more=LIMIT)
    package = archive.pack({"app.toml": newer, "programs/watch.st": PROGRAM})
    install(gateway.config, package, "watch.capp", Wanted(instance="three", inputs={"x": "P1"}))
    gateway.run(1.0)
    values = [int(value) for _, (value, _) in sorted(series(gateway)[own].items())]
    assert values == list(range(1, len(values) + 1))
    assert len(values) > before
    new = series(gateway)[gateway_id(gateway, "watch.three.scans")]
    assert min(int(value) for value, _ in new.values()) == 1


def gateway_id(gateway: Gateway, name: str) -> int:
    ids = pointids.load(gateway.config.home)
    (found,) = (id for id in range(1, 100) if (owner := ids.owner(id)) is not None and owner[0] == name)
    return found
