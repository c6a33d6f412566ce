"""Every mistake in this table is answered with its place and its remedy, and never with a traceback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_runtime.configread import load
from protocols.errors import InputError
from tests.gateway_home import GATEWAY_TOML, POINTS_CSV, make_home

HEADING, *_ROWS = POINTS_CSV.splitlines()


@dataclass(frozen=True)
class Toml:
    """`gateway.toml` with `old` replaced by `new`; the problem's place and words of its remedy."""

    name: str
    old: str
    new: str
    place: str
    expected: str
    value: str = ""


@dataclass(frozen=True)
class Row:
    """A point table of the heading and one row, with the problem that it has."""

    name: str
    row: str
    place: str
    expected: str
    value: str = ""


@dataclass(frozen=True)
class Table:
    """A point table as bytes, with the problem that it has."""

    name: str
    content: bytes
    place: str
    expected: str
    value: str = ""


BAD_TOML = (
    # -- syntax
    Toml("unquoted text", 'host = "192.0.2.1"', "host = 192.0.2.1", "line 14, column", "put texts in quotes", "host = 192.0.2.1"),
    Toml("colon", "period_s = 10", "period_s: 10", "line 9, column", "with '=' and not ':'"),
    Toml("capital True", "port = 502", "port = True", "line 15, column", "true or false, in lower case"),
    Toml("full-width equals", "port = 502", "port ＝ 502", "line 15, column", "write '=' instead of '＝'"),
    Toml("curly quotes", '"plant-a"', "“plant-a”", "line 3, column", "write '\"' instead of '“'"),
    Toml("key twice", "port = 502", "port = 502\nport = 503", "line 16, column", "remove one of the two"),
    Toml("table twice", "[scan.slow]", "[scan.fast]", "line 8, column", "remove one of the two"),
    Toml("no value", "port = 502", "port =", "line 15, column", "write a value after '='"),
    Toml("open quote", 'level = "info"', 'level = "info', "line 4", "valid TOML"),
    Toml("backslash", '"192.0.2.1"', '"C:\\plc"', "line 14, column", "backslashes in 'single quotes'"),
    Toml("endless number", "port = 502", "port = " + "9" * 5000, "line 15", "a number of usual length"),
    Toml("deep nesting", "port = 502", "port = " + "[" * 5000 + "]" * 5000, "file", "flat tables"),
    Toml("more than 64 bits", "port = 502", "port = 0x1" + "0" * 5000, "line 15, [device.plc1] port", "at most 64 bits", "20001 bits"),
    # -- names and tables
    Toml("unknown table", "[buffer]", "[bufer]", "line 22, bufer", "did you mean 'buffer'?", "a table"),
    Toml("unknown setting", "quota_mb", "qouta_mb", "line 24, [buffer] qouta_mb", "did you mean 'quota_mb'?", "512"),
    Toml("unknown driver setting", "unit = 3", "uint = 3", "line 20, [device.plc2] uint", "did you mean 'unit'?", "3"),
    Toml("unknown driver", '[device.plc2]\ndriver = "modbus-tcp"', '[device.plc2]\ndriver = "modbus-tpc"', "line 18, [device.plc2] driver", "did you mean 'modbus-tcp'?", "modbus-tpc"),
    Toml("no driver", '[device.plc2]\ndriver = "modbus-tcp"', "[device.plc2]", "line 17, [device.plc2] driver", "one of modbus-tcp, opcua"),
    Toml("driver is a number", '[device.plc2]\ndriver = "modbus-tcp"', "[device.plc2]\ndriver = 7", "line 18, [device.plc2] driver", "one of modbus-tcp, opcua", "7"),
    Toml("setting outside a device", "[device.plc1]\n", "[device]\n", "line 13, [device] driver", "[device.NAME], with this setting below it", "modbus-tcp"),
    Toml("setting outside a scan class", "[scan.fast]\nperiod_s = 1\n\n[scan.slow]\n", "[scan]\n", "line 6, [scan] period_s", "[scan.NAME], with this setting below it", "10"),
    Toml("one bracket", "[[upstream]]\n" + 'id = "hub-west"', "[upstreams]\n" + 'id = "hub-west"', "line 33, upstreams", "did you mean 'upstream'?"),
    Toml("array instead of table", "[buffer]", "[[buffer]]", "line 22, buffer", "a table, written as [buffer]", "a list"),
    Toml("device with a space", "[device.plc2]", '[device."plc 2"]', "line 17, [device] plc 2", "a name of letters, digits", "plc 2"),
    # -- values
    Toml("no id", 'id = "unit-1"\n', "", "line 1, [gateway] id", "a text of 1 to 63 characters"),
    Toml("id with capitals", '"unit-1"', '"Unit 1"', "line 2, [gateway] id", "lower-case letters", "Unit 1"),
    Toml("text instead of number", "period_s = 10", 'period_s = "10"', "line 9, [scan.slow] period_s", "a number from 0.01 to 86400 (s)", "10"),
    Toml("number instead of text", 'host = "192.0.2.1"', "host = 1", "line 14, [device.plc1] host", "a host name", "1"),
    Toml("address for a host", 'host = "192.0.2.1"', 'host = "http://10.0.0.1"', "line 14, [device.plc1] host", "such as '10.0.0.7'", "http://10.0.0.1"),
    Toml("port in the host", 'host = "192.0.2.1"', 'host = "127.0.0.1:502"', "line 14, [device.plc1] host", "a host name", "127.0.0.1:502"),
    Toml("no such address", 'host = "192.0.2.1"', 'host = "10.0.0.999"', "line 14, [device.plc1] host", "an IP address", "10.0.0.999"),
    Toml("period zero", "period_s = 10", "period_s = 0", "line 9, [scan.slow] period_s", "a number from 0.01", "0"),
    Toml("period not a number", "period_s = 10", "period_s = nan", "line 9, [scan.slow] period_s", "a number from 0.01", "nan"),
    Toml("period in microseconds", "period_s = 10", "period_s = 0.0333", "line 9, [scan.slow] period_s", "whole milliseconds, such as 0.033", "0.0333"),
    Toml("no period", "period_s = 10\n", "", "line 8, [scan.slow] period_s", "a number from 0.01"),
    Toml("phase beyond period", "phase_s = 0.5", "phase_s = 10", "line 10, [scan.slow] phase_s", "a phase below the period, which is 10 s", "10"),
    Toml("port too high", "port = 502", "port = 99999", "line 15, [device.plc1] port", "a whole number from 1 to 65535", "99999"),
    Toml("port with fraction", "port = 502", "port = 502.5", "line 15, [device.plc1] port", "a whole number from 1 to 65535", "502.5"),
    Toml("true instead of number", "port = 502", "port = true", "line 15, [device.plc1] port", "a whole number", "true"),
    Toml("unknown policy", '"drop-oldest"', '"drop"', "line 25, [buffer] policy", "one of 'thin', 'drop-oldest', 'drop-newest'", "drop"),
    Toml("quota too small", "quota_mb = 512", "quota_mb = 1", "line 24, [buffer] quota_mb", "from 16 to", "1"),
    Toml("list instead of text", 'level = "info"', 'level = ["info"]', "line 47, [log] level", "one of 'debug', 'info'", "a list"),
    # -- upwards
    Toml("address without scheme", '"tcp://hub-west.example:5570"', '"hub-west.example:5570"', "line 35, [[upstream]] 2, address", "tcp://HOST:PORT", "hub-west.example:5570"),
    Toml("address with port 0", "hub-west.example:5570", "hub-west.example:0", "line 35, [[upstream]] 2, address", "a port from 1 to 65535"),
    Toml("same address twice", "hub-west.example", "hub-east.example", "line 35, [[upstream]] 2, address", "[[upstream]] 1 has the same"),
    Toml("signing key as link key", '"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"', '"' + "1" * 64 + '"', "line 30, [[upstream]] 1, link", "the link key of 40 characters"),
    Toml("cut signing key", "2" * 64, "2" * 63, "line 37, [[upstream]] 2, signing", "64 hexadecimal digits"),
    Toml("no headquarters", GATEWAY_TOML[GATEWAY_TOML.index("[headquarters]") : GATEWAY_TOML.index("[uplink]")], "", "headquarters", "a table [headquarters] with id and signing"),
    Toml("headquarters without key", f'signing = "{"3" * 64}"\n', "", "line 39, [headquarters] signing", "a text"),
)  # fmt: skip

