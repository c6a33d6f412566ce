"""Headquarters' side: commands, history, publishing, reports from gateways, roll-outs in the process."""

from __future__ import annotations

import io
import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headquarters.cli import main
from headquarters.config import load
from headquarters.desired import targets
from headquarters.desired.store import DesiredStore, HubReported
from headquarters.desired.targets import Target, publish
from headquarters.lake.query import Engine
from headquarters.rollout.health import LakeLook
from headquarters.rollout.thread import DesiredThread, ReportTaker
from protocols import records
from protocols.batch import Kind, Stream
from protocols.daemon import EventLog, Stop
from protocols.desired import Health, ItemReport, ItemState, Report, WriteRange, parse_document
from protocols.errors import InputError, Problem
from protocols.package import archive
from protocols.records import EventRecord, EventType
from tests.app_parts import manifest
from tests.lake_parts import NOW, SECOND, T0, HandGateway, Headquarters

PROGRAM = b"PROGRAM gas\nVAR_INPUT x : LREAL; END_VAR\nVAR_OUTPUT y : LREAL; END_VAR\ny := x;\nEND_PROGRAM\n"
TEST_FILES = {
    "tests/plain/input.csv": b"time,x\n1767225600,1.0\n",
    "tests/plain/expected.csv": b"time,y\n1767225600,1.0\n",
}

POINTS = "name,device,address,type,scan_class\nP1,plc,holding:0,f32,fast\n"


class FolderRepository:
    """An update repository without signatures: what is in it is in a file."""

    folder = Path()

    def __init__(self, config: object, *keys: object) -> None:
        self._file = self.folder / "targets.json"

    def targets(self) -> Mapping[str, Target]:
        if not self._file.exists():
            return {}
        found = json.loads(self._file.read_text())
        return {path: Target(*target) for path, target in found.items() if not path.startswith("gateways/")}

    def add(self, file: Path, path: str) -> Target:
        data = file.read_bytes()
        target = Target(len(data), archive.digest(data))
        self._keep(path, list(target))
        return target

    def direct(self, documents: Mapping[str, bytes]) -> None:
        for gateway, data in documents.items():
            self._keep(f"gateways/{gateway}/desired.json", data.decode())

    def document(self, gateway: str) -> Any:
        found = json.loads(self._file.read_text())[f"gateways/{gateway}/desired.json"]
        return parse_document(found.encode())

    def _keep(self, path: str, value: object) -> None:
        found = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._file.write_text(json.dumps(found | {path: value}))


@pytest.fixture
def hq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Headquarters:
    monkeypatch.setattr(targets, "UpdateRepository", FolderRepository)
    monkeypatch.setattr(FolderRepository, "folder", tmp_path)
    return Headquarters(tmp_path / "hq", HandGateway("unit-1"), HandGateway("unit-2", "plant-b"))


