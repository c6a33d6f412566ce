"""`catchment-edge alarms`: what it shows, what it does, and what it says when it cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.alarms import view
from edge_runtime.alarms.service import AlarmService
from edge_runtime.alarms.store import ALARMS, AlarmStore
from edge_runtime.cli import invoke
from edge_runtime.events import EventQueue
from protocols.daemon import EventLog
from protocols.errors import StoreDamagedError, StoreFullError
from protocols.records import EventRecord, EventType
from tests.unit.edge_buffers import T0, S, World

CH4 = "gas/hall-1/ch4.high"


class Gateway:
    """The alarms of a running gateway, in this process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.world = World()
        self.queue = EventQueue()
        (home / "data").mkdir(parents=True)
        self.start()

    def start(self) -> None:
        self.service = AlarmService(
            self.home / "data", self.world.buffer, self.queue, view.now, EventLog(stream=None)
        )
        self.service.start()

    def raise_(self, path: str = "ch4.high", priority: int = 1, value: float = 20.5) -> None:
        self.service.manager.raise_("gas", "hall-1", path, "CH4 too high", priority, value, 1, view.now())


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path / "gw")
    yield gateway
    gateway.service.close()


def run(gateway: Gateway, *arguments: str) -> int:
    return invoke(["alarms", arguments[0], "--home", str(gateway.home), *arguments[1:]])


