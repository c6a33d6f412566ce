"""Alarms of a gateway: what is journalled, what survives a kill, and what goes on without a disk."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import pytest

from edge_runtime import limits
from edge_runtime.alarms.commands import execute
from edge_runtime.alarms.manager import Act, AlarmManager
from edge_runtime.alarms.states import RefusedError, State, Trigger
from edge_runtime.alarms.store import AlarmId, AlarmStore
from protocols.errors import StoreDamagedError, StoreFullError
from protocols.records import EventRecord, EventType

S = 1_000_000
T0 = 1_700_000_000 * S
ID = AlarmId("gas", "hall-1", "ch4.high")
LI = Act("li", "sensor is replaced")


class Disk:
    """A file of alarms that outlives its managers, and can be made to fail."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)
        self.sent: list[EventRecord] = []
        self.boot()

    def boot(self, after: int = 0) -> AlarmManager:
        self.store = AlarmStore(self.connection)
        self.store.prepare()
        self.manager = AlarmManager(self.store, self.sent.extend, after)
        return self.manager

    def raise_(self, time_us: int = T0, path: str = ID.path, priority: int = 1) -> list[EventRecord]:
        return self.manager.raise_(ID.app, ID.instance, path, "CH4 too high", priority, 20.5, 0, time_us)

    def return_(self, time_us: int = T0 + S) -> list[EventRecord]:
        return self.manager.return_(*ID, 1.0, 0, time_us)

    def state(self, id: AlarmId = ID) -> State:
        return self.manager.alarms()[id].condition.state


@pytest.fixture
def disk() -> Disk:
    return Disk()


def transitions(records: list[EventRecord]) -> list[tuple[str, str]]:
    return [(record.transition, record.state) for record in records]


def test_the_whole_life_of_an_alarm_is_journalled_and_sent(disk: Disk) -> None:
    disk.raise_()
    disk.manager.command(ID, Trigger.ACKNOWLEDGE, T0 + 1, LI)
    disk.return_()
    assert transitions(disk.sent) == [
        ("raised", "unacknowledged"),
        ("acknowledged", "acknowledged"),
        ("returned", "normal"),
    ]
    assert disk.sent == list(disk.store.journal())
    assert [record.number for record in disk.sent] == [1, 2, 3]
    first, acknowledged, returned = disk.sent
    assert (first.app, first.instance, first.source, first.text) == (*ID, "CH4 too high")
    assert (first.priority, first.value, first.operator) == (1, 20.5, "")
    assert (acknowledged.operator, acknowledged.comment) == LI
    assert returned.value == 1.0


def test_what_the_process_repeats_is_told_once(disk: Disk) -> None:
    assert len(disk.raise_()) == 1
    assert disk.raise_(T0 + 1) == []
    assert len(disk.return_()) == 1
    assert disk.return_() == []
    assert disk.manager.return_("gas", "hall-9", "unknown", None, 0, T0) == []
    assert disk.manager.alarms()[ID].count == 1


def test_states_acknowledgements_and_shelving_survive_a_kill(disk: Disk) -> None:
    disk.raise_()
    disk.raise_(path="other", priority=2)
    disk.manager.command(ID, Trigger.ACKNOWLEDGE, T0 + 1, LI)
    disk.manager.command(ID._replace(path="other"), Trigger.SHELVE, T0 + 2, LI, T0 + 100 * S)
    before = disk.manager.alarms()
    disk.boot()
    assert disk.manager.alarms() == before
    assert disk.state() is State.ACKNOWLEDGED
    [expired] = disk.manager.step(T0 + 100 * S)
    assert (expired.transition, expired.state) == ("shelving-expired", "unacknowledged")
    assert expired.number == 5, "numbers go on"


def test_an_alarm_that_is_defined_can_be_silenced_before_it_is_ever_raised(disk: Disk) -> None:
    disk.manager.define(*ID, "CH4 too high", 1, latching=True)
    assert not disk.sent
    disk.manager.command(ID, Trigger.REMOVE, T0, LI)
    [raised] = disk.raise_()
    assert (raised.transition, raised.state) == ("raised", "out-of-service")
    [restored] = disk.manager.command(ID, Trigger.RESTORE, T0 + 1, LI)
    assert restored.state == "unacknowledged"
    disk.return_()
    assert disk.state() is State.LATCHED_UNACKNOWLEDGED, "it latches, as it was defined"


def test_a_new_version_of_an_app_changes_text_and_priority_and_keeps_the_state(disk: Disk) -> None:
    disk.raise_()
    disk.manager.define(*ID, "Methane too high", 2)
    alarm = disk.manager.alarms()[ID]
    assert (alarm.text, alarm.priority, alarm.condition.state) == (
        "Methane too high",
        2,
        State.UNACKNOWLEDGED,
    )


