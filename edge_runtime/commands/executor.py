"""Carries commands out: each once or not at all, and each with an outcome that is told.

Rules:
1. A command is begun only when it is on the disk that it is (`executing`), and is over only
   when its outcome is. What was cut in between is `unknown`, and is not begun again.
2. Outcomes are told through the gateway's journal of events, which sends them signed; each is
   there once, whenever the process was killed.
3. Everything that is refused is told, too. What nobody signed is told so often a minute and
   counted beyond that, so that nobody fills the journal from outside.
4. One command after the other, in the order in which they came.

Commands from headquarters come in through `take`, by the thread that asks for them; those given
at the gateway through `run_here`, by the control door or the status page, which wait.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence

from edge_runtime import limits
from edge_runtime.alarms.manager import AlarmManager
from edge_runtime.commands.journal import Entry, Journal, State
from edge_runtime.commands.judge import Span, Verdict, Why, judge
from edge_runtime.commands.outcome import (
    DONE,
    FAILED,
    UNKNOWN,
    Outcome,
    RefusedError,
    events,
    refused,
)
from protocols import crash
from protocols.batch import Verifier
from protocols.daemon import EventLog
from protocols.errors import CatchmentError, StoreError
from protocols.records import NONCE_BYTES, Command, EventRecord, EventType, clean_event
from protocols.records.commands import Argument
from protocols.records.events import Scalar

Act = Callable[[Command], Outcome]
"""Carries one command out. Raises `RefusedError` when nothing of it was done, other errors of
ours when it failed."""

HERE_LIFE_US = 60 * 1_000_000
"""A command given at the gateway is begun within a minute or not at all."""

STEP_S = 0.5
TROUBLE_S = 5.0
HERE_KEPT = 64
"""Outcomes of commands given here that nobody has asked for yet."""
TELL_AGAIN_S = 1.0


class Executor:
    """The commands of one session of the gateway.

    Args:
        gateway: Its name.
        journal: What is remembered.
        manager: Journals and sends what is told.
        acts: By verb.
        headquarters: Whose signature counts; `None` where there is none.
        time_now: What time it is at headquarters; `None` when that is not known.
        now_us: Gateway time.
        log: For what goes wrong.
    """

    def __init__(
        self,
        gateway: str,
        journal: Journal,
        manager: AlarmManager,
        acts: Mapping[str, Act],
        headquarters: Verifier | None,
        time_now: Callable[[], Span | None],
        now_us: Callable[[], int],
        log: EventLog,
    ) -> None:
        self._gateway = gateway
        self._journal = journal
        self._manager = manager
        self._acts = acts
        self._headquarters = headquarters
        self._time_now = time_now
        self._now_us = now_us
        self._log = log
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._over = threading.Condition()
        self._quiet = Quiet(limits.COMMAND_REFUSALS_PER_MIN)
        self._tell_at = 0.0
        self.trouble = ""
        """Why commands cannot be written down; empty when all is well."""
        self._here: dict[bytes, Outcome] = {}
        """Outcomes of commands given here, until they are asked for."""
        self._handed: set[bytes] = set()
        """Of these the events are with the manager, which could not write them yet."""

    # -- coming in -----------------------------------------------------------------------------

    def take(self, signed: bytes) -> None:
        """Take a command as it came from above: write it down to be carried out, or refuse it.

        Raises:
            StoreError: It could not be written down; it is as if it had not come.
        """
        if self._headquarters is None:
            return
        with self._lock:
            journal = self._journal
            verdict = judge(
                signed, self._gateway, self._headquarters, self._time_now(), journal.floor_us, self._known
            )
            verdict = self._further(verdict)
            if verdict.command is None or verdict.why is Why.REPLAYED:
                self._refuse_loose(verdict)
            elif verdict.why is not None:
                self._refuse(verdict.command, verdict.why, verdict.text)
            else:
                journal.take(verdict.command)
        self._woken.set()

    def give_here(self, verb: str, arguments: Mapping[str, Argument], operator: str) -> bytes:
        """Take a command that somebody gives at the gateway. Returns its nonce.

        Raises:
            RefusedError: This gateway does not know the verb, or too many wait.
            PeerError: The arguments cannot be those of a command.
            StoreError: It could not be written down.
        """
        if verb not in self._acts:
            raise RefusedError(Why.UNKNOWN_VERB, f"expected one of {', '.join(sorted(self._acts))}")
        now_us = self._now_us()
        command = Command(
            0,
            os.urandom(NONCE_BYTES),
            self._gateway,
            now_us,
            now_us + HERE_LIFE_US,
            operator,
            verb,
            arguments,
        )
        Command.parse(command.pack())
        with self._lock:
            if len(self._journal.in_state(State.TAKEN)) >= limits.COMMANDS_WAITING_MAX:
                raise RefusedError(Why.BUSY, "too many commands wait already; try again in a minute")
            self._journal.take(command)
        self._woken.set()
        return command.nonce

    def outcome_here(self, nonce: bytes, wait_s: float) -> Outcome | None:
        """What became of a command given here; `None` when it is not over after so long."""
        with self._over:
            self._over.wait_for(lambda: nonce in self._here, wait_s)
            return self._here.get(nonce)

    def _further(self, verdict: Verdict) -> Verdict:
        """What a verdict is with what only this gateway can know: called off, too many."""
        command = verdict.command
        if command is None or verdict.why is not None:
            return verdict
        if self._journal.is_called_off(command.nonce):
            return verdict._replace(why=Why.CANCELLED, text="it was called off before it came")
        if command.verb not in self._acts:
            known = ", ".join(sorted(self._acts))
            return verdict._replace(
                why=Why.UNKNOWN_VERB, text=f"this gateway does not know {command.verb!r}; it knows {known}"
            )
        if len(self._journal.in_state(State.TAKEN)) >= limits.COMMANDS_WAITING_MAX:
            return verdict._replace(why=Why.BUSY, text="too many commands wait here")
        return verdict

    def _known(self, nonce: bytes) -> str | None:
        return self._journal.state(nonce)

    def _refuse(self, command: Command, why: Why, text: str) -> None:
        self._log.warning("command-refused", number=command.number, why=str(why), text=text)
        now_us = self._now_us()
        self._journal.refuse(command, events(command, refused(why, text), now_us), now_us)
        self._tell_all()

    def _refuse_loose(self, verdict: Verdict) -> None:
        """Refuse what has no place of its own in the journal: bytes nobody signed, or a repetition."""
        command, why = verdict.command, verdict.why
        assert why is not None
        if command is not None and command.nonce in {nonce for nonce, _ in self._journal.unsaid()}:
            return  # the way up does not know yet that it is here: it gives it again
        if command is not None:
            self._journal.say_again(command.nonce)
        missed = self._quiet.admit(time.monotonic())
        if missed is None:
            return
        self._log.warning("command-refused", why=str(why), text=verdict.text, not_told=missed)
        if command is not None:
            outcome = refused(why, verdict.text)
            self._manager.tell(events(command, outcome, self._now_us())[-1])
            return
        detail: dict[str, Scalar] = {"why": str(why), "not_told": missed}
        self._manager.tell(
            clean_event(
                EventRecord(
                    self._now_us(), EventType.COMMAND, text=verdict.text, transition="refused", detail=detail
                )
            )
        )

    # -- carrying out --------------------------------------------------------------------------

    def recover(self) -> None:
        """At a start: say of what was cut in the middle that nobody knows."""
        for entry in self._journal.in_state(State.EXECUTING):
            text = "the gateway ended while it carried this out; whether it had its effect is not known"
            self._end(entry.command, Outcome(UNKNOWN, text))
        for nonce, records in self._journal.untold():
            if self._is_told(nonce, records):
                self._journal.told(nonce)
        self._journal.forget_called_off(self._now_us())
        with self._lock:
            self._tell_all()

    def step(self) -> None:
        """Carry out what waits; the thread's step."""
        self._woken.wait(STEP_S)
        self._woken.clear()
        try:
            for entry in self._journal.in_state(State.TAKEN):
                self._carry_out(entry.command)
            if time.monotonic() >= self._tell_at:
                self._tell_at = time.monotonic() + TELL_AGAIN_S
                with self._lock:
                    self._tell_all()
            self.trouble = ""
        except StoreError as error:  # what is not written down is not begun; it may pass
            if not self.trouble:
                self._log.error("commands-store-failed", error=str(error))
            self.trouble = str(error)
            self._woken.wait(TROUBLE_S)
        except Exception as error:  # a fault here must not end collecting
            self._log.error("command-bug", error="".join(traceback.format_exception(error)))
            self.trouble = f"a fault of this program: {error}"
            self._woken.wait(TROUBLE_S)

    def wake(self) -> None:
        """Let a step begin at once."""
        self._woken.set()

    def call_off(self, nonce: bytes) -> Outcome:
        """See that a command is not carried out, whether it is here yet or not."""
        with self._lock:
            entry = self._journal.find(nonce)
            if entry is None:
                self._journal.call_off(nonce, self._now_us())
                return Outcome(DONE, "it has not come here, and will be refused when it does")
            if entry.state is State.TAKEN:
                self._finish(entry.command, refused(Why.CANCELLED, "it was called off before it began"))
                return Outcome(DONE, "it had come and not begun; it is called off")
        return Outcome(FAILED, f"too late: it is {entry.outcome or entry.state}")

    def _carry_out(self, command: Command) -> None:
        with self._lock:
            if self._journal.state(command.nonce) != State.TAKEN:
                return  # called off meanwhile
            now = self._time_now() if command.number else Span(self._now_us(), self._now_us())
            late = now is None or now.latest_us >= command.expires_us
            if late:
                why = Why.CLOCK_UNKNOWN if now is None else Why.EXPIRED
                self._finish(command, refused(why, "its time was over before its turn came"))
                return
            self._journal.begin(command.nonce)
        crash.point("edge:command-begun")
        outcome = self._act(command)
        crash.point("edge:command-acted")
        self._end(command, outcome)
        if outcome.then is not None:
            outcome.then()

    def _act(self, command: Command) -> Outcome:
        try:
            return self._acts[command.verb](command)
        except RefusedError as error:
            return refused(error.why, str(error))
        except CatchmentError as error:
            return Outcome(FAILED, str(error))
        except Exception as error:
            self._log.error("command-bug", error="".join(traceback.format_exception(error)))
            why = f"{type(error).__name__}: a fault of this program; the gateway's log says more"
            return Outcome(UNKNOWN, why)

    def _end(self, command: Command, outcome: Outcome) -> None:
        with self._lock:
            self._finish(command, outcome)

    def _finish(self, command: Command, outcome: Outcome) -> None:
        now_us = self._now_us()
        self._journal.end(command.nonce, events(command, outcome, now_us), now_us)
        crash.point("edge:command-ended")
        self._log.info(
            "command-ended",
            number=command.number,
            verb=command.verb,
            requester=command.requester,
            outcome=outcome.outcome,
            text=outcome.text,
        )
        self._tell_all()
        if not command.number:
            with self._over:
                for nonce in list(self._here)[: len(self._here) - HERE_KEPT]:
                    del self._here[nonce]
                self._here[command.nonce] = outcome
                self._over.notify_all()

    def _tell_all(self) -> None:
        """Put outcomes into the journal of events; while it takes nothing, they wait in its memory."""
        for nonce, records in self._journal.untold():
            if nonce in self._handed:
                if self._manager.trouble:
                    return
                self._handed.discard(nonce)
                if self._is_told(nonce, records):
                    self._journal.told(nonce)
                    continue
            with self._manager.together():
                for record in records:
                    self._manager.tell(record)
            if self._manager.trouble:
                self._handed.add(nonce)
                return
            crash.point("edge:command-told")
            self._journal.told(nonce)

    def _is_told(self, nonce: bytes, records: Sequence[EventRecord]) -> bool:
        mark = f'"command": "{nonce.hex()}"'
        return self._manager.journalled(EventType.COMMAND, records[-1].transition, mark)

    # -- for those who show and pass on --------------------------------------------------------

    def latest(self, count: int) -> Sequence[Entry]:
        """The newest commands, the newest first."""
        return self._journal.latest(count)


class Quiet:
    """Admits so many a minute and counts the others. Pure.

    >>> quiet = Quiet(2)
    >>> [quiet.admit(0.0) for _ in range(4)], quiet.admit(61.0)
    ([0, 0, None, None], 2)
    """

    def __init__(self, per_min: int) -> None:
        self._per_min = per_min
        self._since = float("-inf")
        self._count = 0
        self._missed = 0

    def admit(self, now: float) -> int | None:
        """How many were not admitted since the last one that was; `None` for one more of them."""
        if now - self._since >= 60:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > self._per_min:
            self._missed += 1
            return None
        missed, self._missed = self._missed, 0
        return missed
