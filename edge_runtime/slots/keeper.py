"""Decides what a supervisor does next: which program runs, when it has failed, when it is confirmed.

Pure: `step` takes what was seen and gives orders; who carries them out is `supervisor`.

Rules:
1. One program runs at a time, and never before the data is in its format.
2. A try is durable (`Begin`) before its program starts; what became of it is durable (`Fail`,
   `GiveUp`, `Confirm`) before anything follows from it.
3. A program that ends by itself, or says nothing new, failed. On trial that is one try less; in
   the good slot it is started again after a pause that doubles up to a bound.
4. A program on trial that takes too much memory, or was not healthy for longer than the patience
   in all its tries, is given up. One that was healthy for the confirm window in one life is
   confirmed.
5. Before a trial the good program is watched for a window, so that there is something to compare
   with; the new slot's files are compared with what was installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from edge_runtime.slots.health import Judge, Reading
from edge_runtime.slots.settings import SupervisorSettings
from edge_runtime.slots.states import Pace, Phase, SlotsState, hold_s

WAIT_FOR_PACE = 1.25
"""Windows to wait for the pace of the good program before a trial; one that cannot be measured by
then (it fails itself) keeps no new firmware away."""

KILL_STUCK_S = 5.0
"""A program that hangs, or eats memory, is asked to stop all the same, and has so long."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start the program of a slot."""

    slot: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the program to stop."""

    why: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the program."""


@dataclass(frozen=True, slots=True)
class Work:
    """Do something that takes a while beside: `check`, `bring` or `settle`."""

    kind: str
    slot: str


@dataclass(frozen=True, slots=True)
class Begin:
    """Note that a try begins."""

    pace: Pace | None


@dataclass(frozen=True, slots=True)
class Fail:
    """Note that the try failed."""

    why: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Note that the firmware on trial is given up."""

    why: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """Note that the firmware on trial is good."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Note that the try is ended on purpose."""


@dataclass(frozen=True, slots=True)
class Failing:
    """Tell that the good program failed, and when it is started again."""

    why: str
    pause_s: float


Order = Start | Ask | Kill | Work | Begin | Fail | GiveUp | Confirm | Pause | Failing


class WorkDone(NamedTuple):
    """What became of a `Work`.

    Args:
        kind: As ordered.
        slot: As ordered.
        trouble: Why it failed; empty when it did not.
    """

    kind: str
    slot: str
    trouble: str


class Seen(NamedTuple):
    """What there is to decide on.

    Args:
        now: Seconds of a clock that never jumps.
        state: The slots, as on the disk.
        running: The slot whose program runs, or `None`.
        ended: How a program ended since the last step, in words; empty when none did.
        reading: What its status file says; `None` when there is none of this life.
        memory_bytes: What it takes.
        done: Work that came to its end since the last step.
        stop: Whether all is to end.
    """

    now: float
    state: SlotsState
    running: str | None
    ended: str
    reading: Reading | None
    memory_bytes: int
    done: WorkDone | None
    stop: bool


