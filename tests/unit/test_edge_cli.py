"""`catchment-edge` as its users meet it: output, exit codes, and nothing but explanations when it fails."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from edge_runtime import testread
from edge_runtime.browsing import table_of
from edge_runtime.cli import invoke
from edge_runtime.configread import load
from edge_runtime.provision import provisionfile
from edge_runtime.statusview import StatusView
from edge_runtime.testread import quality_name, read_once
from protocols.durable import write_durably
from protocols.errors import DeviceError
from protocols.field import registry
from protocols.field.base import BrowsedNode, FieldPoint, FieldType
from protocols.identity import PublicIdentity
from protocols.points import Point
from protocols.samples import BAD_TIMEOUT, GOOD, UNCERTAIN_ENGINEERING_UNITS_EXCEEDED, SampleBlock, ValueType
from protocols.tomlfile import TomlFile
from tests.gateway_home import GATEWAY_TOML, POINTS_CSV, make_home

NOW_US = 1_700_000_000_000_000


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """What `init` makes."""
    assert invoke(["init", "--home", str(tmp_path / "gw"), "--id", "unit-1", "--site", "plant-a"]) == 0
    capsys.readouterr()
    return tmp_path / "gw"


def _other(path: Path, role: str) -> Path:
    keys = (b"r" * 40, b"s" * 32) if role == "hub" else (b"t" * 40, b"u" * 32)
    path.write_text(PublicIdentity(f"{role}-1", role, keys[1], keys[0]).to_toml())
    return path


# -- init, check, join -------------------------------------------------------------------


def test_what_init_makes_passes_the_check(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["check", "--home", str(home)]) == 0
    out = capsys.readouterr().out
    assert "gateway unit-1 at site plant-a: 4 points, 1 device, 2 scan classes" in out
    assert "0 problems, 1 warning" in out


def test_init_keeps_secrets_to_itself(home: Path) -> None:
    for name in ("keys/signing.key", "keys/link.key", "gateway.toml"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600


def test_init_overwrites_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert invoke(["init", "--home", str(home), "--id", "unit-2"]) == 2
    assert "nothing was overwritten" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("arguments", (["--id", "Unit 1"], ["--id", "unit-1", "--site", "Plant A"]))
def test_init_refuses_a_name_that_the_wire_cannot_carry(arguments: list[str], tmp_path: Path) -> None:
    assert invoke(["init", "--home", str(tmp_path / "gw"), *arguments]) == 2
    assert not (tmp_path / "gw/gateway.toml").exists()


def test_check_prints_every_problem_and_exits_1(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_home(home, (home / "gateway.toml").read_text().replace("timeout_s", "tiemout_s"), "name\nA\n")
    assert invoke(["check", "--home", str(home)]) == 1
    printed = capsys.readouterr()
    assert "line 21, [device.plc1] tiemout_s: got '1.0'; expected a known setting" in printed.err
    assert "row 1: found nothing; expected the column 'device'" in printed.err
    assert "5 problems" in printed.out


def test_check_speaks_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["check", "--home", str(home), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert [load["requests_per_scan"] for load in report["loads"]] == [2, 1]
    (home / "points.csv").write_text("name\nA\n")
    assert invoke(["check", "--home", str(home), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["problems"][0]["place"] == "row 1"


def test_check_misses_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["check", "--home", str(make_home(tmp_path))]) == 1
    assert "keys/signing.key: found nothing; expected the key that init writes" in capsys.readouterr().err


def test_a_thousand_problems_are_not_all_printed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"P{index},plc1,bad,uint16,fast\n" for index in range(1000))
    (home / "points.csv").write_text("name,device,address,type,scan_class\n" + rows)
    assert invoke(["check", "--home", str(home)]) == 1
    assert "... and 900 more" in capsys.readouterr().err


def test_join_writes_what_the_gateway_needs_to_send(home: Path, tmp_path: Path) -> None:
    hub, headquarters = _other(tmp_path / "hub.toml", "hub"), _other(tmp_path / "hq.toml", "headquarters")
    assert invoke(["join", "--home", str(home), str(hub), "--address", "tcp://hub:5570"]) == 0
    assert invoke(["join", "--home", str(home), str(headquarters)]) == 0
    config = load(home)
    assert [(upstream.id, upstream.address) for upstream in config.upstreams] == [("hub-1", "tcp://hub:5570")]
    assert config.headquarters is not None
    assert config.headquarters.signing == b"u" * 32
    assert stat.S_IMODE((home / "gateway.toml").stat().st_mode) == 0o600


def test_headquarters_without_a_hub_is_joined_in_one_go(home: Path, tmp_path: Path) -> None:
    headquarters = _other(tmp_path / "hq.toml", "headquarters")
    assert invoke(["join", "--home", str(home), str(headquarters), "--address", "tcp://hq:5580"]) == 0
    config = load(home)
    assert config.headquarters is not None
    assert config.upstreams[0].signing == config.headquarters.signing


@pytest.mark.parametrize(
    ("role", "address", "words"),
    (
        ("hub", "", "--address: found nothing; expected where the hub listens"),
        ("hub", "hub:5570", "expected tcp://HOST:PORT"),
        ("gateway", "tcp://a:1", "the identity of a hub or headquarters"),
    ),
)
def test_join_refuses_what_cannot_work(
    role: str, address: str, words: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (home / "gateway.toml").read_text()
    arguments = ["--address", address] if address else []
    assert invoke(["join", "--home", str(home), str(_other(tmp_path / "x.toml", role)), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert (home / "gateway.toml").read_text() == before


def test_a_hub_is_not_joined_twice(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    join = [
        "join",
        "--home",
        str(home),
        str(_other(tmp_path / "hub.toml", "hub")),
        "--address",
        "tcp://hub:5570",
    ]
    assert [invoke(join), invoke(join)] == [0, 2]
    assert "[[upstream]] 1, address" in capsys.readouterr().err
    assert len(TomlFile(home / "gateway.toml", "").tables("upstream")) == 1


def test_another_headquarters_is_not_joined_over_the_first(home: Path, tmp_path: Path) -> None:
    first, second = _other(tmp_path / "hq.toml", "headquarters"), tmp_path / "other.toml"
    second.write_text(PublicIdentity("hq-2", "headquarters", b"z" * 32, b"t" * 40).to_toml())
    assert invoke(["join", "--home", str(home), str(first)]) == 0
    assert invoke(["join", "--home", str(home), str(first)]) == 0
    assert invoke(["join", "--home", str(home), str(second)]) == 2


# -- points --------------------------------------------------------------------------------


def test_points_go_out_and_come_back(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["points", "export", "--home", str(home), str(tmp_path / "p.xlsx")]) == 0
    assert invoke(["points", "export", "--home", str(home), str(tmp_path / "p.xlsx")]) == 2
    assert invoke(["points", "import", "--home", str(home), str(tmp_path / "p.xlsx"), "--dry-run"]) == 0
    assert invoke(["points", "import", "--home", str(home), str(tmp_path / "p.xlsx")]) == 0
    out = capsys.readouterr().out
    assert "4 points would be imported: 4 new, 0 no longer there" in out
    assert (home / "points.csv").read_text().splitlines()[1].startswith("1,FT-101,")
    assert invoke(["points", "export", "--home", str(home), "-"]) == 0
    assert capsys.readouterr().out == (home / "points.csv").read_text()


def test_a_table_with_problems_is_not_imported(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (home / "points.csv").read_bytes()
    (tmp_path / "new.csv").write_text("name,device,address,type,scan_class\nA,plc9,holding:0,f32,fast\n")
    assert invoke(["points", "import", "--home", str(home), str(tmp_path / "new.csv")]) == 2
    assert "new.csv: row 2, column device: got 'plc9'" in capsys.readouterr().err
    assert (home / "points.csv").read_bytes() == before


def test_a_table_with_tabs_in_gbk_is_imported_when_told_so(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "name,device,address,type,scan_class,description\nA,plc1,holding:0,f32,fast,流量\n"
    (tmp_path / "new.csv").write_bytes(text.replace(",", "\t").encode("gbk"))
    command = ["points", "import", "--home", str(home), str(tmp_path / "new.csv")]
    assert invoke(command) == 2
    assert invoke([*command, "--delimiter", "tab", "--encoding", "gb18030", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["new"] == 1
    assert "流量" in (home / "points.csv").read_text(encoding="utf-8")


def test_a_wrong_delimiter_option_is_explained(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["points", "import", "--home", str(home), "x.csv", "--delimiter", ";;"]) == 2
    assert "one character such as ';'" in capsys.readouterr().err


SERVED = {
    ValueType.F64: 1.5,
    ValueType.F32: 30.0,
    ValueType.I64: 250,
    ValueType.BOOL: 1,
    ValueType.TEXT: "x",
}


class FakeGroup(NamedTuple):
    """All points in one request."""

    points: tuple[FieldPoint, ...]
    requests: int = 1


class FakeDriver:
    """A device that serves one value for each type, or nothing."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.closed = False

    async def connect(self) -> None:
        if self.mode == "refused":
            raise DeviceError("no connection")
        if self.mode == "silent":
            await asyncio.Event().wait()

    def plan(self, points: Sequence[FieldPoint]) -> list[FakeGroup]:
        return [FakeGroup(tuple(points))]

    async def read(self, group: FakeGroup, instant_us: int) -> list[SampleBlock]:
        return [self._block(point, instant_us) for point in group.points]

    def _block(self, point: FieldPoint, instant_us: int) -> SampleBlock:
        if self.mode == "bad":
            return SampleBlock.bad(point.value_type, np.array([point.id], np.uint32), instant_us, BAD_TIMEOUT)
        value = SERVED[point.value_type]
        return SampleBlock.make(point.value_type, [point.id], [instant_us], [value], None, [instant_us - 5])

    async def browse(self, limit: int) -> list[BrowsedNode]:
        nodes = [
            BrowsedNode("ns=2;s=B.T1", "Boiler/T1", FieldType.F64, "Steam"),
            BrowsedNode("ns=2;s=B.X", "Boiler/X", None, ""),
        ]
        return nodes[:limit]

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    driver = FakeDriver("good")
    monkeypatch.setattr(registry, "create", lambda *_: driver)
    return driver


