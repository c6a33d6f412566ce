"""The point table as text: what is read, what is only warned of, and what is written back."""

from __future__ import annotations

import datetime
import re
import zipfile
from pathlib import Path

import openpyxl
import pytest

from protocols import limits, units
from protocols.errors import InputError
from protocols.field.base import FieldType
from protocols.pointrow import Surroundings
from protocols.points import DeadbandUnit, Point, Report, to_definition
from protocols.pointtable import PointTable, read_points, write_rows
from protocols.samples import ValueType
from protocols.tablefile import parse_csv, read_table, write_csv, write_xlsx

ANYWHERE = Surroundings(None, None)
FULL = Point(
    7, "PT-102", "plc1", "holding:2", FieldType.F32, "fast", "MPa", 0.5, -1.0, -0.25, 25.0,
    Report.SWINGING_DOOR, 0.02, DeadbandUnit.PERCENT, 60.0, 'Drum "A", 汽包压力',
)  # fmt: skip
PLAIN = Point(0, "FT-1", "plc1", "1!40001#BB", FieldType.UINT16, "fast")


def _read(text: str, surroundings: Surroundings = ANYWHERE) -> PointTable:
    return read_points(parse_csv(text, "points.csv"), surroundings)


def _row(**cells: str) -> str:
    row = {
        "name": "A",
        "device": "plc1",
        "address": "holding:0",
        "type": "uint16",
        "scan_class": "fast",
        **cells,
    }
    return write_csv([list(row), list(row.values())])


def test_what_is_written_as_csv_is_read_back_as_the_same_points() -> None:
    table = _read(write_csv(write_rows([FULL, PLAIN])))
    assert (table.points, table.places, table.problems) == ([FULL, PLAIN], ["row 2", "row 3"], [])


def test_what_is_written_as_xlsx_is_read_back_as_the_same_points(tmp_path: Path) -> None:
    path = tmp_path / "points.xlsx"
    write_xlsx(path, write_rows([FULL, PLAIN]), "points")
    table = read_points(read_table(path, ""), ANYWHERE)
    assert (table.points, table.problems) == ([FULL, PLAIN], [])


def test_columns_may_stand_in_any_order_and_be_capitalised() -> None:
    table = _read("Scan Class,TYPE,address,Device,NAME\nfast,F32,holding:0,plc1,A\n")
    assert table.points == [Point(0, "A", "plc1", "holding:0", FieldType.F32, "fast")]


def test_blank_rows_blank_columns_and_spaces_do_not_matter() -> None:
    text = "name,device,address,type,scan_class,,\n\n,,,,,,\n A , plc1 ,holding:0,uint16,fast,,\n"
    table = _read(text)
    assert (table.places, [point.name for point in table.points], table.problems) == (["row 4"], ["A"], [])


