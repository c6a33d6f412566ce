"""The judge's own idea of when alarms begin, against the apps themselves over a simulated plant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from edge_runtime.rules.apps.app import LiveApp
from edge_runtime.rules.apps.build import BuiltApp, build
from protocols.package import open_package
from scripts.demo.installing import APPS, INSTANCES
from scripts.judge.rules import RULES
from scripts.judge.seen import Scan, held_over
from scripts.plant.model import Plant

START_MS = 1_790_000_000_000
SCANS, PACE = 90, 5.0
ORDERS = {
    5: (("broken-wire", "10CYQ30CQ002"), ("broken-wire", "10CYQ10CQ001"), ("gas-leak", "CYQ10")),
    6: (("gas-leak", "CYQ30"), ("bearing-wear", "HNC60"), ("bearing-wear", "PAC60")),
    8: (("vacuum-loss", ""), ("gas-test", "CYQ30")),
    12: (("dead", "10HFB20CF001"), ("dead", "10CYQ20CQ001")),
    13: (("dead", "10CYQ20CQ002"), ("dead", "10CYQ20CQ003")),
    45: (("broken-wire", "10HFB20CF001"), ("condenser-fouling", "")),
}
"""What happens at which scan; each for 20 scans."""

PARAMETERS: dict[str, dict[str, float]] = {
    "gas-detection": {"test_max": 8000},
    "vibration": {"start_time": 5000, "temperature_high": 55.0},
    "heat-rate": {
        "loss_delay": 10000, "loss_high": 65.0, "main_temperature_target": 570.0,
        "reheat_temperature_target": 578.0, "main_pressure_none": 20.0, "oxygen_target": 1.0,
        "feedwater_none": 400.0,
    },
    "carbon": {"rate_delay": 10000, "coal_rate_high": 310.0},
}  # fmt: skip
"""Such that every alarm has its chance; times in milliseconds."""


ALARMS = {
    "gas-detection": ("pre", "tripped", "no_detector", "fault_a", "fault_b", "fault_c", "expired"),
    "vibration": ("zone_c", "zone_d", "hot"),
    "heat-rate": ("vacuum", "fouled", "cool_main", "cool_reheat", "low_pressure", "air", "cold_feed"),
    "carbon": ("lost", "unlikely", "dear"),
}
"""All that the judge expects; each of them happens in the histories below."""


@dataclass(frozen=True, slots=True)
class History:
    """What the instruments of a plant showed: value and badness, scan by scan, by name."""

    values: dict[str, np.ndarray]
    bad: dict[str, np.ndarray]

    def scans(self, inputs: dict[str, str]) -> list[Scan]:
        seen = {name: held_over(self.values[tag], self.bad[tag]) for name, tag in inputs.items()}
        return [
            Scan(
                (START_MS + 1000 * at) * 1000,
                {name: float(values[at]) for name, values in seen.items()},
                {name: bool(self.bad[tag][at]) for name, tag in inputs.items()},
            )
            for at in range(SCANS)
        ]


def history(seed: int) -> History:
    plant = Plant(1000, seed)
    numeric = [point for point in plant.points if point.low is not None]
    held, status = [], []
    for at in range(SCANS):
        for name, place in ORDERS.get(at, ()):
            plant.order(name, 0, 20 * PACE, place)
        plant.step(PACE)
        held.append(plant.held())
        status.append(plant.status()[: len(numeric)])
    values, bad = np.array(held), np.array(status) != 0
    names = [point.name for point in numeric]
    return History(
        {name: values[:, i] * numeric[i].scale for i, name in enumerate(names)},
        {name: bad[:, i] for i, name in enumerate(names)},
    )


def parameters(built: BuiltApp) -> dict[str, float]:
    declared = {name: range_.column.initial[0] for name, range_ in built.parameters.items()}
    return {**declared, **PARAMETERS[built.app.id]}


def raised(built: BuiltApp, scans: Sequence[Scan], given: dict[str, float]) -> list[tuple[str, int]]:
    """The alarms that the app itself raises: block and time."""
    live = LiveApp(built.app, 1, {name: (value,) for name, value in given.items()})
    found = []
    for scan in scans:
        values = {name: np.array([value]) for name, value in scan.value.items()}
        qualities = {name: np.array([2 * bad], np.int8) for name, bad in scan.bad.items()}
        for program, event in live.scan(scan.at_us // 1000, values, qualities).events:
            site = built.app.programs[program].program.events[event.code // 2]
            if site.kind == "alarm" and event.code % 2 == 0:
                found.append((site.path, scan.at_us))
    return sorted(found)


@pytest.fixture(scope="module")
def built() -> dict[str, BuiltApp]:
    return {app: build(open_package(APPS / app)) for app in RULES}


@pytest.mark.parametrize("seed", (1, 2))
def test_an_app_raises_its_alarms_exactly_when_the_judge_expects_them(
    built: dict[str, BuiltApp], seed: int
) -> None:
    shown = history(seed)
    seen: set[str] = set()
    for instance in INSTANCES:
        inputs = instance.on(list(shown.values))
        assert inputs is not None
        scans = shown.scans(inputs)
        given = parameters(built[instance.app])
        due = sorted((each.source, each.at_us) for each in RULES[instance.app](given, scans))
        assert due == raised(built[instance.app], scans, given), instance
        seen |= {f"{instance.app}/{source}" for source, _ in due}
    assert seen == {f"{app}/{source}" for app, sources in ALARMS.items() for source in sources}
