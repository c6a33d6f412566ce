"""What surrounds the slots: boot.py, watchdogs, the spool, units, and how each tier's status is read."""

from __future__ import annotations

import configparser
import fcntl
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import slots
from edge_runtime import supervised as edge
from edge_runtime.session import firmware_event
from edge_runtime.slots import boot, limits, spool, states, watchdog
from edge_runtime.slots.spool import SlotEvent
from edge_runtime.slots.states import SlotsState
from edge_runtime.slots.store import Root, StateStore
from edge_runtime.slots.tier import Step, Tier, migrate
from edge_runtime.slots.units import files
from edge_runtime.slots.watchdog import Manager, Watchdog
from headquarters import supervised as headquarters
from hub import supervised as hub
from protocols.errors import InputError
from protocols.records import EventType
from tests.slot_parts import demo_image, demo_root

# -- boot.py -----------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A root with a firmware in each slot, a good."""
    root = demo_root(tmp_path, demo_image(tmp_path, "1.0.0"))
    slots.install(root, demo_image(tmp_path, "1.1.0"))
    return root


def test_the_supervisor_of_the_good_slot_is_taken(two: Path) -> None:
    assert boot.order(two / "slots") == ["a", "b"]

    def confirm(now: SlotsState) -> SlotsState:
        return states.confirmed(states.begun(now, "boot", None))

    StateStore(Root(two)).change(confirm)
    assert boot.order(two / "slots") == ["b", "a"]


def test_one_that_ended_by_itself_in_this_boot_gives_way_to_the_other_for_once(two: Path) -> None:
    mark = two / "slots" / "starting"
    mark.write_text(json.dumps({"boot": boot.boot_id(), "slot": "a"}))
    assert boot.order(two / "slots") == ["b", "a"]
    mark.write_text(json.dumps({"boot": boot.boot_id(), "slot": "b"}))
    assert boot.order(two / "slots") == ["a", "b"]
    mark.write_text(json.dumps({"boot": "another", "slot": "a"}))
    assert boot.order(two / "slots") == ["a", "b"], "after a power cut nobody knows that it failed"


@pytest.mark.parametrize("state", ["", "[]", "{}", "\x00"])
def test_a_state_that_cannot_be_read_keeps_no_supervisor_from_starting(two: Path, state: str) -> None:
    (two / "slots" / "state").write_text(state)
    assert boot.order(two / "slots") == ["a", "b"]
    (two / "slots" / "a" / "files.sha256").unlink()
    assert boot.order(two / "slots") == ["b"]


def test_boot_py_becomes_the_supervisor_of_the_slot_and_says_so_when_there_is_none(two: Path) -> None:
    command = [sys.executable, "-I", "-S", "-B", str(two / "boot.py")]
    done = subprocess.run([*command, "--self-test"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((two / "slots" / "starting").read_text())["slot"] == "a"
    for slot in "ab":
        (two / "slots" / slot / "run.py").unlink()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "found no slot with a firmware" in done.stderr


# -- watchdogs ---------------------------------------------------------------------------------------


def test_a_watchdog_is_fed_now_and_then_and_disarmed_at_the_end(tmp_path: Path) -> None:
    device = tmp_path / "watchdog"
    device.touch()
    with Watchdog(device) as dog:
        assert dog.armed and not dog.reset_the_machine
        for tenth in range(100):
            dog.feed(tenth / 10)
    assert device.read_bytes() == b"\0" * 5 + b"V"


def test_after_a_fault_of_ours_it_is_left_to_bite(tmp_path: Path) -> None:
    device = tmp_path / "watchdog"
    device.touch()

    def fail() -> None:
        with Watchdog(device) as dog:
            dog.feed(0.0)
            raise AssertionError

    with pytest.raises(AssertionError):
        fail()
    assert device.read_bytes() == b"\0"


@pytest.mark.parametrize(("flags", "by_watchdog"), [(0x0020, True), (0x0010, False), (0, False)])
def test_it_tells_whether_it_made_the_last_reset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int, by_watchdog: bool
) -> None:
    device = tmp_path / "watchdog"
    device.touch()
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: flags.to_bytes(4, "little"))
    with Watchdog(device) as dog:
        assert dog.reset_the_machine is by_watchdog


def test_no_watchdog_or_one_that_cannot_be_opened_is_no_reason_to_stop(tmp_path: Path) -> None:
    for device in (None, tmp_path / "nowhere"):
        with Watchdog(device) as dog:
            dog.feed(0.0)
            assert not dog.armed and not dog.trouble
    with Watchdog(tmp_path) as dog:
        assert not dog.armed and "Is a directory" in dog.trouble