def shown(capsys: pytest.CaptureFixture[str], gateway: Gateway, *arguments: str) -> Any:
    capsys.readouterr()
    assert run(gateway, *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def states(capsys: pytest.CaptureFixture[str], gateway: Gateway) -> dict[str, str]:
    alarms = shown(capsys, gateway, "list", "--all")["alarms"]
    return {alarm["alarm"]: alarm["state"] for alarm in alarms}


def test_the_list_shows_the_most_urgent_first(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.raise_("dust", 4)
    gateway.raise_("ch4.high", 1)
    gateway.service.manager.define("gas", "hall-1", "never", "never raised", 2)
    assert run(gateway, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["priority", "critical", "low"]
    assert "20.5 (uncertain)" in lines[1] and "CH4 too high" in lines[1]
    assert lines[-1] == "2 alarms of 3 shown"
    assert len(shown(capsys, gateway, "list", "gas/*", "--all")["alarms"]) == 3
    assert shown(capsys, gateway, "list", "pumps/*") == {"alarms": []}


def test_every_command_does_what_it_says(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.raise_()
    for arguments, state in (
        (("ack", CH4), "acknowledged"),
        (("shelve", CH4, "--for", "30min", "--comment", "calibration"), "shelved"),
        (("unshelve", CH4), "unacknowledged"),
        (("suppress", CH4, "--comment", "hall is closed"), "suppressed"),
        (("unsuppress", "gas/*"), "unacknowledged"),
        (("out-of-service", CH4, "--comment", "sensor is out"), "out-of-service"),
        (("in-service", CH4), "unacknowledged"),
    ):
        assert run(gateway, *arguments, "--operator", "li") == 0, arguments
        assert f"{CH4} is {state}" in capsys.readouterr().out
        assert states(capsys, gateway) == {CH4: state}
    entries = shown(capsys, gateway, "journal")["journal"]
    assert [entry["operator"] for entry in entries] == ["", *["li"] * 7]
    assert entries[2]["comment"] == "calibration" and entries[2]["detail"]["until_us"] > entries[2]["time"]
    assert len(gateway.queue) == 8, "each is on its way to headquarters"


def test_a_latched_alarm_is_acknowledged_and_reset(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    manager = gateway.service.manager
    manager.define("gas", "hall-1", "ch4.high", "CH4 too high", 1, latching=True)
    gateway.raise_()
    manager.return_("gas", "hall-1", "ch4.high", 1.0, 0, view.now())
    assert states(capsys, gateway) == {CH4: "latched-unacknowledged"}
    assert run(gateway, "reset", CH4) == 1
    assert "can make it acknowledged" in capsys.readouterr().err
    assert run(gateway, "ack", CH4) == 0
    assert run(gateway, "reset", CH4) == 0
    assert states(capsys, gateway) == {CH4: "normal"}


def test_what_is_refused_is_told_and_exits_1(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.raise_()
    assert run(gateway, "ack", CH4, "gas/hall-1/ch4.hihg") == 1
    out, err = capsys.readouterr()
    assert "is acknowledged" in out
    assert f"did you mean '{CH4}'?" in err
    assert run(gateway, "shelve", CH4, "--for", "9d", "--comment", "x") == 1
    assert "at most 7 days" in capsys.readouterr().err
    assert run(gateway, "shelve", CH4, "--for", "long", "--comment", "x") == 2
    assert "30min or 8h" in capsys.readouterr().err
    assert run(gateway, "shelve", CH4) == 2
    assert "--comment" in capsys.readouterr().err


def test_a_pattern_reaches_all_others_after_one_that_was_named(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["ch4.high", "co.high", "dust"]
    for name in names:
        gateway.raise_(name)
    assert run(gateway, "ack", CH4, "gas/*", CH4) == 0
    capsys.readouterr()
    assert states(capsys, gateway) == {f"gas/hall-1/{name}": "acknowledged" for name in names}


def test_without_a_gateway_one_may_look_and_not_touch(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.raise_(value=math.nan)
    gateway.service.close()
    assert states(capsys, gateway) == {CH4: "unacknowledged"}
    assert shown(capsys, gateway, "list")["alarms"][0]["value"] == "nan"
    assert shown(capsys, gateway, "journal")["journal"][0]["value"] == "nan"
    assert shown(capsys, gateway, "figures")["alarms"] == 1
    assert run(gateway, "ack", CH4) == 3
    assert "start it with catchment-edge run" in capsys.readouterr().err


def test_where_no_gateway_ever_ran_the_error_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (("list",), ("journal",), ("figures",), ("ack", "gas/*")):
        assert invoke(["alarms", command[0], "--home", str(tmp_path), *command[1:]]) == 2
        assert "catchment-edge run" in capsys.readouterr().err


def test_the_journal_shows_who_did_what(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(gateway, "journal") == 0
    assert capsys.readouterr().out == "nothing has happened yet\n"
    gateway.raise_()
    run(gateway, "ack", CH4, "--operator", "li", "--comment", "on my way")
    gateway.service.manager.tell(EventRecord(T0, EventType.APP, "gas", text="started"))
    capsys.readouterr()
    assert run(gateway, "journal", "--last", "2") == 0
    heading, acknowledged, started = capsys.readouterr().out.splitlines()
    assert heading.split()[:2] == ["no", "time"]
    assert "li: on my way" in acknowledged and CH4 in acknowledged
    assert "2023-11-14 22:13:20Z" in started and "started" in started


def test_the_figures_are_shown_for_people(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(12):
        gateway.raise_(f"a{i}", 1 + i % 4)
    assert run(gateway, "figures", "--hours", "1") == 0
    out = capsys.readouterr().out
    assert "12 alarms announced" in out
    assert "critical 3 (25%), high 3 (25%)" in out
    assert "standing now: 12, of these for more than a day: 0" in out
    assert "chattering: none" in out


def test_what_was_journalled_and_in_no_batch_is_queued_again_at_a_start(gateway: Gateway) -> None:
    gateway.raise_()
    gateway.raise_("other")
    gateway.world.buffer.note_events(1)
    gateway.service.close()
    gateway.queue.take()
    gateway.start()
    taken, _ = gateway.queue.take()
    assert [record.source for record in taken] == ["other"]


def test_after_a_lost_buffer_nothing_is_sent_twice_and_numbers_go_on(gateway: Gateway) -> None:
    gateway.raise_()
    gateway.service.close()
    gateway.queue.take()
    gateway.world = World()
    gateway.start()
    assert not len(gateway.queue)
    assert gateway.world.buffer.events_noted == 1
    gateway.raise_("other")
    taken, _ = gateway.queue.take()
    assert [record.number for record in taken] == [2]


def test_a_file_that_turns_out_damaged_is_replaced_as_soon_as_there_is_room(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise StoreDamagedError("rubbish")

    def full(*_: object) -> None:
        raise StoreFullError("no room")

    with monkeypatch.context() as disk:
        disk.setattr(AlarmStore, "write", damaged)
        disk.setattr(AlarmStore, "open", full)
        gateway.raise_("ch4.high")
        gateway.service.step()
        gateway.raise_("ch4.low")
        gateway.service.step()
    data = gateway.home / "data"
    assert not (data / ALARMS).exists() and len(list(data.glob("alarms.db.damaged-*[0-9]"))) == 1
    gateway.service.step()
    with view.reading(gateway.home) as store:
        assert [alarm.id.path for alarm in store.alarms()] == ["ch4.high", "ch4.low"]


def test_a_file_of_rubbish_is_set_aside_and_the_gateway_goes_on(gateway: Gateway) -> None:
    gateway.raise_()
    gateway.service.close()
    for ending in ("-wal", "-shm"):
        (gateway.home / "data" / (ALARMS + ending)).unlink(missing_ok=True)
    (gateway.home / "data" / ALARMS).write_bytes(b"rubbish" * 1000)
    gateway.start()
    gateway.raise_()
    [aside] = (gateway.home / "data").glob("alarms.db.damaged-*")
    assert aside.read_bytes().startswith(b"rubbish")
    assert len(gateway.service.manager.alarms()) == 1


def test_shelving_ends_by_the_clock(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.raise_()
    assert run(gateway, "shelve", CH4, "--for", "1h", "--comment", "x") == 0
    gateway.service.step()
    assert states(capsys, gateway) == {CH4: "shelved"}
    gateway.service.manager.step(view.now() + 3601 * S)
    assert states(capsys, gateway) == {CH4: "unacknowledged"}


@pytest.mark.parametrize("duration", ["-1h", "0s", "h", "8", "1e400d"])
def test_a_duration_that_is_none_is_told_with_what_to_write(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], duration: str
) -> None:
    gateway.raise_()
    assert run(gateway, "shelve", CH4, "--for", duration, "--comment", "x") == 2
    assert "expected a number above 0 and its unit: s, min, h or d" in capsys.readouterr().err
