"""`catchment-hq app replay`: what it prints and writes, and what it says when it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from headquarters.cli import main
from headquarters.replay.report import iso
from tests.monitoring_parts import FIRST_US, FOLDER, INSTANCE, Recorded, settings, usual_rows

ROWS = 20


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded(tmp_path_factory.mktemp("replay") / "hq", usual_rows(ROWS))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "process-monitoring.toml"
    path.write_text(settings())
    return path


def replay(recorded: Recorded, settings: Path, *more: str, to: str = "") -> Result:
    span = ("--from", iso(FIRST_US), "--to", to or iso(recorded.end_us))
    where = ("--home", str(recorded.home), "--settings", str(settings), "--gateway", "te-1")
    return CliRunner().invoke(main, ["app", "replay", str(FOLDER), *where, *span, *more])


def test_a_replay_that_agrees_says_so_and_succeeds(recorded: Recorded, written: Path) -> None:
    result = replay(recorded, written)
    assert result.exit_code == 0, result.output
    assert "nothing differs" in result.output and "20 scans of 1 instances" in result.output


def test_its_files_hold_the_report_the_events_and_every_output(recorded: Recorded, written: Path) -> None:
    out = written.parent / "found"
    result = replay(recorded, written, "--out", str(out), "--json")
    report = json.loads((out / "report.json").read_text())
    assert report == json.loads(result.output)
    events = (out / "events.csv").read_text().splitlines()
    assert len(events) == 1 + report["events_replayed"] > 1
    outputs = pq.read_table(out / "outputs.parquet")
    assert len(outputs) == ROWS * 6
    points = set(outputs["point"].to_pylist())
    assert f"process-monitoring.{INSTANCE}.t2" in points


def test_another_limit_differs_from_what_was_recorded(recorded: Recorded, written: Path) -> None:
    written.write_text(settings(t2_limit=0.0))
    result = replay(recorded, written)
    assert result.exit_code == 1
    assert "DIFFERENT" in result.output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[instance.te]\n", "a point: xmeas_1"),
        (settings(t2_limit=-1.0), "a number from 0 to 1000000"),
        (settings(nonsense=1.0), "a parameter of the app"),
        ("", "at least one table [instance.NAME]"),
    ],
)
def test_wrong_settings_are_told_with_their_place(
    recorded: Recorded, written: Path, text: str, expected: str
) -> None:
    written.write_text(text)
    result = replay(recorded, written)
    assert result.exit_code == 2
    assert expected in result.output and "process-monitoring.toml" in result.output


def test_times_are_told_when_they_make_no_span(recorded: Recorded, written: Path) -> None:
    assert "a time after --from" in replay(recorded, written, to=iso(FIRST_US)).output
    assert "a time such as" in replay(recorded, written, to="soon").output


def test_a_gateway_and_times_that_the_lake_does_not_know_are_told(recorded: Recorded, written: Path) -> None:
    result = replay(recorded, written, "--gateway", "te-2")
    assert result.exit_code == 2 and "--gateway: got 'te-2'" in result.output and "'te-1'" in result.output
    result = replay(recorded, written, "--from", "1990-01-01", to="1990-02-01")
    assert result.exit_code == 2 and f"samples from {iso(FIRST_US)}" in result.output
    written.write_text(settings().replace("TE.", "OTHER."))
    result = replay(recorded, written)
    assert result.exit_code == 2 and "points of the gateway te-1" in result.output


def test_a_folder_that_cannot_be_written_is_told(recorded: Recorded, written: Path) -> None:
    result = replay(recorded, written, "--out", str(written / "below-a-file"))
    assert result.exit_code == 2 and "a folder to write" in result.output
