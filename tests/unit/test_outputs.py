"""What an app may write, when it is written, and what is told of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.apps.install import Wanted, install
from edge_runtime.apps.installed import Grant, InstalledApp
from edge_runtime.apps.loading import load_apps
from edge_runtime.apps.outputs import Decision, Gate, Outputs, raw_value
from edge_runtime.check import check_apps
from edge_runtime.config import DeviceConfig, GatewayConfig, ScanClass
from edge_runtime.devicewrites import Result
from protocols.errors import InputError
from protocols.field.base import FieldType
from protocols.package import archive
from protocols.points import Point
from tests.app_parts import manifest

PROGRAM = b"""
PROGRAM p
VAR_INPUT x : LREAL; END_VAR
VAR_OUTPUT trip : BOOL; level : LREAL; END_VAR
trip := x > 1.0; level := x;
END_PROGRAM
"""
POINTS = (
    Point(1, "X", "plc", "input:0", FieldType.F32, "fast"),
    Point(2, "XV", "plc", "coil:3", FieldType.BOOL, "fast"),
    Point(3, "LC", "plc", "holding:10", FieldType.UINT16, "fast", scale=0.1, low=0.0, high=100.0),
    Point(4, "ZS", "plc", "discrete:3", FieldType.BOOL, "fast"),
    Point(5, "RAW", "plc", "holding:10", FieldType.UINT16, "fast"),
)
TRIP = "[grant.one.trip]\npoint = 'XV'\n"
LEVEL = "[grant.one.level]\npoint = 'LC'\nlow = 0\nhigh = 50\n"


def configure(home: Path, grants: str, write: Sequence[str] = ("trip", "level")) -> GatewayConfig:
    """A gateway with one app that is installed with these grants."""
    devices = {"plc": DeviceConfig("plc", "modbus-tcp", {"host": "127.0.0.1"})}
    home.mkdir(exist_ok=True)
    config = GatewayConfig(home, "gw1", "site", {"fast": ScanClass("fast", 1000)}, devices, POINTS)
    package = archive.pack(
        {"app.toml": manifest("guard", write=write, period_s=1.0), "programs/guard.st": PROGRAM}
    )
    install(config, package, "guard.capp", Wanted(instance="one", inputs={"x": "X"}))
    with (home / "apps" / "guard.toml").open("a") as settings:
        settings.write(grants)
    return config


def refusals(config: GatewayConfig) -> str:
    with pytest.raises(InputError) as refused:
        load_apps(config)
    return str(refused.value)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> InstalledApp:
    [app] = load_apps(configure(tmp_path_factory.mktemp("gw"), TRIP + LEVEL))
    return app


# -- the gate --------------------------------------------------------------------------------------


def test_a_granted_output_is_written_to_the_point_that_the_grant_names(app: InstalledApp) -> None:
    admitted = Gate(app).admit("one", "level", 20.04)
    assert not isinstance(admitted, str)
    assert (admitted.point.name, admitted.raw, admitted.value) == ("LC", 200, 20.0)


def test_an_app_without_grants_writes_nothing(app: InstalledApp) -> None:
    gate = Gate(replace(app, grants=()))
    assert gate.admit("one", "trip", True) == gate.admit("one", "level", 1.0) == "nothing grants it"
    outputs = Outputs(replace(app, grants=()), lambda device: None)
    assert outputs.names == () and outputs.scan(1, []) == Decision([], [])


def test_a_grant_of_another_output_or_instance_lets_nothing_else_pass(app: InstalledApp) -> None:
    gate = Gate(replace(app, grants=app.grants[:1]))
    assert not isinstance(gate.admit("one", "trip", True), str)
    assert gate.admit("one", "level", 1.0) == "nothing grants it"
    assert gate.admit("two", "trip", True) == "nothing grants it"


def test_a_grant_of_what_the_manifest_does_not_ask_for_lets_nothing_pass(app: InstalledApp) -> None:
    manifest = app.built.package.manifest
    silent = replace(manifest, permissions=replace(manifest.permissions, write=()))
    built = replace(app.built, package=replace(app.built.package, manifest=silent))
    gate = Gate(replace(app, built=built))
    assert gate.admit("one", "trip", True) == gate.admit("one", "level", 1.0) == "nothing grants it"


@pytest.mark.parametrize("value", (-0.01, 50.01, math.inf, -math.inf, math.nan))
def test_a_value_outside_the_range_of_the_grant_does_not_pass(app: InstalledApp, value: float) -> None:
    assert "expected 0 to 50" in str(Gate(app).admit("one", "level", value))


def test_no_rounding_leaves_the_range_of_the_grant(app: InstalledApp) -> None:
    [_, level] = app.grants
    narrow = replace(level, low=0.24, high=0.96)
    assert raw_value(narrow, 0.96) == 9 and raw_value(narrow, 0.24) == 3
    assert raw_value(replace(level, low=0.0, high=0.3), 0.3) == 3, "0.3 / 0.1 is a little less than 3"
    assert raw_value(replace(level, low=0.31, high=0.39), 0.35) is None, "no register means a value between"


@pytest.mark.parametrize(
    ("type", "scale", "offset", "value", "raw"),
    (
        (FieldType.INT16, 0.5, -10.0, -5.0, 10),
        (FieldType.INT16, -0.5, 0.0, 5.0, -10),
        (FieldType.UINT16, 1.0, 0.0, 7, 7),
        (FieldType.UINT16, 1.0, 100.0, 7.0, None),
        (FieldType.INT64, 1.0, 0.0, 2**53 + 1, 2**53 + 1),
        (FieldType.F32, 0.1, 0.0, 2.0, 20.0),
        (FieldType.F32, 1e-30, 0.0, 1e10, None),
        (FieldType.F64, 1e-300, 0.0, 1e10, None),
        (FieldType.INT32, 1e-300, 0.0, 1e10, None),
    ),
)
def test_scaling_is_undone(type: FieldType, scale: float, offset: float, value: float, raw: Any) -> None:
    point = Point(1, "P", "plc", "holding:1", type, "fast", scale=scale, offset=offset)
    got = raw_value(Grant("one", "level", point, -1e300, 1e300), value)
    assert got == raw and (raw is None or isinstance(got, float) == isinstance(raw, float))


# -- binding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grants", "said"),
    (
        ("[grant.one.trip]\npoint = 'ZS'\n", "discrete inputs and input registers can only be read"),
        (LEVEL.replace("50", "inf"), "a finite number"),
        (LEVEL.replace("LC", "RAW").replace("50", "65536"), "uint16, the point's type at the device"),
        (LEVEL.replace("50", "101"), "within the point's own range"),
        ("[grant.one.level]\npoint = 'LC'\nlow = 0\n", "a finite number"),
        (TRIP.replace("trip", "other"), "an output that the app asks to write"),
        (TRIP.replace("one", "two"), "an instance of the app"),
    ),
)
def test_a_grant_that_cannot_hold_is_refused_before_the_gateway_runs(
    tmp_path: Path, grants: str, said: str
) -> None:
    assert said in refusals(configure(tmp_path, grants))


def test_a_grant_of_what_the_manifest_does_not_ask_for_is_refused(tmp_path: Path) -> None:
    assert "permissions.write" in refusals(configure(tmp_path, TRIP, write=()))


def test_two_points_that_are_one_at_the_device_are_warned_of(tmp_path: Path) -> None:
    two = "[instance.two]\ninputs = {x = 'X'}\n"
    config = configure(tmp_path, two + LEVEL + TRIP)
    assert not [each for each in check_apps(config) if "grant" in each.place]
    with (tmp_path / "apps" / "guard.toml").open("a") as settings:
        settings.write(LEVEL.replace("one", "two").replace("LC", "RAW"))
    [warning] = [each for each in check_apps(config) if "grant" in each.place]
    assert warning.place == "[grant.two.level] point" and warning.value == "RAW (holding:10)"
    assert "guard, instance one, output level, point LC does" in warning.expected


# -- scan by scan ----------------------------------------------------------------------------------


class Hand:
    """Gives an app's outputs scan by scan, and says what became of orders."""

    def __init__(self, app: InstalledApp) -> None:
        self.since_us: int | None = 5
        self.outputs = Outputs(app, lambda device: self.since_us)
        self.time_us = 0

    def scan(self, trip: tuple[float, int], level: tuple[float, int]) -> Decision:
        self.time_us += 1
        return self.outputs.scan(self.time_us, [trip, level])

    def level(self, value: float, quality: int = 0) -> Decision:
        return self.scan((False, 2), (value, quality))

    def finish(self, decision: Decision, error: str = "") -> list[str]:
        """What is told of the decision's only order."""
        [order] = decision.orders
        return [said.kind for said in self.outputs.done(Result(order, error, self.since_us))]


