"""Gateway time: the wall clock's, but never going back.

Rules:
1. Between steps, gateway time runs with the monotonic clock (which NTP slews as well).
2. A forward step of the wall clock is followed at once; one larger than `STEP_US` is
   reported, so that the scan instants it skipped are declared.
3. After a backward step, also one over a restart, the old scale is held and let back
   slowly (`SLEW`); meanwhile every batch says how far off it is.
4. When a clock that was not synchronised becomes so, corrections say how far the stamps
   of this start were off.

Deciding is pure (`Scale`); `GatewayClock` reads the clocks and is safe between threads.

>>> scale = Scale(wall_us=1_000_000, monotonic_us=0)
>>> scale.at(wall_us=2_000_000, monotonic_us=1_000_000)
2000000
>>> scale.at(wall_us=500_000, monotonic_us=1_100_000) > 2_000_000  # a backward step is held
True
>>> scale.offset_us < -1_500_000
True
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from edge_runtime import limits
from protocols.batch import Clock, ClockState
from protocols.records import Correction

TOLERANCE_US = 2_000
"""Wall and monotonic clock cannot be read at one moment; less than this apart is no step."""

STEP_US = 100_000
"""A forward step beyond this is reported: it may have skipped scan instants."""

SLEW = 20
"""While a backward step is held, gateway time runs slower by one part in so many: an hour's step takes 20."""

HOLD_MAX_US = 24 * 3600 * 1_000_000
"""A restart more than a day before the last stamp starts at the wall clock: that stamp was wrong."""

READS_MAX = 4
"""Attempts to read both clocks without being interrupted in between."""


class Step(NamedTuple):
    """A forward step that was followed.

    Args:
        from_us: Gateway time just before.
        to_us: Gateway time just after.
    """

    from_us: int
    to_us: int