def call(hq: Headquarters, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--home", str(hq.home)])


def told(hq: Headquarters, *arguments: str) -> Any:
    result = call(hq, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def published(hq: Headquarters, tmp_path: Path, version: str = "1.2.0", app: str = "gas") -> str:
    package = tmp_path / f"{app}-{version}.capp"
    files = {"app.toml": manifest(app, version=version), f"programs/{app}.st": PROGRAM, **TEST_FILES}
    package.write_bytes(archive.pack(files))
    path: str = told(hq, "publish", "app", str(package))["path"]
    return path


WANTED = """
[points]
target = "config/unit-1-3.csv"

[app.gas]
target = "apps/own/gas-1.2.0.capp"
needs = ["points"]
drift = "keep-local"
[app.gas.instance.hall]
inputs = {x = "P1"}
parameters = {limit = 20.5}
"""


def test_what_is_published_can_be_desired_and_history_keeps_all(hq: Headquarters, tmp_path: Path) -> None:
    path = published(hq, tmp_path)
    assert path == "apps/own/gas-1.2.0.capp"
    points = tmp_path / "unit-1-3.csv"
    points.write_text(POINTS)
    assert told(hq, "publish", "config", str(points))["path"] == "config/unit-1-3.csv"
    wanted = tmp_path / "wanted.toml"
    wanted.write_text(WANTED)
    [first] = told(hq, "desired", "set", "unit-1", "--file", str(wanted), "--comment", "begin")
    assert (first["version"], first["changed"]) == (1, True)
    document = FolderRepository(None).document("unit-1")
    app = document.by_ref["app/gas"]
    assert app.app.instances["hall"].parameters == {"limit": 20.5} and app.needs == ("points",)
    [again] = told(hq, "desired", "set", "unit-1", "--file", str(wanted))
    assert (again["version"], again["changed"]) == (1, False)
    newer = published(hq, tmp_path, "1.3.0")
    [second] = told(hq, "desired", "set", "unit-1", "--put", newer)
    assert second["version"] == 2
    assert {change["field"] for change in second["changes"]} == {"path", "sha256", "version"}, "settings stay"
    lines = call(hq, "desired", "diff", "unit-1").output
    assert "app/gas version: '1.2.0' -> '1.3.0'" in lines
    [third] = told(hq, "desired", "revert", "unit-1")
    assert third["version"] == 3
    assert FolderRepository(None).document("unit-1").content == document.content
    history = told(hq, "desired", "history", "unit-1")
    assert [entry["version"] for entry in history] == [3, 2, 1]
    assert history[0]["comment"] == "back to version 1" and history[2]["comment"] == "begin"
    assert all(entry["published"] for entry in history)
    assert call(hq, "desired", "diff", "unit-1", "1", "3").output == "no difference\n"
    [gone] = told(hq, "desired", "set", "unit-1", "--remove", "app/gas")
    assert [change["item"] for change in gone["changes"]] == ["app/gas"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    (
        (("set", "unit-9", "--put", "apps/own/gas-1.2.0.capp"), "did you mean 'unit-2'"),
        (("set", "unit-1", "--put", "apps/own/gass-1.2.0.capp"), "a target that a gateway can have"),
        (("set", "unit-1", "--remove", "app/gas"), "an item of the document"),
        (("set", "unit-1"), "choose --file"),
        (("show", "unit-1"), "a gateway with a desired state"),
        (("diff", "unit-1"), "a gateway with a desired state"),
        (("tag", "unit-1", "--add", "No Good"), "lower-case letters"),
    ),
)
def test_wrong_wishes_are_answered_with_the_remedy(
    hq: Headquarters, arguments: tuple[str, ...], expected: str
) -> None:
    result = call(hq, "desired", *arguments)
    assert result.exit_code == 2 and expected in result.output


def test_a_file_with_faults_is_answered_with_all_of_them(hq: Headquarters, tmp_path: Path) -> None:
    published(hq, tmp_path)
    wanted = tmp_path / "wanted.toml"
    wanted.write_text(
        """
[pionts]
target = "x"
[config]
target = "apps/own/gas-1.2.0.capp"
[app.gas]
target = "apps/own/gas-1.2.0.capp"
drift = "sometimes"
[app.gas.instance.hall]
inputz = {}
[app.gas.grant.hal.y]
point = "P1"
[app.other]
target = "apps/own/gas-1.2.0.capp"
"""
    )
    result = call(hq, "desired", "set", "unit-1", "--file", str(wanted))
    assert result.exit_code == 2
    for expected in (
        "did you mean 'points'",
        "a target of config",
        "did you mean 'inputs'",
        "did you mean 'hall'",
        "a target of app.other",
    ):
        assert expected in result.output, expected


def test_files_are_checked_before_they_are_published(hq: Headquarters, tmp_path: Path) -> None:
    wrong_app = tmp_path / "gas-1.0.0.capp"
    broken = {"app.toml": manifest("gas"), "programs/gas.st": PROGRAM.replace(b":= x", b":= z")}
    wrong_app.write_bytes(archive.pack(broken))
    failing = tmp_path / "gas-1.0.1.capp"
    expected = TEST_FILES | {"tests/plain/expected.csv": b"time,y\n1767225600,2.0\n"}
    files = {"app.toml": manifest("gas", version="1.0.1"), "programs/gas.st": PROGRAM, **expected}
    failing.write_bytes(archive.pack(files))
    points = tmp_path / "unit-1-1.csv"
    points.write_text(POINTS.replace("f32", "f33"))
    unnamed = tmp_path / "unit.toml"
    unnamed.write_text("[scan.fast]\nperiod_s = 1\n")
    for arguments, said in (
        (("app", str(wrong_app)), "declared"),
        (("app", str(failing)), "as recorded"),
        (("config", str(points)), "f33"),
        (("config", str(unnamed)), "NAME-VERSION"),
        (("model", str(unnamed)), "who publishes it"),
        (("model", str(unnamed), "--publisher", "acme"), "NAME-VERSION"),
    ):
        result = call(hq, "publish", *arguments)
        assert result.exit_code == 2 and said in result.output, result.output
    assert FolderRepository(None).targets() == {}
    named = tmp_path / "unit-2.toml"
    named.write_text("[scan.fast]\nperiod_s = 1\n")
    dry = told(hq, "publish", "config", str(named), "--dry-run")
    assert dry == {"kind": "config", "path": "config/unit-2.toml", "published": False}
    assert FolderRepository(None).targets() == {}


def report(gateway: HandGateway, document: int, state: ItemState, at: int = T0) -> Report:
    items = (ItemReport("app/gas", "1.2.0", state, "", "1.2.0"),)
    return Report(at, gateway.name, document, "", items, "0.1.0", health=Health(60, 600, 600))


def test_reports_land_in_the_lake_and_beside_what_is_desired(hq: Headquarters, tmp_path: Path) -> None:
    gateway = HandGateway("unit-1")
    published(hq, tmp_path)
    told(hq, "desired", "set", "unit-1", "--put", "apps/own/gas-1.2.0.capp")
    assert told(hq, "desired", "list")[0]["state"] == "never reported"
    said = report(gateway, 1, ItemState.ACTIVE)
    later = report(gateway, 1, ItemState.DRIFTED, T0 + SECOND)
    batches = [
        gateway.batch(Kind.REPORT, each.pack(), stream=Stream.META, times=(each.time_us, each.time_us))
        for each in (said, later)
    ]
    cycle = hq.take(gateway.open(Stream.META), *batches)
    assert not cycle.refused
    taker = ReportTaker(hq.settings.data, EventLog(stream=None))
    taker.take(cycle.events, NOW)
    taker.close()
    shown = told(hq, "desired", "show", "unit-1")
    assert [(item["item"], item["desired"], item["running"], item["state"]) for item in shown["items"]] == [
        ("app/gas", "1.2.0", "1.2.0", "drifted")
    ]
    assert told(hq, "desired", "list")[0]["state"] == "drifted"
    assert "app/gas" in call(hq, "desired", "show", "unit-1").output
    engine = Engine(hq.settings.lake)
    _, rows = engine.rows("SELECT gateway, detail FROM events WHERE kind = 'report' ORDER BY time")
    assert [json.loads(detail)["document"] for _, detail in rows] == [1, 1]
    engine.close()


def test_the_newest_report_is_the_last_of_the_newest_chain_whatever_its_clock_said(hq: Headquarters) -> None:
    store = DesiredStore(hq.settings.data)

    def taken(epoch: int, time_us: int, document: int) -> int:
        said = Report(time_us, "unit-1", document, "", (), "1")
        store.take_reports([("unit-1", epoch, time_us, json.dumps(said.fields()))], NOW)
        known = store.reported("unit-1")
        assert known is not None
        return known.report.document

    assert taken(7, T0, 1) == 1
    assert taken(7, T0 - 86_400 * SECOND, 2) == 2, "it started anew without a clock"
    assert taken(7, T0 + 86_400 * 10_000 * SECOND, 3) == 3, "or with a wrong one"
    assert taken(9, T0, 4) == 4, "it went over to another hub"
    assert taken(7, T0 + SECOND, 5) == 4, "and this came late from the first"
    store.close()
    store = DesiredStore(hq.settings.data)
    assert taken(8, T0 + SECOND, 6) == 4
    store.close()


def test_what_a_hub_says_of_itself_is_kept_from_its_statements(hq: Headquarters) -> None:
    hub, later = HandGateway("hub-north"), records.HubReport("0.2.0", (records.StoreUse("disk", 1, 2),))
    said = [
        records.HubStatement(T0, (), records.HubReport("0.1.0", ())),
        records.HubStatement(T0 - SECOND, (), later),
        records.HubStatement(T0 + 3 * SECOND, ()),
    ]
    batches = [
        hub.batch(Kind.STATEMENT, each.pack(), stream=Stream.META, times=(each.time_us, each.time_us))
        for each in said
    ]
    cycle = hq.take(hub.open(Stream.META), *batches)
    assert not cycle.refused
    taker = ReportTaker(hq.settings.data, EventLog(stream=None))
    taker.take(cycle.events, NOW)
    taker.close()
    store = DesiredStore(hq.settings.data)
    assert store.hub_reports() == {"hub-north": HubReported(later, NOW)}
    assert store.all_reported() == {} and store.gateways() == []
    store.close()


def test_a_store_from_before_hubs_reported_gets_the_table(tmp_path: Path) -> None:
    DesiredStore(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "desired.db")) as connection:
        connection.execute("drop table hubs")
    store = DesiredStore(tmp_path)
    assert store.hub_reports() == {}
    store.close()


def test_a_report_in_anothers_name_is_refused(hq: Headquarters) -> None:
    gateway = HandGateway("unit-1")
    lie = report(HandGateway("unit-2"), 1, ItemState.ACTIVE)
    cycle = hq.take(gateway.open(Stream.META), gateway.batch(Kind.REPORT, lie.pack(), stream=Stream.META))
    assert "a report of unit-1" in cycle.refused[0].text and not [
        row for row in cycle.events if row.kind == "report"
    ]


def test_the_lake_tells_how_late_samples_come_and_how_many_alarms(hq: Headquarters) -> None:
    from tests.lake_parts import scan

    gateway = HandGateway("unit-1")
    hq.now_us = time.time_ns() // 1000
    alarm = EventRecord(T0, EventType.ALARM, "gas", "hall", "high", "x", 1, "raised")
    hq.take(gateway.open(), gateway.open(Stream.EVENT), gateway.data(scan(0)), gateway.events(alarm, alarm))
    look = LakeLook(hq.settings.lake, time.monotonic)
    found = look.vitals()["unit-1"]
    assert found.alarms == 2
    assert found.p99_s == pytest.approx((hq.now_us - T0) / 1e6, abs=1.0)
    look.close()
    look = LakeLook(hq.settings.lake, time.monotonic)
    assert look.vitals(T0 / 1e6 + 60) == {}, "what is older than headquarters' ears is nobody's fault"
    look.close()


def test_a_start_of_headquarters_is_no_word_of_a_gateway(hq: Headquarters) -> None:
    gateway = HandGateway("unit-1")
    hq.now_us = came_us = time.time_ns() // 1000 - 3600 * SECOND
    first = report(gateway, 1, ItemState.ACTIVE)
    last = report(gateway, 2, ItemState.ACTIVE, T0 - SECOND)  # its clock was set back
    batches = [
        gateway.batch(Kind.REPORT, each.pack(), stream=Stream.META, times=(each.time_us, each.time_us))
        for each in (first, last)
    ]
    assert not hq.take(gateway.open(Stream.META), *batches).refused
    for start in ("without the report, as after a kill", "with it"):
        thread = DesiredThread(
            hq.settings.data, hq.settings.lake, lambda: FolderRepository(None), Stop(), EventLog(stream=None)
        )
        known = thread._opened().reported("unit-1")
        assert known is not None and (known.report, known.received_us) == (last, came_us), start
        thread._opened().close()
        thread._look.close()


PLAN = """
name = "gas-1.3"
[change]
having = ["app/gas"]
[change.app.gas]
target = "apps/own/gas-1.3.0.capp"
[[ring]]
name = "all"
sites = ["plant-a", "plant-b"]
soak_s = 0
[halt]
loss_max = "off"
alarms_max = 10
[[window]]
zone = "Asia/Shanghai"
days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
from = "00:00"
to = "24:00"
"""


def test_a_rollout_is_planned_started_and_carried_on_by_headquarters(
    hq: Headquarters, tmp_path: Path
) -> None:
    for gateway in ("unit-1", "unit-2"):
        told(hq, "desired", "set", gateway, "--put", published(hq, tmp_path))
    published(hq, tmp_path, "1.3.0")
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN)
    planned = told(hq, "rollout", "plan", str(plan))
    assert planned["rings"] == [{"ring": "all", "gateways": ["unit-1", "unit-2"]}]
    assert told(hq, "rollout", "start", "gas-1.3")["phase"] == "running"
    log = io.StringIO()
    settings = load(hq.home)
    thread = DesiredThread(
        settings.data, settings.lake, lambda: FolderRepository(None), Stop(), EventLog(stream=log)
    )
    thread._step()
    thread._publish()
    for gateway in ("unit-1", "unit-2"):
        assert FolderRepository(None).document(gateway).by_ref["app/gas"].version == "1.3.0"
    assert told(hq, "rollout", "pause", "gas-1.3")["phase"] == "paused"
    assert told(hq, "rollout", "resume", "gas-1.3")["phase"] == "running"
    store = DesiredStore(settings.data)
    states = {"unit-1": ItemState.ACTIVE, "unit-2": ItemState.FAILED}
    for name, state in states.items():
        now_us = time.time_ns() // 1000
        said = Report(now_us, name, 2, "", (ItemReport("app/gas", "1.3.0", state, "it crashed"),), "1")
        store.take_reports([(name, 1, now_us, json.dumps(said.fields()))], now_us)
    thread._step()
    watched = call(hq, "rollout", "watch", "gas-1.3")
    assert watched.exit_code == 1 and "halted: 1 failed; unit-2: app/gas: it crashed" in watched.output
    assert set(store.unpublished()) == {"unit-1", "unit-2"}
    thread._publish()
    for gateway in ("unit-1", "unit-2"):
        document = FolderRepository(None).document(gateway)
        assert document.version == 3 and document.by_ref["app/gas"].version == "1.2.0"
    events = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert "rollout-halted" in events and "rollout-failed" in events and "desired-published" in events
    [listed] = told(hq, "rollout", "list")
    assert listed["phase"] == "halted" and listed["gateways"] == {"returning": 2}
    store.close()


