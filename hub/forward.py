"""Passes calls of nodes on to headquarters, without making any socket wait.

A call that cannot be passed on in time is answered with what the caller should make of that: its
node keeps asking.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, Full, Queue
from typing import Any

from protocols.calls import CallTimeoutError, Later, OwnCalls
from protocols.errors import PeerError

JOBS_MAX = 256
"""Calls that wait to be passed on: a region's gateways that enrol at once; more are told to ask again."""

WAIT_S = 8.0
"""How long a caller waits for headquarters' answer; it waits a little longer for ours."""

DARK_S = 5.0
"""After a call that headquarters did not answer, others are told so for this long without asking."""

POLL_S = 0.2


class _Job:
    """One call on its way."""

    def __init__(self, verb: str, argument: Any, otherwise: object, until: float) -> None:
        self.verb = verb
        self.argument = argument
        self.otherwise = otherwise
        self.until = until
        self.answer: object | None = None
        self.error: PeerError | None = None

    def check(self) -> object | None:
        """The answer, when it is there.

        Raises:
            PeerError: Headquarters refused.
        """
        if self.error is not None:
            raise self.error
        return self.answer


class Forwarder:
    """One thread that passes calls on, one after the other.

    Args:
        calls: The way to headquarters; used by this thread alone.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        calls: OwnCalls,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self.passed: Callable[[object], None] = lambda answer: None
        """Told each answer of headquarters."""
        self._clock = clock
        self._jobs: Queue[_Job] = Queue(JOBS_MAX)
        self._ended = threading.Event()
        self._dark_until = 0.0
        self._thread = threading.Thread(target=self._run, name="forward", daemon=True)

    def start(self) -> None:
        """Begin to pass on."""
        self._thread.start()

    def close(self) -> None:
        """Pass nothing on any more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def ask(self, verb: str, argument: Any, otherwise: object) -> Later:
        """Pass a call on; for a handler to return.

        Args:
            verb: What to ask.
            argument: Of the call.
            otherwise: The answer when headquarters gives none.
        """
        job = _Job(verb, argument, otherwise, self._clock() + WAIT_S)
        try:
            self._jobs.put_nowait(job)
        except Full:
            job.answer = otherwise
        return Later(job.check, WAIT_S, otherwise)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._pass_on(self._jobs.get(timeout=POLL_S))
            except Empty:
                continue
        self._calls.close()

    def _pass_on(self, job: _Job) -> None:
        left_s = job.until - self._clock()
        if left_s <= 0 or self._clock() < self._dark_until:
            job.answer = job.otherwise
            return
        try:
            answer = self._calls.call(job.verb, job.argument, min(left_s, DARK_S))
        except CallTimeoutError:
            self._dark_until = self._clock() + DARK_S
            job.answer = job.otherwise
        except PeerError as error:
            job.error = error
        else:
            self.passed(answer)
            job.answer = job.otherwise if answer is None else answer
