"""The judge finds what was taken from a lake, added to it or altered in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.judge import Verdict, judge
from scripts.judge.lake import Lake
from scripts.judge.replayed import compare
from scripts.plant.layout import Protocol
from scripts.plant.model import BAD_SENSOR_FAILURE, Plant
from scripts.plant.replay import Replay, parse
from tests.unit.plant_lakes import PERIOD_US, START_US, FakeLake, write_log

POINTS, TICKS = 200, 12
BAD_TIMEOUT = 0x800A_0000
Doctor = Callable[[FakeLake], object]


def verdict_of(tmp_path: Path, protocol: Protocol, doctor: Doctor, silent: tuple[int, ...] = ()) -> Verdict:
    plant = Plant(POINTS, seed=5)
    write_log(tmp_path / "log", protocol, plant, TICKS, silent)
    lake = FakeLake.perfect(tmp_path / "log")
    doctor(lake)
    return judge(lake.write(tmp_path / "lake"), [tmp_path / "log"])


def name_of(protocol: Protocol, part: str) -> str:
    return next(p.name for p in Plant(POINTS, seed=5).points if part in p.name)


both = pytest.mark.parametrize("protocol", list(Protocol))


@both
def test_a_faithful_lake_passes(tmp_path: Path, protocol: Protocol) -> None:
    verdict = verdict_of(tmp_path, protocol, lambda lake: None)
    assert verdict.passed, verdict.examples
    assert verdict.expected == verdict.samples == POINTS * TICKS
    assert (verdict.late, verdict.bad, verdict.gaps) == (0, 0, 0)


@both
def test_a_removed_row_is_lost(tmp_path: Path, protocol: Protocol) -> None:
    # The point does not change at that tick, so an OPC UA judge misses the row and not a change.
    name = name_of(protocol, "BAC90GS")
    verdict = verdict_of(tmp_path, protocol, lambda lake: lake.rows.remove(lake.find(name, 5)))
    assert (verdict.lost, verdict.duplicated, verdict.wrong) == (1, 0, 0)
    assert verdict.examples == [f"lost: {name} at 2026-09-21T14:13:25.000+00:00"]


@both
def test_a_removed_row_in_a_declared_gap_is_not_lost(tmp_path: Path, protocol: Protocol) -> None:
    name = name_of(protocol, "LBA10CP")

    def doctor(lake: FakeLake) -> None:
        row = lake.find(name, 5)
        lake.rows.remove(row)
        lake.declare([int(row["series"]) - 99], 5, 6)

    verdict = verdict_of(tmp_path, protocol, doctor)
    assert verdict.passed, verdict.examples
    assert (verdict.in_gaps, verdict.gaps) == (1, 1)


@both
@pytest.mark.parametrize(("points", "first", "end"), (([1_000_000], 5, 6), (None, 4, 5), (None, 6, 7)))
def test_a_gap_of_another_point_or_time_excuses_nothing(
    tmp_path: Path, protocol: Protocol, points: list[int] | None, first: int, end: int
) -> None:
    name = name_of(protocol, "BAC90GS")

    def doctor(lake: FakeLake) -> None:
        lake.rows.remove(lake.find(name, 5))
        lake.declare(points, first, end)

    assert verdict_of(tmp_path, protocol, doctor).lost == 1


@both
def test_a_gap_of_all_points_excuses_a_whole_instant(tmp_path: Path, protocol: Protocol) -> None:
    def doctor(lake: FakeLake) -> None:
        lake.rows = [row for row in lake.rows if row["time"] != START_US + 5 * PERIOD_US]
        lake.declare(None, 5, 6)

    verdict = verdict_of(tmp_path, protocol, doctor)
    assert verdict.passed, verdict.examples
    assert verdict.in_gaps == POINTS


@both
def test_a_doubled_row_is_a_duplicate(tmp_path: Path, protocol: Protocol) -> None:
    name = name_of(protocol, "LBA10CP")
    verdict = verdict_of(tmp_path, protocol, lambda lake: lake.rows.append(dict(lake.find(name, 3))))
    assert (verdict.lost, verdict.duplicated, verdict.wrong) == (0, 1, 0)


@both
@pytest.mark.parametrize("part", ("MKA10CE", "HAH20CT", "CJA10EA", "BAC90GS", "MKA90CE"))
def test_an_altered_value_is_wrong_whatever_its_type(tmp_path: Path, protocol: Protocol, part: str) -> None:
    # More points than elsewhere, so that each type is among them.
    write_log(tmp_path / "log", protocol, Plant(1000, seed=5), 4)
    lake = FakeLake.perfect(tmp_path / "log")
    row = lake.find(f"10{part}001", 2)
    if row["text"] is not None:
        row["text"] += "?"
    else:
        row["value"] += max(abs(row["value"]), 1.0) * 1e-12
    verdict = judge(lake.write(tmp_path / "lake"), [tmp_path / "log"])
    assert (verdict.lost, verdict.duplicated, verdict.wrong) == (0, 0, 1)


def test_the_value_of_the_tick_beside_is_late_and_of_no_tick_is_wrong(tmp_path: Path) -> None:
    name = name_of(Protocol.MODBUS, "LBA10CF")

    def doctor(lake: FakeLake) -> None:
        values = [lake.find(name, tick)["value"] for tick in range(TICKS)]
        assert len({values[tick] for tick in (2, 3, 7, 8, 9, 10)}) == 6
        lake.find(name, 3)["value"] = values[2]
        lake.find(name, 8)["value"] = values[10]

    verdict = verdict_of(tmp_path, Protocol.MODBUS, doctor)
    assert (verdict.late, verdict.wrong) == (1, 1)


def test_a_value_where_the_server_was_silent_is_invented(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, Protocol.MODBUS, lambda lake: None, silent=(4, 5, 6, 7))
    assert verdict.wrong >= POINTS  # at the two inner instants; at the outer ones it may be late


def test_a_bad_quality_where_the_server_was_silent_is_right(tmp_path: Path) -> None:
    def doctor(lake: FakeLake) -> None:
        for row in lake.rows:
            if row["time"] == START_US + 5 * PERIOD_US:
                row["quality"] = BAD_TIMEOUT

    verdict = verdict_of(tmp_path, Protocol.MODBUS, doctor, silent=(5,))
    assert verdict.passed
    assert (verdict.bad, verdict.bad_though_served) == (POINTS, 0)


def test_a_bad_quality_where_the_server_answered_is_told(tmp_path: Path) -> None:
    name = name_of(Protocol.MODBUS, "LBA10CP")
    verdict = verdict_of(
        tmp_path, Protocol.MODBUS, lambda lake: lake.find(name, 3).update(quality=BAD_TIMEOUT)
    )
    assert (verdict.bad, verdict.bad_though_served) == (1, 1)


def test_an_opcua_row_of_a_time_that_no_tick_had_is_wrong(tmp_path: Path) -> None:
    name = name_of(Protocol.OPCUA, "BAC90GS")
    verdict = verdict_of(
        tmp_path, Protocol.OPCUA, lambda lake: lake.find(name, 3).update(source_time=START_US + 123)
    )
    assert verdict.wrong == 1


def test_a_stale_opcua_value_is_wrong_and_its_changes_are_lost(tmp_path: Path) -> None:
    name = name_of(Protocol.OPCUA, "LBA10CF")

    def doctor(lake: FakeLake) -> None:
        first = lake.find(name, 3)
        for tick in range(4, 9):
            lake.find(name, tick).update(value=first["value"], source_time=first["source_time"])

    verdict = verdict_of(tmp_path, Protocol.OPCUA, doctor)
    assert (verdict.late, verdict.wrong) == (2, 3)  # it was still right within the last two periods
    assert verdict.lost == 5


def test_a_change_that_comes_between_two_instants_is_not_lost(tmp_path: Path) -> None:
    name = name_of(Protocol.OPCUA, "LBA10CF")

    def doctor(lake: FakeLake) -> None:
        before, row = lake.find(name, 4), lake.find(name, 5)
        between = dict(row, time=START_US + 5 * PERIOD_US + 1_000)
        row.update(value=before["value"], source_time=before["source_time"])
        lake.rows.append(between)

    verdict = verdict_of(tmp_path, Protocol.OPCUA, doctor)
    assert verdict.passed, verdict.examples
    assert verdict.late == 1


def test_a_change_before_the_first_instant_makes_no_instant_due(tmp_path: Path) -> None:
    name = name_of(Protocol.OPCUA, "LBA10CF")

    def doctor(lake: FakeLake) -> None:
        early = dict(lake.find(name, 0), time=START_US + 400_000)
        lake.rows = [early, *(row for row in lake.rows if row["time"] > START_US)]

    verdict = verdict_of(tmp_path, Protocol.OPCUA, doctor)
    assert verdict.passed, verdict.examples


def test_the_status_of_a_dead_sensor_is_no_value(tmp_path: Path) -> None:
    plant = Plant(POINTS, seed=5)
    name = name_of(Protocol.OPCUA, "LBA10CP")
    plant.order("dead", 0, 1e9, name)
    write_log(tmp_path / "log", Protocol.OPCUA, plant, TICKS)
    lake = FakeLake.perfect(tmp_path / "log")
    assert lake.find(name, 3)["quality"] == BAD_SENSOR_FAILURE
    assert judge(lake.write(tmp_path / "right"), [tmp_path / "log"]).bad == TICKS
    lake.find(name, 3)["quality"] = 0
    assert judge(lake.write(tmp_path / "invented"), [tmp_path / "log"]).wrong == 1


@both
def test_everything_until_a_clean_stop_is_due(tmp_path: Path, protocol: Protocol) -> None:
    write_log(tmp_path / "log", protocol, Plant(POINTS, seed=5), TICKS)
    lake = FakeLake.perfect(tmp_path / "log")
    lake.rows = [row for row in lake.rows if row["time"] < START_US + 10 * PERIOD_US]
    path = lake.write(tmp_path / "lake")
    until = START_US + 11 * PERIOD_US + 1
    assert judge(path, [tmp_path / "log"], until_us=until).lost >= 2 * POINTS
    assert judge(path, [tmp_path / "log"], until_us=START_US + 10 * PERIOD_US).lost == 0


@both
def test_a_gateway_that_delivered_nothing_lost_everything(tmp_path: Path, protocol: Protocol) -> None:
    write_log(tmp_path / "log", protocol, Plant(POINTS, seed=5), TICKS)
    lake = FakeLake.perfect(tmp_path / "log")
    lake.rows = []
    verdict = judge(lake.write(tmp_path / "lake"), [tmp_path / "log"], until_us=START_US + TICKS * PERIOD_US)
    assert verdict.lost >= POINTS * (TICKS - 1)


def test_a_point_that_never_arrived_is_named(tmp_path: Path) -> None:
    write_log(tmp_path / "log", Protocol.MODBUS, Plant(POINTS, seed=5), 2)
    lake = FakeLake.perfect(tmp_path / "log")
    gone = lake.series.pop()
    with pytest.raises(ValueError, match=gone["name"]):
        judge(lake.write(tmp_path / "lake"), [tmp_path / "log"])


def test_gateways_that_collect_the_same_plant_are_judged_apart(tmp_path: Path) -> None:
    write_log(tmp_path / "log", Protocol.MODBUS, Plant(POINTS, seed=5), 4)
    lake, other = FakeLake.perfect(tmp_path / "log"), FakeLake.perfect(tmp_path / "log", "second")
    for series in other.series:
        series["series"] += 1000
    for row in other.rows:
        row["series"] += 1000
    lake.series += other.series
    lake.rows += other.rows
    path = lake.write(tmp_path / "lake")
    both_gateways = judge(path, [tmp_path / "log"])
    assert both_gateways.passed and both_gateways.samples == 2 * POINTS * 4
    assert judge(path, [tmp_path / "log"], gateway="second").samples == POINTS * 4


def replayed_lake(tmp_path: Path) -> FakeLake:
    table = parse("1.1 2.2\n3.3 0.1\n-0.0 nan\n")
    write_log(tmp_path / "log", Protocol.MODBUS, Replay(table, "mb."), 8)
    return FakeLake.perfect(tmp_path / "log")


def test_replayed_rows_equal_the_file(tmp_path: Path) -> None:
    verdict = compare(
        Lake(replayed_lake(tmp_path).write(tmp_path / "lake")), parse("1.1 2.2\n3.3 0.1\n-0.0 nan"), "mb."
    )
    assert (verdict.expected, verdict.wrong) == (16, 0)


@pytest.mark.parametrize("file", ("1.1 2.2\n3.3000000000000003 0.1\n-0.0 nan", "1.1 2.2\n3.3 0.1\n0.0 nan"))
def test_replayed_rows_that_differ_in_one_bit_are_wrong(tmp_path: Path, file: str) -> None:
    verdict = compare(Lake(replayed_lake(tmp_path).write(tmp_path / "lake")), parse(file), "mb.")
    assert verdict.wrong == 2