def test_a_tenants_gateways_get_no_more_apps_than_it_may_have(hq: Headquarters, tmp_path: Path) -> None:
    for arguments in (("add", "north"), ("own", "north", "plant-b"), ("quota", "north", "apps", "1")):
        assert call(hq, "tenants", *arguments).exit_code == 0
    gas, newer = published(hq, tmp_path), published(hq, tmp_path, "1.3.0")
    carbon = published(hq, tmp_path, app="carbon")
    told(hq, "desired", "set", "unit-2", "--put", gas)
    told(hq, "desired", "set", "unit-2", "--put", newer)
    told(hq, "desired", "set", "unit-1", "--put", gas, "--put", carbon)  # of no tenant
    refused = call(hq, "desired", "set", "unit-1", "unit-2", "--put", carbon)
    assert refused.exit_code != 0 and "tenant north to stay within its quota of 1 apps" in refused.output
    assert len(told(hq, "desired", "history", "unit-2")) == 2
    plan = tmp_path / "plan.toml"
    text = PLAN.replace("app.gas", "app.carbon").replace("apps/own/gas-1.3.0.capp", carbon)
    plan.write_text(text.replace('having = ["app/gas"]', "").replace("gas-1.3", "carbon"))
    told(hq, "rollout", "plan", str(plan))
    assert "1 apps" in call(hq, "rollout", "start", "carbon").output
    assert [each["phase"] for each in told(hq, "rollout", "list")] == ["planned"]
    assert used_apps(hq) == 1
    told(hq, "desired", "set", "unit-2", "--remove", "app/gas")
    assert used_apps(hq) == 0
    told(hq, "rollout", "start", "carbon")
    assert used_apps(hq) == 1
    told(hq, "desired", "revert", "unit-2")  # back to what it had, whatever is planned meanwhile


