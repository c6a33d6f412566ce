"""Which of the two slots runs: a state machine without files, clocks or processes.

Rules:
1. There is always a *good* slot: one that was confirmed, or came with the machine. Nothing but
   `confirmed` makes another one good.
2. A new firmware in the other slot is *to be tried*. A try begins with `begun`, which is durable
   before the program starts, and counts only when somebody saw how it ended: `failed`.
3. An end that nobody saw is a power cut, or a machine that stopped with its program; which of
   the two cannot be known, so it never uses up a try. After some of them in a row the good slot
   runs for a while before the next (`hold_s`): a firmware that takes the machine down with it
   makes no boot loop. Where the hardware says that its watchdog reset the machine, that was seen.
4. When the tries are used up, or waiting longer is of no use, the firmware is *given up*, and
   is not tried again until it is installed again on purpose.
5. The data directory has a format. `move` notes where a migration stands; see `moving`.

>>> old = Firmware("edge", "1.0.0", "aa", "edge", "cp311", 1, 1)
>>> new = replace(old, version="1.1.0", sha256="bb")
>>> state = offered(emptied(factory(old)), new, tries=2)
>>> state = begun(state, "boot-1", None)
>>> state = resumed(state, "boot-2", by_watchdog=False)   # the power went
>>> state.trial.tries_left, state.trial.cuts
(2, 1)
>>> state = failed(failed(state, "crashed", 1), "crashed", 2)
>>> state.good, state.trial, state.given_up.why
('a', None, 'crashed')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from edge_runtime.slots import limits

SLOTS = ("a", "b")


def other(slot: str) -> str:
    """The other slot.

    >>> other("a"), other("b")
    ('b', 'a')
    """
    return SLOTS[1 - SLOTS.index(slot)]


@dataclass(frozen=True, slots=True)
class Firmware:
    """What is in a slot.

    Args:
        id: The firmware's name.
        version: Its semantic version.
        sha256: Of the image it came in, hexadecimal.
        tier: `edge`, `hub` or `hq`.
        python: The interpreter it was made for, as wheels name it: `cp311`.
        data_format: The format of the data directory that it writes.
        data_oldest: The oldest format that it can bring data from, and back to.
    """

    id: str
    version: str
    sha256: str
    tier: str
    python: str
    data_format: int
    data_oldest: int

    @property
    def name(self) -> str:
        """For people: `edge-1.0.0`."""
        return f"{self.id}-{self.version}"


class Pace(NamedTuple):
    """How a program did its work on the data plane; see `health`.

    Args:
        rate: Samples, batches or rows a second.
        lost: Part of the instants, or commits, that failed; 0 to 1.
        late_ms: How late it was, in the tier's own measure.
        linked: Whether it reached where it sends; `None` where it sends nowhere.
    """

    rate: float
    lost: float
    late_ms: float
    linked: bool | None


@dataclass(frozen=True, slots=True)
class Trial:
    """A firmware that is to be tried, or is being tried.

    Args:
        slot: Where it is.
        tries_left: Failures that it may still have, the last one included.
        cuts: Ends in a row that nobody saw.
        boot: The machine's boot in which the try under way began; empty while none is.
        pace: How the good slot did before; `None` while that is not known.
    """

    slot: str
    tries_left: int
    cuts: int = 0
    boot: str = ""
    pace: Pace | None = None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A firmware that failed.

    Args:
        firmware: Which.
        why: In a sentence.
        time_us: When, microseconds since 1970.
    """

    firmware: Firmware
    why: str
    time_us: int


class Phase(StrEnum):
    """How far a migration of the data directory is."""

    PREPARING = "preparing"
    """A copy is being brought to the other format; the data itself is untouched."""
    SWITCHING = "switching"
    """The copy is complete and takes the data's place."""
    KEPT = "kept"
    """Data is in the new format; the old data lies beside it until the firmware is confirmed."""
    RETURNING = "returning"
    """A copy is being brought back."""
    SWITCHING_BACK = "switching-back"
    """That copy is complete and takes the data's place."""
    RESTORING = "restoring"
    """It could not be brought back: the old data takes its place again, the new is set aside."""


@dataclass(frozen=True, slots=True)
class Move:
    """A migration of the data directory.

    Args:
        source: The format before.
        target: The format that the firmware on trial writes.
        runner: The slot whose program knows both.
        phase: How far it is.
    """

    source: int
    target: int
    runner: str
    phase: Phase


