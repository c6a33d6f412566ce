"""`catchment-edge app`: from a new app to one that is installed, and what is said when something is wrong."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.apps import install as installing
from edge_runtime.cli import invoke
from protocols.durable import write_durably
from protocols.errors import StoreError
from protocols.package import archive
from tests.onnx_parts import weighted_sum

POINTS = """\
name,device,address,type,unit,scan_class,report
MILL_A.TEMP,plc1,400001,f32,Cel,fast,always
MILL_B.TEMP,plc1,400003,f32,Cel,fast,always
MILL_A.FLOW,plc1,400005,f32,kg/s,fast,always
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new app, in the current directory."""
    monkeypatch.chdir(tmp_path)
    assert invoke(["app", "new", "mill-alarms"]) == 0
    return Path("mill-alarms")


@pytest.fixture
def gateway(tmp_path: Path) -> Path:
    home = tmp_path / "gw"
    assert invoke(["init", "--home", str(home), "--id", "unit-1"]) == 0
    (home / "points.csv").write_text(POINTS, encoding="utf-8")
    return home


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert invoke(["app", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert invoke(["app", *arguments]) == 2
    return capsys.readouterr().err


def test_a_new_app_passes_check_and_its_test(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checked = shown(capsys, "check", str(app))
    assert checked["id"] == "mill-alarms" and checked["problems"] == []
    assert [column["name"] for column in checked["inputs"]] == ["value"]
    assert 0 < checked["operations"] <= checked["operations_max"]
    tested = shown(capsys, "test", str(app))
    assert tested["failed"] == 0
    assert tested["tests"][0]["scans"] == 6 and tested["tests"][0]["compared"] == 14


def test_what_is_recorded_of_a_new_app_is_what_its_test_expects(app: Path) -> None:
    test = app / "tests" / "limit"
    before = {path.name: path.read_text() for path in test.iterdir()}
    (test / "expected.csv").unlink()
    (test / "events.csv").unlink()
    assert invoke(["app", "test", str(app), "limit", "--record"]) == 0
    assert {path.name: path.read_text() for path in test.iterdir()} == before


def test_a_test_that_fails_says_where_and_what(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = app / "tests" / "limit"
    change(test / "expected.csv", "3,true,0", "3,false,1")
    change(test / "events.csv", "3,alarm,value too high,87.0", "2,alarm,value too high,87.0")
    [outcome] = shown(capsys, "test", str(app), code=1)["tests"]
    assert [
        (each["row"], each["column"], each["expected"], each["got"]) for each in outcome["differences"]
    ] == [
        ("row 5", "high", "false", "true"),
        ("row 5", "high.quality", "1", "0"),
        ("time 3", "text", "nothing", "alarm 'value too high' with 87.0"),
        ("row 2", "text", "alarm 'value too high'", "nothing"),
    ]
    assert invoke(["app", "pack", str(app)]) == 1, "what fails its tests is not packed"
    assert not list(Path().glob("*.capp"))


def test_every_fault_of_a_test_is_told_with_its_cell(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = app / "tests" / "limit"
    change(test / "input.csv", "1,85", "1,warm")
    change(test / "input.csv", "4,70", "soon,70")
    change(test / "events.csv", "returned", "gone")
    [outcome] = shown(capsys, "test", str(app), code=1)["tests"]
    places = [problem.split(": got")[0].rsplit("/", 1)[1] for problem in outcome["problems"]]
    assert "input.csv: row 3, column value" in places
    assert "input.csv: row 6, column time" in places
    assert "events.csv: row 3, column kind" in places


@pytest.mark.parametrize("time", ["inf", "nan", "1e400", "1e15"])
def test_a_time_beyond_all_clocks_is_told_with_its_cell(
    time: str, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(app / "tests" / "limit" / "input.csv", "\n5,", f"\n{time},")
    [outcome] = shown(capsys, "test", str(app), code=1)["tests"]
    assert "row 7, column time" in outcome["problems"][0]


def test_an_integer_of_more_than_64_bits_is_told_with_its_cell(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(app / "programs" / "main.st", "value : LREAL {unit 'Cel'}", "value : LINT")
    change(app / "programs" / "main.st", "value > limit", "value > 80")
    change(app / "programs" / "main.st", "VALUE := value", "VALUE := LINT_TO_LREAL(value)")
    change(app / "tests" / "limit" / "input.csv", "1,85", f"1,{10**30}")
    [outcome] = shown(capsys, "test", str(app), code=1)["tests"]
    assert "row 3, column value" in outcome["problems"][0]


def test_a_faulty_program_is_told_with_line_and_column(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(app / "programs" / "main.st", "value > limit", "value > limt")
    assert "programs/main.st:18:21: expected a declared variable, got 'limt'" in refused(
        capsys, "check", str(app)
    )
    [problem] = shown(capsys, "check", str(app), code=2)["problems"]
    assert "did you mean 'limit'?" in problem


def test_two_programs_with_an_alarm_of_the_same_name_are_refused(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (app / "programs" / "main.st").read_text(encoding="utf-8")
    second = text.replace("PROGRAM main", "PROGRAM second").replace("high", "higher")
    (app / "programs" / "second.st").write_text(second, encoding="utf-8")
    change(app / "app.toml", "[[program]]", '[[program]]\nfile = "programs/second.st"\n[[program]]')
    said = refused(capsys, "check", str(app))
    assert "programs/main.st: alarm raised" in said and "the program 'second' has one" in said
    change(app / "programs" / "second.st", "raised", "raised_higher")
    assert shown(capsys, "check", str(app))["problems"] == []


MODEL = """
[[model]]
name = "trend"
file = "models/trend.onnx"
[[model.input]]
name = "value"
[[model.output]]
name = "y"
"""


def test_a_model_that_does_not_load_is_told_before_a_gateway_has_it(
    app: Path, gateway: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (app / "models").mkdir()
    (app / "models" / "trend.onnx").write_bytes(weighted_sum([1.0, 2.0]))
    manifest = app / "app.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8") + MODEL, encoding="utf-8")
    assert "an input [rows, 1]" in refused(capsys, "check", str(app))
    install = ("install", "--home", str(gateway), str(app), "--input", "value=MILL_A.TEMP")
    assert "an input [rows, 1]" in refused(capsys, *install)
    assert not (gateway / "apps").exists()
    (app / "models" / "trend.onnx").write_bytes(weighted_sum([1.0]))
    assert shown(capsys, "check", str(app))["models"] == ["trend"]
    assert invoke(["app", *install]) == 0
    assert invoke(["check", "--home", str(gateway)]) == 0


@pytest.mark.parametrize("call", ["read_bytes", "scandir"])
def test_what_cannot_be_read_of_an_app_is_told_and_not_left_out(
    call: str, app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(path: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path if call == "read_bytes" else os, call, locked)
    assert "can read (Permission denied)" in refused(capsys, "check", str(app))


def test_packing_gives_the_same_bytes_each_time(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = shown(capsys, "pack", str(app), "--out", "one")
    os.utime(app / "app.toml", (0, 0))
    second = shown(capsys, "pack", str(app), "--out", "two")
    assert first["sha256"] == second["sha256"]
    data = Path("one/mill-alarms-0.1.0.capp").read_bytes()
    assert archive.digest(data) == first["sha256"] and len(data) == first["bytes"]
    assert shown(capsys, "test", "one/mill-alarms-0.1.0.capp")["failed"] == 0


def test_an_app_is_installed_replaced_listed_and_removed(
    app: Path, gateway: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ("--home", str(gateway))
    install = (
        *home,
        str(app),
        "--instance",
        "mill-a",
        "--input",
        "value=MILL_A.TEMP",
        "--parameter",
        "limit=95",
    )
    done = shown(capsys, "install", *install)
    assert done["new"] and done["instances"][0]["inputs"] == {"value": "MILL_A.TEMP"}
    assert done["instances"][0]["parameters"]["limit"] == 95.0
    change(app / "app.toml", "0.1.0", "0.2.0")
    done = shown(capsys, "install", *home, str(app), "--instance", "mill-b", "--input", "value=MILL_B.TEMP")
    assert not done["new"] and [each["name"] for each in done["instances"]] == ["mill-a", "mill-b"]
    [listed] = shown(capsys, "list", *home)["apps"]
    assert (listed["id"], listed["version"], listed["replay"]) == ("mill-alarms", "0.2.0", "exact")
    assert invoke(["check", *home]) == 0
    assert [path.name for path in sorted((gateway / "apps").iterdir())] == [
        "mill-alarms-0.2.0.capp",
        "mill-alarms.toml",
    ]
    assert shown(capsys, "remove", *home, "mill-alarms") == {"removed": "mill-alarms"}
    assert list((gateway / "apps").iterdir()) == []
    assert shown(capsys, "list", *home) == {"apps": []}


def test_a_package_that_was_exchanged_is_refused(
    app: Path, gateway: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ("--home", str(gateway))
    assert invoke(["app", "install", *home, str(app), "--input", "value=MILL_A.TEMP"]) == 0
    installed, settings = gateway / "apps" / "mill-alarms-0.1.0.capp", gateway / "apps" / "mill-alarms.toml"
    before = archive.digest(installed.read_bytes())
    change(app / "app.toml", "0.1.0", "0.2.0")
    assert invoke(["app", "pack", str(app)]) == 0
    other = Path("mill-alarms-0.2.0.capp").read_bytes()
    installed.write_bytes(other)
    assert "if it was changed on purpose" in refused(capsys, "list", *home)
    change(settings, before, archive.digest(other))
    assert "what the package says of itself" in refused(capsys, "list", *home)


@pytest.mark.parametrize("step", ["write_bytes_durably", "write_durably"])
def test_an_installation_that_breaks_off_leaves_the_app_that_was_there(
    step: str,
    app: Path,
    gateway: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise StoreError("no room")

    home = ("--home", str(gateway))
    assert invoke(["app", "install", *home, str(app), "--input", "value=MILL_A.TEMP"]) == 0
    change(app / "app.toml", "0.1.0", "0.2.0")
    with monkeypatch.context() as disk:
        disk.setattr(installing, step, broken)
        assert invoke(["app", "install", *home, str(app)]) != 0
    [listed] = shown(capsys, "list", *home)["apps"]
    assert listed["version"] == "0.1.0"


def test_an_app_that_does_not_fit_leaves_the_gateway_as_it_was(
    app: Path, gateway: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install = ("install", "--home", str(gateway), str(app))
    said = refused(capsys, *install, "--input", "value=MILL_A.FLOW", "--parameter", "limit=500")
    assert "kg/s" in said and "limit" in said and "200" in said
    assert "MILL_A.TMP" in refused(capsys, *install, "--input", "value=MILL_A.TMP")
    assert "NAME=VALUE" in refused(capsys, *install, "--input", "value")
    assert "once" in refused(capsys, *install, "--input", "value=A", "--input", "value=B")
    assert "an installed app" in refused(capsys, "remove", "--home", str(gateway), "mill-alarms")
    assert not (gateway / "apps").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["new", "mill-alarms"], "a folder that is new or empty"),
        (["new", "Mill_B"], "--id: got 'Mill_B'"),
        (["test", "mill-alarms", "limits"], "did you mean 'limit'?"),
        (["check", "nowhere"], "an app's folder, or a package"),
    ],
)
def test_wrong_arguments_are_answered_with_what_was_expected(
    app: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert expected in refused(capsys, *arguments)


def test_a_damaged_package_is_refused(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = Path(shown(capsys, "pack", str(app))["package"])
    data = bytearray(packed.read_bytes())
    data[len(data) // 2] ^= 1
    packed.write_bytes(data)
    assert refused(capsys, "check", str(packed)).startswith(f"error: {packed}: file: ")


def test_status_tells_of_the_apps_of_a_running_gateway(
    gateway: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ("--home", str(gateway))
    assert shown(capsys, "status", *home, code=3) == {"running": False, "apps": []}
    (gateway / "data").mkdir(exist_ok=True)
    running = {
        "app": "gas", "version": "1.0.0", "instances": 2, "state": "running", "why": "", "scans": 70,
        "missed": 0, "late": 1, "busy_ms_max": 0.4,
        "models": [{"model": "pca", "overruns": 2, "suspended": False}],
        "writes": {"made": 7, "refused": 3, "failed": 1, "troubles": [
            {"instance": "hall", "output": "trip", "point": "XV-101", "why": "not connected"},
        ]},
    }  # fmt: skip
    write_durably(gateway / "data" / "status.json", json.dumps({"state": "running", "apps": [running]}))
    assert invoke(["app", "status", *home]) == 0
    out = capsys.readouterr().out
    assert "gas: model pca is running, 2 overruns" in out
    assert out.splitlines()[1].split()[-3:] == ["7", "3", "1"]
    assert "gas: hall, output trip is not written to XV-101: not connected" in out
    failed = {**running, "state": "failed", "why": "a bug"}
    write_durably(gateway / "data" / "status.json", json.dumps({"state": "running", "apps": [failed]}))
    assert shown(capsys, "status", *home, code=1)["apps"][0]["why"] == "a bug"