def used_apps(hq: Headquarters) -> int:
    [used] = [row["used"]["apps"] for row in told(hq, "tenants", "list") if row["tenant"] == "north"]
    return int(used)


def test_a_plan_with_faults_is_answered_with_all_of_them(hq: Headquarters, tmp_path: Path) -> None:
    published(hq, tmp_path, "1.3.0")
    plan = tmp_path / "plan.toml"
    text = PLAN.replace("Asia/Shanghai", "Shanghai").replace('"mon"', '"monday"').replace("24:00", "25:00")
    plan.write_text(text.replace("soak_s = 0", "soak_s = -1\nsitez = []") + "[stop]\n")
    result = call(hq, "rollout", "plan", str(plan))
    assert result.exit_code == 2
    for expected in (
        "a time zone",
        "days of mon",
        "01:30",
        "a number from 0",
        "did you mean 'sites'",
        "stop",
    ):
        assert expected in result.output, expected
    assert call(hq, "rollout", "start", "nothing").exit_code == 2


def test_what_cannot_be_published_is_said_once_and_published_later(hq: Headquarters) -> None:
    settings = load(hq.home)
    store = DesiredStore(settings.data)
    store.put("unit-1", (), NOW, "li")
    log = io.StringIO()
    broken = [True]

    class Repository(FolderRepository):
        def direct(self, documents: Mapping[str, bytes]) -> None:
            if broken[0]:
                raise InputError([Problem("updates", "", "", "a root that was signed")])
            super().direct(documents)

    thread = DesiredThread(
        settings.data, settings.lake, lambda: Repository(None), Stop(), EventLog(stream=log)
    )
    for _ in range(3):
        thread._guarded(thread._publish, thread._unpublished)
    assert log.getvalue().count("desired-not-published") == 1
    broken[0] = False
    thread._guarded(thread._publish, thread._unpublished)
    assert store.unpublished() == {} and FolderRepository(None).document("unit-1").version == 1
    store.close()


