"""The lake's tables on a disk: written, read by other programs, opened again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from headquarters.lake.deltalog import LOG, DeltaLog, replay
from headquarters.lake.order import row_order
from headquarters.lake.schema import SAMPLES
from headquarters.lake.tables import Lake
from protocols import crash
from protocols.batch import Kind, Stream, header_hash
from protocols.errors import StoreDamagedError, StoreError
from protocols.records import PointDefinition
from protocols.samples import BAD_TIMEOUT, SampleBlock, ValueType
from tests.lake_parts import SECOND, T0, HandGateway, Headquarters, scan

AWKWARD = [0.0, -0.0, float("inf"), float("-inf"), 1e-320, 0.1]


def test_the_table_is_read_by_deltalake_alone(headquarters: Headquarters, gateway: HandGateway) -> None:
    headquarters.take(gateway.open(), gateway.data(scan(0), scan(1)))
    table = DeltaTable(str(headquarters.settings.lake / "samples"))
    rows = table.to_pyarrow_table().sort_by([("series", "ascending"), ("time", "ascending")])
    assert rows.column("series").to_pylist() == [1, 1, 2, 2, 3, 3]
    assert rows.column("value").to_pylist() == [21.5, 21.625, 22.5, 22.625, 23.5, 23.625]
    assert table.transaction_version(str(gateway.chain())) == 1
    assert {str(date) for date in rows.column("date").to_pylist()} == {"2026-09-21"}


def test_other_readers_filter_on_any_column(headquarters: Headquarters, gateway: HandGateway) -> None:
    """Columns without statistics must not make a reader skip files."""
    headquarters.take(gateway.data(scan(0)))
    headquarters.take(gateway.data(SampleBlock.make(ValueType.TEXT, [9], [T0], ["running"])))
    table = DeltaTable(str(headquarters.settings.lake / "samples"))
    for filters, rows in (
        ([("value", ">", 21.0)], 3),
        ([("value", "=", 22.5)], 1),
        ([("text", "=", "running")], 1),
        ([("quality", "=", 0)], 4),
        ([("batch", "=", 2)], 1),
    ):
        assert table.to_pyarrow_table(filters=filters).num_rows == rows, filters


def test_a_file_that_cannot_be_read_is_the_disks_fault(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.data(scan(0)))
    [file] = (headquarters.settings.lake / "samples").rglob("a-*.parquet")
    file.write_bytes(b"not what was written")
    samples = Lake(headquarters.settings.lake).samples
    with pytest.raises(StoreError, match="restore the file"):
        samples.read(samples.log.files(), None)


def test_every_value_comes_back_bit_for_bit(headquarters: Headquarters, gateway: HandGateway) -> None:
    nan = np.array([0x7FF8_0000_0000_BEEF], np.uint64).view(np.float64)
    values = np.concatenate([AWKWARD, nan])
    times = [T0 + i for i in range(len(values))]
    headquarters.take(gateway.data(SampleBlock.make(ValueType.F64, [1] * len(values), times, values)))
    found = headquarters.lake.samples.read(headquarters.lake.samples.log.files(), ["value"])
    assert found.column("value").to_numpy().view(np.uint64).tolist() == values.view(np.uint64).tolist()


def test_every_type_and_column_has_its_place(headquarters: Headquarters, gateway: HandGateway) -> None:
    headquarters.take(
        gateway.data(
            SampleBlock.make(ValueType.F32, [1], [T0], [1.5], source_time=[T0 - 5]),
            SampleBlock.make(ValueType.I64, [2], [T0], [2**60 + 1]),
            SampleBlock.make(ValueType.BOOL, [3], [T0], [1]),
            SampleBlock.make(ValueType.TEXT, [4], [T0], ["运行"], quality=[BAD_TIMEOUT]),
        )
    )
    table = headquarters.lake.samples.read(headquarters.lake.samples.log.files(), None)
    rows = {row["series"]: row for row in table.cast(table.schema).to_pylist()}
    of = {row.type: rows[row.series] for row in headquarters.lake.series.load()}
    assert (of["f32"]["value"], of["f32"]["text"]) == (1.5, None)
    assert of["f32"]["source_time"].timestamp() == (T0 - 5) / 1e6
    assert of["i64"]["text"] == "1152921504606846977"
    assert of["bool"]["value"] == 1.0
    assert (of["text"]["value"], of["text"]["text"], of["text"]["quality"]) == (None, "运行", BAD_TIMEOUT)
    assert of["text"]["source_time"] is None


def test_midnight_divides_a_batch_into_two_partitions(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    midnight = (T0 // (86_400 * SECOND) + 1) * 86_400 * SECOND
    block = SampleBlock.make(ValueType.F64, [1, 1], [midnight - 1, midnight], [1.0, 2.0])
    headquarters.take(gateway.data(block))
    assert sorted(file.date for file in headquarters.lake.samples.log.files()) == ["2026-09-21", "2026-09-22"]


@pytest.mark.parametrize(("time", "date"), [(-(2**62), "1970-01-01"), (2**62, "2199-12-31")])
def test_an_insane_clock_opens_no_insane_partition(
    headquarters: Headquarters, gateway: HandGateway, time: int, date: str
) -> None:
    headquarters.take(gateway.data(SampleBlock.make(ValueType.F64, [1], [time], [1.0])))
    [file] = headquarters.lake.samples.log.files()
    assert file.date == date
    assert Lake(headquarters.settings.lake).samples.log.files() == [file]


def test_a_lake_opened_again_knows_everything(headquarters: Headquarters, gateway: HandGateway) -> None:
    headquarters.take(gateway.open(), gateway.data(scan(0)))
    headquarters.take(gateway.data(scan(1)))
    headquarters.open()
    assert headquarters.recovered == 0
    lake = headquarters.lake
    assert lake.samples.mark(gateway.chain()) == 2
    assert lake.ledger.last_batch() == 3
    assert [row.name for row in lake.series.load()] == ["unit-1/1", "unit-1/2", "unit-1/3"]
    found = lake.ledger.find(gateway.chain(), 1)
    assert found is not None
    assert (found.batch, found.fields.seq) == (2, 1)
    assert lake.ledger.find(gateway.chain(), 7) is None


def test_checkpoints_and_old_logs_lose_nothing(headquarters: Headquarters, gateway: HandGateway) -> None:
    for second in range(5):
        headquarters.take(gateway.data(scan(second)))
    log = headquarters.lake.samples.log
    before = {file.path: file for file in log.files()}
    log.checkpoint(headquarters.clock_ms() + 10 * 365 * 86_400_000)
    assert len(list((log.folder / LOG).glob("*.json"))) == 1
    state = replay(log.folder / LOG)
    assert state.files == before
    assert state.transactions == {str(gateway.chain()): 4}
    headquarters.take(gateway.data(scan(5)))
    headquarters.open()
    assert len(headquarters.lake.samples.log.files()) == 6


def test_a_second_writer_is_seen_and_refused(tmp_path: Path) -> None:
    one = DeltaLog(tmp_path / "t", SAMPLES.schema, ["date", "bucket"], ["series"], 1000)
    other = DeltaLog(tmp_path / "t", SAMPLES.schema, ["date", "bucket"], ["series"], 1000)
    one.commit([], 0, {"gw/data/1": 3})
    with pytest.raises(StoreError, match="only writer"):
        other.commit([], 0, {"gw/data/1": 4})
    assert replay(tmp_path / "t" / LOG).transactions == {"gw/data/1": 3}


def test_a_torn_log_is_damage_and_not_an_empty_table(tmp_path: Path) -> None:
    log = DeltaLog(tmp_path / "t", SAMPLES.schema, ["date", "bucket"], ["series"], 1000)
    log.commit([], 0, {"gw/data/1": 3})
    (tmp_path / "t" / LOG / f"{1:020d}.json").write_text('{"txn": {"app')
    with pytest.raises(StoreDamagedError, match="restore it from a copy"):
        DeltaLog(tmp_path / "t", SAMPLES.schema, ["date", "bucket"], ["series"], 1000)


def test_a_commit_is_one_delta_json_with_its_transactions(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.data(scan(0)))
    log = headquarters.lake.samples.log
    lines = (log.folder / LOG / f"{log.version:020d}.json").read_text().splitlines()
    actions = [json.loads(line) for line in lines]
    assert [next(iter(action)) for action in actions] == ["commitInfo", "txn", "add"]
    assert actions[1]["txn"] == {"appId": "unit-1/data/1", "version": 0}
    stats = json.loads(actions[2]["add"]["stats"])
    assert stats["numRecords"] == 3
    assert stats["minValues"]["series"] == 1
    assert stats["maxValues"]["time"].startswith("2026-09-21T14:13:20")


def test_a_crash_between_tables_on_the_disk_is_repaired_at_the_next_start(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    class Crash(Exception):  # noqa: N818
        pass

    def die(name: str) -> None:
        if name == "hq:after-ledger":
            raise Crash

    before = crash.install(die)
    try:
        with pytest.raises(Crash):
            headquarters.take(gateway.open(), gateway.data(scan(0)))
    finally:
        crash.install(before)
    assert headquarters.lake.samples.mark(gateway.chain()) is None
    headquarters.open()
    assert headquarters.recovered == 2
    assert sum(file.rows for file in headquarters.lake.samples.log.files()) == 3
    assert headquarters.lake.samples.mark(gateway.chain()) == 1


def test_a_commit_without_samples_still_moves_the_mark(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.open(Stream.META), gateway.meta([PointDefinition(1, "a", ValueType.F64)]))
    assert headquarters.lake.samples.mark(gateway.chain(Stream.META)) == 1
    assert DeltaTable(str(headquarters.settings.lake / "samples")).transaction_version("unit-1/meta/1") == 1


def test_archive_segments_expire_by_date_and_quarantine_does_not(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    poison = gateway.batch(Kind.DATA, b"poison", n=1)
    headquarters.take(gateway.data(scan(0)), poison)
    row = headquarters.lake.ledger.find(gateway.chain(), 0)
    assert row is not None
    assert row.segment.startswith("2026-09-21/")
    headquarters.now_us += 10 * 86_400 * SECOND
    assert headquarters.archive.expire(days=11) == []
    assert headquarters.archive.expire(days=9) == ["2026-09-21"]
    [kept] = headquarters.settings.quarantine.iterdir()
    assert kept.read_bytes() == b"poison"


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.lists(st.integers(0, 30), min_size=1, max_size=6)),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 3),
)
def test_rows_are_ordered_by_series_and_time(runs: list[tuple[int, list[int]]], sorted_runs: int) -> None:
    """By whole runs where that is possible, row by row where not."""
    series, time = [], []
    for number, (name, times) in enumerate(runs):
        times = sorted(times) if number % 4 <= sorted_runs else times
        series += [name] * len(times)
        time += times
    taken = row_order(np.array(series, np.int64), np.array(time, np.int64))
    rows = list(range(len(series))) if taken is None else taken.tolist()
    assert sorted(rows) == list(range(len(series)))
    pairs = [(series[row], time[row]) for row in rows]
    assert pairs == sorted(pairs)
    assert (taken is None) == (rows == list(range(len(series))))


def test_a_log_with_a_commit_missing_in_the_middle_is_refused(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.open())
    for second in range(4):
        headquarters.take(gateway.data(scan(second)))
    (headquarters.lake.samples.folder / "_delta_log" / f"{3:020d}.json").unlink()
    with pytest.raises(StoreDamagedError, match="commit 3 is missing and later ones are there"):
        headquarters.open()


@pytest.mark.parametrize("table", ("ledger", "series", "gaps", "events"))
def test_a_table_that_is_gone_is_not_begun_anew(
    headquarters: Headquarters, gateway: HandGateway, table: str
) -> None:
    headquarters.take(gateway.open(), gateway.data(scan(0)))
    shutil.rmtree(headquarters.settings.lake / table)
    with pytest.raises(StoreDamagedError, match=f"expected the table {table}"):
        headquarters.open()


def test_heads_of_all_chains_are_found_in_one_pass(headquarters: Headquarters, gateway: HandGateway) -> None:
    last = [gateway.open(Stream.META), gateway.open(), gateway.data(scan(0))]
    headquarters.take(*last)
    newest = gateway.data(scan(1))
    headquarters.take(newest)
    assert headquarters.lake.ledger.heads() == {
        (gateway.chain(Stream.META), 0): header_hash(last[0].batch.header),
        (gateway.chain(), 2): header_hash(newest.batch.header),
    }
