"""Whether a command that came may be carried out. Pure: bytes and the time in, a verdict out.

Rules:
1. What headquarters did not sign is no command.
2. A command is for one gateway, has one nonce, and may be begun until it expires. One that
   was seen before is not carried out again, whatever became of it.
3. Expiry is judged by a clock that can be trusted and by nothing else: the gateway's own
   while somebody keeps it (`synchronised`, `holdover`), else the time that headquarters signed
   for this gateway's own question, at its latest. With neither, nothing is carried out.
4. Of two answers that could be given, the one that refuses is given.

>>> proof = Proof(asked_us=0, answered_us=40, time_us=1_000)
>>> proof.at(100)
Span(earliest_us=1060, latest_us=1100)
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from protocols.batch import Clock, ClockState, Verifier
from protocols.errors import IntegrityError, PeerError
from protocols.records import Command, open_record

PROOF_LIFE_US = 3600 * 1_000_000
"""For so long a signed time counts: a quartz that is off by 100 ppm is off by 0.4 s then."""

AHEAD_MAX_US = 300 * 1_000_000
"""A command given later than now by more than this: one of the two clocks is wrong."""


class Why(StrEnum):
    """Why a command is refused, for programs."""

    MALFORMED = "malformed"
    SIGNATURE = "signature"
    TARGET = "target"
    REPLAYED = "replayed"
    FORGOTTEN = "forgotten"
    EXPIRED = "expired"
    CLOCK_UNKNOWN = "clock-unknown"
    CLOCK_WRONG = "clock-wrong"
    UNKNOWN_VERB = "unknown-verb"
    CANCELLED = "cancelled"
    BUSY = "busy"
    ARGUMENTS = "arguments"
    NOT_GRANTED = "not-granted"
    NOT_SELECTED = "not-selected"
    NOT_POSSIBLE = "not-possible"


class Span(NamedTuple):
    """What time it is at headquarters, between two bounds, in microseconds."""

    earliest_us: int
    latest_us: int


class Proof(NamedTuple):
    """The time that headquarters signed, and when it was asked for, by the monotonic clock.

    Args:
        asked_us: Before the question went out.
        answered_us: When the answer was here.
        time_us: Headquarters' clock in between.
    """

    asked_us: int
    answered_us: int
    time_us: int

    def at(self, monotonic_us: int) -> Span | None:
        """What time it is at headquarters; `None` when the proof is too old."""
        if not 0 <= monotonic_us - self.answered_us <= PROOF_LIFE_US:
            return None
        return Span(
            self.time_us + monotonic_us - self.answered_us, self.time_us + monotonic_us - self.asked_us
        )


def time_known(clock: Clock, now_us: int, monotonic_us: int, proof: Proof | None) -> Span | None:
    """What time it is at headquarters, as far as this gateway can know.

    Args:
        clock: What it knows of its own clock.
        now_us: Gateway time.
        monotonic_us: Of the clock that `proof` was taken by.
        proof: What headquarters signed last.
    """
    if clock.state is not ClockState.UNSYNCHRONISED:
        return Span(now_us + clock.offset_us, now_us + clock.offset_us)
    return None if proof is None else proof.at(monotonic_us)


class Verdict(NamedTuple):
    """What is to become of a command.

    Args:
        command: What it says, where its signature holds.
        why: Why it is refused; `None` when it may be carried out.
        text: The same for people.
    """

    command: Command | None
    why: Why | None = None
    text: str = ""


def judge(
    signed: bytes,
    gateway: str,
    headquarters: Verifier,
    now: Span | None,
    floor_us: int,
    known: Callable[[bytes], str | None],
) -> Verdict:
    """Judge a command.

    Args:
        signed: As it came.
        gateway: Whose gateway this is.
        headquarters: Whose signature counts.
        now: What time it is, `None` when that is not known.
        floor_us: Commands given up to then, of which nothing is known, may have been forgotten here.
        known: What became of the command with this nonce; `None` for one never seen.
    """
    try:
        command = open_record(Command, signed, headquarters)
    except IntegrityError:
        return Verdict(None, Why.SIGNATURE, "headquarters did not sign this")
    except PeerError as error:
        return Verdict(None, Why.MALFORMED, str(error))
    before = known(command.nonce)
    if before is not None:
        return Verdict(command, Why.REPLAYED, f"it came before and is {before}")
    if command.target != gateway:
        return Verdict(command, Why.TARGET, f"it is for {command.target}")
    why, text = _in_time(command, now, floor_us)
    return Verdict(command, why, text)


def _in_time(command: Command, now: Span | None, floor_us: int) -> tuple[Why | None, str]:
    if now is None:
        return Why.CLOCK_UNKNOWN, "nobody keeps this gateway's clock, and headquarters did not say the time"
    if now.latest_us >= command.expires_us:
        late_s = (now.latest_us - command.expires_us) / 1e6
        return Why.EXPIRED, f"it expired {late_s:.0f} s ago by this gateway's clock"
    if command.issued_us - now.earliest_us > AHEAD_MAX_US:
        ahead_s = (command.issued_us - now.earliest_us) / 1e6
        return Why.CLOCK_WRONG, f"it was given {ahead_s:.0f} s later than it is here; set the clocks right"
    if command.issued_us <= floor_us:
        return Why.FORGOTTEN, "whether it was carried out before is not known here any more; give it again"
    return None, ""
