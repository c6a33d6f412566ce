"""Heat rate: steam properties against IAPWS and CoolProp, and faults of the plant."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from CoolProp.CoolProp import PropsSI

from edge_runtime.rules import compile_program
from edge_runtime.rules.running.runner import Runner
from tests.apps.heat_rate_by_hand import ALARMS, VACUUM, enthalpy, results, saturation_kpa
from tests.apps.heat_rate_recordings import DESIGN, FOULING, TAGS, VACUUM_LOSS
from tests.apps.parts import BEGIN_MS, Columns, Order, Run, built, watch
from tests.apps.plainly import Held

KELVIN = 273.15

FUNCTIONS = """
PROGRAM functions
VAR_INPUT p : LREAL {unit 'MPa'}; t : LREAL {unit 'Cel'}; END_VAR
VAR_OUTPUT water, steam : LREAL; saturation : LREAL {unit 'MPa'}; boundary : LREAL {unit 'Cel'}; END_VAR
water := WATER_ENTHALPY(p, t);
steam := STEAM_ENTHALPY(p, t);
saturation := SATURATION_PRESSURE(t);
boundary := STEAM_BOUNDARY(p);
END_PROGRAM
"""


def computed(states: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
    """What the app's functions give at pressures in MPa and temperatures in Cel."""
    source = built("heat-rate").package.text("programs/heat_rate.st").partition("PROGRAM heat_rate")[0]
    runner = Runner(compile_program(source + FUNCTIONS), len(states))
    for at, cells in enumerate(zip(*states, strict=True)):
        runner.inputs[at][:] = cells
    runner.step()
    return {
        name: list(runner.outputs[at]) for at, name in enumerate(("water", "steam", "saturation", "boundary"))
    }


def test_enthalpies_and_saturation_are_those_of_the_tables_of_iapws() -> None:
    # R7-97(2012), tables 5, 15 and 35: kelvin, MPa, kJ/kg.
    water = ((300, 3, 115.331273), (300, 80, 184.142828), (500, 3, 975.542239))
    steam = ((300, 0.0035, 2549.91145), (700, 0.0035, 3335.68375), (700, 30, 2631.49474))
    saturation = ((300, 0, 0.00353658941), (500, 0, 2.63889776), (600, 0, 12.3443146))
    for name, table in (("water", water), ("steam", steam), ("saturation", saturation)):
        found = computed([(mpa, kelvin - KELVIN) for kelvin, mpa, _ in table])[name]
        assert found == pytest.approx([value for *_, value in table], rel=1e-8)
    # Eq. 6: 623.15 K at 16.5291643 MPa.
    assert computed([(16.5291643, 0.0)])["boundary"] == pytest.approx([350.0], abs=1e-6)


def test_water_agrees_with_coolprop_wherever_a_feed_pump_may_be() -> None:
    grid = [(mpa, float(t)) for mpa in (5.0, 12.0, 16.7, 20.0, 25.0, 32.0, 40.0) for t in range(20, 341, 10)]
    states = [(mpa, t) for mpa, t in grid if mpa * 1000 > saturation_kpa(t)]
    assert len(states) > 200
    assert computed(states)["water"] == pytest.approx([enthalpy(*each) for each in states], rel=1e-9)


def test_steam_agrees_with_coolprop_wherever_a_turbine_may_be() -> None:
    pressures = (0.5, 1.0, 2.0, 3.5, 4.5, 6.0, 10.0, 14.0, 16.5, 16.7, 20.0, 24.2, 28.0, 31.0)
    grid = [(mpa, float(t)) for mpa in pressures for t in range(230, 641, 10)]
    boundary = computed(grid)["boundary"]
    states = [
        (mpa, t)
        for (mpa, t), least in zip(grid, boundary, strict=True)
        if t > least + 0.5 or (mpa < 16.5 and (t > 350.0 or mpa * 1000 < saturation_kpa(t)))
    ]
    assert len(states) > 400
    assert computed(states)["steam"] == pytest.approx([enthalpy(*each) for each in states], rel=1e-9)