@pytest.mark.parametrize("until_us", [None, T0, T0 - 1, T0 + limits.SHELVE_MAX_S * S + 1])
def test_shelving_has_an_end_within_bounds(disk: Disk, until_us: int | None) -> None:
    disk.raise_()
    with pytest.raises(RefusedError, match="7 days"):
        disk.manager.command(ID, Trigger.SHELVE, T0, LI, until_us)
    assert disk.state() is State.UNACKNOWLEDGED


def test_what_an_app_no_longer_sees_after_a_restart_is_taken_back(disk: Disk) -> None:
    disk.raise_()
    disk.raise_(path="still")
    assert disk.manager.standing("gas") == {("hall-1", "ch4.high"), ("hall-1", "still")}
    records = disk.manager.reconcile("gas", [("hall-1", "still")], T0 + S)
    assert [(record.source, record.transition) for record in records] == [("ch4.high", "returned")]


def test_a_removed_app_takes_its_alarms_along(disk: Disk) -> None:
    disk.raise_()
    disk.raise_(path="kept")
    disk.manager.define("gas", "hall-1", "never", "never raised", 4)
    records = disk.manager.retire([ID._replace(path="kept")], T0 + S)
    assert transitions(records) == [("removed", "normal")]
    assert list(disk.boot().alarms()) == [ID._replace(path="kept")]


def test_a_program_s_event_is_journalled_in_the_same_order(disk: Disk) -> None:
    told = disk.manager.tell(EventRecord(T0, EventType.EVENT, "gas", text="calibrated", value=math.inf))
    disk.raise_()
    assert told.number == 1
    assert list(disk.store.journal()) == disk.sent
    assert [record.type for record in disk.sent] == [EventType.EVENT, EventType.ALARM]


def test_what_is_joined_is_one_commit_and_sent_after_it(disk: Disk) -> None:
    commits = disk.store.gate.commits
    with disk.manager.together():
        for i in range(50):
            disk.raise_(path=f"a{i}")
        assert not disk.sent
    assert disk.store.gate.commits == commits + 1
    assert [record.number for record in disk.sent] == list(range(1, 51))


def test_after_a_kill_what_is_in_no_batch_is_sent_again(disk: Disk) -> None:
    for i in range(5):
        disk.raise_(path=f"a{i}")
    disk.boot()
    disk.sent.clear()
    assert disk.manager.send_again(after=3) == 2
    assert [record.number for record in disk.sent] == [4, 5]


def test_numbers_are_never_given_again_though_the_file_is_lost(disk: Disk) -> None:
    other = Disk()
    other.boot(after=500)
    [record] = other.raise_()
    assert record.number == 501


