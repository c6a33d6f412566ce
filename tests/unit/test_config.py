"""The configuration that `load` gives, and the ids of its points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime import pointids
from edge_runtime.config import BufferConfig, GatewayConfig, QuotaPolicy, ScanClass
from edge_runtime.configread import load
from edge_runtime.importing import export_table, import_table
from edge_runtime.settings import TRIM
from protocols.errors import InputError, StoreDamagedError, StoreError
from protocols.records import Mark
from protocols.tomlfile import TomlFile
from tests.gateway_home import GATEWAY_TOML, POINTS_CSV, make_home

HEADING, *ROWS = POINTS_CSV.splitlines()
SMALLEST = """\
[gateway]
id = "unit-1"
[scan.fast]
period_s = 1
[device.plc1]
driver = "modbus-tcp"
host = "192.0.2.1"
"""
ONE = "name,device,address,type,scan_class,scale\n"


def _ids(config: GatewayConfig) -> dict[str, int]:
    return {point.name: point.id for point in config.points}


def test_every_setting_arrives(tmp_path: Path) -> None:
    config = load(make_home(tmp_path))
    assert (config.id, config.site, config.data) == ("unit-1", "plant-a", tmp_path / "data")
    assert config.scan["slow"] == ScanClass("slow", 10_000_000, 500_000)
    assert config.devices["plc2"].settings == {"host": "192.0.2.2", "unit": 3}
    assert config.buffer == BufferConfig(1.0, 60_000, 512 << 20, QuotaPolicy.DROP_OLDEST, Mark.HEADQUARTERS)
    assert [upstream.id for upstream in config.upstreams] == ["hub-east", "hub-west"]
    assert config.upstreams[0].signing == bytes.fromhex("11" * 32)
    assert config.headquarters is not None
    assert config.headquarters.signing == bytes.fromhex("33" * 32)
    assert config.uplink.live_first_s == 60.0
    assert [point.name for point in config.points_of("plc1", "fast")] == ["FT-101", "PT-102"]


def test_what_is_left_out_has_the_defaults_of_the_dataclasses(tmp_path: Path) -> None:
    config = load(make_home(tmp_path, SMALLEST, ONE + "A,plc1,holding:0,f32,fast,\n"))
    plain = GatewayConfig(tmp_path, "unit-1", "", config.scan, config.devices, config.points)
    assert replace(config, warnings=()) == plain


def test_zero_switches_off_what_may_be_off(tmp_path: Path) -> None:
    text = SMALLEST + "[uplink]\nlive_first_s = 0\nbacklog_kb_per_s = 0\n[log]\ndirectory = 'logs'\n"
    config = load(make_home(tmp_path, text, ONE))
    assert (config.uplink.live_first_s, config.uplink.backlog_bytes_per_s) == (None, None)
    assert config.log.directory == tmp_path / "logs"


def test_what_collects_nothing_or_sends_nowhere_is_warned_of(tmp_path: Path) -> None:
    warnings = [str(warning) for warning in load(make_home(tmp_path, SMALLEST, ONE)).warnings]
    assert any("[[upstream]]" in warning for warning in warnings)
    assert any("nothing to collect" in warning for warning in warnings)


def test_unused_and_doubled_devices_are_warned_of(tmp_path: Path) -> None:
    twin = '[device.plc9]\ndriver = "modbus-tcp"\nhost = "192.0.2.1"\nport = 502\n'
    text = GATEWAY_TOML.replace("[buffer]", twin + "[buffer]")
    warnings = [str(warning) for warning in load(make_home(tmp_path, text)).warnings]
    assert any("[device.plc1] has the very same" in warning for warning in warnings)
    assert any(
        "[device.plc9]" in warning and "points in points.csv that use it" in warning for warning in warnings
    )


def test_every_custody_mark_can_be_set() -> None:
    assert set(TRIM.values()) == set(Mark)


@pytest.mark.parametrize(
    "line", ("pasword = 'pa55'", "password = 5577", "password = pa55", "password = 'pa55' 'pa55'")
)
def test_a_secret_is_not_shown_even_when_its_line_is_wrong(line: str, tmp_path: Path) -> None:
    opcua = f'[device.dcs]\ndriver = "opcua"\nendpoint = "opc.tcp://dcs:4840"\n{line}\n'
    with pytest.raises(InputError) as caught:
        load(make_home(tmp_path, SMALLEST + opcua, ONE))
    assert not any(secret in str(caught.value) for secret in ("pa55", "5577"))
    assert "secret)" in str(caught.value)


def test_a_configuration_prints_without_its_secrets(tmp_path: Path) -> None:
    opcua = '[device.dcs]\ndriver = "opcua"\nendpoint = "opc.tcp://dcs:4840"\nuser = "u"\npassword = "pa55"\n'
    assert "pa55" not in repr(load(make_home(tmp_path, SMALLEST + opcua, ONE)))


def test_a_table_whose_definitions_do_not_fit_a_record_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protocols.limits.RECORD_BYTES_MAX", 100)
    with pytest.raises(InputError, match="shorten descriptions"):
        load(make_home(tmp_path))


# -- lines of a TOML file ----------------------------------------------------------------


def test_the_line_of_everything_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        '# comment\na = """\nb = 1\n[not.a.table]\n"""\n["quoted.key"]\r\n'
        "c.d = [ # list\n  '#', \"]\",\n]\n[[e]]\nf = 1\n[e.sub]\ng = { h = 2 }\n[[e]]\nf = 3\n"
    )
    file = TomlFile(path, "")
    assert file.place(("a",)) == "line 2, a"
    assert file.place(("quoted.key", "c", "d")) == "line 7, [quoted.key.c] d"
    assert file.place(("e", 0, "f")) == "line 11, [[e]] 1, f"
    assert file.place(("e", 0, "sub", "g", "h")) == "line 13, [[e]] 1, sub, g, h"
    assert file.place(("e", 1, "f")) == "line 15, [[e]] 2, f"
    assert file.place(("e", 1, "missing")) == "line 14, [[e]] 2, missing"


# -- ids -----------------------------------------------------------------------------------


def test_ids_named_in_the_table_are_kept_and_others_are_given_beyond_them(tmp_path: Path) -> None:
    ids = _ids(load(make_home(tmp_path)))
    assert ids == {"FT-101": 1, "PT-102": 2, "LT-103": 3, "XS-104": 4, "TXT-105": 5, "TE-106": 6}


def test_ids_stay_when_rows_are_reordered_removed_and_brought_back(tmp_path: Path) -> None:
    rows = [f"{name},plc1,holding:{at},f32,fast,\n" for at, name in enumerate("ABC")]
    first = _ids(load(make_home(tmp_path, SMALLEST, ONE + "".join(rows))))
    assert _ids(load(make_home(tmp_path, SMALLEST, ONE + rows[2] + rows[0]))) == {"C": 3, "A": 1}
    new = "D,plc1,holding:9,f32,fast,\n"
    assert _ids(load(make_home(tmp_path, SMALLEST, ONE + new + "".join(rows)))) == {"D": 4, **first}


def test_a_point_of_another_type_is_another_point(tmp_path: Path) -> None:
    make_home(tmp_path, SMALLEST, ONE + "A,plc1,holding:0,f32,fast,\n")
    assert _ids(load(tmp_path)) == {"A": 1}
    make_home(tmp_path, None, ONE + "A,plc1,holding:0,f32,fast,0.1\n")
    assert _ids(load(tmp_path)) == {"A": 2}
    make_home(tmp_path, None, ONE + "A,plc1,holding:0,f32,fast,\n")
    assert _ids(load(tmp_path)) == {"A": 1}


@pytest.mark.parametrize(
    ("row", "expected"),
    (
        ("1,B,plc1,holding:0,f32,fast", "this one belongs to 'A' for good"),
        ("1,A,plc1,holding:0,f64,fast", "A is now F64 and was F32 under this id"),
        ("9,A,plc1,holding:0,f32,fast", "1, the id that A has had before"),
    ),
)
def test_an_id_is_never_used_for_something_else(row: str, expected: str, tmp_path: Path) -> None:
    load(make_home(tmp_path, SMALLEST, ONE + "A,plc1,holding:0,f32,fast,\n"))
    make_home(tmp_path, None, f"id,name,device,address,type,scan_class\n{row}\n")
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    assert [problem.place for problem in caught.value.problems] == ["row 2, column id"]
    assert expected in caught.value.problems[0].expected


def test_a_check_without_assigning_writes_nothing(tmp_path: Path) -> None:
    load(make_home(tmp_path), assign_ids=False)
    assert not (tmp_path / "data").exists()


def test_a_table_with_problems_uses_up_no_id(tmp_path: Path) -> None:
    make_home(tmp_path, SMALLEST, ONE + "A,plc1,holding:0,f32,fast,\nB,plc1,bad,f32,fast,\n")
    with pytest.raises(InputError):
        load(tmp_path)
    assert len(pointids.load(tmp_path)) == 0


def test_when_the_numbers_run_out_it_is_said(tmp_path: Path) -> None:
    rows = "4294967295,A,plc1,holding:0,f32,fast\n,B,plc1,holding:2,f32,fast\n"
    table = "id,name,device,address,type,scan_class\n" + rows
    with pytest.raises(InputError, match="no number beyond the highest is left"):
        load(make_home(tmp_path, SMALLEST, table))


@pytest.mark.parametrize(
    "content",
    ("", "{}", "[]", '{"version": 1, "next": 1, "ids": [[1, "A", "F32"]]}', '{"version": 2}', "[" * 100_000,
     '{"version": 1, "next": 3, "ids": [[1, "A", "F32"], [1, "B", "F32"]]}',
     '{"version": 1, "next": 2, "ids": [7]}'),
)  # fmt: skip
def test_a_damaged_list_of_ids_stops_the_gateway_and_not_the_ids(content: str, tmp_path: Path) -> None:
    make_home(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/point_ids.json").write_text(content)
    with pytest.raises(StoreDamagedError, match="restore it from a backup"):
        load(tmp_path)


def test_a_home_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    make_home(tmp_path)
    (tmp_path / "data").write_text("a file where a directory belongs")
    with pytest.raises(StoreError):
        load(tmp_path)


def test_an_import_writes_ids_and_an_export_reads_back(tmp_path: Path) -> None:
    home = make_home(tmp_path / "gw", points=None)
    (tmp_path / "new.csv").write_text(POINTS_CSV, encoding="utf-8")
    result = import_table(home, tmp_path / "new.csv", ",", "", dry_run=False)
    assert (len(result.points), result.new, result.gone) == (6, 6, 0)
    assert load(home).points == result.points
    export_table(result.points, tmp_path / "out.xlsx")
    again = import_table(home, tmp_path / "out.xlsx", ",", "", dry_run=False)
    assert (again.points, again.new, again.gone) == (result.points, 0, 0)


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path / "gw", points=None)
    (tmp_path / "new.csv").write_text(POINTS_CSV, encoding="utf-8")
    import_table(home, tmp_path / "new.csv", ",", "", dry_run=True)
    assert not (home / "points.csv").exists()
    assert not (home / "data/point_ids.json").exists()
