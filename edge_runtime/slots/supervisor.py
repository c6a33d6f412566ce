"""The supervisor as a process: the one place of slots that starts programs and looks at clocks."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edge_runtime.slots import keeper, settings, spool, states
from edge_runtime.slots.child import Child, command, environment
from edge_runtime.slots.health import MB, Reading
from edge_runtime.slots.keeper import Keeper, Order, Seen, WorkDone
from edge_runtime.slots.moving import MoveError, Mover
from edge_runtime.slots.states import SlotsState, Trial, hold_s
from edge_runtime.slots.store import Root, StateStore
from edge_runtime.slots.tier import Tier
from edge_runtime.slots.watchdog import Manager, Watchdog
from protocols.daemon import EventLog, Stop, read_status, write_status
from protocols.errors import CatchmentError, InputError, StoreDamagedError, StoreError

STEP_S = 0.1
"""How soon an end, a new image or a request to stop is noticed."""

STEADY_S = 20.0
"""A supervisor that has run for so long is not one that cannot start."""

MIGRATE_S = 1800.0
"""Longest migration of a data directory."""

SELF_TEST_S = 60.0
"""Longest self-test of a new firmware's supervisor."""


def supervise(root: Path, tier: Tier, watchdog: Path | None = None, stop: Stop | None = None) -> None:
    """Run the program of a machine's slots until SIGTERM or SIGINT.

    Args:
        root: The machine's root directory.
        tier: What to run.
        watchdog: The hardware watchdog's device, where it is to be fed.
        stop: How to ask; by default the signals do.

    Raises:
        InputError: There are no slots, or supervisor.toml is wrong.
        StoreError: Another supervisor runs here, or the disk failed.
    """
    if stop is None:
        stop = Stop()
        stop.on_signals()
    places = Root(root.resolve())
    log = EventLog()
    store = StateStore(places)
    with store.alone("supervisor.lock", wait=False), Watchdog(watchdog) as hardware:
        if hardware.trouble:
            log.warning("watchdog-unusable", why=hardware.trouble)
        Supervisor(places, tier, store, hardware, Manager(os.environ), log, stop).run()


