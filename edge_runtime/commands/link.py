"""Asks the upstream for commands, tells how far they are, and brings up what they fetched.

One thread steps it. While nothing happens one call waits at the upstream; while a command is
under way calls are short, so that it is told soon how far it is.

When nobody keeps the gateway's clock, the time is asked for first: without it no command could
be carried out, and so none is fetched.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.commands.executor import Executor
from edge_runtime.commands.hqtime import HeadquartersTime
from edge_runtime.commands.journal import Journal, State
from edge_runtime.commands.outbox import Outbox
from protocols.calls import Calls
from protocols.commandcalls import COMMANDS, WAIT_MAX_S, Answer, Ask, Stage
from protocols.daemon import EventLog
from protocols.errors import IntegrityError, PeerError, StoreError

BUSY_S = 0.3
"""How long an answer may be kept back while a command is under way here."""

RETRY_S = 5.0
UPLOAD_S = 2.0
"""For so long files are brought up before commands are asked for again."""

STAGES = {State.TAKEN: Stage.DELIVERED, State.EXECUTING: Stage.EXECUTING, State.ENDED: Stage.ENDED}


@dataclass(slots=True)
class LinkStatus:
    """For the status.

    Args:
        reached: Whether the upstream answers.
        last_error: Why not, at the last attempt.
        fetched: Commands that came since the start.
        clock: `own`, `headquarters`, or `unknown`: what expiry is judged by.
    """

    reached: bool = False
    last_error: str = ""
    fetched: int = 0
    clock: str = "own"


class CommandLink:
    """Fetches commands.

    Args:
        upward: Calls the upstream; this thread's own.
        executor: Takes what comes.
        journal: Knows how far each is.
        outbox: Has what is to be brought up.
        time: What time it is at headquarters.
        log: For what goes wrong.
        wait: Waits so many seconds, or until the thread should end; whether it should.
    """

    def __init__(
        self,
        upward: Calls,
        executor: Executor,
        journal: Journal,
        outbox: Outbox,
        time: HeadquartersTime,
        log: EventLog,
        wait: Callable[[float], object],
    ) -> None:
        self._upward = upward
        self._executor = executor
        self._journal = journal
        self._outbox = outbox
        self._time = time
        self._log = log
        self._wait = wait
        self.status = LinkStatus()

    def step(self) -> None:
        """Ask once, and hand on what comes; waits a while when nobody answers."""
        try:
            if self._time.wanted:
                self._time.ask(self._upward)
            self._note_clock()
            self._fetch()
            if self._outbox.waiting:
                self._outbox.step(self._upward, UPLOAD_S)
        except (PeerError, StoreError) as error:
            self._note_clock()
            if self._wait(0.0):  # we gave up, because the thread should end
                return
            if self.status.reached or self.status.last_error != str(error):
                self._log.warning("commands-unreachable", error=str(error))
            self.status.reached, self.status.last_error = False, str(error)
            self._wait(RETRY_S)
        except Exception as error:  # a fault here must not end collecting
            self._log.error("command-bug", error="".join(traceback.format_exception(error)))
            self.status.reached, self.status.last_error = False, f"a fault of this program: {error}"
            self._wait(RETRY_S)

    def _fetch(self) -> None:
        if self.status.clock == "unknown":
            raise IntegrityError("nobody keeps this gateway's clock, and headquarters did not say the time")
        said = self._journal.unsaid()
        told = tuple((nonce, STAGES[state]) for nonce, state in said)
        wait_s = 0.0 if told or self._outbox.waiting else BUSY_S if self._journal.busy else WAIT_MAX_S
        ask = Ask(wait_s, told)
        answer = Answer.parse(self._upward.call(COMMANDS, ask.fields(), wait_s + 10.0))
        if not self.status.reached:
            self.status.reached, self.status.last_error = True, ""
            self._log.info("commands-reached")
        self._journal.said(said)
        for signed in answer.commands:
            self.status.fetched += 1
            self._executor.take(signed)

    def _note_clock(self) -> None:
        if self._time.own:
            self.status.clock = "own"
        else:
            self.status.clock = "unknown" if self._time.now() is None else "headquarters"
