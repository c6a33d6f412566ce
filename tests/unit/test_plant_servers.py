"""What the plant's servers say is what the model holds, and what their log keeps."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from scripts.plant.catalogue import Kind, PlantPoint
from scripts.plant.layout import COLUMNS, TEXT_BYTES, Protocol, Table, half, places, write_point_table
from scripts.plant.log import MODBUS_READ, READS, TICKS, LogWriter, read_log
from scripts.plant.modbus import Encoder, ModbusServer, answer
from scripts.plant.model import Plant
from scripts.plant.orders import Orders
from scripts.plant.replay import Replay, parse
from scripts.plant.serve import next_tick
from scripts.plant.sources import Subset

FORMATS = {
    Kind.F32: ">f",
    Kind.F64: ">d",
    Kind.INT16: ">h",
    Kind.UINT16: ">H",
    Kind.INT32: ">i",
    Kind.UINT32: ">I",
}


def read(banks: object, unit: int, table: int, address: int, count: int) -> bytes:
    pdu, logged = answer(banks, unit, struct.pack(">BHH", table, address, count))  # type: ignore[arg-type]
    assert logged == (table, address, count) and pdu[0] == table and pdu[1] == len(pdu) - 2
    return pdu[2:]


def test_every_point_reads_back_from_its_registers() -> None:
    plant = Plant(1500, seed=3)
    plant.step(1.0)
    where = places(plant.points)
    banks = Encoder(plant.points, where).encode(plant.held(), plant.texts())
    for index, (point, place) in enumerate(zip(plant.points, where, strict=True)):
        data = read(banks, place.unit, place.table, place.address, place.words)
        if point.kind is Kind.STRING:
            text = plant.texts()[index - len(plant.held())]
            assert data == text.encode().ljust(TEXT_BYTES, b"\0")
        elif point.kind is Kind.BOOL:
            assert data[0] & 1 == plant.held()[index]
        else:
            assert struct.unpack(FORMATS[point.kind], data)[0] == plant.held()[index]


def test_places_do_not_overlap_and_every_table_is_used() -> None:
    taken = [
        (place.unit, place.table, address)
        for place in places(Plant(1000).points)
        for address in range(place.address, place.address + place.words)
    ]
    assert len(taken) == len(set(taken))
    assert {table for _, table, _ in taken} == set(Table)


def test_bits_are_packed_lowest_first() -> None:
    banks = {(1, 2): bytes([1, 0, 0, 1, 0, 0, 0, 0, 1, 1])}
    assert read(banks, 1, 2, 0, 10) == bytes([0b00001001, 0b11])
    assert read(banks, 1, 2, 3, 6) == bytes([0b100001])


@pytest.mark.parametrize(
    ("pdu", "code"),
    (
        (b"\x06\x00\x00\x00\x01", 1),
        (b"\x2b\x0e\x01\x00", 1),
        (b"\x03\x00\x00", 3),
        (b"\x03\x00\x00\x00\x00", 3),
        (b"\x03\x00\x00\x00\x7e", 3),
        (b"\x03\x00\x03\x00\x02", 2),
        (b"\x04\x00\x00\x00\x01", 2),
    ),
)
def test_what_cannot_be_read_is_refused_with_its_exception(pdu: bytes, code: int) -> None:
    assert answer({(1, 3): bytes(8)}, 1, pdu) == (bytes([pdu[0] | 0x80, code]), None)


def test_an_answer_is_logged_with_the_tick_it_came_from() -> None:
    records: list[bytes] = []
    server = ModbusServer(records.append, now_us=lambda: 1_234)
    server.show({(7, 4): b"\x12\x34"}, tick=9)
    frame = server.respond(bytes.fromhex("00 05 00 00 00 06 07 04 00 00 00 01"), client=4321)
    assert frame == bytes.fromhex("00 05 00 00 00 05 07 04 02 12 34")
    logged = np.frombuffer(b"".join(records), MODBUS_READ)
    assert logged.tolist() == [(1_234, 9, 7, 4, 0, 1, 4321)]
    server.silence(1.0)
    assert server.respond(bytes.fromhex("00 06 00 00 00 06 07 04 00 00 00 01"), client=4321) == b""
    assert len(records) == 1


def test_two_servers_share_a_plant_without_a_point_twice_or_never() -> None:
    plant = Plant(1000)
    halves = [Subset.half(plant, protocol) for protocol in Protocol]
    names = [point.name for part in halves for point in part.points]
    assert sorted(names) == sorted(point.name for point in plant.points)
    for part in halves:
        assert {point.kind for point in part.points} >= set(Kind) - {Kind.INT32}  # a unit has one
        assert [p.kind is Kind.STRING for p in part.points] == sorted(
            p.kind is Kind.STRING for p in part.points
        )
        assert len(part.points) == len(part.held()) + len(part.texts()) == len(part.status())
    assert half(plant.points, Protocol.MODBUS) != half(plant.points, Protocol.OPCUA)


def test_ticks_fall_half_a_period_off_the_scan_grid() -> None:
    assert next_tick(0, 1_000_000) == 500_000
    assert next_tick(499_999, 1_000_000) == 500_000
    assert next_tick(500_000, 1_000_000) == 1_500_000
    assert next_tick(1_790_000_000_123_456, 100_000) == 1_790_000_000_150_000


def test_a_log_survives_a_torn_record_and_a_restart(tmp_path: Path) -> None:
    plant = Plant(300, seed=2)
    for _ in range(2):
        writer = LogWriter(tmp_path, Protocol.MODBUS, plant.points, 1_000_000)
        writer.tick(500_000, 500_100, plant.held(), plant.texts(), plant.status())
        writer.reads(np.array([(600_000, writer.ticks - 1, 1, 3, 0, 10, 5)], MODBUS_READ).tobytes())
        writer.close()
        for name in (TICKS, READS):
            with (tmp_path / name).open("ab") as file:
                file.write(b"torn")
    log = read_log(tmp_path)
    assert log.points == plant.points and log.places == tuple(places(plant.points))
    assert log.reads["tick"].tolist() == [0, 1]
    assert np.array_equal(log.ticks["held"][1], plant.held())
    assert log.ticks["text"][1, 0].decode() == plant.texts()[0]


def test_a_log_of_other_points_is_not_continued(tmp_path: Path) -> None:
    LogWriter(tmp_path, Protocol.OPCUA, Plant(300).points, 1_000_000).close()
    with pytest.raises(ValueError, match="expected an empty directory"):
        LogWriter(tmp_path, Protocol.OPCUA, Plant(301).points, 1_000_000)


@pytest.mark.parametrize("protocol", list(Protocol))
def test_the_point_table_says_where_each_point_is(tmp_path: Path, protocol: Protocol) -> None:
    points = Plant(1000).points
    write_point_table(tmp_path / "points.csv", points, protocol, "plc", "fast")
    lines = (tmp_path / "points.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == ",".join(COLUMNS) and len(lines) == 1001
    wanted = {
        Protocol.MODBUS: ",10HAD10CL001,plc,1!input:0,int16,fast,mm,,-400.0,400.0,drum level 1",
        Protocol.OPCUA: ",10HAD10CL001,plc,ns=2;s=10HAD10CL001,int16,fast,mm,,-400.0,400.0,drum level 1",
    }
    assert wanted[protocol] in lines


def test_more_points_than_a_server_can_hold_are_refused() -> None:
    point = PlantPoint("x", Kind.F64, "", 0, 1.0, None, None, 0, "")
    with pytest.raises(ValueError, match="fewer points"):
        places([point] * 20_000)


def test_orders_are_taken_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_text('{"name": "old"}\n', encoding="utf-8")
    orders = Orders(path)
    assert orders.take() == []
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"name": "trip"}) + "\n" + '{"name": "ha')
    assert orders.take() == [{"name": "trip"}]
    with path.open("a", encoding="utf-8") as file:
        file.write('lf"}\n')
    assert orders.take() == [{"name": "half"}]
    assert orders.take() == []


@pytest.mark.parametrize(
    ("text", "names", "rows"),
    (
        ("1 2\n3 4\n", ("column 1", "column 2"), [[1, 2], [3, 4]]),
        ("  1.5e+00   -2\n\n3\t4\n", ("column 1", "column 2"), [[1.5, -2], [3, 4]]),
        ("T,p\n1,2\n3,\n", ("T", "p"), [[1, 2], [3, np.nan]]),
        ("t;x\n2020-01-01;1\n2020-01-02;2\n", ("x",), [[1], [2]]),
        ('"a, b",c\n1,2\n', ("a, b", "c"), [[1, 2]]),
    ),
)
def test_tables_of_any_make_are_read(text: str, names: tuple[str, ...], rows: list[list[float]]) -> None:
    table = parse(text)
    assert table.names == names
    assert np.array_equal(table.rows, np.array(rows), equal_nan=True)


def test_a_transposed_table_is_turned_only_when_told() -> None:
    assert parse("1 2 3\n4 5 6", transpose=True).rows.tolist() == [[1, 4], [2, 5], [3, 6]]


@pytest.mark.parametrize("text", ("", "\n \n", "a,b\n", "1 2\n3\n", "a,b\nc,d\n"))
def test_a_table_that_cannot_be_replayed_says_why(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse(text)


def test_each_row_is_held_for_two_ticks_and_the_first_follows_the_last() -> None:
    replay = Replay(parse("1.1 7\n2.2 8\n"), "mb.")
    seen = []
    for _ in range(6):
        seen.append(replay.held().tolist())
        replay.step(1.0)
    assert seen == [[0, 1.1, 7], [0, 1.1, 7], [1, 2.2, 8], [1, 2.2, 8], [0, 1.1, 7], [0, 1.1, 7]]
    assert [point.name for point in replay.points] == ["mb.row", "mb.c01", "mb.c02"]


def test_a_log_is_read_with_numpy_as_its_document_says(tmp_path: Path) -> None:
    plant = Plant(500, seed=2)
    writer = LogWriter(tmp_path, Protocol.OPCUA, plant.points, 1_000_000)
    writer.tick(500_000, 500_100, plant.held(), plant.texts(), plant.status())
    writer.close()
    meta = json.loads((tmp_path / "meta.json").read_text(encoding="utf-8"))
    dtype = np.dtype([(f[0], f[1], *map(tuple, f[2:])) for f in meta["tick"]])
    data = (tmp_path / "ticks.bin").read_bytes()
    ticks = np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype)
    assert ticks["time"].tolist() == [500_000]
    assert np.array_equal(ticks["held"][0], plant.held())