class Scale:
    """Gateway time from readings of the wall and the monotonic clock.

    Args:
        wall_us: The wall clock at the start.
        monotonic_us: The monotonic clock at the same moment.
        floor_us: Gateway time never starts before this (the last durable stamp), unless
            that lies more than `HOLD_MAX_US` ahead.
    """

    def __init__(self, wall_us: int, monotonic_us: int, floor_us: int | None = None) -> None:
        start_us = wall_us
        if floor_us is not None and wall_us < floor_us <= wall_us + HOLD_MAX_US:
            start_us = floor_us
        self.last_us = start_us
        self.monotonic_us = monotonic_us
        self.offset_us = wall_us - start_us
        """True time = gateway time + offset, as far as the wall clock is right."""
        self.steps: list[tuple[int, int]] = []
        """(monotonic time, microseconds) of every step, a held one negative."""

    def at(self, wall_us: int, monotonic_us: int) -> int:
        """Gateway time of a reading; call it with readings in order.

        Returns:
            Microseconds, never less than before.
        """
        elapsed_us = max(0, monotonic_us - self.monotonic_us)
        expected_us = self.last_us + elapsed_us
        offset_us = wall_us - expected_us
        change_us = offset_us - self.offset_us
        if abs(change_us) <= TOLERANCE_US:
            offset_us = self.offset_us
        else:
            self.steps.append((monotonic_us, change_us))
        if offset_us > 0:
            expected_us, offset_us = expected_us + offset_us, 0
        elif offset_us < 0:
            back_us = min(-offset_us, elapsed_us // SLEW)
            expected_us, offset_us = expected_us - back_us, offset_us + back_us
        self.last_us, self.monotonic_us, self.offset_us = expected_us, monotonic_us, offset_us
        return expected_us


class GatewayClock:
    """The gateway's clock.

    Args:
        boot_id: 16 random bytes of this start.
        floor_us: The last durable stamp, or `None`.
        wall: The wall clock, microseconds since 1970.
        monotonic: A clock that never jumps, microseconds.
        synchronised: Whether the system's clock is disciplined; it answers `None` when unknown.
    """

    def __init__(
        self,
        boot_id: bytes,
        *,
        floor_us: int | None = None,
        wall: Callable[[], int] = lambda: time.time_ns() // 1000,
        monotonic: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
        synchronised: Callable[[], bool | None] | None = None,
    ) -> None:
        self._boot_id = boot_id
        self._wall = wall
        self._monotonic = monotonic
        self._synchronised = synchronised or kernel_synchronised
        self._lock = threading.Lock()
        wall_us, self._start_us = self._read()
        self._scale = Scale(wall_us, self._start_us, floor_us)
        self._was_synchronised = False
        self._corrections: list[Correction] = []
        self._steps: deque[Step] = deque(maxlen=limits.STEPS_KEPT)

    @property
    def boot_id(self) -> bytes:
        """Names this start."""
        return self._boot_id

    def now_us(self) -> int:
        """Gateway time, microseconds UTC; never goes back."""
        with self._lock:
            return self._now()

    def monotonic_us(self) -> int:
        """A clock that never jumps, microseconds."""
        return self._monotonic()

    def stamp(self) -> Clock:
        """The clock as a batch states it."""
        with self._lock:
            self._now()
            scale = self._scale
            return Clock(self._boot_id, scale.monotonic_us, self._state(), scale.offset_us)

    def steps(self) -> tuple[Step, ...]:
        """The latest forward steps beyond `STEP_US`, the oldest first."""
        with self._lock:
            return tuple(self._steps)

    def take_corrections(self) -> list[Correction]:
        """What became known about earlier stamps of this start since the last call."""
        with self._lock:
            self._now()
            self._state()
            corrections, self._corrections = self._corrections, []
            return corrections

    def _now(self) -> int:
        wall_us, monotonic_us = self._read()
        before_us = self._scale.last_us
        elapsed_us = monotonic_us - self._scale.monotonic_us
        now_us = self._scale.at(wall_us, monotonic_us)
        if now_us - before_us - elapsed_us > STEP_US:
            self._steps.append(Step(before_us + elapsed_us, now_us))
        return now_us

    def _read(self) -> tuple[int, int]:
        """Both clocks at nearly one moment: the closest of a few attempts."""
        readings = []
        for _ in range(READS_MAX):
            before_us = self._monotonic()
            wall_us = self._wall()
            apart_us = self._monotonic() - before_us
            if apart_us < TOLERANCE_US // 10:
                return wall_us, before_us
            readings.append((apart_us, wall_us, before_us))
        _, wall_us, before_us = min(readings)
        return wall_us, before_us

    def _state(self) -> ClockState:
        if self._synchronised():
            if not self._was_synchronised:
                self._was_synchronised = True
                self._corrections += self._corrected()
            return ClockState.HOLDOVER if self._scale.offset_us else ClockState.SYNCHRONISED
        return ClockState.HOLDOVER if self._was_synchronised else ClockState.UNSYNCHRONISED

    def _corrected(self) -> list[Correction]:
        """How far each stretch of this start was off, now that the wall clock is right.

        Between two steps the error is constant: the sum of the steps that followed.
        """
        if not self._scale.steps:
            return []
        corrections = []
        stretch_from_us = self._start_us
        remaining_us = sum(change_us for _, change_us in self._scale.steps)
        for at_us, change_us in self._scale.steps:
            if at_us > stretch_from_us and remaining_us:
                corrections.append(Correction(self._boot_id, stretch_from_us, at_us, remaining_us))
            stretch_from_us = at_us
            remaining_us -= change_us
        self._scale.steps.clear()
        return corrections


class _TimeX(ctypes.Structure):
    """`struct timex` of Linux (adjtimex(2)); only its first fields are read."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    ]


STA_UNSYNC = 0x0040
TIME_ERROR = 5


def kernel_synchronised() -> bool | None:
    """Whether the kernel's clock is disciplined by somebody; `None` when it cannot be asked.

    Source: adjtimex(2): with `modes` 0 it only reads.
    """
    adjtimex = _adjtimex()
    if adjtimex is None:
        return None
    state = _TimeX(modes=0)
    result = adjtimex(ctypes.byref(state))
    if result < 0:
        return None
    return result != TIME_ERROR and not state.status & STA_UNSYNC


@cache
def _adjtimex() -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), "adjtimex", None)


def new_boot_id() -> bytes:
    """16 random bytes that name one start of the gateway's process."""
    return os.urandom(16)