def test_only_the_newest_document_is_published(hq: Headquarters) -> None:
    store = DesiredStore(load(hq.home).data)
    from tests.desired.rollout_world import firmware

    store.put("unit-1", (), NOW, "li")
    store.put("unit-1", (firmware("2.0"),), NOW, "li")
    repository = FolderRepository(None)
    assert publish(store, repository) == ["unit-1"]
    assert repository.document("unit-1").version == 2
    assert all(entry.published for entry in store.history("unit-1"))
    assert publish(store, repository) == []
    store.close()


def test_what_commands_may_write_is_desired_kept_and_taken_away(hq: Headquarters, tmp_path: Path) -> None:
    def writes() -> Any:
        return FolderRepository(None).document("unit-1").writes

    [first] = told(hq, "desired", "set", "unit-1", "--write", "SP-7=20:60", "--write", "SP-8=0:1")
    assert first["changes"][0] == {"item": "write/SP-7", "field": "", "before": None, "after": [20.0, 60.0]}
    assert writes() == {"SP-7": WriteRange(20.0, 60.0), "SP-8": WriteRange(0.0, 1.0)}
    told(hq, "desired", "set", "unit-1", "--put", published(hq, tmp_path))
    assert set(writes()) == {"SP-7", "SP-8"}, "other changes leave it"
    [third] = told(hq, "desired", "set", "unit-1", "--write", "SP-7=20:50", "--remove", "write/SP-8")
    assert [change["item"] for change in third["changes"]] == ["write/SP-7", "write/SP-8"]
    assert writes() == {"SP-7": WriteRange(20.0, 50.0)}
    shown = call(hq, "desired", "show", "unit-1").output
    assert "commands may write SP-7 from 20 to 50" in shown
    told(hq, "desired", "revert", "unit-1")
    assert set(writes()) == {"SP-7", "SP-8"}
    wanted = tmp_path / "wanted.toml"
    wanted.write_text("[write.SP-9]\nlow = 1\nhigh = 2\n")
    told(hq, "desired", "set", "unit-1", "--file", str(wanted))
    assert writes() == {"SP-9": WriteRange(1.0, 2.0)}, "a file says all of it"


