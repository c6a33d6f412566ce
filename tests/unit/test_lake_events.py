"""Alarms and other events in the lake: a row each, with columns to query; old lakes get the columns."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from headquarters.ingest.rows import Status
from headquarters.lake import schema
from headquarters.lake.deltalog import DeltaLog, replay
from headquarters.lake.query import Engine
from headquarters.verify import Verification
from protocols.batch import Kind, Stream
from protocols.records import EventRecord, EventType, pack_events
from tests.lake_parts import SECOND, T0, HandGateway, Headquarters, scan

RAISED = EventRecord(
    T0,
    EventType.ALARM,
    *("gas", "hall-1", "high", "CH4 too high", 1, "raised", "unacknowledged", 20.5, 1),
    number=7,
    detail={"limit": 20.0},
)
ACKNOWLEDGED = replace(
    RAISED,
    time_us=T0 + SECOND,
    transition="acknowledged",
    state="acknowledged",
    operator="li",
    comment="on my way",
    number=8,
)
TOLD = EventRecord(T0 + 2 * SECOND, EventType.EVENT, "boiler", text="started", value=math.inf)


def rows(headquarters: Headquarters, sql: str) -> list[tuple[Any, ...]]:
    engine = Engine(headquarters.settings.lake)
    try:
        return list(engine.rows(sql)[1])
    finally:
        engine.close()


def test_each_event_of_a_batch_is_a_row_with_columns_to_query(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.open(Stream.EVENT), gateway.events(RAISED, ACKNOWLEDGED, TOLD))
    columns = (
        "type, app, instance, source, text, priority, transition, state, value, quality, operator, detail"
    )
    found = rows(headquarters, f"SELECT {columns} FROM events WHERE kind = 'event' ORDER BY time")
    alarm = ("alarm", "gas", "hall-1", "high", "CH4 too high", 1)
    assert [row[:11] for row in found] == [
        (*alarm, "raised", "unacknowledged", 20.5, 0x40000000, ""),
        (*alarm, "acknowledged", "acknowledged", 20.5, 0x40000000, "li"),
        ("event", "boiler", "", "", "started", None, "", "", math.inf, 0, ""),
    ]
    assert [json.loads(row[11]) for row in found[:2]] == [
        {"no": 7, "comment": "", "detail": {"limit": 20.0}},
        {"no": 8, "comment": "on my way", "detail": {"limit": 20.0}},
    ]


def test_other_kinds_of_records_leave_these_columns_empty(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.open(Stream.EVENT), gateway.events(RAISED))
    [(kind, type_, detail)] = rows(headquarters, "SELECT kind, type, detail FROM events WHERE type IS NULL")
    assert (kind, type_) == ("open", None)
    assert json.loads(detail)["reason"] == "first"


def test_events_are_taken_once_though_their_batch_comes_twice(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    batch = gateway.events(RAISED, TOLD)
    headquarters.take(batch)
    headquarters.take(batch)
    headquarters.open()
    assert rows(headquarters, "SELECT count(*) FROM events WHERE kind = 'event'") == [(2,)]


@pytest.mark.parametrize("times", [(T0 + 1, T0 + 9), (T0 - 9, T0 - 1)])
def test_an_event_outside_its_header_s_times_is_refused(
    headquarters: Headquarters, gateway: HandGateway, times: tuple[int, int]
) -> None:
    [payload] = pack_events([RAISED])
    wrong = gateway.batch(Kind.EVENT, payload.data, stream=Stream.EVENT, times=times)
    cycle = headquarters.take(wrong)
    assert "as the header says" in cycle.refused[0].text
    assert [row.status for row in cycle.ledger] == [Status.REFUSED]
    assert not cycle.events


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("text", "all is well"),
        ("priority", 4),
        ("value", 1.0),
        ("transition", "returned"),
        ("operator", "wang"),
    ],
)
def test_a_verification_finds_every_altered_column(
    headquarters: Headquarters, gateway: HandGateway, column: str, value: Any
) -> None:
    headquarters.take(gateway.open(Stream.EVENT), gateway.events(RAISED, ACKNOWLEDGED, TOLD))
    assert not Verification(headquarters.settings).run().faults
    table = headquarters.lake.events
    old = table.log.files()
    altered = table.read(old, None).to_pylist()
    next(row for row in altered if row["type"] == "alarm")[column] = value
    new = table.append_rows(pa.Table.from_pylist(altered, schema=table.table.columns), old[0].partition)
    table.log.commit([new], table.clock_ms(), removes=old, data_change=False)
    [fault] = Verification(headquarters.settings).run().faults
    assert fault.kind == "rows" and "events" in fault.text


def test_a_lake_of_an_older_release_gets_the_new_columns_and_keeps_its_rows(
    tmp_path: Path, gateway: HandGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = schema.EVENTS._replace(columns=pa.schema(list(schema.EVENTS.columns)[:7]))
    with monkeypatch.context() as then:
        then.setattr(schema, "EVENTS", older)
        before = Headquarters(tmp_path / "hq", gateway)
        before.take(gateway.open(), gateway.data(scan(0)))
        before.lake.events.log.checkpoint(before.clock_ms())
    folder = before.settings.lake / "events"
    assert len(DeltaTable(str(folder)).schema().fields) == 8

    now = Headquarters(tmp_path / "hq", gateway)
    assert {field.name for field in DeltaTable(str(folder)).schema().fields} == set(
        schema.EVENTS.schema.names
    )
    now.take(gateway.events(RAISED))
    table = DeltaTable(str(folder))
    found = table.to_pyarrow_table(columns=["kind", "text", "value"]).sort_by("kind").to_pylist()
    assert found == [
        {"kind": "event", "text": "CH4 too high", "value": 20.5},
        {"kind": "open", "text": None, "value": None},
    ]
    assert rows(now, "SELECT kind, priority FROM events ORDER BY kind") == [("event", 1), ("open", None)]
    assert [entry["operation"] for entry in table.history()].count("ADD COLUMN") == 1
    assert not Verification(now.settings).run().faults


def test_columns_are_added_once_and_known_from_a_checkpoint(tmp_path: Path) -> None:
    two = pa.schema([("a", pa.int64()), ("b", pa.string())])
    DeltaLog(tmp_path / "t", pa.schema([("a", pa.int64())]), [], ["a"], 1000)
    log = DeltaLog(tmp_path / "t", two, [], ["a"], 1000)
    assert log.version == 1
    log.checkpoint(10**15)
    assert replay(tmp_path / "t" / "_delta_log").columns == {"a", "b"}
    assert DeltaLog(tmp_path / "t", two, [], ["a"], 1000).version == 1
    assert DeltaTable(str(tmp_path / "t")).metadata().configuration["delta.dataSkippingStatsColumns"] == "a"


def test_a_lake_of_a_newer_release_is_left_as_it_is(tmp_path: Path) -> None:
    wider = pa.schema([("a", pa.int64()), ("b", pa.string())])
    DeltaLog(tmp_path / "t", wider, [], ["a"], 1000)
    assert DeltaLog(tmp_path / "t", pa.schema([("a", pa.int64())]), [], ["a"], 1000).version == 0