BAD_ROWS = (
    Row("no name", ",,plc1,holding:0,uint16,fast", "row 2, column name", "the point's name, such as FT-101"),
    Row("unknown device", ",A,plc3,holding:0,uint16,fast", "row 2, column device", "did you mean 'plc", "plc3"),
    Row("no device", ",A,,holding:0,uint16,fast", "row 2, column device", "known: plc1, plc2"),
    Row("unknown scan class", ",A,plc1,holding:0,uint16,fats", "row 2, column scan_class", "did you mean 'fast'?", "fats"),
    Row("foreign type", ",A,plc1,holding:0,float,fast", "row 2, column type", "did you mean 'f32'?", "float"),
    Row("unknown type", ",A,plc1,holding:0,colour,fast", "row 2, column type", "one of bool, int16, uint16", "colour"),
    Row("bad address", ",A,plc1,holdng:0,uint16,fast", "row 2, column address", "an address such as 'holding:100'", "holdng:0"),
    Row("address beyond the table", ",A,plc1,holding:65535,f64,fast", "row 2, column address", "within the table's 65536", "holding:65535"),
    Row("bit without number", ",A,plc1,holding:3,bool,fast", "row 2, column address", "such as 'holding:100.3'", "holding:3"),
    Row("id zero", "0,A,plc1,holding:0,uint16,fast", "row 2, column id", "a whole number from 1 to 4294967295", "0"),
    Row("id beyond 32 bits", "4294967296,A,plc1,holding:0,uint16,fast", "row 2, column id", "from 1 to 4294967295"),
    Row("id as text", "seven,A,plc1,holding:0,uint16,fast", "row 2, column id", "a whole number", "seven"),
    Row("date for a name", ",2026-01-05,plc1,holding:0,uint16,fast", "row 2, column name", "a spreadsheet made a date of it", "2026-01-05"),
    Row("date in months", ",5-Jan,plc1,holding:0,uint16,fast", "row 2, column name", "format the column as text", "5-Jan"),
    Row("shortened number", ",A,plc1,4.0E+04,uint16,fast", "row 2, column address", "a spreadsheet shortened a number", "4.0E+04"),
    Row("spreadsheet error", ",#REF!,plc1,holding:0,uint16,fast", "row 2, column name", "a spreadsheet's error", "#REF!"),
    Row("formula", ",=A1,plc1,holding:0,uint16,fast", "row 2, column name", "save its value, not the formula", "=A1"),
    Row("decimal comma", ',A,plc1,holding:0,uint16,fast,,"0,1"', "row 2, column scale", "a number with a decimal point: 0.1", "0,1"),
    Row("thousands separator", ',A,plc1,holding:0,uint16,fast,,,,,"1,000,000"', "row 2, column high", "without thousands separators: 1000000"),
    Row("full-width digits", ",A,plc1,holding:0,uint16,fast,,１.５", "row 2, column scale", "a number in plain digits: 1.5", "１.５"),
    Row("not a number", ",A,plc1,holding:0,uint16,fast,,nan", "row 2, column scale", "a number such as 0.1", "nan"),
    Row("endless number", ",A,plc1,holding:0,uint16,fast,,1e999", "row 2, column scale", "a number below 1.8e308", "1e999"),
    Row("scale zero", ",A,plc1,holding:0,uint16,fast,,0", "row 2, column scale", "a number other than 0", "0"),
    Row("scaled switch", ",A,plc1,coil:0,bool,fast,,2", "row 2, column scale", "a bool is not scaled", "2"),
    Row("range of a text", ",A,plc1,holding:0.8,string,fast,,,,1", "row 2, column low", "a string has no range", "1"),
    Row("range upside down", ",A,plc1,holding:0,uint16,fast,,,,5,4", "row 2, column high", "a number above low, which is 5", "4"),
    Row("unknown report", ",A,plc1,holding:0,uint16,fast,,,,,,cyclic", "row 2, column report", "did you mean 'always'?", "cyclic"),
    Row("deadband missing", ",A,plc1,holding:0,uint16,fast,,,,,,deadband", "row 2, column deadband", "a number above 0, which report deadband needs"),
    Row("deadband zero", ",A,plc1,holding:0,uint16,fast,,,,,,deadband,0", "row 2, column deadband", "use report change", "0"),
    Row("deadband without report", ",A,plc1,holding:0,uint16,fast,,,,,,,1", "row 2, column deadband", "with always it has no effect", "1"),
    Row("percent without range", ",A,plc1,holding:0,uint16,fast,,,,,,deadband,1,percent", "row 2, column deadband_unit", "a range in low and high", "percent"),
    Row("more than all", ",A,plc1,holding:0,uint16,fast,,,,0,9,deadband,101,percent", "row 2, column deadband", "at most 100 percent", "101"),
    Row("swinging door of a switch", ",A,plc1,coil:0,bool,fast,,,,,,swinging_door,1", "row 2, column report", "a bool has no swinging_door"),
    Row("silence with always", ",A,plc1,holding:0,uint16,fast,,,,,,always,,,5", "row 2, column max_silence_s", "never a silence", "5"),
    Row("silence negative", ",A,plc1,holding:0,uint16,fast,,,,,,change,,,-5", "row 2, column max_silence_s", "above 0", "-5"),
    Row("hopeless unit", ",A,plc1,holding:0,uint16,fast,m3/(h", "row 2, column unit", "brackets that do not close", "m3/(h"),
    Row("comma in a text", ",A,plc1,holding:0,uint16,fast,,,,,,,,,,Pump A, running", "row 2, cell 17", "put a text that holds a comma in quotes", "running"),
    Row("name too long", f",{'A' * 129},plc1,holding:0,uint16,fast", "row 2, column name", "at most 128 characters"),
    Row("invisible character", ",FT\u200b-1,plc1,holding:0,uint16,fast", "row 2, column name", "remove the character U+200B"),
    Row("two lines in a cell", ',A,plc1,holding:0,uint16,fast,,,,,,,,,,"one\ntwo"', "row 2, column description", "remove the character U+000A"),
    Row("same name", ",A,plc1,holding:0,uint16,fast\n,A,plc1,holding:1,uint16,fast", "row 3, column name", "row 2 has the same: rename one", "A"),
    Row("same id", "7,A,plc1,holding:0,uint16,fast\n7,B,plc1,holding:1,uint16,fast", "row 3, column id", "row 2 has the same", "7"),
    Row("quote not closed", ',"A,plc1,holding:0,uint16,fast', "row 2", "cells whose quotes close"),
)  # fmt: skip

