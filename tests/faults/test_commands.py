"""Commands through real processes: down through a hub, carried out once, told signed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

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