def test_the_first_value_is_written_and_then_every_change(app: InstalledApp) -> None:
    hand = Hand(app)
    first = hand.scan((True, 0), (20.0, 0))
    assert [(order.point.name, order.raw, order.time_us) for order in first.orders] == [
        ("XV", True, 1),
        ("LC", 200, 1),
    ]
    assert first.orders[0].who == ("guard", "one", "trip")
    assert hand.scan((True, 0), (20.0, 0)).orders == [], "they are under way"
    for order in first.orders:
        assert [said.kind for said in hand.outputs.done(Result(order, "", 5))] == ["written"]
    assert hand.scan((True, 0), (20.04, 0)).orders == [], "the register is the same"
    [changed] = hand.scan((True, 0), (20.06, 0)).orders
    assert (changed.point.name, changed.raw, round(changed.value, 9)) == ("LC", 201, 20.1)
    assert hand.outputs.counters.writes == 2


@pytest.mark.parametrize("quality", (1, 2))
def test_a_value_that_is_not_good_leaves_the_device_as_it_is(app: InstalledApp, quality: int) -> None:
    hand = Hand(app)
    hand.finish(hand.level(20.0))
    assert hand.level(30.0, quality) == Decision([], [])
    assert hand.level(20.0).orders == []
    assert len(hand.level(30.0).orders) == 1