def test_while_the_disk_is_full_alarms_go_on_and_nothing_is_sent(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(AlarmStore, "write", _fail(StoreFullError("no room")))
        disk.raise_()
        assert disk.state() is State.UNACKNOWLEDGED
        assert "no room" in disk.manager.trouble and not disk.manager.damaged
        disk.manager.command(ID, Trigger.ACKNOWLEDGE, T0 + 1, LI)
    assert not disk.sent
    disk.manager.step(T0 + S)
    assert transitions(disk.sent) == [("raised", "unacknowledged"), ("acknowledged", "acknowledged")]
    assert disk.manager.trouble == ""
    assert disk.boot().alarms()[ID].condition.state is State.ACKNOWLEDGED


def test_what_waits_for_the_disk_is_bounded_and_the_oldest_loss_is_declared(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ALARM_RECORDS_WAITING_MAX", 3)
    with monkeypatch.context() as full:
        full.setattr(AlarmStore, "write", _fail(StoreFullError("no room")))
        for i in range(5):
            disk.raise_(T0 + i, path=f"a{i}")
    disk.manager.step(T0 + S)
    *raised, lost = disk.sent
    assert [record.source for record in raised] == ["a2", "a3", "a4"]
    assert (lost.transition, lost.value) == ("lost", 2.0)
    assert dict(lost.detail) == {"from_us": T0, "to_us": T0 + 1}
    assert len(disk.boot().alarms()) == 5, "their states are all there"


def test_a_damaged_file_is_replaced_by_one_with_all_states(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.raise_()
    with monkeypatch.context() as damaged:
        damaged.setattr(AlarmStore, "write", _fail(StoreDamagedError("rubbish")))
        disk.raise_(path="other")
    assert disk.manager.damaged
    fresh = AlarmStore(sqlite3.connect(":memory:"))
    fresh.prepare()
    disk.manager.replace_store(lambda: fresh)
    assert not disk.manager.damaged
    assert [alarm.id.path for alarm in fresh.alarms()] == ["ch4.high", "other"]
    assert [record.number for record in disk.sent] == [1, 2]


def test_without_room_for_a_new_file_alarms_go_on_in_memory(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as damaged:
        damaged.setattr(AlarmStore, "write", _fail(StoreDamagedError("rubbish")))
        disk.raise_()

    def full() -> AlarmStore:
        raise StoreFullError("no room")

    with pytest.raises(StoreFullError):
        disk.manager.replace_store(full)
    disk.raise_(path="other")
    assert disk.manager.damaged and not disk.sent
    disk.manager.replace_store(lambda: disk.store)
    assert [record.source for record in disk.sent] == ["ch4.high", "other"]
    assert [alarm.id.path for alarm in disk.store.alarms()] == ["ch4.high", "other"]


def test_beyond_the_bound_an_alarm_is_told_and_has_no_state(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ALARMS_MAX", 1)
    disk.raise_()
    [record] = disk.raise_(path="one too many")
    assert (record.transition, record.source) == ("raised", "one too many")
    assert len(disk.manager.alarms()) == disk.manager.without_state == 1


def test_the_journal_keeps_its_newest_rows(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALARM_JOURNAL_ROWS_MAX", 10)
    for i in range(25):
        disk.raise_(path=f"a{i}")
    assert [record.number for record in disk.store.journal()] == list(range(16, 26))
    assert [record.number for record in disk.store.latest(2)] == [24, 25]
    assert disk.store.last_number() == 25


def test_a_file_is_read_beside_its_writer_and_holds_every_value(tmp_path: Path) -> None:
    writer = AlarmStore.open(tmp_path / "alarms.db")
    manager = AlarmManager(writer, lambda records: None)
    manager.raise_(*ID, "温度", 1, math.nan, 2, T0)
    manager.tell(EventRecord(T0, EventType.APP, "gas", value=-math.inf, detail={"x": 1, "y": "z", "n": None}))
    reader = AlarmStore.look(tmp_path / "alarms.db")
    [alarm] = reader.alarms()
    assert (alarm.text, alarm.quality) == ("温度", 2) and alarm.value is not None and math.isnan(alarm.value)
    told = list(reader.journal())[1]
    assert (told.value, dict(told.detail)) == (-math.inf, {"x": 1, "y": "z", "n": None})
    reader.close()
    writer.close()


def test_commands_take_names_and_patterns(disk: Disk) -> None:
    disk.raise_()
    disk.raise_(path="co.high")
    disk.manager.define("pumps", "p1", "vibration", "Vibration", 3)
    arguments = {"alarms": ["gas/*", "pumps/p1/vibration", "gas/hall-1/ch4.hihg"], "operator": "li"}
    outcome = execute(disk.manager, Trigger.ACKNOWLEDGE, T0, arguments)
    assert [entry["alarm"] for entry in outcome["done"]] == ["gas/hall-1/ch4.high", "gas/hall-1/co.high"]
    errors = {entry["alarm"]: entry["error"] for entry in outcome["refused"]}
    assert "it is normal" in errors["pumps/p1/vibration"]
    assert "did you mean 'gas/hall-1/ch4.high'?" in errors["gas/hall-1/ch4.hihg"]
    again = execute(disk.manager, Trigger.ACKNOWLEDGE, T0, {**arguments, "alarms": ["gas/*"]})
    assert "none of the 2 alarms" in again["refused"][0]["error"]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"alarms": "gas/*", "operator": "li"},
        {"alarms": [], "operator": "li"},
        {"alarms": [1], "operator": "li"},
        {"alarms": ["gas/*"]},
        {"alarms": ["gas/*"], "operator": " "},
        {"alarms": ["gas/*"], "operator": "li", "comment": 7},
        {"alarms": ["gas/*"], "operator": "li", "for_s": "8h"},
        {"alarms": ["gas/*"], "operator": "li", "for_s": True},
        {"alarms": ["gas/*"], "operator": "li", "for_s": float("nan")},
        {"alarms": ["gas/*"], "operator": "li", "for_s": 1e300},
    ],
)
def test_arguments_that_no_command_takes_are_refused(disk: Disk, arguments: dict[str, object]) -> None:
    disk.raise_()
    with pytest.raises(RefusedError, match="expected"):
        execute(disk.manager, Trigger.SHELVE, T0, arguments)
    assert disk.state() is State.UNACKNOWLEDGED


def test_half_a_character_from_outside_is_made_whole(disk: Disk) -> None:
    disk.raise_()
    arguments = {"alarms": ["gas/*"], "operator": "l\ud83di", "comment": "c" * 5000}
    execute(disk.manager, Trigger.ACKNOWLEDGE, T0, arguments)
    assert (disk.sent[-1].operator, len(disk.sent[-1].comment)) == ("l?i", 512)
    assert disk.manager.trouble == ""


def _fail(error: Exception) -> object:
    def write(*_: object) -> None:
        raise error

    return write
