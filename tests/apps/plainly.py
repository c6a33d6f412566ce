"""What the computations by hand share: delays, alarms, and what they expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from edge_runtime.rules.apps.recording import Recording

Cell = bool | int | float | None
"""`None` is not compared."""


class Event(NamedTuple):
    """A row of `events.csv`; a value of `None` is not compared."""

    time_ms: int
    kind: str
    text: str
    value: float | None


@dataclass
class Expected:
    """What an app must do: cells by column (`NAME.quality` too), one a scan, and all events."""

    cells: dict[str, list[Cell]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def row(self, qualities: Mapping[str, int | None], **cells: Cell) -> None:
        """Add the cells of one scan, and qualities of some of them."""
        for column, cell in {
            **cells,
            **{f"{name}.quality": mark for name, mark in qualities.items()},
        }.items():
            self.cells.setdefault(column, []).append(cell)


class Alarms:
    """Alarms that stand or do not; writes down when they begin and return."""

    def __init__(self, events: list[Event]) -> None:
        self._events = events
        self._standing: set[str] = set()

    def follow(self, text: str, now_ms: int, active: bool, value: float | None) -> bool:
        """An alarm that stands while `active`."""
        if active != (text in self._standing):
            (self._standing.add if active else self._standing.discard)(text)
            self._events.append(Event(now_ms, "alarm" if active else "returned", text, value))
        return active


class Held:
    """A condition that counts when it has held for a time.

    >>> held = Held(2000)
    >>> [held(now * 1000, now != 3) for now in range(1, 8)]
    [False, False, False, False, False, True, True]
    """

    def __init__(self, delay_ms: float) -> None:
        self._delay_ms = delay_ms
        self._since_ms: int | None = None

    def __call__(self, now_ms: int, condition: bool) -> bool:
        """Whether it has held for the delay, by now."""
        if not condition:
            self._since_ms = None
            return False
        if self._since_ms is None:
            self._since_ms = now_ms
        return now_ms - self._since_ms >= self._delay_ms


class High:
    """Above a limit for a time, until below its band for another.

    >>> high = High(10.0, 1.0, 2000, 0)
    >>> [high(at * 1000, value) for at, value in enumerate([11, 11, 11, 9.5, 9])]
    [False, False, True, True, False]
    """

    def __init__(self, limit: float, band: float, on_ms: float, off_ms: float) -> None:
        self._limit, self._band = limit, band
        self._on, self._off = Held(on_ms), Held(off_ms)
        self._active = False

    def __call__(self, now_ms: int, value: float) -> bool:
        """Whether it stands, by now."""
        above = self._on(now_ms, value > self._limit)
        below = self._off(now_ms, value <= self._limit - self._band)
        self._active = not below if self._active else above
        return self._active


def scans(recording: Recording) -> Iterator[tuple[int, dict[str, float | None]]]:
    """The scans of a recording: time, and the inputs by name; a bad one is `None`."""
    for row, now_ms in enumerate(recording.times_ms):
        yield (
            now_ms,
            {
                name: None if recording.qualities[name][row] == 2 else float(cells[row])
                for name, cells in recording.values.items()
            },
        )


def numbers(recording: Recording) -> dict[str, float]:
    """The parameters of a recording; times in ms, booleans as 0 and 1."""
    return {name: float(value) for name, value in recording.parameters.items()}
