"""Time and the watchdog of a board: the only place that knows what a board's `machine` has."""

# mypy: ignore-errors
import time

try:
    import machine
except ImportError:
    machine = None


DOG = None
"""The watchdog that bites unless it is fed; whoever works over the REPL feeds it here."""


class Clock:
    """Milliseconds since the start, which never wrap; sleep; the watchdog."""

    def __init__(self):
        self._last = time.ticks_ms()
        self._now = 0

    def now_ms(self):
        """Since the start."""
        ticks = time.ticks_ms()
        self._now += time.ticks_diff(ticks, self._last)
        self._last = ticks
        return self._now

    def sleep_ms(self, many):
        """Wait."""
        time.sleep_ms(many)

    def bitten(self):
        """Whether it was the watchdog that started the board."""
        cause = getattr(machine, "reset_cause", None)
        return cause is not None and cause() == getattr(machine, "WDT_RESET", -1)

    def guard(self, timeout_ms):
        """Start the board's watchdog; it cannot be stopped again."""
        if machine is not None and hasattr(machine, "WDT"):
            global DOG  # noqa: PLW0603
            DOG = machine.WDT(timeout=timeout_ms)

    def feed(self):
        """Tell the watchdog that all is well."""
        if DOG is not None:
            DOG.feed()
