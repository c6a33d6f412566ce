"""Replays over the lake: what the gateway recorded comes out again, and what differs is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.rules.running.inputs import AGE_PERIODS
from headquarters.replay.alarms import Alarms
from headquarters.replay.align import Series, align, instants
from headquarters.replay.compare import AppEvent, OutputComparison, compare_events
from headquarters.replay.course import Course
from headquarters.replay.report import Trust
from headquarters.replay.run import Replay
from headquarters.replay.timeline import Begin, Timeline
from protocols.records import AppSight
from tests.monitoring_parts import (
    FIRST_US,
    GATEWAY,
    PERIOD_US,
    Recorded,
    job,
    usual_rows,
)

TEP = Path(__file__).parents[3] / "shared" / "data" / "tep"
ROWS = 60
NOBODY: Any = None
"""A lake that nobody asks."""


def series(times: Sequence[int], period_us: int = 10, codes: Sequence[int] = ()) -> Series:
    count = len(times)
    return Series(
        np.array(times, np.int64),
        np.arange(float(count)),
        np.array(codes or [0] * count, np.int64),
        period_us,
    )


# -- alignment -----------------------------------------------------------------------------------


def test_a_scan_sees_the_sample_of_its_instant_and_no_other() -> None:
    values, qualities = align(series([0, 10, 21]), np.array([0, 10, 20, 30]), 10)
    assert values[:2].tolist() == [0.0, 1.0] and np.isnan(values[2:]).all()
    assert qualities.tolist() == [0, 0, 2, 2]


def test_of_a_slower_point_it_sees_the_latest_that_is_not_too_old() -> None:
    when = np.array([0, 10, 39, 40, 40 + AGE_PERIODS * 40, 41 + AGE_PERIODS * 40])
    values, qualities = align(series([0, 40], period_us=40), when, 10)
    assert values[:5].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert qualities.tolist() == [0, 0, 0, 0, 0, 2]


def test_samples_that_came_too_late_are_not_seen() -> None:
    same, slow = series([0, 10, 20]), series([0, 40], period_us=40)
    assert align(same, np.array([10, 20]), 10, lag=1)[1].tolist() == [2, 2]
    assert align(slow, np.array([40, 50]), 10, lag=1)[0].tolist() == [0.0, 0.0]
    assert align(slow, np.array([40]), 10, lag=AGE_PERIODS + 1)[1].tolist() == [2]


def test_of_a_point_that_is_kept_on_change_the_last_value_holds() -> None:
    values, qualities = align(series([0, 30]), np.array([0, 10, 20, 30, 90]), 10, held_phase_us=0)
    assert (values.tolist(), qualities.tolist()) == ([0.0, 0.0, 0.0, 1.0, 1.0], [0] * 5)
    assert align(series([0]), np.array([20]), 10, 1, held_phase_us=0)[1].tolist() == [2]


def test_but_not_beyond_the_age_of_what_was_read() -> None:
    slow = series([0, 80], period_us=40)
    when = np.array([80, 120, 200])
    assert align(slow, when, 10, 1, held_phase_us=0)[0].tolist() == [0.0, 1.0, 1.0]
    assert align(slow, when + 10, 10, AGE_PERIODS, held_phase_us=0)[1].tolist() == [2, 2, 2]
    assert align(slow, when[1:], 10, AGE_PERIODS, held_phase_us=0)[1].tolist() == [0, 0]


def test_a_process_sees_no_samples_from_before_its_start() -> None:
    slow = series([0, 40], period_us=40)
    assert align(slow, np.array([30, 40]), 10, since_us=25)[1].tolist() == [2, 0]


def test_before_the_first_sample_and_without_any_it_sees_nothing() -> None:
    assert align(series([50], period_us=40), np.array([40]), 10)[1].tolist() == [2]
    assert align(series([]), np.array([40]), 10)[1].tolist() == [2]


def test_qualities_are_the_severities_of_the_codes() -> None:
    codes = [0x0030_0000, 0x4093_0000, 0x800A_0000]
    assert align(series([0, 10, 20], codes=codes), np.array([0, 10, 20]), 10)[1].tolist() == [0, 1, 2]


def test_scans_are_where_any_point_of_the_apps_pace_has_a_sample() -> None:
    points = [series([0, 10, 35]), series([10, 30]), series([0, 20, 40], period_us=20)]
    assert instants(points, 10, 0, 100).tolist() == [0, 10, 30]
    assert instants(points, 10, 5, 30).tolist() == [10]
    assert instants(points[2:], 10, 0, 100).tolist() == [0, 20, 40]


# -- comparison ----------------------------------------------------------------------------------


def compared(values: Sequence[float], qualities: Sequence[int], recorded: Series) -> OutputComparison:
    comparison = OutputComparison("x")
    comparison.add(np.array([0, 10, 20]), np.array(values), np.array(qualities, np.int8), recorded)
    return comparison


def test_equal_outputs_do_not_differ() -> None:
    found = compared([0.0, 1.0, 2.0], [0, 0, 0], series([0, 10, 20]))
    assert (found.compared, found.different) == (3, 0)


def test_a_value_or_a_quality_that_differs_is_found_with_its_time() -> None:
    found = compared([0.0, 1.5, 2.0], [0, 0, 1], series([0, 10, 20]))
    assert [each.time_us for each in found.differences] == [10, 20]
    assert (found.different, found.largest) == (2, 0.5)


def test_values_that_both_call_bad_are_not_compared() -> None:
    assert compared([9.0, 9.0, 9.0], [2, 2, 2], series([0, 10, 20], codes=[0x8000_0000] * 3)).different == 0


def test_what_only_one_has_is_counted() -> None:
    found = compared([0.0, 1.0, 2.0], [0, 0, 0], series([0, 15]))
    assert (found.compared, found.only_replayed, found.only_recorded) == (1, 2, 1)


def event(time_us: int, value: float | None = 1.0, quality: int = 0, text: str = "high") -> AppEvent:
    return AppEvent(time_us, "a", "alarm", "raised", text, value, quality)


def test_events_are_compared_one_by_one() -> None:
    recorded = [event(1), event(2), event(3), event(4, float("nan"))]
    assert compare_events(recorded[::-1], recorded) == []
    found = compare_events([event(1), event(2, 1.5), event(4, float("nan")), event(5)], recorded)
    assert [(each.replayed, each.recorded) for each in found] == [
        (event(2, 1.5), event(2)),
        (None, event(3)),
        (event(5), None),
    ]


def test_an_alarm_that_stands_is_not_raised_again_and_one_that_does_not_is_not_taken_back() -> None:
    alarms = Alarms({("a", "old"): "old"})
    high, back = event(1)._replace(source="high"), event(2)._replace(source="high", transition="returned")
    old = event(3)._replace(source="old")
    assert alarms.journal([high, high, back, back, old]) == [high, back]
    assert alarms.journal([high]) == [high]


def test_a_cold_start_takes_back_what_its_first_scan_does_not_raise() -> None:
    alarms = Alarms({("a", "old"): "old", ("a", "high"): "high"})
    high = event(5)._replace(source="high")
    [back] = alarms.journal([high], cold_us=5)
    assert (back.time_us, back.transition, back.text, back.value) == (5, "returned", "old", None)


def test_a_model_that_did_not_answer_in_time_is_bad_in_the_replay_too() -> None:
    sight = AppSight(FIRST_US + PERIOD_US, "process-monitoring", bytes(52), ("pca",))
    clear = AppSight(FIRST_US + 3 * PERIOD_US, "process-monitoring", bytes(52), ())
    course = Course(job(), PERIOD_US, Timeline(NOBODY, GATEWAY, "process-monitoring", b""), Begin())
    when = FIRST_US + PERIOD_US * np.arange(4)
    zeros = np.zeros(4, np.int64)
    rows = usual_rows(4)
    samples = {point: Series(when, rows[:, at], zeros, PERIOD_US) for at, point in enumerate(job().points)}
    passed = list(course.run(when, samples, [sight, clear]))
    qualities = np.concatenate([part.scans.qualities["t2"] for part in passed])
    assert qualities[:, 0].tolist() == [0, 2, 2, 0]


# -- through the lake ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    bad = [(7, 3), (20, 0), (20, 51), (21, 0)]
    return Recorded(tmp_path_factory.mktemp("replay") / "hq", usual_rows(ROWS), bad)


def test_a_replay_gives_what_the_gateway_recorded(recorded: Recorded) -> None:
    report = recorded.replay()
    assert report.scans == ROWS
    assert not report.differs and not report.missing
    assert [(output.compared, output.different) for output in report.outputs] == [(ROWS, 0)] * 4
    assert len(report.events) == len(report.recorded) > 0
    bad = [scan for scan, found in enumerate(recorded.gateway.scans) if found.qualities["t2"] == [2]]
    assert bad == [7, 20, 21]


def test_a_replay_with_another_limit_says_what_is_different(recorded: Recorded) -> None:
    report = recorded.replay(limit=0.0)
    assert report.differs
    [alarm] = [output for output in report.outputs if output.name.endswith("t2_alarm")]
    assert alarm.different > 0 and alarm.differences
    assert "DIFFERENT from what the gateway recorded" in list(report.lines())[-1]
    assert report.to_json()["differs"]


def test_a_replay_in_portions_is_the_same(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = recorded.replay()
    monkeypatch.setattr("headquarters.replay.run.CELLS_MAX", 52 * 7)
    parts = recorded.replay()
    assert (parts.scans, parts.events, parts.outputs) == (whole.scans, whole.events, whole.outputs)


def test_a_replay_begins_with_the_state_that_the_gateway_recorded_last(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "hq", usual_rows(20), state_after=9)
    report = recorded.replay(first_scan=15)
    assert report.scans == 5
    assert not report.differs
    assert report.trust == Trust(FIRST_US + 9 * PERIOD_US, 0, ())
    whole = recorded.replay()
    assert whole.trust == Trust(None, 1, ())
    assert not whole.differs


def test_without_a_state_it_begins_cold_and_says_that_it_is_approximate(recorded: Recorded) -> None:
    report = recorded.replay(first_scan=15)
    assert report.trust.state_us is None
    [reason] = report.trust.reasons
    assert "it begins cold" in reason and any(reason in line for line in report.lines())


def test_events_of_a_scan_whose_samples_were_lost_are_told_and_make_no_difference(tmp_path: Path) -> None:
    whole = Recorded(tmp_path / "whole", usual_rows(20)).replay()
    lost = (whole.events[0].time_us - FIRST_US) // PERIOD_US
    report = Recorded(tmp_path / "hq", usual_rows(20), lost=lost).replay()
    assert report.scans == 19 and not report.differs
    [reason] = report.trust.reasons
    assert "samples did not survive" in reason


def test_a_state_of_other_settings_is_not_taken(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "hq", usual_rows(20), state_after=9)
    assert recorded.replay(limit=1.0, first_scan=15).trust.state_us is None


def test_points_that_the_lake_does_not_know_are_named(recorded: Recorded) -> None:
    first, *others = recorded.gateway.inputs
    elsewhere = replace(
        job(), bindings={first: (f"TE.{first}",)} | {name: (f"NO.{name}",) for name in others}
    )
    report = Replay(recorded.engine, elsewhere).run(FIRST_US, recorded.end_us, lambda done, total: None)
    assert len(report.missing) == 51 and report.scans == ROWS
    assert report.differs


# -- on the reference runs -----------------------------------------------------------------------

FIGURES = (("00", 0, 2.1, 5.2), ("05", 160, 26.0, 33.0))
"""Two of the runs; `python -m scripts.tep` plays them all through real processes."""


@pytest.mark.skipif(not TEP.exists(), reason=f"the reference runs are not in {TEP}")
@pytest.mark.parametrize(("fault", "onset", "t2", "spe"), FIGURES)
def test_live_and_replayed_alarms_meet_the_reference_and_are_identical(
    tmp_path: Path, fault: str, onset: int, t2: float, spe: float
) -> None:
    recorded = Recorded(tmp_path / "hq", np.loadtxt(TEP / f"d{fault}_te.dat"))
    after = recorded.gateway.scans[onset:]
    assert 100 * np.mean([scan.outputs["t2_alarm"][0] for scan in after]) == pytest.approx(t2, abs=0.5)
    assert 100 * np.mean([scan.outputs["spe_alarm"][0] for scan in after]) == pytest.approx(spe, abs=0.5)
    report = recorded.replay()
    assert not report.differs
    assert len(report.events) == len(report.recorded) > 0
    assert [output.compared for output in report.outputs] == [960] * 4