GOOD_ROW = ",FT-1,plc1,holding:0,uint16,fast,t/h"
BAD_TABLES = (
    Table("empty file", b"", "row 1", "a heading row with the columns name, device, address"),
    Table("no heading", GOOD_ROW.encode(), "row 1", "a heading row with the columns name, device, address"),
    Table("column missing", f"id,name,device,address,type\n{GOOD_ROW[:-5]}".encode(), "row 1", "the column 'scan_class'"),
    Table("unknown column", f"{HEADING},colour\n{GOOD_ROW}".encode(), "row 1, column 17", "a known column", "colour"),
    Table("misspelt column", f"{HEADING.replace('scale', 'scael')}\n{GOOD_ROW}".encode(), "row 1, column 8", "did you mean 'scale'?", "scael"),
    Table("column twice", f"{HEADING.replace('offset', 'scale')}\n{GOOD_ROW}".encode(), "row 1, column 9", "each column once", "scale"),
    Table("semicolons", f"{HEADING}\n{GOOD_ROW}".replace(",", ";").encode(), "row 1", "--delimiter ';'", "cells separated by semicolons"),
    Table("tabs", f"{HEADING}\n{GOOD_ROW}".replace(",", "\t").encode(), "row 1", "--delimiter 'tab'", "cells separated by tabs"),
    Table("full-width commas", f"{HEADING}\n{GOOD_ROW}".replace(",", "，").encode(), "row 1", "save it as CSV UTF-8", "full-width commas"),
    Table("sep line", f"sep=,\n{HEADING}\n{GOOD_ROW}".encode(), "row 1", "remove the line that begins with sep="),
    Table("GBK", f"{HEADING}\n{GOOD_ROW},,,,,,,,,给水流量".encode("gbk"), "line 2", "save the file as UTF-8 (in Excel: CSV UTF-8)", "text in GBK"),
    Table("Latin-1", f"{HEADING}\n,FT-1\xe9,plc1".encode("latin-1"), "line 2", "save the file again as UTF-8", "byte 0xe9"),
    Table("UTF-16", f"{HEADING}\n{GOOD_ROW}".encode("utf-16"), "line 1", "save it as UTF-8", "UTF-16"),
    Table("workbook named CSV", b"PK\x03\x04" + bytes(30), "line 1", "name it .xlsx", "an Excel workbook"),
    Table("old workbook", b"\xd0\xcf\x11\xe0" + bytes(30), "line 1", "save it as .xlsx", "an old Excel workbook"),
    Table("NUL bytes", f"{HEADING}\n{GOOD_ROW}\0".encode(), "line 2", "UTF-8 text", "a NUL byte"),
)  # fmt: skip