@pytest.mark.parametrize(
    ("arguments", "said"),
    (
        (("--write", "SP-7"), "POINT=LOW:HIGH"),
        (("--write", "SP-7=9:1"), "POINT=LOW:HIGH"),
        (("--write", "SP-7=0:inf"), "POINT=LOW:HIGH"),
        (("--write", "=0:1"), "POINT=LOW:HIGH"),
        (("--remove", "write/SP-7"), "there is none"),
    ),
)
def test_a_range_that_is_none_is_refused(hq: Headquarters, arguments: tuple[str, ...], said: str) -> None:
    result = call(hq, "desired", "set", "unit-1", *arguments)
    assert result.exit_code == 2 and said in result.output


def test_it_is_desired_again_above_what_a_gateway_reports(hq: Headquarters) -> None:
    told(hq, "desired", "set", "unit-1", "--write", "SP-7=20:60")
    store = DesiredStore(load(hq.home).data)
    said = Report(1, "unit-1", 40, "", (), "1")
    store.take_reports([("unit-1", 1, 1, json.dumps(said.fields()))], 1)
    store.close()
    [again] = told(hq, "desired", "again")
    assert (again["gateway"], again["version"], again["changes"]) == ("unit-1", 41, [])
    assert FolderRepository(None).document("unit-1").version == 41