@dataclass(frozen=True, slots=True)
class SlotsState:
    """All that must survive.

    Args:
        number: Counted up with every change.
        good: The slot to run.
        firmware: What is in each slot; `None` while nothing whole is.
        data_format: Of the data directory.
        trial: What is to be tried, or `None`.
        given_up: The last firmware that failed, or `None`.
        move: The migration under way, or `None`.
    """

    number: int
    good: str
    firmware: Mapping[str, Firmware | None]
    data_format: int
    trial: Trial | None = None
    given_up: GivenUp | None = None
    move: Move | None = field(default=None)

    @property
    def idle(self) -> str:
        """The slot that an installation may write."""
        return other(self.good)

    @property
    def running(self) -> bool:
        """Whether a try is under way, as far as the state knows."""
        return self.trial is not None and self.trial.boot != ""

    @property
    def busy(self) -> bool:
        """Whether the idle slot is needed: a try is under way, or data is between two formats."""
        return self.running or self.move is not None

    def of(self, slot: str) -> Firmware:
        """What is in a slot that holds something."""
        found = self.firmware[slot]
        assert found is not None, f"slot {slot} is empty"
        return found


def factory(firmware: Firmware) -> SlotsState:
    """The state of a machine that is new: what came with it is good."""
    return SlotsState(1, SLOTS[0], {SLOTS[0]: firmware, SLOTS[1]: None}, firmware.data_format)


def emptied(state: SlotsState) -> SlotsState:
    """The idle slot is about to be written: it holds nothing, and nothing is to be tried."""
    assert not state.busy
    return _next(state, firmware={**state.firmware, state.idle: None}, trial=None)


def offered(state: SlotsState, firmware: Firmware, tries: int) -> SlotsState:
    """The idle slot holds a whole firmware, which is to be tried."""
    assert not state.busy and 1 <= tries <= limits.TRIES_MAX
    held = {**state.firmware, state.idle: firmware}
    return _next(state, firmware=held, trial=Trial(state.idle, tries), given_up=None)


def withdrawn(state: SlotsState) -> SlotsState:
    """What waits to be tried is not wanted any more; it stays in its slot."""
    assert not state.busy
    return _next(state, trial=None)


def begun(state: SlotsState, boot: str, pace: Pace | None) -> SlotsState:
    """The program on trial is about to start.

    Args:
        state: The state.
        boot: The machine's boot.
        pace: How the good slot did, where that is known now.
    """
    trial = state.trial
    assert trial is not None and boot
    return _next(state, trial=replace(trial, boot=boot, pace=trial.pace if pace is None else pace))


def resumed(state: SlotsState, boot: str, by_watchdog: bool, now_us: int = 0) -> SlotsState:
    """A supervisor has started: whatever try was under way ended, and nobody saw how.

    Args:
        state: The state.
        boot: The machine's boot now.
        by_watchdog: Whether the hardware says that its watchdog made the last reset.
        now_us: Microseconds since 1970.
    """
    trial = state.trial
    if trial is None or not trial.boot:
        return state
    if by_watchdog and trial.boot != boot:
        return failed(state, "the machine stopped with it, and the watchdog reset it", now_us)
    return _next(state, trial=replace(trial, boot="", cuts=trial.cuts + 1))


def paused(state: SlotsState) -> SlotsState:
    """The try under way was ended on purpose: the machine is shut down in order."""
    if not state.running:
        return state
    assert state.trial is not None
    return _next(state, trial=replace(state.trial, boot=""))


def failed(state: SlotsState, why: str, now_us: int) -> SlotsState:
    """A try had its chance and failed; after the last one the firmware is given up."""
    trial = state.trial
    assert trial is not None
    if trial.tries_left <= 1:
        return given_up(state, why, now_us)
    return _next(state, trial=replace(trial, tries_left=trial.tries_left - 1, cuts=0, boot=""))


def given_up(state: SlotsState, why: str, now_us: int) -> SlotsState:
    """The firmware on trial is not tried any more; the good slot runs."""
    trial = state.trial
    assert trial is not None
    return _next(state, trial=None, given_up=GivenUp(state.of(trial.slot), why, now_us))


def confirmed(state: SlotsState) -> SlotsState:
    """The firmware on trial did well: it is the good one from now on."""
    trial = state.trial
    assert trial is not None and trial.boot
    return _next(state, good=trial.slot, trial=None, given_up=None)


def again(state: SlotsState, tries: int) -> SlotsState:
    """What lies whole in the idle slot is to be tried (again): the way back after a confirmation."""
    return offered(state, state.of(state.idle), tries)


def moved(state: SlotsState, move: Move | None, data_format: int | None = None) -> SlotsState:
    """A migration has come further, or is over."""
    return _next(state, move=move, data_format=state.data_format if data_format is None else data_format)


def hold_s(cuts: int) -> float:
    """How long the good slot runs before a trial that ended so often unseen is begun again.

    >>> [hold_s(cuts) for cuts in (0, 2, 3, 4, 30)]
    [0.0, 0.0, 3600.0, 7200.0, 86400.0]
    """
    if cuts < limits.CUTS_BEFORE_HOLD:
        return 0.0
    doublings = min(cuts - limits.CUTS_BEFORE_HOLD, 30)
    return float(min(limits.HOLD_FIRST_S * 2**doublings, limits.HOLD_LONGEST_S))


def _next(state: SlotsState, **changes: object) -> SlotsState:
    return replace(state, number=state.number + 1, **changes)  # type: ignore[arg-type]
