"""Queries over a lake: right, read-only, and with errors that help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headquarters.lake import compact
from headquarters.lake.query import Engine, dataset_of, table_names
from headquarters.lake.rollup import RollUps
from headquarters.lake.schema import SAMPLES, TABLES
from headquarters.ledger import ledger_headers, summarise
from protocols.batch import Stream
from protocols.errors import InputError
from protocols.records import Gap, GapCause, PointDefinition
from protocols.samples import BAD_TIMEOUT, SampleBlock, ValueType
from tests.lake_parts import SECOND, T0, HandGateway, Headquarters, scan


@pytest.fixture(scope="module")
def headquarters(tmp_path_factory: pytest.TempPathFactory) -> Headquarters:
    gateway = HandGateway()
    headquarters = Headquarters(tmp_path_factory.mktemp("lake") / "hq", gateway)
    definitions = [PointDefinition(point, f"10LBA10CT00{point}", ValueType.F64, "Cel") for point in (1, 2, 3)]
    headquarters.take(gateway.open(Stream.META), gateway.meta(definitions), gateway.open())
    for second in range(5):
        headquarters.take(gateway.data(scan(second)))
    headquarters.take(gateway.data(SampleBlock.make(ValueType.TEXT, [8], [T0], ["运行"], [BAD_TIMEOUT])))
    headquarters.take(gateway.gaps(Gap(GapCause.OVERRUN, T0, T0 + 1, points=(1, 2), samples=4)))
    headquarters.take(gateway.statement([(2, 1, 7, 16)], sealed=16))
    RollUps(headquarters.lake).step()
    return headquarters


@pytest.fixture
def engine(headquarters: Headquarters) -> Iterator[Engine]:
    engine = Engine(headquarters.settings.lake)
    yield engine
    engine.close()


def ask(engine: Engine, sql: str) -> list[tuple[object, ...]]:
    return list(engine.rows(sql)[1])


def test_every_table_can_be_asked(engine: Engine) -> None:
    counts = {name: ask(engine, f"SELECT count(*) FROM {name}")[0][0] for name in table_names()}
    assert counts == {
        "samples": 16,
        "history": 16,
        "series": 4,
        "series_history": 4,
        "gaps": 1,
        "events": 3,
        "ledger": 11,
        "samples_minute": 4,
        "samples_hour": 4,
    }
    assert {table.name for table in TABLES} <= counts.keys()


def test_history_joins_names_and_units(engine: Engine) -> None:
    sql = "SELECT name, unit, value FROM history WHERE name = '10LBA10CT002' ORDER BY time LIMIT 1"
    assert ask(engine, sql) == [("10LBA10CT002", "Cel", 22.5)]


def test_a_point_can_be_named_by_a_function_that_is_worked_out_first(engine: Engine) -> None:
    for name in ("10LBA10CT002", "unit-1/10LBA10CT002"):
        where = f"series = series_of('{name}')"
        assert ask(engine, f"SELECT count(*), min(value) FROM samples WHERE {where}") == [(5, 22.5)]
    plan = ask(engine, "EXPLAIN SELECT value FROM samples WHERE series = series_of('10LBA10CT002')")
    assert '"series" = 2' in str(plan)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("value > 23", 5),
        ("value IS NULL", 1),
        ("text = '运行'", 1),
        ("text IS NOT NULL", 1),
        ("quality <> 0", 1),
        ("source_time IS NOT NULL", 0),
        ("batch = 4", 3),
        ("series = 2 AND time >= '2026-09-21 14:13:23+00'", 2),
        ("time < '2026-09-21 14:13:21+00'", 4),
        ("date = DATE '2026-09-21' AND bucket = 0", 16),
        ("date > DATE '2026-09-21'", 0),
        ("series BETWEEN 2 AND 3 OR text = 'no'", 10),
    ],
)
def test_filters_on_any_column_find_every_row(engine: Engine, where: str, rows: int) -> None:
    """What the log says of a file must never hide one of its rows."""
    assert ask(engine, f"SELECT count(*) FROM samples WHERE {where}") == [(rows,)]


def test_times_are_written_and_read_in_the_asked_zone(headquarters: Headquarters) -> None:
    engine = Engine(headquarters.settings.lake, "Asia/Shanghai")
    sql = "SELECT time FROM samples WHERE series = 1 AND time = '2026-09-21 22:13:24'"
    assert ask(engine, sql) == [("2026-09-21 22:13:24+08",)]


def test_a_running_engine_sees_new_versions_when_asked_to(tmp_path: Path) -> None:
    gateway = HandGateway()
    headquarters = Headquarters(tmp_path / "hq", gateway)
    headquarters.take(gateway.data(scan(0)))
    engine = Engine(headquarters.settings.lake)
    for second in range(1, 20):
        headquarters.take(gateway.data(scan(second)))
    assert ask(engine, "SELECT count(*) FROM samples") == [(3,)]
    [merge] = compact.plan_merges(headquarters.lake.samples.log.files())
    compact.merge(headquarters.lake.samples, merge)
    headquarters.lake.samples.log.checkpoint(headquarters.clock_ms() + 10**12)
    engine.refresh()
    assert ask(engine, "SELECT count(*) FROM samples") == [(60,)]


def test_a_query_of_one_series_opens_only_files_that_can_hold_it(headquarters: Headquarters) -> None:
    files = headquarters.lake.samples.log.files()
    dataset = dataset_of(headquarters.lake.samples.folder, SAMPLES, files)
    text = pc.field("series") == 4
    assert len(list(dataset.get_fragments(text))) == 1
    before = pc.field("time") < pa.scalar(T0 + SECOND, pa.int64()).cast(SAMPLES.columns.field("time").type)
    assert len(list(dataset.get_fragments(before))) == 2


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM sampels", "did you mean 'samples'"),
        ("SELECT * FROM nothing", "one of the tables events, gaps, history"),
        ("SELECT valeu FROM samples", "value"),
        ("SELEC 1", "syntax error"),
        ("", "got none"),
        ("SELECT 1; SELECT 2", "got 2"),
        ("DROP VIEW series", "first a DROP"),
        ("COPY samples TO 'x.csv'", "first a COPY"),
        ("INSERT INTO samples VALUES (1)", "first a INSERT"),
        ("SET memory_limit = '1GB'", "first a SET"),
        ("ATTACH 'x.db'", "first a ATTACH"),
        ("SELECT * FROM read_csv('/etc/hostname')", "disabled by configuration"),
        ("SELECT * FROM '/etc/hostname.csv'", "Permission Error"),
        ("SELECT * FROM glob('/etc/*')", "disabled by configuration"),
        ("SELECT error('stop')", "stop"),
        ("SELECT series_of('10LBA10CT009')", "did you mean"),
    ],
)
def test_what_is_no_reading_of_the_lake_is_refused_with_a_reason(
    engine: Engine, sql: str, message: str
) -> None:
    with pytest.raises(InputError) as refused:
        ask(engine, sql)
    assert message.lower() in str(refused.value).lower()


def test_a_wrong_zone_and_a_missing_lake_are_named(headquarters: Headquarters, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a time zone such as"):
        Engine(headquarters.settings.lake, "Mars/Olympus")
    with pytest.raises(InputError, match="catchment-hq run"):
        Engine(tmp_path)


def test_the_ledger_is_summed_up_by_chain(headquarters: Headquarters) -> None:
    found = summarise(headquarters.settings.lake)
    by_chain = {str(line.chain): line for line in found.chains}
    data = by_chain["unit-1/data/1"]
    assert (data.batches, data.samples, data.next, data.missing) == (7, 16, 7, 0)
    assert [(gap.cause, gap.gaps, gap.samples) for gap in found.gaps] == [("overrun", 1, 4)]
    assert [(node, statement["sealed"]) for node, _, statement in found.statements] == [("unit-1", 16)]
    assert [title for title, _, _ in found.tables()] == ["Chains", "Declared gaps", "Statements of gateways"]


def test_headers_are_found_by_chain_and_sequence(headquarters: Headquarters) -> None:
    chain = HandGateway().chain()
    assert set(ledger_headers(headquarters.settings.lake, [(chain, 3), (chain, 99)])) == {(chain, 3)}
