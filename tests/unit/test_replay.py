"""Replays over the lake: what the gateway recorded comes out again, and what differs is found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from headquarters.replay.align import AGE_PERIODS, Series, align, instants
from headquarters.replay.compare import AppEvent, OutputComparison, compare_events
from headquarters.replay.run import Anchor, Job, Replay
from tests.monitoring_parts import (
    FIRST_US,
    PERIOD_US,
    MonitoringGateway,
    Recorded,
    compiled,
    scorer,
    usual_rows,
)

TEP = Path(__file__).parents[3] / "shared" / "data" / "tep"
ROWS = 60


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


def test_a_replay_goes_on_from_the_gateways_state(tmp_path: Path) -> None:
    rows = usual_rows(20)
    first = MonitoringGateway(rows[:10])
    list(first.run())
    anchor = Anchor(FIRST_US + 9 * PERIOD_US, first.live.snapshot())
    report = Recorded(tmp_path / "hq", rows).replay(anchor=anchor)
    assert report.scans == 10
    assert not report.differs


def test_points_that_the_lake_does_not_know_are_named(recorded: Recorded) -> None:
    job = Job(
        compiled(),
        recorded.gateway.name,
        PERIOD_US,
        ("te",),
        {name: (f"NO.{name}",) for name in recorded.gateway.inputs},
        {},
        [scorer()],
    )
    report = Replay(recorded.engine, job).run(FIRST_US, recorded.end_us, lambda done, total: None)
    assert len(report.missing) == 52 and report.scans == ROWS
    assert report.outputs[0].different == ROWS


# -- on the reference runs -----------------------------------------------------------------------

FIGURES = (
    ("00", 0, 2.1, 5.2),
    ("01", 160, 99.3, 99.8),
    ("02", 160, 98.3, 98.8),
    ("04", 160, 9.9, 99.5),
    ("05", 160, 26.0, 33.0),
    ("06", 160, 99.1, 100.0),
    ("14", 160, 86.0, 100.0),
)


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
