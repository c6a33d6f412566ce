"""The judge of alarms finds what is missing from a lake, what is false in it, and what comes too late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from scripts.judge.alarms import AlarmVerdict, Fault, Watcher, judge_alarms
from scripts.plant.layout import Protocol
from scripts.plant.model import Plant
from tests.unit.plant_lakes import PERIOD_US, START_US, FakeLake, write_log

POINTS, TICKS = 1000, 24
STARTED_US = START_US + PERIOD_US // 2
PARAMETERS = {
    "pre_level": 20.0, "trip_level": 40.0, "band": 2.0, "pre_delay": 2000.0, "trip_delay": 2000.0,
    "fault_delay": 10_000.0, "under_range": -5.0, "over_range": 105.0, "stuck_after": 0.0,
    "test_max": 1_800_000.0, "degrade_to_trip": 1.0, "trip_when_blind": 1.0,
}  # fmt: skip
DUE = START_US + 11 * PERIOD_US
"""The wire is broken from the beginning, and the app runs from the second scan on."""

FAULT = Fault("broken-wire", "10CYQ30CQ002", START_US, ("gas-detection/bunkers/fault_b",))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plant") / "log"
    plant = Plant(POINTS, seed=5)
    plant.order("broken-wire", 0, 1000.0, "10CYQ30CQ002")
    plant.step(1.0)
    write_log(directory, Protocol.MODBUS, plant, TICKS)
    return directory


def event(source: str, time_us: int, transition: str = "raised", instance: str = "bunkers") -> dict[str, Any]:
    named = {"gateway": "gw", "app": "gas-detection", "instance": instance, "source": source, "kind": "event"}
    return {**named, "text": "", "priority": 3, "transition": transition, "time": time_us}


STARTED = event("", STARTED_US, "started", instance="")


def verdict_of(log: Path, lake: Path, *events: dict[str, Any], until: int = TICKS) -> AlarmVerdict:
    FakeLake().write(lake)
    texts = ("gateway", "app", "instance", "source", "kind", "text", "transition")
    types = {name: pa.string() for name in texts} | {
        "priority": pa.int64(),
        "time": pa.timestamp("us", "UTC"),
    }
    write_deltalake(str(lake / "events"), pa.Table.from_pylist([STARTED, *events], pa.schema(types.items())))
    inputs = {f"gas_{letter}": f"10CYQ30CQ00{n}" for n, letter in enumerate("abc", 1)}
    watcher = Watcher(
        "gw", "gas-detection", "bunkers", PERIOD_US, {**inputs, "test": "10CYQ30GS001"}, PARAMETERS
    )
    return judge_alarms(lake, [log], [watcher], [FAULT], START_US + until * PERIOD_US)


@pytest.mark.parametrize("scans", (-1, 0, 1))
def test_an_alarm_within_one_scan_is_right(log: Path, tmp_path: Path, scans: int) -> None:
    verdict = verdict_of(log, tmp_path, event("fault_b", DUE + scans * PERIOD_US))
    assert verdict.passed
    assert verdict.off_us == abs(scans) * PERIOD_US
    [(fault, [raised])] = verdict.faults
    assert (fault, raised.due.since_us, raised.due.at_us) == (FAULT, START_US + PERIOD_US, DUE)


def test_an_alarm_two_scans_late_is_missing_and_false(log: Path, tmp_path: Path) -> None:
    verdict = verdict_of(log, tmp_path, event("fault_b", DUE + 2 * PERIOD_US))
    assert len(verdict.missing) == len(verdict.false) == 1
    assert not verdict.passed


def test_an_alarm_that_is_not_in_the_lake_is_missing(log: Path, tmp_path: Path) -> None:
    verdict = verdict_of(log, tmp_path)
    assert [str(each.alarm) for each in verdict.missing] == ["gas-detection/bunkers/fault_b"]
    assert not verdict.passed


@pytest.mark.parametrize(
    "wrong", (event("fault_c", DUE), event("fault_b", DUE), event("flooded", START_US + 5 * PERIOD_US))
)
def test_another_alarm_and_one_raised_twice_are_false(
    log: Path, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    verdict = verdict_of(log, tmp_path, event("fault_b", DUE), wrong)
    assert [str(alarm) for alarm, _ in verdict.false] == [f"gas-detection/bunkers/{wrong['source']}"]
    assert not verdict.passed


def test_an_alarm_of_an_instance_that_does_not_run_is_false(log: Path, tmp_path: Path) -> None:
    stray = event("pre", DUE, instance="elsewhere")
    verdict = verdict_of(log, tmp_path, event("fault_b", DUE), stray)
    assert [str(alarm) for alarm, _ in verdict.false] == ["gas-detection/elsewhere/pre"]


def test_a_fault_that_raised_nothing_is_told(log: Path, tmp_path: Path) -> None:
    early = DUE // PERIOD_US - START_US // PERIOD_US - 2
    verdict = verdict_of(log, tmp_path, until=early)
    assert not verdict.matched
    assert verdict.silent == [(FAULT, "gas-detection/bunkers/fault_b")]
    assert not verdict.passed


def test_what_is_due_as_the_run_ends_may_be_there_or_not(log: Path, tmp_path: Path) -> None:
    verdict = verdict_of(log, tmp_path, until=12)
    assert not verdict.missing and not verdict.false