@pytest.mark.parametrize("ends", ("\n", "\r\n", "\r"))
@pytest.mark.parametrize("mark", (b"", b"\xef\xbb\xbf"))
def test_line_ends_and_a_byte_order_mark_do_not_matter(ends: str, mark: bytes, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_bytes(mark + write_csv(write_rows([FULL])).replace("\n", ends).encode())
    assert read_points(read_table(path, ""), ANYWHERE).points == [FULL]


def test_a_table_in_another_encoding_and_delimiter_is_read_when_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_bytes(
        write_csv(write_rows([FULL])).replace('""A"", ', "A").replace(",", ";").encode("gb18030")
    )
    table = read_points(read_table(path, "", ";", "gb18030"), ANYWHERE)
    assert [point.description for point in table.points] == ["Drum A汽包压力"]


@pytest.mark.parametrize("encoding", ("utf-99", "ascii"))
def test_a_wrong_encoding_is_named(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text(write_csv(write_rows([FULL])), encoding="utf-8")
    with pytest.raises(InputError, match=r"encoding|ascii"):
        read_table(path, "", ",", encoding)


def test_numbers_and_dates_in_a_workbook_are_seen_as_what_they_are(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["id", "name", "device", "address", "type", "scan_class", "scale"])
    sheet.append([12, "A", "plc1", 40001, "uint16", "fast", 0.1])
    sheet.append([13.0, datetime.datetime(2026, 1, 5), "plc1", 40002.0, "uint16", "fast", True])  # noqa: DTZ001
    path = tmp_path / "points.xlsx"
    book.save(path)
    table = read_points(read_table(path, ""), ANYWHERE)
    assert [(point.id, point.address, point.scale) for point in table.points] == [(12, "40001", 0.1)]
    assert [(problem.place, problem.value) for problem in table.problems] == [
        ("row 3, column name", "2026-01-05"),
        ("row 3, column scale", "true"),
    ]


def test_a_formula_that_was_never_calculated_is_not_an_empty_cell(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["name", "device", "address", "type", "scan_class", "scale"])
    book.active.append(["A", "plc1", 40001, "uint16", "fast", "=1/10"])
    path = tmp_path / "points.xlsx"
    book.save(path)
    [problem] = read_points(read_table(path, ""), ANYWHERE).problems
    assert (problem.place, problem.value) == ("row 2, column scale", "=1/10")
    assert "not the formula" in problem.expected


def test_formulas_count_for_their_results_an_empty_text_among_them(tmp_path: Path) -> None:
    path = tmp_path / "points.xlsx"
    write_xlsx(path, [["name", "scale", "unit"], ["A", "SCALE", "UNIT"]], "points")
    with zipfile.ZipFile(path) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    for cell, put in ((b"B2", b"<c r='B2'><f>1/8</f><v>0.125</v></c>"),
                      (b"C2", b"<c r='C2' t='str'><f>\"\"</f><v></v></c>")):  # fmt: skip
        parts[sheet], count = re.subn(rb'<c r="%s"[^>]*>.*?</c>' % cell, put, parts[sheet])
        assert count == 1
    with zipfile.ZipFile(path, "w") as archive:
        for entry, data in parts.items():
            archive.writestr(entry, data)
    assert read_table(path, "").rows[1].cells == ["A", "0.125"]


@pytest.mark.parametrize("damage", (b"", b"PK\x03\x04 cut short", b"name,device"))
def test_a_damaged_workbook_is_named(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "points.xlsx"
    path.write_bytes(damage)
    with pytest.raises(InputError, match="expected an Excel workbook"):
        read_table(path, "")


def test_a_workbook_broken_inside_is_named(tmp_path: Path) -> None:
    path = tmp_path / "points.xlsx"
    write_xlsx(path, write_rows([FULL]), "points")
    data = bytearray(path.read_bytes())
    for at in range(60, len(data) - 400, 97):
        data[at] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(InputError, match="save it again"):
        read_table(path, "")


def test_a_text_that_looks_like_a_formula_stays_a_text_in_a_workbook(tmp_path: Path) -> None:
    path = tmp_path / "points.xlsx"
    write_xlsx(path, [["name"], ["=1+1"]], "points")
    assert openpyxl.load_workbook(path)["points"]["A2"].data_type == "s"


@pytest.mark.parametrize(
    ("cells", "column", "words"),
    (
        ({"unit": "℃"}, "unit", "write 'Cel'"),
        ({"unit": "m³/h"}, "unit", "write 'm3/h'"),
        ({"unit": "furlong"}, "unit", "not known as UCUM"),
    ),
)
def test_what_is_probably_not_meant_is_a_warning(cells: dict[str, str], column: str, words: str) -> None:
    table = _read(_row(**cells))
    assert len(table.points) == 1
    assert [warning.place for warning in table.warnings] == [f"row 2, column {column}"]
    assert words in table.warnings[0].expected


def test_two_points_of_one_address_or_of_similar_names_are_warned_of() -> None:
    table = _read(_row() + "a,plc1,holding:0,uint16,fast\n")
    assert [warning.place for warning in table.warnings] == ["row 3, column name", "row 3, column address"]


@pytest.mark.parametrize(
    ("unit", "known"),
    (
        ("", True), ("t/h", True), ("MPa", True), ("m3/h{normal}", True), ("mm[H2O]", True), ("kW.h", True),
        ("/min", True), ("10*6/L", True), ("W/(m2.K)", True), ("[degF]", True), ("uS/cm", True),
        ("{NTU}", True),
        ("m-2", True), ("rpm", False), ("psi", False), ("°C", False), ("kg/h/什么", False),
    ),
)  # fmt: skip
def test_the_units_of_process_plants_are_known(unit: str, known: bool) -> None:
    assert (units.check(unit) is None) is known


@pytest.mark.parametrize(
    "unit", ("m3/(h", "m)", "m//s", "kg/", ".m", "[psi", "{x", "m}", "x" * 33, "m\ts", "()")
)
def test_what_cannot_be_a_unit_is_hopeless(unit: str) -> None:
    fault = units.check(unit)
    assert fault is not None
    assert fault.hopeless


def test_more_points_than_a_gateway_may_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TABLE_POINTS_MAX", 3)
    rows = "".join(f"P{index},plc1,holding:{index},uint16,fast\n" for index in range(5))
    table = _read("name,device,address,type,scan_class\n" + rows)
    assert [(problem.place, problem.expected) for problem in table.problems] == [
        ("row 5", "at most 3 points; share them between gateways")
    ]


def test_a_row_after_a_cell_of_two_lines_is_named_by_row_and_by_line() -> None:
    heading = "name,device,address,type,scan_class,description\n"
    table = _read(heading + 'A,plc1,holding:0,uint16,fast,"one\ntwo"\nB,plc1,holding:1,colour,fast,\n')
    assert [problem.place for problem in table.problems] == [
        "row 2, column description",
        "row 3 (line 4), column type",
    ]


def test_a_suggestion_names_the_nearest_device() -> None:
    surroundings = Surroundings({"fast"}, {"boiler": None, "turbine": None})
    assert "did you mean 'boiler'?" in str(_read(_row(device="Boiller"), surroundings).problems[0])


@pytest.mark.parametrize(
    ("type_", "scale", "value_type"),
    (
        (FieldType.BOOL, 1.0, ValueType.BOOL), (FieldType.STRING, 1.0, ValueType.TEXT),
        (FieldType.INT16, 1.0, ValueType.I64), (FieldType.UINT64, 1.0, ValueType.I64),
        (FieldType.INT16, 0.1, ValueType.F64), (FieldType.F32, 1.0, ValueType.F32),
        (FieldType.F32, 2.0, ValueType.F64), (FieldType.F64, 1.0, ValueType.F64),
    ),
)  # fmt: skip
def test_what_is_not_scaled_travels_in_its_own_type(
    type_: FieldType, scale: float, value_type: ValueType
) -> None:
    assert Point(1, "A", "d", "a", type_, "fast", scale=scale).value_type is value_type


def test_the_definition_says_how_large_an_error_may_be() -> None:
    definition = to_definition(FULL, 1000)
    assert definition.resolution == pytest.approx(0.02 / 100 * 25.25)
    assert (definition.type, definition.scan_period_ms, definition.unit) == (ValueType.F64, 1000, "MPa")
    assert to_definition(PLAIN, 1000).resolution == 0.0
