"""The carbon account: figures worked out on paper, and faults of the plant."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.apps.carbon_by_hand import DEAR, LOST, UNLIKELY
from tests.apps.carbon_recordings import DEAD, TAGS, WET, WIRE
from tests.apps.parts import BEGIN_MS, Columns, Order, Run, watch
from tests.apps.plainly import Held

MINUTE_MS = 60_000
LOADED = {"coal_flow": 200.0, "gross_power": 500.0, "auxiliary_power": 25.0, "purchased_power": 0.0}


def an_hour(run: Run, values: Mapping[str, float]) -> dict[str, float]:
    """What an hour of constant values gives, a minute after it has ended."""
    for minute in range(62):
        scan = run.scan(BEGIN_MS + minute * MINUTE_MS, values)
    return {name: cells[0] for name, cells in scan.outputs.items()}


def test_an_hour_of_coal_gives_what_gb_t_32151_1_says() -> None:
    # 200 t x 20.0 GJ/t = 4000 GJ; x 0.0273 t/GJ x 0.98 x 44/12 = 392.392 t of CO2.
    run = Run("carbon", heating_value=20.0, carbon_content=0.0273, oxidised=0.98)
    hour = an_hour(run, LOADED)
    assert hour["coal_last_hour"] == pytest.approx(200.0)
    assert hour["co2_last_hour"] == pytest.approx(392.392)
    assert hour["net_last_hour"] == pytest.approx(475.0)
    assert hour["covered_last_hour"] == pytest.approx(1.0)
    # 200 t x 20.0 / 29.3076 = 136.483 t of standard coal for 475 MW.h.
    assert hour["coal_rate_last_hour"] == pytest.approx(136_483_369 / 475_000, rel=1e-6)
    assert hour["co2_flow"] == pytest.approx(392.392)
    assert hour["auxiliary_ratio"] == pytest.approx(5.0)


def test_limestone_gives_0_440_t_for_each_t_of_its_carbonate() -> None:
    # 200 t of coal take 8 t of limestone, of which 7.2 t are CaCO3: 3.168 t of CO2.
    run = Run("carbon", heating_value=20.0, carbon_content=0.0273, limestone_per_coal=0.04)
    assert an_hour(run, LOADED)["co2_last_hour"] == pytest.approx(392.392 + 3.168)


def test_a_unit_that_stands_emits_what_its_purchased_power_does() -> None:
    # 6 MW.h x 0.5703 t/(MW.h).
    stopped = {"coal_flow": 0.0, "gross_power": 0.0, "auxiliary_power": 6.0, "purchased_power": 6.0}
    hour = an_hour(Run("carbon"), stopped)
    assert hour["co2_last_hour"] == pytest.approx(3.4218)
    assert hour["net_last_hour"] == pytest.approx(0.0)
    assert hour["coal_rate"] == 0.0


def test_a_hole_is_not_filled_and_its_hour_is_uncertain() -> None:
    run = Run("carbon")
    for minute in range(62):
        away = 20 < minute < 40
        scan = run.scan(
            BEGIN_MS + minute * MINUTE_MS, LOADED | ({"coal_flow": None} if away else {"coal_flow": 180.0})
        )
        if away:
            assert scan.qualities["co2_flow"] == [2]
            assert scan.qualities["co2_hour"] == [1]
    assert scan.outputs["covered_last_hour"][0] == pytest.approx(40 / 60)
    assert scan.outputs["coal_last_hour"][0] == pytest.approx(180.0 * 40 / 60)
    assert scan.qualities["coal_last_hour"] == [1]
    assert scan.qualities["co2_hour"] == [0]


@pytest.mark.parametrize("lost", LOADED)
def test_the_account_needs_every_input(lost: str) -> None:
    run = Run("carbon")
    for minute in range(3):
        scan = run.scan(BEGIN_MS + minute * MINUTE_MS, LOADED | ({lost: None} if minute == 2 else {}))
    # The loss has not stood for its delay yet; the minute before it counts.
    assert scan.outputs["coal_hour"][0] == pytest.approx(200.0 / 60)
    assert scan.qualities["co2_flow"] == [2]


def test_the_account_goes_on_after_a_cold_start() -> None:
    before, after = Run("carbon"), Run("carbon")
    for minute in range(31):
        before.scan(BEGIN_MS + minute * MINUTE_MS, LOADED)
    after.live.retain(0, before.live.retained()[0])
    for minute in range(31, 62):
        scan = after.scan(BEGIN_MS + minute * MINUTE_MS, LOADED)
    # The minute in which it was started is a hole.
    assert scan.outputs["coal_last_hour"][0] == pytest.approx(200.0 * 59 / 60)


@pytest.mark.parametrize(("order", "text"), [(WIRE, UNLIKELY), (DEAD, LOST)])
def test_an_input_that_fails_is_told_after_the_delay(order: Order, text: str) -> None:
    begun = alarms(watch(TAGS, order.at_s + 20, [order]), Run("carbon"))
    # The instrument fails at its next tick, and the scan that sees it is the delay's first.
    assert begun == {text: order.at_s + 10}


def test_wet_coal_is_told_when_the_rate_has_stood_for_the_delay() -> None:
    seconds, limit, delay = 400, 325.0, Held(60_000)
    columns = watch(TAGS, seconds, [WET], seed=4)
    begun = alarms(columns, Run("carbon", coal_rate_high=limit, rate_delay=60_000))
    coal = net = 0.0
    due = []
    for second in range(seconds):
        fed, made, used = (columns[name][second] or 0.0 for name in list(TAGS)[:3])
        part = 1.0 if second == 0 else 1.0 / 61.0
        coal, net = coal + part * (fed - coal), net + part * (made - used - net)
        if delay(second * 1000, coal * 23.0 / 29.3076 * 1000.0 / net > limit):
            due.append(second)
    assert WET.at_s < begun[DEAR] == due[0]


def alarms(columns: Columns, run: Run) -> dict[str, int]:
    """When each alarm first began, in seconds."""
    begun: dict[str, int] = {}
    for second in range(len(columns["coal_flow"])):
        scan = run.scan(BEGIN_MS + second * 1000, {name: cells[second] for name, cells in columns.items()})
        for kind, text in run.told(scan):
            if kind == "alarm":
                begun.setdefault(text, second)
    return begun
