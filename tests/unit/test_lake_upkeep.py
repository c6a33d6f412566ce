"""Merges, rewrites, roll-ups and deletions: nothing is lost, and files stay few."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headquarters import limits
from headquarters.lake import compact, files
from headquarters.lake.deltalog import DataFile
from headquarters.lake.rollup import HOUR_US, MINUTE_US, Hour, RollUps, aggregate
from headquarters.lake.tables import Lake
from headquarters.lake.upkeep import Stopped, Upkeep
from protocols.samples import BAD_TIMEOUT, UNCERTAIN, SampleBlock, ValueType
from tests.lake_parts import SECOND, T0, HandGateway, Headquarters, rows_of, scan

DAY = 86_400 * SECOND


def file(number: int, rows: int = 10, kind: str = "a", date: str = "2026-09-21", at: int = 0) -> DataFile:
    partition = {"date": date, "bucket": "0"}
    return DataFile(f"date={date}/bucket=0/{kind}-{number}.parquet", partition, 1, rows, {}, {}, at or number)


def test_appended_files_are_merged_when_there_are_enough() -> None:
    assert compact.plan_merges([file(number) for number in range(compact.FAN_IN[0] - 1)]) == []
    [merge] = compact.plan_merges([file(number) for number in range(compact.FAN_IN[0])])
    assert len(merge.files) == compact.FAN_IN[0]
    assert merge.kind == "m1"


def test_files_of_different_dates_and_tiers_are_merged_apart() -> None:
    present = [file(number) for number in range(16)]
    present += [file(number, date="2026-09-22") for number in range(16)]
    present += [file(number, kind="m1") for number in range(8)]
    merges = compact.plan_merges(present)
    assert sorted((merge.kind, merge.files[0].date) for merge in merges) == [
        ("m1", "2026-09-21"),
        ("m1", "2026-09-22"),
        ("m2", "2026-09-21"),
    ]


def test_a_merge_has_a_bound_and_a_full_tier_is_left_to_the_rewrite() -> None:
    third = limits.MERGE_ROWS_MAX // 3
    [merge] = compact.plan_merges([file(number, rows=third) for number in range(4)])
    assert len(merge.files) == 3
    assert compact.plan_merges([file(number, rows=limits.MERGE_ROWS_MAX) for number in range(60)]) == []


def test_large_files_are_merged_only_when_there_are_many_and_stand_in_nobodys_way() -> None:
    large = [file(number, rows=limits.LARGE_ROWS + 1) for number in range(limits.LARGE_FILES_MAX)]
    small = [file(100 + number) for number in range(compact.FAN_IN[0])]
    assert compact.plan_merges(large) == []
    [merge] = compact.plan_merges(large + small)
    assert list(merge.files) == small
    [merge] = compact.plan_merges([*large, file(99, rows=limits.LARGE_ROWS + 1)])
    assert len(merge.files) == 2
    huge = [file(number, rows=limits.MERGE_ROWS_MAX // 2 + 1) for number in range(40)]
    [merge] = compact.plan_merges(huge + small)
    assert list(merge.files) == small


def test_the_number_of_files_stays_bounded_through_a_day_of_commits() -> None:
    """The plan alone, with files that stand for 86,400 commits."""
    present: list[DataFile] = []
    most = 0
    for commit in range(86_400):
        present.append(file(commit))
        if commit % 16 == 15:
            while merges := compact.plan_merges(present):
                for merge in merges:
                    gone = {known.path for known in merge.files}
                    present = [known for known in present if known.path not in gone]
                    rows = sum(known.rows for known in merge.files)
                    present.append(file(commit, rows, merge.kind))
        most = max(most, len(present))
    assert most <= 64
    assert sum(known.rows for known in present) == 864_000


def test_only_closed_quiet_and_unsorted_dates_are_rewritten() -> None:
    present = [
        file(1, date="2026-09-20"),
        file(2, date="2026-09-21", kind=files.SORTED),
        file(3, date="2026-09-22", at=900),
        file(4, date="2026-09-23"),
    ]
    due = compact.plan_rewrites(present, "2026-09-23", 500, "series")
    assert [group[0].date for group in due] == ["2026-09-20"]


def test_sorted_files_of_a_date_are_gathered_where_they_overlap() -> None:
    def kept(number: int, low: int, high: int, date: str) -> DataFile:
        known = file(number, kind=files.SORTED, date=date)
        return known._replace(low={"series": low}, high={"series": high})

    present = [kept(1, 1, 5, "2026-09-20"), kept(2, 6, 9, "2026-09-20")]
    present += [kept(3, 1, 6, "2026-09-21"), kept(4, 6, 9, "2026-09-21")]
    due = compact.plan_rewrites(present, "2026-09-23", 500, "series")
    assert [group[0].date for group in due] == ["2026-09-21"]


def test_a_merge_keeps_every_row_in_order(headquarters: Headquarters, gateway: HandGateway) -> None:
    for second in range(20):
        headquarters.take(gateway.data(scan(second, points=[3, 1, 2])))
    samples = headquarters.lake.samples
    before = rows_of(samples)
    [merge] = compact.plan_merges(samples.log.files())
    new = compact.merge(samples, merge)
    assert rows_of(samples) == before
    merged = samples.read([new], ["series", "time"])
    pairs = list(zip(*(column.to_pylist() for column in merged.columns), strict=True))
    assert pairs == sorted(pairs)
    assert Lake(headquarters.settings.lake).samples.log.files() == samples.log.files()


def test_rows_appended_during_a_merge_stay(headquarters: Headquarters, gateway: HandGateway) -> None:
    for second in range(16):
        headquarters.take(gateway.data(scan(second)))
    samples = headquarters.lake.samples
    [merge] = compact.plan_merges(samples.log.files())
    headquarters.take(gateway.data(scan(99)))
    compact.merge(samples, merge)
    assert len(rows_of(samples)) == 17 * 3
    assert len(samples.log.files()) == 2


def test_a_closed_date_is_rewritten_sorted_whatever_its_size(
    headquarters: Headquarters, gateway: HandGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHUNK_ROWS", 7)
    monkeypatch.setattr(limits, "FILE_ROWS_MAX", 20)
    for second in range(10):
        headquarters.take(gateway.data(scan(second, points=[1, 2, 3, 4, 5])))
    samples = headquarters.lake.samples
    before = rows_of(samples)
    new = compact.rewrite(samples, samples.log.files(), lambda: None)
    assert rows_of(samples) == before
    assert [compact.kind_of(known) for known in new] == [files.SORTED] * 3
    ranges = [(known.low["series"], known.high["series"]) for known in new]
    assert ranges == sorted(ranges)
    assert all(one[1] < other[0] for one, other in pairwise(ranges))


def test_a_rewrite_that_is_stopped_leaves_nothing_behind(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.data(scan(0)))
    samples = headquarters.lake.samples
    present = samples.log.files()

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        compact.rewrite(samples, present, stop)
    assert samples.log.files() == present
    assert len(list(samples.folder.rglob("*.parquet"))) == 1


def test_the_ledger_is_kept_in_order_too(headquarters: Headquarters, gateway: HandGateway) -> None:
    for second in range(16):
        headquarters.take(gateway.data(scan(second)))
    ledger = headquarters.lake.ledger
    [merge] = compact.plan_merges(ledger.log.files())
    compact.merge(ledger, merge)
    compact.rewrite(ledger, ledger.log.files(), lambda: None)
    found = ledger.find(gateway.chain(), 11)
    assert found is not None
    assert found.batch == 12


def test_upkeep_does_all_of_it_and_comes_to_rest(headquarters: Headquarters, gateway: HandGateway) -> None:
    for second in range(110):
        headquarters.take(gateway.data(scan(second)))
    before = rows_of(headquarters.lake.samples)
    upkeep = Upkeep(headquarters.lake, headquarters.archive, 400, rollup_interval_ms=1000)
    settle(upkeep)
    assert upkeep.work["merge"].done
    assert upkeep.work["checkpoint"].done
    assert not upkeep.work["rewrite"].done and upkeep.work["rewrite"].left == 0
    headquarters.now_us += 3 * DAY
    settle(upkeep)
    for kind in ("roll-up", "rewrite"):
        work = upkeep.work[kind]
        assert work.done and work.left == 0 and not work.doing, kind
        assert work.last_ms == headquarters.lake.samples.clock_ms(), kind
    samples = headquarters.lake.samples
    assert [compact.kind_of(known) for known in samples.log.files()] == [files.SORTED]
    assert rows_of(samples) == before
    headquarters.now_us += 2 * HOUR_US
    settle(upkeep)
    assert len(list(samples.folder.glob("date=*/*/*.parquet"))) == 1, "replaced files are deleted in the end"
    assert not upkeep.step(), "there is nothing more to do"


def test_late_rows_make_a_closed_date_due_again(headquarters: Headquarters, gateway: HandGateway) -> None:
    headquarters.take(gateway.data(scan(0)))
    headquarters.now_us += 3 * DAY
    upkeep = Upkeep(headquarters.lake, headquarters.archive, None, rollup_interval_ms=1000)
    settle(upkeep)
    headquarters.take(gateway.data(scan(1)))
    headquarters.now_us += HOUR_US
    settle(upkeep)
    [sorted_file] = headquarters.lake.samples.log.files()
    assert (compact.kind_of(sorted_file), sorted_file.rows) == (files.SORTED, 6)
    minutes = headquarters.lake.minutes
    assert sum(minutes.read(minutes.log.files(), ["count"]).column("count").to_pylist()) == 6


def test_orphans_of_a_crash_are_found_and_fresh_files_are_not(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.data(scan(0)))
    samples = headquarters.lake.samples
    orphan = next(samples.folder.rglob("*.parquet")).with_name("a-orphan.parquet")
    orphan.write_bytes(b"")
    now_ms = int(orphan.stat().st_mtime * 1000)
    assert samples.log.orphans(now_ms) == []
    assert samples.log.orphans(now_ms + 2 * 3_600_000) == [orphan]


def test_roll_ups_equal_the_raw_rows(headquarters: Headquarters, gateway: HandGateway) -> None:
    generator = np.random.default_rng(7)
    times = T0 + generator.choice(3 * 3600, 4000, replace=False) * SECOND
    values = generator.normal(size=4000)
    values[::50] = np.nan
    quality = generator.choice([0, UNCERTAIN, BAD_TIMEOUT], 4000)
    points = generator.integers(1, 4, 4000)
    block = SampleBlock.make(ValueType.F64, points, times, values, quality)
    headquarters.take(gateway.data(block))
    RollUps(headquarters.lake).step()
    series = {row.point: row.series for row in headquarters.lake.series.load()}
    for table, unit in ((headquarters.lake.minutes, MINUTE_US), (headquarters.lake.hours, HOUR_US)):
        found = table.read(table.log.files(), None)
        starts = found.column("time").cast(pa.int64()).to_pylist()
        rolled = {(row["series"], at): row for row, at in zip(found.to_pylist(), starts, strict=True)}
        assert len(rolled) == len(found), "one row for each series and interval"
        expected = {
            (series[p], t // unit * unit) for p, t in zip(points.tolist(), times.tolist(), strict=True)
        }
        assert rolled.keys() == expected
        for point in (1, 2, 3):
            mine = np.flatnonzero(points == point)
            mine = mine[np.argsort(times[mine])]
            for start in {at for name, at in rolled if name == series[point]}:
                chosen = mine[(times[mine] >= start) & (times[mine] < start + unit)]
                check(rolled[series[point], start], values[chosen], quality[chosen])


def check(row: dict[str, float], values: np.ndarray, quality: np.ndarray) -> None:
    usable = values[(quality < 0x8000_0000) & ~np.isnan(values)].tolist()
    assert row["count"] == len(values)
    assert row["good"] == int((quality == 0).sum())
    assert row["usable"] == len(usable)
    if not usable:
        assert row["min"] is row["max"] is row["mean"] is row["first"] is row["last"] is None
        return
    assert (row["min"], row["max"]) == (min(usable), max(usable))
    assert (row["first"], row["last"]) == (usable[0], usable[-1])
    assert math.isclose(row["sum"], math.fsum(usable), rel_tol=1e-12, abs_tol=1e-12)
    assert math.isclose(row["mean"], math.fsum(usable) / len(usable), rel_tol=1e-12, abs_tol=1e-12)


def test_late_rows_change_their_hour_and_no_other(headquarters: Headquarters, gateway: HandGateway) -> None:
    headquarters.take(gateway.data(scan(0), scan(3600)))
    rollups = RollUps(headquarters.lake)
    rollups.step()
    minutes = headquarters.lake.minutes
    before = {known.path for known in minutes.log.files()}
    headquarters.take(gateway.data(scan(1)))
    assert rollups.step()
    after = {known.path for known in minutes.log.files()}
    assert len(before & after) == 1
    hours = headquarters.lake.hours
    counts = hours.read(hours.log.files(), ["count"]).column("count").to_pylist()
    assert sorted(counts) == [1, 1, 1, 2, 2, 2]
    assert not rollups.step()


def minutes_of(lake: Lake) -> list[dict[str, Any]]:
    rows = lake.minutes.read(lake.minutes.log.files(), None)
    found: list[dict[str, Any]] = rows.sort_by([("series", "ascending"), ("time", "ascending")]).to_pylist()
    return found


def test_minutes_of_a_closed_date_are_gathered_and_a_late_row_cuts_its_hour_out(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    hours = range(6)  # 14:13 to 19:13 of one date
    headquarters.take(gateway.data(*[scan(3600 * hour + second) for hour in hours for second in (0, 60)]))
    upkeep = Upkeep(headquarters.lake, headquarters.archive, None, rollup_interval_ms=1000)
    headquarters.now_us += 60 * SECOND
    settle(upkeep)
    minutes = headquarters.lake.minutes
    assert len(minutes.log.files()) == len(hours), "an open date has a file an hour"
    before = minutes_of(headquarters.lake)
    headquarters.now_us += 3 * DAY
    settle(upkeep)
    [gathered] = minutes.log.files()
    assert minutes_of(headquarters.lake) == before
    series = minutes.read([gathered], ["series"]).column("series").to_pylist()
    assert series == sorted(series)

    headquarters.take(gateway.data(scan(3600 * 2 + 1)))
    headquarters.now_us += 60 * SECOND
    settle(upkeep)
    cut = sorted(str(known.low["time"])[11:13] for known in minutes.log.files())
    assert cut == ["14", "16", "17"], "what was before, the hour, what was behind"
    assert [row["count"] for row in minutes_of(headquarters.lake)].count(2) == 3
    headquarters.take(gateway.data(scan(3600 * 2 + 2)))
    headquarters.now_us += 60 * SECOND
    kept = {known.path for known in minutes.log.files() if "T16" not in str(known.low["time"])}
    settle(upkeep)
    assert kept < {known.path for known in minutes.log.files()}, "what was cut is not cut again"
    headquarters.now_us += HOUR_US
    settle(upkeep)
    assert len(minutes.log.files()) == 1, "quiet again, and gathered again"
    assert sum(row["count"] for row in minutes_of(headquarters.lake)) == 12 * 3 + 6


def test_rows_that_come_while_minutes_are_gathered_are_in_them_soon_after(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    late = [gateway.data(scan(0), scan(3600)), gateway.data(scan(3601))]
    headquarters.take(late.pop(0))

    def stopped() -> bool:
        minutes = headquarters.lake.minutes.log.files()
        if (
            late
            and len(minutes) == 2
            and headquarters.lake.samples.log.files()[0].name.startswith(files.SORTED)
        ):
            headquarters.take(late.pop())  # minutes are what is gathered now
        return False

    upkeep = Upkeep(headquarters.lake, headquarters.archive, None, 1000, stopped)
    for later in (60 * SECOND, 3 * DAY, 60 * SECOND):
        headquarters.now_us += later
        settle(upkeep)
    assert not late
    assert [row["count"] for row in minutes_of(headquarters.lake)].count(2) == 3
    headquarters.now_us += HOUR_US
    settle(upkeep)
    assert len(headquarters.lake.minutes.log.files()) == 1
    assert [row["count"] for row in minutes_of(headquarters.lake)].count(2) == 3


def test_minutes_are_not_gathered_while_an_hour_of_their_date_is_behind(
    headquarters: Headquarters, gateway: HandGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    headquarters.take(gateway.data(scan(0), scan(3600)))
    upkeep = Upkeep(headquarters.lake, headquarters.archive, None, rollup_interval_ms=1000)
    headquarters.now_us += 60 * SECOND
    settle(upkeep)
    headquarters.now_us += 3 * DAY
    monkeypatch.setattr(upkeep.rollups, "_dirty", {Hour("2026-09-21", 14)})
    monkeypatch.setattr(upkeep.rollups, "step", lambda: False)
    settle(upkeep)
    assert len(headquarters.lake.minutes.log.files()) == 2
    upkeep.rollups._dirty.clear()
    settle(upkeep)
    assert len(headquarters.lake.minutes.log.files()) == 1


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_late_minutes_equal_those_made_at_once(
    headquarters: Headquarters, gateway: HandGateway, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(limits, "CHUNK_ROWS", 50)
    monkeypatch.setattr(limits, "FILE_ROWS_MAX", 120)
    random = np.random.default_rng(seed)
    upkeep = Upkeep(headquarters.lake, headquarters.archive, None, rollup_interval_ms=1000)
    free = random.permutation(9 * 60)
    for turn in range(8):
        late = free[40 * turn : 40 * turn + int(random.integers(1, 40))].tolist()
        points = random.integers(1, 4, len(late)).tolist()
        blocks = [scan(60 * at + turn, points=[point]) for at, point in zip(late, points, strict=True)]
        headquarters.take(gateway.data(*blocks))
        headquarters.now_us += int(random.choice([2_000_000, HOUR_US, 2 * DAY]))
        settle(upkeep)
    headquarters.now_us += HOUR_US
    settle(upkeep)
    made = minutes_of(headquarters.lake)
    (headquarters.settings.lake / "rollup.json").unlink()
    for table in (headquarters.lake.minutes, headquarters.lake.hours):
        table.log.commit([], headquarters.clock_ms(), removes=table.log.files())
    RollUps(headquarters.lake).step()
    assert made == minutes_of(headquarters.lake)


def test_a_crash_forgets_no_dirty_hour(headquarters: Headquarters, gateway: HandGateway) -> None:
    RollUps(headquarters.lake).step()
    headquarters.take(gateway.data(scan(0)))
    RollUps(headquarters.lake).step()
    headquarters.take(gateway.data(scan(7200)))
    again = RollUps(headquarters.lake)
    assert again.step()
    assert sum(known.rows for known in headquarters.lake.hours.log.files()) == 6


def test_a_lost_roll_up_state_makes_everything_anew(headquarters: Headquarters, gateway: HandGateway) -> None:
    headquarters.take(gateway.data(scan(0)))
    RollUps(headquarters.lake).step()
    (headquarters.settings.lake / "rollup.json").write_text("{")
    assert RollUps(headquarters.lake).step()
    assert sum(known.rows for known in headquarters.lake.minutes.log.files()) == 3


def test_nothing_rolls_up_to_nothing() -> None:
    empty = np.empty(0, np.int64)
    assert len(aggregate(empty, empty, np.empty(0), empty, MINUTE_US)) == 0


def settle(upkeep: Upkeep) -> None:
    """Step until there is nothing to do, with time going on."""
    idle = 0
    for _ in range(500):
        if upkeep.step():
            idle = 0
        else:
            idle += 1
            if idle == 3:
                return
    raise AssertionError("upkeep does not come to rest")
