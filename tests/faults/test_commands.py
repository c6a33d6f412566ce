"""Commands through real processes: down through a hub, carried out once, told signed."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path

import pytest

from headquarters.lake.query import Engine
from tests.faults.command_river import commanded
from tests.faults.river import River


def test_a_command_goes_down_through_a_hub_and_its_signed_result_comes_back(
    river: River, tmp_path: Path
) -> None:
    with commanded(river) as all_:
        river.start()
        read = all_.hq("send", "unit-1", "read", "SP", "--wait", "40")
        assert (read["outcome"], read["events"][0]["source"]) == ("done", "SP")
        before = read["events"][0]["value"]
        selected = all_.hq("send", "unit-1", "write", "SP=123", "--wait", "40")
        assert selected["outcome"] == "selected" and selected["detail"]["now"] == before
        written = all_.hq("send", "unit-1", "write", "SP=123", "--confirm", str(selected["number"]))
        assert (written["outcome"], written["events"][0]["value"]) == ("done", 123.0)
        assert all_.hq("send", "unit-1", "read", "SP")["events"][0]["value"] == 123.0
        # the selection is used up; a value out of range and a point without a grant are refused
        again = all_.hq("send", "unit-1", "write", "SP=123", "--confirm", str(selected["number"]), code=1)
        assert again["detail"]["why"] == "not-selected"
        assert all_.hq("send", "unit-1", "write", "SP=1001", code=1)["detail"]["why"] == "not-granted"

        got = all_.hq("send", "unit-1", "diagnostics", "--wait", "40")
        file = tmp_path / "unit-1.zip"
        assert (
            all_.hq("fetch", str(got["number"]), "--output", str(file))["sha256"] == got["detail"]["sha256"]
        )
        with zipfile.ZipFile(file) as archive:
            assert {"status.json", "gateway.log", "gateway.toml"} <= set(archive.namelist())
            assert json.loads(archive.read("status.json"))["gateway"] == "unit-1"
        listed = {row["number"]: row for row in all_.hq("list")}
        assert {row["told_by"] for row in listed.values()} == {"hub"}


@pytest.mark.parametrize(
    ("point", "outcome"),
    [
        ("edge:command-begun", "unknown"),
        ("edge:command-acted", "unknown"),
        ("edge:command-ended", "done"),
        ("edge:command-told", "done"),
    ],
)
def test_a_gateway_killed_at_any_step_of_a_command_tells_one_outcome(
    river: River, point: str, outcome: str
) -> None:
    with commanded(river) as all_:
        for node in (all_.headquarters, all_.hub):
            node.up()
        all_.gateway.start(f"{point}:1")
        sent = all_.hq("send", "unit-1", "read", "SP", "--wait", "0", code=3)
        end = time.monotonic() + 40
        while all_.gateway.child.running:
            assert time.monotonic() < end, "the gateway did not come to the point"
            time.sleep(0.05)
        all_.gateway.up()
        shown = all_.hq("show", str(sent["number"]), "--wait", "40")
        assert shown["outcome"] == outcome
        river.run_for(2.0)
        engine = Engine(river.lake)
        _, rows = engine.rows("SELECT transition FROM events WHERE type = 'command' AND source = 'read'")
        assert [transition for (transition,) in rows] == [outcome], "once, however often it came"
        engine.close()


def test_a_command_waits_at_the_hub_for_a_gateway_that_is_away_also_while_headquarters_is_dark(
    river: River,
) -> None:
    with commanded(river) as all_:
        river.start()
        assert all_.hq("send", "unit-1", "read", "SP", "--wait", "40")["outcome"] == "done"
        all_.gateway.stop()
        sent = all_.hq("send", "unit-1", "restart", "--wait", "0", code=3)
        end = time.monotonic() + 20
        while all_.hq("show", str(sent["number"]))["stage"] != "at-hub":
            assert time.monotonic() < end, "the hub did not fetch it"
            time.sleep(0.2)
        all_.headquarters.kill()
        all_.hub.kill()
        all_.hub.up()
        all_.gateway.start()
        all_.headquarters.up()
        shown = all_.hq("show", str(sent["number"]), "--wait", "60")
        assert shown["outcome"] == "done"
        assert len(all_.gateway.logged("session-anew")) == 1


def test_at_the_gateway_the_same_is_done_without_a_network(
    river: River, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with commanded(river) as all_:
        all_.gateway.up()  # neither hub nor headquarters run
        assert all_.edge("command", "write", "SP=77", "--operator", "li", "--json") == 0
        selected = json.loads(capsys.readouterr().out)
        assert selected["outcome"] == "selected"
        confirm = ("--confirm", selected["command"], "--operator", "li")
        assert all_.edge("command", "write", "SP=77", *confirm) == 0
        assert all_.edge("command", "write", "SP=77", *confirm) == 1, "a selection serves once"
        capsys.readouterr()
        assert all_.edge("command", "read", "SP", "--json") == 0
        assert json.loads(capsys.readouterr().out)["parts"][0]["value"] == 77.0
        assert all_.edge("command", "read", "NONE") == 1
        assert all_.edge("command", "refresh") == 0, "it asks, and hears when there is somebody"
        file = tmp_path / "here.zip"
        assert all_.edge("command", "diagnostics", "--output", str(file)) == 0
        with zipfile.ZipFile(file) as archive:
            assert "gateway.toml" in archive.namelist()
        assert all_.edge("command", "logs", "--lines", "3", "--output", str(file)) == 0
        with zipfile.ZipFile(file) as archive:
            assert len(archive.read("gateway.log").splitlines()) == 3
        assert all_.edge("command", "restart") == 0
        capsys.readouterr()
        end = time.monotonic() + 60
        while len(all_.gateway.logged("gateway-ready")) < 2:
            assert time.monotonic() < end, "no new session"
            time.sleep(0.1)
        assert all_.edge("command", "list", "--json") == 0
        listed = json.loads(capsys.readouterr().out)["commands"]
        assert [each["verb"] for each in listed][:2] == ["restart", "logs"]
        assert {each["number"] for each in listed} == {0}
