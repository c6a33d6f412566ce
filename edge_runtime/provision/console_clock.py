"""The gateway's clock, as the console reads and sets it.

A clock cannot be set to "now" over a slow and broken line: the word is late, and may be said twice.
So the gateway gives its monotonic time, and is told what the date was when that was zero. That is
true however long the telling takes, as long as the machine is not started again.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from protocols.errors import InputError, Problem

EARLIEST_US = 1_577_836_800_000_000
"""2020-01-01: before it no gateway of this kind was made."""

LATEST_US = 4_102_444_800_000_000
"""2100-01-01."""


class Clock(Protocol):
    """A machine's clocks, microseconds."""

    def utc_us(self) -> int:
        """Since 1970."""

    def monotonic_us(self) -> int:
        """Since something that was."""

    def boot(self) -> str:
        """Another one after each start of the machine."""

    def set(self, utc_us: int) -> None:
        """Change the date.

        Raises:
            InputError: That is not allowed here.
        """


class SystemClock:
    """This machine's.

    Args:
        may_set: Whether the date may be changed; the process must have the right to, too.
    """

    def __init__(self, may_set: bool) -> None:
        self._may_set = may_set

    def utc_us(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        """See `Clock`."""
        return time.monotonic_ns() // 1000

    def boot(self) -> str:
        """See `Clock`."""
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()

    def set(self, utc_us: int) -> None:
        """See `Clock`."""
        if not self._may_set:
            expected = "a console started with --set-clock; or give the gateway time servers with its network"
            raise InputError([Problem("clock", "", "a console that may not set it", expected)])
        try:
            time.clock_settime_ns(time.CLOCK_REALTIME, utc_us * 1000)
        except PermissionError as error:
            expected = "a console with the right to set the clock (CAP_SYS_TIME)"
            raise InputError([Problem("clock", "", "no right to", expected)]) from error


def read(clock: Clock) -> dict[str, int | str]:
    """What the host needs to know of a clock."""
    return {"utc_us": clock.utc_us(), "monotonic_us": clock.monotonic_us(), "boot": clock.boot()}


def set_zero(clock: Clock, zero_us: int, boot: str) -> dict[str, int | str]:
    """Set a clock.

    Args:
        clock: Which.
        zero_us: The date, microseconds since 1970, when monotonic time was zero.
        boot: The boot for which that is true.

    Returns:
        The clock as `read`, and `step_us`: by how much it was set forward.

    Raises:
        InputError: The machine was started again since, the date is none, or it may not be set.
    """
    if boot != clock.boot():
        raise InputError([Problem("clock", "boot", boot, "the boot of now; read the time again")])
    utc_us = zero_us + clock.monotonic_us()
    if not EARLIEST_US <= utc_us < LATEST_US:
        raise InputError(
            [Problem("clock", "", str(utc_us), "microseconds since 1970 of a date from 2020 to 2100")]
        )
    step_us = utc_us - clock.utc_us()
    clock.set(zero_us + clock.monotonic_us())
    return {**read(clock), "step_us": step_us}