class Keeper:
    """The decisions of one life of a supervisor.

    Args:
        settings: Times and bounds.
        now: When it began.
    """

    def __init__(self, settings: SupervisorSettings, now: float) -> None:
        self._settings = settings
        self._began = now
        self._last = now
        self._judge: Judge | None = None
        self._asked = False
        self._kill_at = 0.0
        self._start_at = now
        self._failures = 0
        self._working = ""
        self._checked = ""
        self._on_trial = ""
        self._pending_since = now
        self._unhealthy_s = 0.0
        self._healthy_s = 0.0
        self._pace: Pace | None = None
        self.fault = ""
        """What is wrong with the program now; empty when it is healthy."""

    def finished(self, seen: Seen) -> bool:
        """Whether everything has ended that was to end."""
        return seen.stop and seen.running is None and not self._working and not seen.state.running

    def step(self, seen: Seen) -> Sequence[Order]:
        """What to do now; to be called again at once when there is anything."""
        elapsed, self._last = seen.now - self._last, seen.now
        self._note_trial(seen)
        if seen.ended:
            return self._after_end(seen)
        if seen.done is not None:
            orders = self._after_work(seen, seen.done)
            if orders:
                return orders
        if seen.stop:
            return self._stop(seen)
        wanted = self._wanted(seen)
        if seen.running is None:
            return self._launch(seen, wanted, elapsed)
        return self._watch(seen, seen.running, wanted, elapsed)

    # -- what is wanted --------------------------------------------------------------------------

    def _note_trial(self, seen: Seen) -> None:
        trial = seen.state.trial
        name = "" if trial is None else seen.state.of(trial.slot).sha256
        if name != self._on_trial:
            self._on_trial = name
            self._pending_since = seen.now
            self._unhealthy_s = self._healthy_s = 0.0
            self._failures, self._start_at = 0, seen.now  # what one firmware did is not held against another

    def _due(self, seen: Seen) -> bool:
        """Whether a trial waits for nothing but its check."""
        trial = seen.state.trial
        if trial is None or trial.boot:
            return False
        if seen.now - self._began < hold_s(trial.cuts):
            return False
        waited = seen.now - self._pending_since
        known = trial.pace or self._pace
        return known is not None or waited >= WAIT_FOR_PACE * self._settings.health.window_s

    def _wanted(self, seen: Seen) -> str:
        trial = seen.state.trial
        if trial is None:
            return seen.state.good
        ready = trial.boot or (self._due(seen) and self._checked == self._on_trial)
        return trial.slot if ready else seen.state.good

    # -- nothing runs ----------------------------------------------------------------------------

    def _launch(self, seen: Seen, wanted: str, elapsed: float) -> Sequence[Order]:
        state, trial = seen.state, seen.state.trial
        if self._working:
            return ()
        if self._due(seen) and self._checked != self._on_trial and trial is not None:
            return self._work("check", trial.slot)
        if trial is not None and wanted == trial.slot:
            self._unhealthy_s += elapsed
            if self._unhealthy_s > self._settings.patience_s:
                return (GiveUp(self.fault or "did not start in time"),)
        if seen.now < self._start_at:
            return ()
        if state.of(wanted).data_format != state.data_format or _half_way(state):
            return self._work("bring", wanted)
        if trial is not None and wanted == trial.slot and not trial.boot:
            return (Begin(self._pace),)
        before = trial.pace if trial is not None and wanted == trial.slot else None
        self._judge = Judge(self._settings.health, before, seen.now)
        self._asked, self._healthy_s = False, 0.0
        return (Start(wanted),)

    def _work(self, kind: str, slot: str) -> Sequence[Order]:
        self._working = kind
        return (Work(kind, slot),)

    def _after_work(self, seen: Seen, done: WorkDone) -> Sequence[Order]:
        self._working = ""
        trial = seen.state.trial
        of_trial = trial is not None and done.slot == trial.slot
        if done.trouble and of_trial:
            return (GiveUp(done.trouble),)
        if done.trouble:
            return self._failed(seen, done.trouble)
        if done.kind == "check" and of_trial:
            self._checked = self._on_trial
        return ()

    # -- something runs --------------------------------------------------------------------------

    def _watch(self, seen: Seen, running: str, wanted: str, elapsed: float) -> Sequence[Order]:
        judge = self._judge
        assert judge is not None
        if self._asked:
            return self._wait_for_end(seen)
        judge.hear(seen.now, seen.reading, seen.memory_bytes)
        self.fault = judge.fault(seen.now)
        if running != wanted:
            stuck = judge.silence_s(seen.now) or judge.overweight
            return self._ask(
                seen, f"slot {wanted} is to run", KILL_STUCK_S if stuck else self._settings.stop_s
            )
        trial = seen.state.trial
        if trial is not None and running == trial.slot:
            return self._on_trial_runs(seen, judge, elapsed)
        return self._good_runs(seen, judge)

    def _on_trial_runs(self, seen: Seen, judge: Judge, elapsed: float) -> Sequence[Order]:
        if judge.silence_s(seen.now):
            self._pause(seen)
            return (Fail(self.fault), *self._ask(seen, self.fault, KILL_STUCK_S))
        if judge.overweight:
            return (GiveUp(self.fault),)
        if self.fault:
            self._unhealthy_s += elapsed
            return (GiveUp(self.fault),) if self._unhealthy_s > self._settings.patience_s else ()
        self._healthy_s += elapsed
        return (Confirm(),) if self._healthy_s >= self._settings.confirm_s else ()

    def _good_runs(self, seen: Seen, judge: Judge) -> Sequence[Order]:
        if judge.silence_s(seen.now) or judge.overweight:
            self._pace = None
            return (*self._failed(seen, self.fault), *self._ask(seen, self.fault, KILL_STUCK_S))
        if judge.known(seen.now) and not self.fault:
            self._failures = 0
            self._pace = judge.pace(seen.now)
        if self._working:
            return ()
        move, trial = seen.state.move, seen.state.trial
        if move is not None and move.phase is Phase.KEPT and trial is None:
            return self._work("settle", seen.state.good)
        if trial is not None and self._due(seen) and self._checked != self._on_trial:
            return self._work("check", trial.slot)
        return ()

    # -- ends ------------------------------------------------------------------------------------

    def _ask(self, seen: Seen, why: str, wait_s: float) -> Sequence[Order]:
        self._asked, self._kill_at = True, seen.now + min(wait_s, self._settings.stop_s)
        return (Ask(why),)

    def _wait_for_end(self, seen: Seen) -> Sequence[Order]:
        if seen.now < self._kill_at:
            return ()
        self._kill_at = seen.now + KILL_STUCK_S
        return (Kill(),)

    def _after_end(self, seen: Seen) -> Sequence[Order]:
        asked, self._asked = self._asked, False
        self._judge = None
        if asked or seen.stop:
            return ()
        self.fault = f"ended by itself: {seen.ended}"
        if seen.state.running:
            self._pause(seen)
            return (Fail(self.fault),)
        return self._failed(seen, self.fault)

    def _failed(self, seen: Seen, why: str) -> Sequence[Order]:
        self._pause(seen)
        return (Failing(why, round(self._start_at - seen.now, 3)),)

    def _pause(self, seen: Seen) -> None:
        """Start nothing for a while, the longer the more often something failed."""
        settings = self._settings
        pause_s = min(settings.pause_first_s * 2 ** min(self._failures, 30), settings.pause_longest_s)
        self._failures += 1
        self._start_at = seen.now + pause_s

    def _stop(self, seen: Seen) -> Sequence[Order]:
        if seen.running is None:
            return (Pause(),) if seen.state.running and not self._working else ()
        if not self._asked:
            return self._ask(seen, "the supervisor was asked to stop", self._settings.stop_s)
        return self._wait_for_end(seen)


def _half_way(state: SlotsState) -> bool:
    """Whether data must be brought back, or a migration was cut off."""
    return state.move is not None and state.move.phase is not Phase.KEPT