def test_saturation_agrees_with_coolprop_from_cold_to_critical() -> None:
    celsius = [5.0 + 5.0 * step for step in range(73)]
    found = computed([(1.0, each) for each in celsius])["saturation"]
    assert found == pytest.approx([saturation_kpa(each) / 1000 for each in celsius], rel=1e-9)


def test_if97_is_as_good_as_the_scientific_formulation_at_the_design_point() -> None:
    # IAPWS-95, of which IF97 is the industrial approximation: within 0.02% here.
    for flow in ("main", "hot_reheat", "cold_reheat", "feedwater"):
        mpa, celsius = DESIGN[f"{flow}_pressure"] or 0.0, DESIGN[f"{flow}_temperature"] or 0.0
        scientific = PropsSI("H", "P", mpa * 1e6, "T", celsius + KELVIN, "Water") / 1000
        assert enthalpy(mpa, celsius) == pytest.approx(scientific, rel=2e-4)


def test_the_design_point_has_the_heat_rate_of_its_heat_balance() -> None:
    # 500 kg/s x (3398.6 - 1206.4 + 0.85 x (3537.2 - 3018.6)) kJ/kg = 1,316,505 kW, for 600,000 kW.
    scan = Run("heat-rate").scan(BEGIN_MS, DESIGN)
    assert scan.outputs["heat_rate"][0] == pytest.approx(1_316_505 * 3600 / 600_000, abs=0.3)


@pytest.mark.parametrize(("fault", "text"), [(FOULING, ALARMS["condenser"]), (VACUUM_LOSS, VACUUM)])
def test_a_condensers_fault_is_told_as_soon_as_it_has_stood_for_the_delay(fault: Order, text: str) -> None:
    seconds = fault.at_s + 200
    columns, run = watch(TAGS, seconds, [fault]), Run("heat-rate", loss_delay=30_000)
    begun = alarms(columns, run, seconds)
    p = {name: float(each.column.initial[0]) for name, each in run.built.parameters.items()}
    loss, due = 0.0, []
    held = {ALARMS["condenser"]: Held(30_000), VACUUM: Held(p["condenser_delay"])}
    for second in range(seconds):
        value = {name: cells[second] or 0.0 for name, cells in columns.items()}
        fresh = results(value, p)["condenser_loss"]
        loss = fresh if second == 0 else loss + p["smoothing"] * (fresh - loss)
        over = {ALARMS["condenser"]: loss > p["loss_high"], VACUUM: value["condenser_pressure"] > 9.0}
        if held[text](second * 1000, over[text]):
            due.append(second)
    assert fault.at_s < begun[text] == due[0]


def test_a_unit_that_runs_well_is_quiet() -> None:
    assert alarms(watch(TAGS, 120, seed=4), Run("heat-rate"), 120) == {}


def test_what_is_not_of_this_scan_is_uncertain() -> None:
    run = Run("heat-rate")
    loaded = run.scan(BEGIN_MS, DESIGN)
    stopped = run.scan(BEGIN_MS + 1000, DESIGN | {"power": 0.0})
    assert (loaded.outputs["valid"][0], stopped.outputs["valid"][0]) == (True, False)
    assert stopped.outputs["heat_rate"] == loaded.outputs["heat_rate"]
    assert (loaded.qualities["heat_rate"][0], stopped.qualities["heat_rate"][0]) == (0, 1)


def test_steam_that_is_not_superheated_has_no_heat_rate() -> None:
    for wet in ({"main_pressure": 29.0, "main_temperature": 415.0}, {"cold_reheat_pressure": 9.0}):
        colder = DESIGN | {"cold_reheat_temperature": 300.0} | wet
        assert Run("heat-rate").scan(BEGIN_MS, colder).outputs["valid"] == [False]


def alarms(columns: Columns, run: Run, seconds: int) -> dict[str, int]:
    """When each alarm first began, in seconds."""
    begun: dict[str, int] = {}
    for second in range(seconds):
        scan = run.scan(BEGIN_MS + second * 1000, {name: cells[second] for name, cells in columns.items()})
        for kind, text in run.told(scan):
            if kind == "alarm":
                begun.setdefault(text, second)
    return begun
