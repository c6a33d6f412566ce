"""What time it is at headquarters, as far as a gateway can know: what expiry is judged by."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from edge_runtime.commands.judge import PROOF_LIFE_US, Proof, Span, time_known
from protocols.batch import Clock, ClockState, Verifier
from protocols.calls import Calls
from protocols.errors import IntegrityError
from protocols.records import NONCE_BYTES, SignedTime, open_record

TIME_WAIT_S = 20.0
"""A hub asks headquarters meanwhile."""


class Clocks(NamedTuple):
    """What the link knows the time by.

    Args:
        stamp: The gateway's clock as its batches state it.
        now_us: Gateway time.
        monotonic_us: A clock that never jumps.
    """

    stamp: Callable[[], Clock]
    now_us: Callable[[], int]
    monotonic_us: Callable[[], int]


class HeadquartersTime:
    """What time it is at headquarters, as far as it is known here; safe between threads.

    Args:
        clocks: The gateway's own.
        headquarters: Whose word counts.
    """

    def __init__(self, clocks: Clocks, headquarters: Verifier | None) -> None:
        self._clocks = clocks
        self._headquarters = headquarters
        self._proof: Proof | None = None

    def now(self) -> Span | None:
        """What time it is there; `None` when that is not known."""
        clocks = self._clocks
        return time_known(clocks.stamp(), clocks.now_us(), clocks.monotonic_us(), self._proof)

    @property
    def own(self) -> bool:
        """Whether somebody keeps the gateway's own clock."""
        return self._clocks.stamp().state is not ClockState.UNSYNCHRONISED

    @property
    def wanted(self) -> bool:
        """Whether it must be asked for: nobody keeps the clock, and the last answer is half used up."""
        if self.own:
            return False
        proof = self._proof
        return proof is None or self._clocks.monotonic_us() - proof.answered_us > PROOF_LIFE_US // 2

    def ask(self, upward: Calls) -> None:
        """Ask for it.

        Raises:
            PeerError: Nobody answered, or somebody who is not headquarters.
        """
        from protocols.commandcalls import TIME  # a gateway without an upstream does not load it

        assert self._headquarters is not None
        nonce, asked_us = os.urandom(NONCE_BYTES), self._clocks.monotonic_us()
        answer = upward.call(TIME, nonce, TIME_WAIT_S)
        answered_us = self._clocks.monotonic_us()
        if not isinstance(answer, bytes):
            raise IntegrityError("expected a signed time, got none")
        signed = open_record(SignedTime, answer, self._headquarters)
        if signed.nonce != nonce:
            raise IntegrityError("the signed time answers another question: somebody repeats an old one")
        self._proof = Proof(asked_us, answered_us, signed.time_us)
