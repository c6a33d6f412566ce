"""Bearing vibration: the zones of every machine group, and a bearing of the plant that wears."""

from __future__ import annotations

import pytest

from tests.apps.parts import BEGIN_MS, Run, watch
from tests.apps.plainly import Held
from tests.apps.vibration_by_hand import HOT, ZONE_C, ZONE_D
from tests.apps.vibration_recordings import TAGS, WEAR

ZONES = {
    "group 1, rigid": (2.3, 4.5, 7.1),
    "group 1, flexible": (3.5, 7.1, 11.0),
    "group 2, rigid": (1.4, 2.8, 4.5),
    "group 2, flexible": (2.3, 4.5, 7.1),
}
"""Boundaries A/B, B/C and C/D, mm/s RMS: ISO 20816-3:2022, tables A.1 and A.2."""

Seen = dict[str, float | None]

VELOCITIES = [each / 20 for each in range(1, 300)]


@pytest.mark.parametrize("group", ZONES)
def test_the_zones_of_every_machine_group_are_judged_at_their_boundaries(group: str) -> None:
    ab, bc, cd = ZONES[group]
    run = Run("vibration", len(VELOCITIES), limit_ab=ab, limit_bc=bc, limit_cd=cd, start_time=0)
    for second in range(12):
        scan = run.scan(BEGIN_MS + second * 1000, {"velocity": VELOCITIES, "running": 1.0})
    for at, velocity in enumerate(VELOCITIES):
        zone = "ABCD"[scan.outputs["zone"][at]]
        assert zone == ("A" if velocity <= ab else "B" if velocity <= bc else "C" if velocity <= cd else "D")
        assert scan.outputs["alarm_c"][at] == (zone in "CD")
        assert scan.outputs["alarm_d"][at] == (zone == "D")


def test_the_apps_own_limits_are_those_of_group_1_on_rigid_support() -> None:
    parameters = Run("vibration").built.package.manifest.parameters
    own = tuple(parameters[f"limit_{each}"].default for each in ("ab", "bc", "cd"))
    assert own == ZONES["group 1, rigid"]


def test_a_worn_bearing_is_told_as_soon_as_its_zone_has_stood_for_the_delay() -> None:
    seconds = 300
    columns, run = watch(TAGS, seconds, [WEAR], seed=5), Run("vibration", start_time=10_000)
    begun: dict[str, int] = {}
    due: dict[str, int] = {}
    held = {ZONE_C: (4.5, Held(10_000)), ZONE_D: (7.1, Held(3000))}
    for second in range(seconds):
        scan = run.scan(BEGIN_MS + second * 1000, {name: cells[second] for name, cells in columns.items()})
        for kind, text in run.told(scan):
            if kind == "alarm":
                begun.setdefault(text, second)
        for text, (limit, over) in held.items():
            if over(second * 1000, (columns["velocity"][second] or 0.0) > limit):
                due.setdefault(text, second)
    assert begun == due
    assert WEAR.at_s < begun[ZONE_C] < begun[ZONE_D] < WEAR.at_s + WEAR.seconds


def test_a_hot_bearing_is_told_also_when_its_machine_has_stopped() -> None:
    run = Run("vibration")
    told = [
        run.told(run.scan(BEGIN_MS + second * 1000, {"temperature": 95.0 if second >= 5 else 60.0}))
        for second in range(20)
    ]
    assert [second for second, each in enumerate(told) if each] == [15]
    assert told[15] == [("alarm", HOT)]


def test_a_start_through_critical_speeds_is_no_alarm() -> None:
    run = Run("vibration")
    for second in range(60):
        scan = run.scan(BEGIN_MS + second * 1000, {"velocity": 25.0, "running": 1.0})
        assert scan.events == []
        assert scan.outputs["zone"] == [-1]


def test_a_baseline_that_is_given_needs_no_learning() -> None:
    run = Run("vibration", start_time=0, baseline=2.0)
    for second in range(62):
        scan = run.scan(BEGIN_MS + second * 1000, {"velocity": 3.2, "running": 1.0})
    assert scan.outputs["usual"] == [2.0]
    assert scan.outputs["change"] == [pytest.approx(1.2)]
    assert scan.outputs["alarm_change"] == [True]  # for a minute more than a quarter of 4.5 mm/s


def test_a_baseline_is_the_mean_over_time_of_steady_running_that_was_measured() -> None:
    run = Run("vibration", start_time=0, learn_time=60_000)
    seconds, learnt, full = 0.0, 0.0, 0.0
    for step in range(90):
        passed = 0.5 if step % 2 else 2.0
        bad, stands, velocity = step % 7 == 3, step % 11 == 5, 1.0 + step % 3
        seconds += passed
        values = {"velocity": None if bad else velocity, "running": 0.0 if stands else 1.0}
        scan = run.scan(BEGIN_MS + round(seconds * 1000), values)
        if not bad and not stands and full < 60.0:
            learnt, full = learnt + velocity * (passed if step else 0.0), full + (passed if step else 0.0)
        if full:
            assert scan.outputs["usual"][0] == pytest.approx(learnt / full)
    assert full >= 60.0


def test_a_trend_stands_still_while_the_machine_does_or_is_not_measured() -> None:
    stands: Seen = {"velocity": 0.0, "temperature": 20.0, "running": 0.0}
    unknown: Seen = {"velocity": None, "temperature": None, "running": 1.0}
    for paused in (stands, unknown):
        trends = []
        for pause in (0, 30):
            run = Run("vibration", start_time=0, trend_time=60_000)
            now = BEGIN_MS
            for second in range(40):
                value = 2.0 + 0.1 * second
                scan = run.scan(now, {"velocity": value, "temperature": 50.0 + value, "running": 1.0})
                now += 1000
                if second == 20:
                    for _ in range(pause):
                        run.scan(now, paused)
                        now += 1000
            trends.append([scan.outputs[name][0] for name in ("slope", "temperature_slope")])
        # Of the pause itself, and of the second after it, the trends know nothing.
        assert trends[1] == pytest.approx(trends[0], rel=0.06)


def test_what_was_not_measured_is_not_judged_as_good() -> None:
    run = Run("vibration", start_time=0)
    run.scan(BEGIN_MS, {"velocity": 3.0, "temperature": 50.0, "running": 1.0})
    scan = run.scan(BEGIN_MS + 1000, {"velocity": None, "temperature": None, "running": 1.0})
    assert {scan.qualities[name][0] for name in run.built.outputs} == {2}
    assert scan.outputs["zone"] == [1]  # of the last good value
