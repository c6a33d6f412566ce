"""The state machine of the slots, its file, and what the supervisor decides: no process, no clock."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.slots import keeper, states
from edge_runtime.slots.health import HealthLimits, Judge, Reading
from edge_runtime.slots.keeper import Keeper, Order, Seen, WorkDone
from edge_runtime.slots.settings import SupervisorSettings, load
from edge_runtime.slots.states import Firmware, Move, Pace, Phase, SlotsState, factory, hold_s
from edge_runtime.slots.store import Root, StateStore, parse, render
from protocols.errors import InputError, StoreDamagedError

OLD = Firmware("edge", "1.0.0", "aa", "edge", "cp311", 1, 1)
NEW = replace(OLD, version="1.1.0", sha256="bb")


def offered(tries: int = 3) -> SlotsState:
    return states.offered(states.emptied(factory(OLD)), NEW, tries)


def begun(state: SlotsState, boot: str = "boot-1") -> SlotsState:
    return states.begun(state, boot, None)


# -- tries -----------------------------------------------------------------------------------------


def test_a_firmware_is_given_up_with_its_last_failure_and_the_good_one_runs() -> None:
    state = offered(tries=3)
    for left in (2, 1):
        state = states.failed(begun(state), "crashed", 5)
        assert state.trial is not None and state.trial.tries_left == left and not state.running
    state = states.failed(begun(state), "crashed again", 7)
    assert (state.good, state.trial) == ("a", None)
    assert state.given_up == states.GivenUp(NEW, "crashed again", 7)


def test_power_cycling_alone_never_uses_up_the_tries() -> None:
    state = offered(tries=2)
    for number in range(1000):
        state = states.resumed(begun(state, f"boot-{number}"), f"boot-{number + 1}", by_watchdog=False)
    assert state.trial is not None and state.trial.tries_left == 2
    assert state.trial.cuts == 1000


def test_a_firmware_that_takes_the_machine_down_unseen_makes_no_boot_loop() -> None:
    """Its next try waits while the good program runs: for an hour, for two, for a day at most."""
    waits = []
    state = offered()
    for number in range(12):
        state = states.resumed(begun(state, f"boot-{number}"), f"boot-{number + 1}", by_watchdog=False)
        assert state.trial is not None
        waits.append(hold_s(state.trial.cuts))
    assert waits[:2] == [0.0, 0.0]
    assert waits[2:7] == [3600.0, 7200.0, 14_400.0, 28_800.0, 57_600.0]
    assert set(waits[7:]) == {86_400.0}


def test_a_reset_by_the_watchdog_was_seen_and_counts() -> None:
    state = states.resumed(begun(offered(tries=2)), "boot-2", by_watchdog=True)
    assert state.trial is not None and (state.trial.tries_left, state.trial.cuts) == (1, 0)
    state = states.resumed(begun(state, "boot-2"), "boot-3", by_watchdog=True)
    assert state.given_up is not None and "watchdog" in state.given_up.why


def test_a_supervisor_that_was_killed_after_a_watchdog_reset_is_not_held_against_the_firmware() -> None:
    state = states.resumed(begun(offered(), "boot-2"), "boot-2", by_watchdog=True)
    assert state.trial is not None and (state.trial.tries_left, state.trial.cuts) == (3, 1)


def test_a_try_that_was_seen_to_fail_ends_a_row_of_unseen_ends() -> None:
    state = states.resumed(begun(offered()), "boot-2", by_watchdog=False)
    state = states.failed(begun(state, "boot-2"), "crashed", 1)
    assert state.trial is not None and state.trial.cuts == 0


def test_a_shutdown_in_order_is_neither_a_failure_nor_a_cut() -> None:
    state = states.paused(begun(offered()))
    assert states.resumed(state, "boot-2", by_watchdog=True) == state
    assert state.trial is not None and (state.trial.tries_left, state.trial.cuts) == (3, 0)


def test_confirmation_makes_the_slot_good_and_the_other_one_idle() -> None:
    state = states.confirmed(begun(offered()))
    assert (state.good, state.idle, state.trial) == ("b", "a", None)
    back = states.again(state, 2)
    assert back.trial is not None and (back.trial.slot, back.trial.tries_left) == ("a", 2)


def test_any_sequence_of_events_leaves_a_good_slot_that_holds_something() -> None:
    chance = random.Random(3)
    for _ in range(200):
        state = factory(OLD)
        confirmations = 0
        for step in range(60):
            good = state.good
            event = chance.randrange(7)
            if event == 0 and not state.busy:
                state = states.offered(states.emptied(state), replace(NEW, sha256=str(step)), 2)
            elif event == 1 and state.trial is not None and not state.running:
                state = begun(state, f"boot-{step}")
            elif event == 2 and state.running:
                state = states.failed(state, "crashed", step)
            elif event == 3 and state.running:
                state, confirmations = states.confirmed(state), confirmations + 1
                good = state.good
            elif event == 4:
                state = states.resumed(state, "another boot", chance.random() < 0.5, step)
            elif event == 5:
                state = states.paused(state)
            elif event == 6 and state.trial is not None and not state.busy:
                state = states.withdrawn(state)
            assert state.firmware[state.good] is not None
            assert state.good == good, "only a confirmation changes it"
            assert state.trial is None or 1 <= state.trial.tries_left <= 2
            assert parse(render(state), "state") == state


# -- the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [
        factory(OLD),
        begun(offered()),
        states.begun(offered(), "boot", Pace(10.0, 0.01, 3.0, None)),
        states.given_up(begun(offered()), "why", 9),
        states.moved(offered(), Move(1, 2, "b", Phase.KEPT), 2),
    ],
)
def test_every_state_is_read_as_it_was_written(state: SlotsState) -> None:
    assert parse(render(state), "state") == state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 2}',
        "null",
        render(factory(OLD)).replace('"good": "a"', '"good": "b"'),
    ],
)
def test_what_is_no_state_is_refused(text: str) -> None:
    with pytest.raises(StoreDamagedError, match="expected the state of slots"):
        parse(text, "slots/state")


def test_a_state_with_any_entry_missing_is_refused() -> None:
    whole = json.loads(render(begun(offered())))
    for name in whole:
        without = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(StoreDamagedError):
            parse(json.dumps(without), "slots/state")


def test_a_root_without_slots_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="catchment-flash image write"):
        StateStore(Root(tmp_path)).read()


def test_settings_are_checked_together(tmp_path: Path) -> None:
    file = tmp_path / "supervisor.toml"
    assert load(file) == SupervisorSettings()
    file.write_text("[supervisor]\npatience_s = 400\ntrys = 2\n[health]\nmemory_mb = 1\n")
    with pytest.raises(InputError) as caught:
        load(file)
    places = [problem.place for problem in caught.value.problems]
    assert len(places) == 3 and any("patience_s" in place for place in places)
    file.write_text("[health]\nmemory_mb = 64\n")
    assert load(file).health.memory_bytes == 64_000_000


# -- health ----------------------------------------------------------------------------------------

BEFORE = Pace(100.0, 0.0, 5.0, True)


def reading(at: float, rate: float = 100.0, **changes: Any) -> Reading:
    whole = Reading(str(at), True, round(rate * at), 0, round(at * 10), 5.0, True, "")
    return whole._replace(**changes)


def fault_after(seconds: int, made: list[Reading], before: Pace | None = BEFORE, memory: int = 0) -> str:
    judge = Judge(HealthLimits(), before, 0.0)
    for second, each in enumerate(made[:seconds], 1):
        judge.hear(float(second), each, memory)
    return judge.fault(float(seconds))


def test_a_program_that_does_as_the_one_before_it_is_healthy() -> None:
    assert fault_after(90, [reading(second) for second in range(1, 91)]) == ""


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        ([reading(s, 20.0) for s in range(1, 91)], "collects 20.0/s, and 100.0/s"),
        ([reading(s, lost=s) for s in range(1, 91)], "loses 10%"),
        ([reading(s, late_ms=900.0) for s in range(1, 91)], "is 900 ms late"),
        ([reading(s, linked=False) for s in range(1, 91)], "has not reached"),
        ([reading(s, running=False) for s in range(1, 91)], "does not say that it runs"),
        ([reading(s, trouble="says of its store: full") for s in range(1, 91)], "full"),
        ([reading(1)] * 90, "says nothing new of itself for 89 s"),
        ([reading(s, 100.0 if s < 30 else 0.0, total=3000) for s in range(1, 151)], "collects"),
    ],
)
def test_what_a_program_does_worse_than_before_is_a_fault(made: list[Reading], fault: str) -> None:
    assert fault in fault_after(len(made), made)


def test_what_was_not_done_before_either_is_not_asked_for() -> None:
    made = [reading(s, 0.0, total=0, linked=False, lost=round(5 * s), late_ms=900.0) for s in range(1, 91)]
    assert fault_after(90, made, Pace(0.0, 0.5, 1000.0, False)) == ""
    assert fault_after(90, made, None) == ""


def test_memory_is_bounded_and_a_new_session_of_the_same_program_is_no_fault() -> None:
    made = [reading(s) for s in range(1, 91)]
    assert "2,000 MB of memory" in fault_after(90, made, memory=2_000_000_000)
    anew = made + [reading(s)._replace(stamp=f"again {s}") for s in range(1, 31)]
    assert fault_after(len(anew), anew) == ""


def test_a_program_that_begins_anew_all_the_time_is_measured_by_the_clock() -> None:
    made = [reading(s, total=round(10 * (s % 1.2)) + 1) for s in range(1, 301)]
    assert sum(after.total < before.total for before, after in pairwise(made)) > 200
    healthy = [seconds for seconds in range(1, 301) if not fault_after(seconds, made)]
    assert not healthy, "a tenth of what was collected before it"


# -- decisions -------------------------------------------------------------------------------------


class Play:
    """A supervisor's world: the keeper's orders are carried out at once, time passes in tenths."""

    def __init__(self, state: SlotsState, settings: SupervisorSettings | None = None) -> None:
        self.settings = settings or SupervisorSettings(
            confirm_s=30, patience_s=12, health=HealthLimits(window_s=10)
        )
        self.state = state
        self.now = 0.0
        self.keeper = Keeper(self.settings, 0.0)
        self.running: str | None = None
        self.started_at = 0.0
        self.ended = ""
        self.done: WorkDone | None = None
        self.stop = False
        self.deaf = False
        self.faults: dict[str, str] = {}
        self.trouble: dict[str, str] = {}
        self.orders: list[Order] = []
        self.uncollected = 0.0

    def pass_(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            orders = self.keeper.step(self.seen())
            for order in orders:
                self.carry_out(order)
            if not orders:
                self.now = round(self.now + 0.1, 3)
                if self.running is None or self.faults.get(self.running):
                    self.uncollected += 0.1
                if self.running is not None and self.faults.get(self.running) == "crash":
                    self.running, self.ended = None, "exit code 7"

    def seen(self) -> Seen:
        ended, self.ended = self.ended, ""
        done, self.done = self.done, None
        memory = 2_000_000_000 if self.faults.get(self.running or "") == "memory" else 10_000_000
        return Seen(self.now, self.state, self.running, ended, self.reading(), memory, done, self.stop)

    def reading(self) -> Reading | None:
        if self.running is None:
            return None
        fault, at = self.faults.get(self.running, ""), self.now - self.started_at
        if fault == "hang":
            return None
        return reading(round(at, 1), 0.0 if fault == "nothing" else 100.0)

    def carry_out(self, order: Order) -> None:
        self.orders.append(order)
        match order:
            case keeper.Start(slot):
                assert self.running is None, "one program at a time"
                assert self.state.of(slot).data_format == self.state.data_format
                assert slot == self.state.good or self.state.running, "a try is durable before it starts"
                self.running, self.started_at = slot, self.now
            case keeper.Ask():
                if not self.deaf:
                    self.running, self.ended = None, "exit code 0"
            case keeper.Kill():
                self.running, self.ended = None, "SIGKILL"
            case keeper.Work(kind, slot):
                self.work(kind, slot)
            case keeper.Begin(pace):
                self.state = states.begun(self.state, "boot", pace)
            case keeper.Fail(why):
                self.state = states.failed(self.state, why, 0)
            case keeper.GiveUp(why):
                self.state = states.given_up(self.state, why, 0)
            case keeper.Confirm():
                self.state = states.confirmed(self.state)
            case keeper.Pause():
                self.state = states.paused(self.state)

    def work(self, kind: str, slot: str) -> None:
        trouble = self.trouble.get(kind, "")
        if kind == "bring" and not trouble:
            assert self.running is None, "nothing uses the data while it is moved"
            wanted = self.state.of(slot).data_format
            move = None if slot == self.state.good else Move(1, 2, "b", Phase.KEPT)
            self.state = states.moved(self.state, move, wanted)
        if kind == "settle":
            self.state = states.moved(self.state, None)
        self.done = WorkDone(kind, slot, trouble)

    def offer(self, firmware: Firmware = NEW) -> None:
        self.state = states.offered(states.emptied(self.state), firmware, 3)


def test_a_new_firmware_that_does_well_is_confirmed_after_its_window() -> None:
    play = Play(factory(OLD))
    play.pass_(15)
    play.offer()
    play.pass_(25)
    assert play.running == "b" and play.state.good == "a"
    play.pass_(10)
    assert play.state.good == "b" and play.running == "b"
    assert [type(order) for order in play.orders].count(keeper.Start) == 2
    assert play.uncollected < 1.0


@pytest.mark.parametrize("fault", ["crash", "hang", "nothing", "memory"])
@pytest.mark.parametrize("deaf", [False, True])
def test_a_firmware_that_fails_returns_and_collection_halts_for_less_than_the_window(
    fault: str, deaf: bool
) -> None:
    settings = SupervisorSettings()
    play = Play(factory(OLD), settings)
    play.pass_(80)
    play.faults["b"] = fault
    play.deaf = deaf
    play.offer()
    play.pass_(settings.confirm_s)
    assert (play.running, play.state.good, play.state.trial) == ("a", "a", None)
    assert play.state.given_up is not None and play.state.given_up.firmware == NEW
    assert play.uncollected < settings.confirm_s
    starts = play.orders.count(keeper.Start("b"))
    assert starts == (3 if fault in ("crash", "hang") else 1)
    play.pass_(600)
    assert play.orders.count(keeper.Start("b")) == starts, "it is not tried again"


def test_the_good_program_is_started_again_after_pauses_that_grow_and_end() -> None:
    play = Play(factory(OLD))
    play.faults["a"] = "crash"
    play.pass_(1000)
    pauses = [order.pause_s for order in play.orders if isinstance(order, keeper.Failing)]
    assert pauses[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert set(pauses[7:]) == {60.0}
    play.faults.clear()
    play.pass_(200)
    assert play.running == "a"
    play.faults["a"] = "crash"
    play.pass_(1)
    assert [order.pause_s for order in play.orders if isinstance(order, keeper.Failing)][-1] == 1.0


def test_a_trial_waits_for_the_pace_of_the_good_program_and_not_for_ever() -> None:
    play = Play(offered())
    play.pass_(9)
    assert play.running == "a"
    play.pass_(3)
    assert play.running == "b" and play.state.trial is not None and play.state.trial.pace is not None
    never = Play(offered())
    never.faults["a"] = "hang"
    never.pass_(15)
    assert keeper.Start("b") in never.orders


def test_a_trial_that_was_cut_goes_on_at_once_with_the_pace_of_before() -> None:
    cut = states.resumed(states.begun(offered(), "boot", BEFORE), "boot-2", by_watchdog=False)
    play = Play(cut)
    play.pass_(1)
    assert play.running == "b" and keeper.Start("a") not in play.orders


def test_a_trial_that_ended_unseen_three_times_waits_for_an_hour_of_the_good_program() -> None:
    state = offered()
    for number in range(3):
        state = states.resumed(states.begun(state, f"boot-{number}", BEFORE), "next", by_watchdog=False)
    play = Play(state)
    play.pass_(3500)
    assert play.running == "a" and keeper.Start("b") not in play.orders
    play.pass_(200)
    assert play.state.good == "b"


def test_a_slot_that_is_not_as_it_was_installed_is_given_up_without_a_try() -> None:
    play = Play(factory(OLD))
    play.trouble["check"] = "lib/x.py is not as it was installed"
    play.pass_(15)
    play.offer()
    play.pass_(5)
    assert play.running == "a" and keeper.Start("b") not in play.orders
    assert play.state.given_up is not None and "not as it was installed" in play.state.given_up.why
    assert play.uncollected < 1.0, "the good program ran all the while"


def test_data_is_moved_while_nothing_runs_and_moved_back_when_the_firmware_is_given_up() -> None:
    play = Play(factory(OLD))
    play.pass_(15)
    play.offer(replace(NEW, data_format=2))
    play.faults["b"] = "nothing"
    play.pass_(60)
    works = [(order.kind, order.slot) for order in play.orders if isinstance(order, keeper.Work)]
    assert works == [("check", "b"), ("bring", "b"), ("bring", "a")]
    assert (play.state.data_format, play.running) == (1, "a")


def test_a_firmware_whose_migration_fails_is_given_up_before_it_ran() -> None:
    play = Play(factory(OLD))
    play.pass_(15)
    play.trouble["bring"] = "its migration failed"
    play.offer(replace(NEW, data_format=2))
    play.pass_(20)
    assert play.running == "a" and keeper.Start("b") not in play.orders
    assert play.state.given_up is not None and "migration" in play.state.given_up.why


def test_old_data_is_forgotten_once_the_firmware_is_confirmed() -> None:
    play = Play(factory(OLD))
    play.pass_(15)
    play.offer(replace(NEW, data_format=2))
    play.pass_(60)
    assert play.state.good == "b" and play.state.move is None
    assert keeper.Work("settle", "b") in play.orders


@pytest.mark.parametrize("deaf", [False, True])
def test_when_asked_to_stop_it_stops_the_program_and_notes_that_the_try_was_paused(deaf: bool) -> None:
    play = Play(factory(OLD))
    play.pass_(15)
    play.offer()
    play.pass_(5)
    assert play.state.running
    play.deaf, play.stop = deaf, True
    play.pass_(40)
    assert play.keeper.finished(play.seen())
    assert (keeper.Kill() in play.orders) is deaf
    assert play.state.trial is not None and play.state.trial.tries_left == 3
    assert not play.state.running


def test_a_good_program_that_hangs_or_eats_memory_is_started_again() -> None:
    for fault in ("hang", "memory"):
        play = Play(factory(OLD))
        play.pass_(15)
        play.faults["a"] = fault
        play.pass_(60)
        play.faults.clear()
        play.pass_(70)
        assert play.running == "a"
        assert play.orders.count(keeper.Start("a")) >= 2