def test_a_refused_value_is_told_when_it_begins_and_when_it_is_over(app: InstalledApp) -> None:
    hand = Hand(app)
    hand.finish(hand.level(20.0))
    for value, kinds in (
        (99.0, ["write-refused"]),
        (math.nan, []),
        (77.0, []),
        (20.0, ["write-allowed"]),
    ):
        decision = hand.level(value)
        assert [said.kind for said in decision.said] == kinds and decision.orders == []
        assert bool(hand.outputs.troubles()) is (value != 20.0)
    assert hand.outputs.counters.refused == 3


def test_after_a_failed_write_the_value_of_the_next_scan_is_written(app: InstalledApp) -> None:
    hand = Hand(app)
    assert hand.finish(hand.level(20.0), "no answer") == ["write-failed"]
    assert hand.finish(hand.level(20.0), "no answer") == [], "told once"
    assert [(grant.point.name, why) for grant, why in hand.outputs.troubles()] == [("LC", "no answer")]
    assert hand.level(20.0, 2).orders == [], "a bad value is not written again either"
    again = hand.level(30.0)
    assert [order.raw for order in again.orders] == [300]
    assert hand.finish(again) == ["written", "write-recovered"]
    assert hand.level(30.0).orders == []
    assert (hand.outputs.counters.writes, hand.outputs.counters.failed) == (1, 2)


def test_a_failure_of_an_order_that_a_newer_one_overtook_leads_to_no_third(app: InstalledApp) -> None:
    hand = Hand(app)
    [old], [new] = hand.level(20.0).orders, hand.level(30.0).orders
    hand.outputs.done(Result(old, "no answer", 5))
    assert hand.level(30.0).orders == [], "the newer one is under way"
    assert [said.kind for said in hand.outputs.done(Result(new, "", 5))] == ["written", "write-recovered"]
    assert hand.level(30.0).orders == []


def test_a_device_that_connected_anew_gets_its_value_again(app: InstalledApp) -> None:
    hand = Hand(app)
    hand.finish(hand.level(20.0))
    hand.since_us = None
    assert hand.level(20.0).orders == [], "there is nobody to tell"
    hand.since_us = 9
    assert hand.finish(hand.level(20.0)) == ["written"]
    assert hand.level(20.0).orders == []