def test_a_test_read_shows_what_the_gateway_would_report(
    home: Path, device: FakeDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["points", "test-read", "--home", str(home)]) == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:4] for line in lines[1:4]] == [
        ["FT-101", "25", "t/h", "Good"],
        ["PT-102", "30", "MPa", "UncertainEngineeringUnitsExceeded"],
        ["LT-103", "250", "mm", "Good"],
    ]
    assert lines[4][:3] == ["XS-104", "true", "Good"]
    assert lines[5] == ["3", "of", "4", "points", "good"]
    assert device.closed
    assert not (home / "data/point_ids.json").exists()


def test_a_test_read_of_good_points_exits_0(home: Path, device: FakeDriver) -> None:
    assert invoke(["points", "test-read", "--home", str(home), "--point", "?T-10[13]"]) == 0


def test_a_test_read_works_before_a_table_is_imported(
    home: Path, device: FakeDriver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text(
        "name,device,address,type,scan_class\nNEW,plc1,holding:0.8,string,fast\n"
    )
    assert (
        invoke(["points", "test-read", "--home", str(home), "--table", str(tmp_path / "new.csv"), "--json"])
        == 0
    )
    reading = json.loads(capsys.readouterr().out)["readings"][0]
    assert (reading["name"], reading["value"], reading["quality"]) == ("NEW", "x", "Good")


@pytest.mark.parametrize(("mode", "code"), (("bad", 1), ("refused", 3), ("silent", 3)))
def test_a_test_read_exits_with_what_went_wrong(
    mode: str, code: int, home: Path, device: FakeDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    device.mode = mode
    assert (
        invoke(["points", "test-read", "--home", str(home), "--point", "LT-103", "--timeout", "0.1"]) == code
    )
    assert "Bad" in capsys.readouterr().out
    assert device.closed


def test_a_test_read_of_nothing_is_explained(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["points", "test-read", "--home", str(home), "--point", "FT-10"]) == 2
    assert invoke(["points", "test-read", "--home", str(home), "--device", "plc9"]) == 2
    err = capsys.readouterr().err
    assert "did you mean 'FT-101'?" in err
    assert "did you mean 'plc1'?" in err


async def test_readings_come_in_the_order_of_the_points(home: Path, device: FakeDriver) -> None:
    config = load(home, assign_ids=False)
    points = list(reversed(config.points))
    told: list[str] = []
    readings = await read_once(config, points, lambda: NOW_US, 1.0, told.append)
    assert [reading.point for reading in readings] == points
    assert {reading.time_us for reading in readings} == {NOW_US - 5}
    assert told == ["plc1: reading 4 points", "plc1: done"]


def test_browsing_makes_a_point_table(
    home: Path, device: FakeDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    browse = ["points", "browse", "--home", str(home), "--device", "plc1"]
    assert invoke(browse) == 0
    assert "ns=2;s=B.T1  f64   Boiler/T1  Steam" in capsys.readouterr().out
    assert invoke([*browse, "--contains", "boiler/t", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["nodes"]) == 1
    assert invoke([*browse, "--csv", "fast"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].startswith(",Boiler/T1,plc1,ns=2;s=B.T1,f64,fast,")
    assert len(rows) == 2
    assert invoke([*browse, "--csv", "fats"]) == 2


def test_browsing_a_device_that_cannot_be_browsed_exits_3(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["points", "browse", "--home", str(home), "--device", "plc1", "--timeout", "5"]) == 3
    assert capsys.readouterr().err.startswith("error: ")


def test_browsed_names_are_unique_and_fit() -> None:
    nodes = [BrowsedNode(f"i={index}", "x" * 200, FieldType.F64, "a\nb") for index in range(3)]
    rows = table_of(nodes, "d", "fast").splitlines()
    names = [row.split(",")[1] for row in rows[1:]]
    assert len(set(names)) == 3
    assert max(map(len, names)) == 128


# -- status, drivers, and how it fails -----------------------------------------------------


def test_status_says_that_no_gateway_has_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["status", "--home", str(home)]) == 3
    assert "no gateway has run" in capsys.readouterr().out


def test_status_says_since_when_the_gateway_is_not_running(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_durably(home / "data/status.json", '{"state": "running", "points": {"good": 1000, "bad": 0}}')
    assert invoke(["status", "--home", str(home)]) == 0
    assert "good  1,000" in capsys.readouterr().out
    os.utime(home / "data/status.json", (0, 0))
    assert invoke(["status", "--home", str(home)]) == 3
    assert "not running since 1970-01-01T00:00:00.000Z" in capsys.readouterr().out
    assert invoke(["status", "--home", str(home), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["running"] is False


def test_a_status_is_laid_out_for_people() -> None:
    status = {
        "state": "running", "pid": 12345, "site": "", "points": 1000,
        "devices": [
            {"device": "plc1", "connected_since_us": 1_700_000_000_000_000, "timeouts": 0, "requests": 4096}
        ],
        "ledger": {"dropped": {}, "balanced": True},
    }  # fmt: skip
    assert list(StatusView(Path(), status, 100.0, 100.5).lines()) == [
        "running; status of 0.5 s ago",
        "  state    running",
        "  pid      12345",
        "  site     -",
        "  points   1,000",
        "  devices",
        "    device plc1, connected_since_us 2023-11-14T22:13:20.000Z, requests 4,096",
        "  ledger",
        "    dropped   -",
        "    balanced  yes",
    ]


def test_a_gateway_that_said_it_stopped_is_not_running() -> None:
    assert not StatusView(Path(), {"state": "stopped"}, 100.0, 100.5).running
    assert StatusView(Path(), {"state": "running"}, 100.0, 104.9).running
    assert not StatusView(Path(), {"state": "running"}, 100.0, 105.1).running


def test_drivers_and_their_settings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["drivers"]) == 0
    assert invoke(["drivers", "modbus-tcp", "--json"]) == 0
    printed = capsys.readouterr().out
    assert "modbus-tcp  Modbus TCP" in printed
    assert json.loads(printed.splitlines()[-1])[0]["setting"] == "host"
    assert invoke(["drivers", "mobus"]) == 2
    assert "did you mean 'modbus-tcp'?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", (["chek"], ["check", "--hom", "x"], ["init"], ["points", "imprt"]))
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    assert invoke(arguments) == 2


@pytest.mark.parametrize(
    "command", ("init", "join", "check", "run", "status", "points import", "points test-read")
)
def test_help_teaches_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*command.split(), "--help"]) == 0
    assert f"  catchment-edge {command}" in capsys.readouterr().out


def test_run_with_a_wrong_configuration_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "--home", str(make_home(tmp_path, GATEWAY_TOML.replace("502", "0")))]) == 2
    assert "line 15, [device.plc1] port" in capsys.readouterr().err


def test_damaged_ids_exit_4(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_durably(home / "data/point_ids.json", "{")
    assert invoke(["check", "--home", str(home)]) == 4
    assert "restore it from a backup" in capsys.readouterr().err


def test_a_disk_that_cannot_be_written_exits_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert invoke(["init", "--home", str(tmp_path / "file/gw"), "--id", "unit-1"]) == 4
    assert "error: " in capsys.readouterr().err


def test_a_quality_without_a_name_shows_its_severity() -> None:
    assert quality_name(GOOD) == "Good"
    assert quality_name(UNCERTAIN_ENGINEERING_UNITS_EXCEEDED) == "UncertainEngineeringUnitsExceeded"
    assert quality_name(0x80990000) == "Bad (0x80990000)"


def test_a_reading_of_nan_is_json() -> None:
    point = Point(1, "A", "d", "a", FieldType.F64, "fast")
    assert testread.Reading(point, float("nan"), GOOD, 0).fields()["value"] == "nan"


def test_the_commands_load_nothing_that_they_do_not_need(tmp_path: Path) -> None:
    home = make_home(tmp_path, points=POINTS_CSV)
    code = (
        "import sys; from edge_runtime.cli import invoke; assert invoke(['--help']) == 0; "
        "light = set(sys.modules); assert not light & {'numpy', 'zmq', 'cryptography', 'asyncio'}, light; "
        "from pathlib import Path; from edge_runtime.configread import load; "
        f"load(Path({str(home)!r}), assign_ids=False); "
        "assert not set(sys.modules) & {'asyncua', 'openpyxl', 'sqlite_utils', 'pymodbus'}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_enroll_takes_the_token_that_came_over_the_serial_console(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["enroll", "--home", str(home)]) == 2
    assert "--token, or a token in provision.toml" in capsys.readouterr().err
    provisionfile.write(home, provisionfile.Provision(token="catchment.no-token"))
    assert invoke(["enroll", "--home", str(home)]) == 2
    said = capsys.readouterr().err
    assert "provision.toml: " in said and "copied whole" in said and "no-token" not in said