def _problems(home: Path) -> list[tuple[str, str, str, str]]:
    with pytest.raises(InputError) as caught:
        load(home, assign_ids=False)
    return [(Path(p.file).name, p.place, p.value, p.expected) for p in caught.value.problems]


def _finds(problems: list[tuple[str, str, str, str]], file: str, bad: Toml | Row | Table) -> None:
    assert any(
        found == file and place.startswith(bad.place) and bad.expected in expected and bad.value in value
        for found, place, value, expected in problems
    ), problems


@pytest.mark.parametrize("bad", BAD_TOML, ids=lambda bad: bad.name)
def test_a_mistake_in_gateway_toml_is_named_with_its_line_and_remedy(bad: Toml, tmp_path: Path) -> None:
    assert bad.old in GATEWAY_TOML
    home = make_home(tmp_path, GATEWAY_TOML.replace(bad.old, bad.new, 1))
    _finds(_problems(home), "gateway.toml", bad)


@pytest.mark.parametrize("bad", BAD_ROWS, ids=lambda bad: bad.name)
def test_a_mistake_in_a_row_is_named_with_its_row_column_and_remedy(bad: Row, tmp_path: Path) -> None:
    home = make_home(tmp_path, points=f"{HEADING}\n{bad.row}\n")
    problems = _problems(home)
    _finds(problems, "points.csv", bad)
    assert len(problems) == 1, "one mistake is one problem"


