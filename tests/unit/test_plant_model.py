"""The simulated plant behaves like one, and is the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.plant.catalogue import Kind
from scripts.plant.model import BAD_SENSOR_FAILURE, RANGE_OF_KIND, Plant
from scripts.plant.unit import FULL_LOAD_MW, CoalUnits, Phase


def history(plant: Plant, seconds: int) -> np.ndarray:
    rows = []
    for _ in range(seconds):
        plant.step(1.0)
        rows.append(plant.held())
    return np.array(rows)


def column(plant: Plant, name: str) -> int:
    return [point.name for point in plant.points].index(name)


def test_a_unit_has_a_thousand_points_of_every_kind_with_tags_of_their_own() -> None:
    points = Plant(1000).points
    assert len(points) == len({point.name for point in points}) == 1000
    assert {point.kind for point in points} == set(Kind)


@pytest.mark.parametrize("count", (1, 7, 999, 1001, 2500))
def test_any_number_of_points_can_be_had(count: int) -> None:
    plant = Plant(count)
    plant.step(1.0)
    assert len(plant.points) == count == len(plant.held()) + len(plant.texts()) == len(plant.status())
    assert len({point.name for point in plant.points}) == count


def test_the_same_seed_gives_the_same_history_and_another_seed_another() -> None:
    first, again, other = (history(Plant(300, seed), 50) for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_held_values_are_what_the_field_types_can_hold() -> None:
    plant = Plant(1000, seed=2)
    held = history(plant, 120)
    assert not np.signbit(held[held == 0]).any()
    for index, point in enumerate(plant.points[: held.shape[1]]):
        values = held[:, index]
        if point.kind in RANGE_OF_KIND:
            low, high = RANGE_OF_KIND[point.kind]
            assert (values == np.rint(values)).all() and low <= values.min() and values.max() <= high
        elif point.kind is Kind.F32:
            assert (values == values.astype(np.float32)).all()
        if point.low is not None and point.high is not None:
            slack = 1e-6 * max(abs(point.low), abs(point.high))
            engineering = values * point.scale
            assert point.low - slack <= engineering.min() and engineering.max() <= point.high + slack


def test_floats_show_whole_multiples_of_their_resolution() -> None:
    plant = Plant(1000, seed=2)
    held = history(plant, 5)[-1]
    for index, point in enumerate(plant.points[: len(held)]):
        if point.kind is Kind.F64:
            assert held[index] == round(held[index], point.decimals)


def test_instruments_of_one_signal_move_together_and_steam_follows_load() -> None:
    units = CoalUnits(1, seed=3)
    rows = []
    for _ in range(3600):
        units.step(1.0)
        rows.append([float(units.signal(name)[0]) for name in ("load", "ms_flow", "fuel", "demand")])
    load, steam, fuel, demand = np.array(rows).T
    assert np.corrcoef(load, steam)[0, 1] > 0.95
    assert np.corrcoef(load, fuel)[0, 1] > 0.8
    assert np.abs(load - demand).max() < 0.1 * FULL_LOAD_MW


def test_a_tripped_unit_comes_to_rest_and_starts_again() -> None:
    units = CoalUnits(1, seed=3)
    units.order("trip", 0, 0.0)
    for _ in range(900):
        units.step(1.0)
    assert units.signal("load")[0] < 1.0 and units.signal("speed")[0] < 1000.0
    assert units.phase[0] == Phase.STOPPED
    units.order("start", 0, 0.0)
    passed = set()
    for _ in range(1500):
        units.step(1.0)
        passed.add(int(units.phase[0]))
    assert passed == {Phase.FIRING, Phase.ROLLING, Phase.ONLINE}
    assert units.signal("load")[0] > 50.0


@pytest.mark.parametrize(
    ("accident", "signal", "direction"),
    (
        ("vacuum-loss", "cond_p", 1),
        ("coal-wet", "ms_p", -1),
        ("feed-pump-trip", "load", -1),
        ("fan-trip", "air", -1),
    ),
)
def test_an_accident_shows_where_it_should_and_passes(accident: str, signal: str, direction: int) -> None:
    healthy, hurt = CoalUnits(1, seed=9), CoalUnits(1, seed=9)
    hurt.order(accident, 0, 120.0)
    for _ in range(100):
        healthy.step(1.0)
        hurt.step(1.0)
    assert direction * float(hurt.signal(signal)[0] - healthy.signal(signal)[0]) > 0
    assert hurt.signal("tripped")[0] != 0
    for _ in range(30):
        hurt.step(1.0)
    assert hurt.signal("tripped")[0] == 0


def test_sensor_faults_touch_their_own_sensor_only() -> None:
    plant, healthy = Plant(500, seed=6), Plant(500, seed=6)
    name = next(p.name for p in plant.points if "LBA10CF" in p.name)
    index = column(plant, name)
    plant.order("stuck", 0, 20.0, name)
    faulty, right = history(plant, 40), history(healthy, 40)
    assert len(set(faulty[:19, index])) == 1 and len(set(faulty[20:, index])) > 5
    assert np.array_equal(np.delete(faulty, index, 1), np.delete(right, index, 1))
    plant.order("dead", 0, 20.0, name)
    assert plant.status()[index] == BAD_SENSOR_FAILURE and plant.status().sum() == BAD_SENSOR_FAILURE


@pytest.mark.parametrize(
    ("name", "block", "point"),
    (("explode", 0, ""), ("trip", 3, ""), ("stuck", 0, "10XXX"), ("dead", 0, "10CJA10EA001")),
)
def test_an_order_that_cannot_be_carried_out_says_what_was_expected(
    name: str, block: int, point: str
) -> None:
    with pytest.raises(ValueError, match="expected"):
        Plant(1000).order(name, block, 1.0, point)