def boot_id() -> str:
    """Names this boot of the machine; what a supervisor says of itself where the system does not."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"supervisor-{time.time_ns()}"


class Supervisor:
    """One life of a supervisor.

    Args:
        root: The machine's root.
        tier: What to run.
        store: The state of its slots.
        watchdog: To feed.
        manager: To tell.
        log: For what happens.
        stop: When to end.
    """

    def __init__(
        self,
        root: Root,
        tier: Tier,
        store: StateStore,
        watchdog: Watchdog,
        manager: Manager,
        log: EventLog,
        stop: Stop,
    ) -> None:
        self._root = root
        self._tier = tier
        self._store = store
        self._watchdog = watchdog
        self._manager = manager
        self._log = log
        self._stop = stop
        self._boot = boot_id()
        self._settings = settings.load(root.settings, tier.health)
        self._began = time.monotonic()
        self._keeper = Keeper(self._settings, self._began)
        self._mover = Mover(root, store, self._migrate)
        self._child: Child | None = None
        self._worker: threading.Thread | None = None
        self._done: WorkDone | None = None
        self._not_started = ""
        self._steady = False
        self._shown: tuple[object, ...] = ()
        self._seen_file: tuple[int, int] | None = None
        self._state = self._read()

    def _read(self) -> SlotsState:
        try:
            return self._store.read()
        except StoreDamagedError as error:
            from edge_runtime.slots.recover import rebuild

            self._log.error("slots-rebuilt", why=str(error))
            return rebuild(self._root, self._store)

    # -- life ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Keep the right program running until asked to stop."""
        self._resume()
        self._log.info("supervisor-started", pid=os.getpid(), tier=self._tier.name, slot=self._state.good)
        self._manager.tell("READY=1")
        while True:
            now = time.monotonic()
            self._watchdog.feed(now)
            self._manager.feed(now, self._line())
            seen = self._look(now)
            if self._keeper.finished(seen):
                break
            orders = self._keeper.step(seen)
            for order in orders:
                self._carry_out(order)
            self._show()
            self._settle_in(now)
            if not orders:
                self._wait()
        self._forget_start()
        self._manager.tell("STOPPING=1")
        self._log.info("supervisor-stopped")

    def _wait(self) -> None:
        """Until something may have changed; after a request to stop its event waits no more."""
        if self._stop.asked:
            time.sleep(STEP_S)
        else:
            self._stop.wait(STEP_S)

    def _resume(self) -> None:
        """Begin where the life before ended, however that was."""
        before = self._state.trial
        by_watchdog = self._watchdog.reset_the_machine
        self._change(lambda now: states.resumed(now, self._boot, by_watchdog, _now_us()))
        after = self._state.trial
        if self._state.given_up is not None and before is not None and after is None:
            self._tell("given-up", self._state.given_up.firmware.name, self._state.given_up.why)
        elif after is not None and before is not None and after.cuts > before.cuts and hold_s(after.cuts):
            self._postponed(after)

    def _postponed(self, trial: Trial) -> None:
        hours = hold_s(trial.cuts) / 3600
        why = f"{trial.cuts} tries in a row ended unseen; the next one in {hours:.0f} h"
        name = self._state.of(trial.slot).name
        self._log.warning("firmware-postponed", firmware=name, why=why)
        self._tell("postponed", name, why)

    def _look(self, now: float) -> Seen:
        self._read_if_changed()
        child, ended, self._not_started = self._child, self._not_started, ""
        if child is not None:
            ended = child.ended()
            if ended:
                child.kill()  # whatever it started and left behind
                self._child = None
                self._log.info("program-ended", slot=child.slot, how=ended)
        done, self._done = self._done, None
        return Seen(
            now,
            self._state,
            None if self._child is None else self._child.slot,
            ended,
            self._reading(),
            0 if self._child is None else self._child.memory_bytes(),
            done,
            self._stop.asked,
        )

    def _read_if_changed(self) -> None:
        """An installation changes the state from outside."""
        with suppress(OSError):
            found = self._root.state.stat()
            mark = (found.st_ino, found.st_mtime_ns)
            if mark != self._seen_file:
                self._seen_file = mark
                with suppress(StoreError, InputError):  # what is in memory is right as well
                    self._state = self._store.read()

    def _reading(self) -> Reading | None:
        """What the status file says, when it is that of the program that runs."""
        if self._child is None:
            return None
        status = read_status(self._root.home / "data" / "status.json")
        if status is None or status.get("pid") != self._child.pid:
            return None
        try:
            return self._tier.read(status)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    # -- orders ----------------------------------------------------------------------------------

    def _carry_out(self, order: Order) -> None:
        match order:
            case keeper.Start(slot):
                self._start(slot)
            case keeper.Ask(why):
                if self._child is not None:
                    self._log.info("program-asked-to-stop", slot=self._child.slot, why=why)
                    self._child.ask()
            case keeper.Kill():
                if self._child is not None:
                    self._log.warning("program-killed", slot=self._child.slot)
                    self._child.kill()
            case keeper.Work(kind, slot):
                self._work(kind, slot)
            case keeper.Failing(why, pause_s):
                self._failing(why, pause_s)
            case keeper.Pause():
                self._change(states.paused)
            case _:
                self._change_trial(order)

    def _change_trial(self, order: Order) -> None:
        trial = self._state.trial
        assert trial is not None
        name = self._state.of(trial.slot).name
        match order:
            case keeper.Begin(pace):
                self._change(lambda now: states.begun(now, self._boot, pace))
                self._log.info("firmware-tried", firmware=name, slot=trial.slot, tries_left=trial.tries_left)
                self._tell("begun", name, f"{trial.tries_left} tries left")
            case keeper.Fail(why):
                self._change(lambda now: states.failed(now, why, _now_us()))
                self._log.warning("firmware-failed", firmware=name, why=why)
                self._tell("failed" if self._state.trial is not None else "given-up", name, why)
            case keeper.GiveUp(why):
                self._change(lambda now: states.given_up(now, why, _now_us()))
                self._log.error("firmware-given-up", firmware=name, why=why)
                self._tell("given-up", name, why)
            case keeper.Confirm():
                self._change(states.confirmed)
                self._log.info("firmware-confirmed", firmware=name, slot=trial.slot)
                self._tell("confirmed", name, f"healthy for {self._settings.confirm_s:g} s")

    def _change(self, change: Callable[[SlotsState], SlotsState]) -> None:
        """Make a change durable; while the disk takes none, try again and again.

        Raises:
            StoreError, InputError: It took none until the supervisor was asked to stop.
        """
        while True:
            try:
                self._state = self._store.change(change)
                return
            except (StoreError, InputError) as error:
                self._log.error("slots-not-written", why=str(error))
                if self._stop.asked:
                    raise
                self._watchdog.feed(time.monotonic())
                time.sleep(1.0)

    def _start(self, slot: str) -> None:
        firmware = self._state.of(slot)
        arguments = ["run", "--home", str(self._root.home)]
        try:
            self._child = Child(
                slot, command(self._root.slot(slot), firmware.python, arguments), self._root.home
            )
        except OSError as error:
            self._log.error("program-not-started", slot=slot, why=str(error))
            self._not_started = f"it cannot be started: {error}"
            return
        self._log.info("program-started", slot=slot, firmware=firmware.name, pid=self._child.pid)

    def _failing(self, why: str, pause_s: float) -> None:
        name = self._state.of(self._state.good).name
        self._log.error("program-failed", firmware=name, why=why, pause_s=pause_s)
        self._tell("restarted", name, f"{why}; started again in {pause_s:g} s")

    def _tell(self, what: str, firmware: str, why: str) -> None:
        with suppress(StoreError):  # the log has it
            spool.leave(self._root.spool, spool.SlotEvent(_now_us(), what, firmware, why))

    # -- what takes a while ----------------------------------------------------------------------

    def _work(self, kind: str, slot: str) -> None:
        def work() -> None:
            try:
                if kind == "check":
                    self._check(slot)
                elif kind == "bring":
                    self._mover.bring(slot)
                else:
                    self._mover.settle()
                trouble = ""
            except CatchmentError as error:
                trouble = str(error)
            self._done = WorkDone(kind, slot, trouble)

        self._worker = threading.Thread(target=work, name=kind, daemon=True)
        self._worker.start()

    def _check(self, slot: str) -> None:
        """See that a slot is as it was installed, and that its own supervisor starts.

        Raises:
            CatchmentError: It is not, or does not.
        """
        from edge_runtime.slots.compiling import compile_slot, compiled
        from edge_runtime.slots.unpack import check_slot  # 6 MB, now and then

        folder, python = self._root.slot(slot), self._state.of(slot).python
        check_slot(folder)
        if not compiled(folder):
            compile_slot(folder, python)
        arguments = ["supervise", "--self-test", "--root", str(self._root.path)]
        self._run(command(folder, python, arguments), SELF_TEST_S, "its supervisor does not start")

    def _migrate(self, slot: str, folder: Path, source: int, target: int) -> None:
        arguments = ["slots", "migrate", "--data", str(folder), "--from", str(source), "--to", str(target)]
        call = command(self._root.slot(slot), self._state.of(slot).python, arguments)
        self._run(call, MIGRATE_S, "its migration failed")

    def _run(self, call: list[str], timeout_s: float, what: str) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - the interpreter and a launcher of our own
                call, env=environment(), cwd=self._root.home, capture_output=True, timeout=timeout_s,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise MoveError(f"{what}: not done within {timeout_s:g} s") from error
        except OSError as error:
            raise MoveError(f"{what}: {error}") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise MoveError(f"{what}: exit code {done.returncode}; {said[-1][:300] if said else 'no word'}")

    # -- what others see -------------------------------------------------------------------------

    def _settle_in(self, now: float) -> None:
        if not self._steady and now - self._began > STEADY_S:
            self._steady = True
            self._forget_start()

    def _forget_start(self) -> None:
        """Tell `boot.py` that this supervisor is one that runs."""
        with suppress(OSError):
            (self._root.slots / "starting").unlink(missing_ok=True)

    def _line(self) -> str:
        slot = "nothing" if self._child is None else f"slot {self._child.slot}"
        return f"runs {slot}" + (f": {self._keeper.fault}" if self._keeper.fault else "")

    def _show(self) -> None:
        child = self._child
        memory_mb = 0 if child is None else round(child.memory_bytes() / MB)
        shown = (
            self._state.number,
            None if child is None else child.pid,
            self._keeper.fault,
            memory_mb // 10,
        )
        if shown == self._shown:
            return
        self._shown = shown
        status = {
            "pid": os.getpid(),
            "time": time.time(),
            "slot": None if child is None else child.slot,
            "program_pid": None if child is None else child.pid,
            "memory_mb": memory_mb,
            "fault": self._keeper.fault,
        }
        with suppress(StoreError):
            write_status(self._root.status, status)


def _now_us() -> int:
    return time.time_ns() // 1000