def test_the_service_manager_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        manager = Manager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        manager.tell("READY=1")
        manager.feed(0.0, "runs slot a")
        manager.feed(watchdog.FEED_S / 2, "too soon")
        assert [listener.recv(200) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1\nSTATUS=runs slot a"]
    manager.tell("nobody listens")
    Manager({}).tell("nobody asked")


# -- the spool ---------------------------------------------------------------------------------------


def test_events_are_told_in_order_once_and_the_oldest_go_at_the_bound(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    for number in range(limits.SPOOL_FILES_MAX + 3):
        spool.leave(folder, SlotEvent(7, "failed", "edge-1.1.0", str(number)))
    (folder / "00.json").write_text("{")
    told: list[SlotEvent] = []
    spool.take(folder, told.append)
    assert [event.why for event in told] == [str(n) for n in range(3, limits.SPOOL_FILES_MAX + 3)]
    assert not list(folder.iterdir())
    spool.take(folder, told.append)
    assert len(told) == limits.SPOOL_FILES_MAX


def test_what_was_left_becomes_an_event_of_the_gateway() -> None:
    record = firmware_event(SlotEvent(5, "given-up", "edge-1.1.0", "x" * 2000))
    assert (record.time_us, record.type, record.source, record.transition) == (
        5,
        EventType.EVENT,
        "firmware",
        "given-up",
    )
    assert record.detail["firmware"] == "edge-1.1.0" and record.text.endswith("…")


# -- tiers -------------------------------------------------------------------------------------------

GATEWAY: dict[str, Any] = {
    "time": "t",
    "state": "running",
    "tasks": [{"samples": 10, "missed": 1, "served": 9, "late_ms_mean": 2.5}] * 2,
    "uplink": {"connected": True},
    "store": {"trouble": ""},
    "ledger": {"unaccounted": 0},
}
HUB: dict[str, Any] = {
    "time": 1.5,
    "stopped": False,
    "stored": 7,
    "no_room": "",
    "upstreams": {"hq": {"connected": True}, "other": {"connected": False}},
}
HEADQUARTERS: dict[str, Any] = {
    "time": 1.5,
    "stopped": False,
    "rows": 900,
    "failures": 1,
    "commits": 9,
    "commit_p99_ms": None,
    "failing": False,
}


def test_what_a_gateway_says_of_itself_is_read() -> None:
    assert edge.read(GATEWAY) == ("t", True, 20, 2, 20, 2.5, True, "")
    assert edge.read({**GATEWAY, "uplink": None, "state": "stopping"})[1] is False
    assert edge.read({**GATEWAY, "uplink": None}).linked is None
    assert "full" in edge.read({**GATEWAY, "store": {"trouble": "full"}}).trouble
    assert "account for 3" in edge.read({**GATEWAY, "ledger": {"unaccounted": 3}}).trouble


def test_what_a_hub_says_of_itself_is_read() -> None:
    assert hub.read(HUB) == ("1.5", True, 7, 0, 0, 0.0, False, "")
    assert hub.read({**HUB, "upstreams": {}}).linked is None
    assert "quota" in hub.read({**HUB, "no_room": "quota"}).trouble


def test_what_headquarters_says_of_itself_is_read() -> None:
    assert headquarters.read(HEADQUARTERS) == ("1.5", True, 900, 1, 10, 0.0, None, "")
    assert headquarters.read({**HEADQUARTERS, "commit_p99_ms": 80.0}).late_ms == 80.0
    assert "lake" in headquarters.read({**HEADQUARTERS, "failing": True}).trouble


def test_data_goes_step_by_step_forward_and_back_and_no_further_than_steps_are_known(tmp_path: Path) -> None:
    went: list[str] = []

    def step(number: int) -> Step:
        return Step(lambda _: went.append(f"+{number}"), lambda _: went.append(f"-{number}"))

    steps = {number: step(number) for number in (1, 2)}
    tier = Tier("edge", "catchment-edge", edge.read, steps=steps)
    migrate(tier, tmp_path, 1, 3)
    migrate(tier, tmp_path, 3, 1)
    migrate(tier, tmp_path, 2, 2)
    assert went == ["+1", "+2", "-2", "-1"]
    for source, target in ((1, 4), (4, 3)):
        with pytest.raises(InputError, match="1 to 2, 2 to 3"):
            migrate(tier, tmp_path, source, target)


@pytest.mark.parametrize("tier", [edge.TIER, hub.TIER, headquarters.TIER])
def test_a_unit_runs_boot_py_as_a_user_without_rights_and_writes_the_root_alone(tier: Tier) -> None:
    made = files(tier, Path("/opt/catchment"), "plant")
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(made[f"etc/systemd/system/{tier.program}.service"])
    service = unit["Service"]
    assert service["ExecStart"].split()[1:5] == ["-I", "-S", "-B", "/opt/catchment/boot.py"]
    assert (service["User"], service["ReadWritePaths"], service["Restart"]) == (
        "plant",
        "/opt/catchment",
        "always",
    )
    assert service["ProtectSystem"] == "strict" and service["CapabilityBoundingSet"] == ""
    assert (service["Type"], service["KillMode"]) == ("notify", "mixed")
    assert not [text for text in made.values() if "@ROOT@" in text or "@USER@" in text]
    assert 'GROUP="plant"' in made["etc/udev/rules.d/60-catchment-watchdog.rules"]


def test_a_unit_holds_no_place_or_user_that_would_change_its_meaning() -> None:
    with pytest.raises(InputError) as caught:
        files(edge.TIER, Path("/opt/a b\nUser=0"), "0")
    assert [problem.place for problem in caught.value.problems] == ["--root", "--user"]