@pytest.mark.parametrize("bad", BAD_TABLES, ids=lambda bad: bad.name)
def test_a_table_that_is_no_such_table_is_named_for_what_it_is(bad: Table, tmp_path: Path) -> None:
    home = make_home(tmp_path, points=bad.content)
    _finds(_problems(home), "points.csv", bad)


def test_there_are_more_than_forty_five_mistakes_in_the_table() -> None:
    assert len(BAD_TOML) + len(BAD_ROWS) + len(BAD_TABLES) > 45


def test_the_home_that_the_mistakes_are_made_in_is_right(tmp_path: Path) -> None:
    config = load(make_home(tmp_path))
    assert len(config.points) == 6
    assert config.warnings == ()


def test_problems_of_both_files_come_together_and_in_the_order_of_their_rows(tmp_path: Path) -> None:
    config = GATEWAY_TOML.replace("port = 502", "port = 0").replace("quota_mb", "quota")
    points = f"{HEADING}\n,A,plc1,bad,uint16,fast,,x\n,A,plc9,holding:0,uint16,fast\n"
    places = [(file, place) for file, place, _, _ in _problems(make_home(tmp_path, config, points))]
    assert places == [
        ("gateway.toml", "line 15, [device.plc1] port"),
        ("gateway.toml", "line 24, [buffer] quota"),
        ("points.csv", "row 2, column address"),
        ("points.csv", "row 2, column scale"),
        ("points.csv", "row 3, column name"),
        ("points.csv", "row 3, column device"),
    ]


def test_a_table_is_checked_even_when_the_configuration_does_not_parse(tmp_path: Path) -> None:
    points = f"{HEADING}\n,A,any,holding:0,colour,any\n"
    files = [file for file, _, _, _ in _problems(make_home(tmp_path, "= nonsense", points))]
    assert files == ["gateway.toml", "points.csv"]


def test_missing_files_are_named_with_the_command_that_makes_them(tmp_path: Path) -> None:
    problems = _problems(make_home(tmp_path, None, None))
    assert [(file, place) for file, place, _, _ in problems] == [
        ("gateway.toml", "file"),
        ("points.csv", "file"),
    ]
    assert "catchment-edge init" in problems[0][3]
    assert "catchment-edge points import" in problems[1][3]


def test_an_id_other_than_that_of_the_keys_is_named(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    (home / "identity.toml").write_text('id = "unit-2"\n')
    assert _problems(home) == [
        (
            "gateway.toml",
            "line 2, [gateway] id",
            "unit-1",
            "'unit-2', the id that the keys of identity.toml were made for",
        )
    ]
