"""What an app sees at each of its scans, by the field servers' own logs.

Rules:
1. Modbus: at instant T the values of the tick that an answer between T and the next instant
   held; where nothing was answered there is no value.
2. OPC UA: at instant T the values of the last tick until T; none where its status is bad.
3. Where there is no value an app sees the last one, or 0 before there was any, and that it is bad.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scripts.judge.grid import BAD, Bools, Window
from scripts.judge.lake import Int64s
from scripts.plant.layout import Protocol
from scripts.plant.log import Log


class Scan(NamedTuple):
    """One scan of one instance.

    Args:
        at_us: Its instant.
        value: By input.
        bad: By input, whether there is no value.
    """

    at_us: int
    value: Mapping[str, float]
    bad: Mapping[str, bool]

    def none_bad(self, *inputs: str) -> bool:
        """Whether all these inputs have a value."""
        return not any(self.bad[name] for name in inputs)


class Seen:
    """The points of one log at the instants of a window.

    Args:
        log: What the server served.
        window: The instants.
    """

    def __init__(self, log: Log, window: Window) -> None:
        self._log = log
        self._window = window
        self._index = {point.name: i for i, point in enumerate(log.points)}

    def has(self, names: Sequence[str]) -> bool:
        """Whether the log knows all these points."""
        return all(name in self._index for name in names)

    def scans(self, inputs: Mapping[str, str]) -> Iterator[Scan]:
        """Every scan in turn.

        Args:
            inputs: Point by input.
        """
        columns = {name: self._column(self._index[point]) for name, point in inputs.items()}
        for at in range(self._window.instants):
            value = {name: float(values[at]) for name, (values, _) in columns.items()}
            bad = {name: bool(missing[at]) for name, (_, missing) in columns.items()}
            yield Scan(self._window.first + at * self._window.period_us, value, bad)

    def _column(self, point: int) -> tuple[npt.NDArray[np.float64], Bools]:
        """Values and where there are none."""
        modbus = self._log.protocol is Protocol.MODBUS
        tick = self._answered(point) if modbus else self._shown()
        known = np.maximum(tick, 0)
        bad = tick < 0
        if not modbus:
            bad |= (self._log.ticks["status"][known, point].astype(np.int64) & BAD) != 0
        values = self._log.ticks["held"][known, point] * self._log.points[point].scale
        return held_over(values, np.asarray(bad)), np.asarray(bad)

    def _answered(self, point: int) -> Int64s:
        """The tick of the first answer at each instant, -1 for none."""
        place, reads = self._log.places[point], self._log.reads
        covers = (reads["unit"] == place.unit) & (reads["table"] == int(place.table))
        first, end = reads["address"].astype(np.int64), place.address + place.words
        mine = reads[covers & (first <= place.address) & (end <= first + reads["count"])]
        at = self._window.index(mine["at"])
        inside = (at >= 0) & (at < self._window.instants)
        ticks = np.full(self._window.instants, -1, np.int64)
        ticks[at[inside][::-1]] = mine["tick"][inside][::-1]
        return ticks

    def _shown(self) -> Int64s:
        """The last tick until each instant, -1 for none."""
        instants = self._window.first + np.arange(self._window.instants) * self._window.period_us
        there = np.maximum(self._log.ticks["time"], self._log.ticks["at"])
        return np.asarray(np.searchsorted(there, instants, side="right") - 1)


def held_over(values: npt.NDArray[np.float64], bad: Bools) -> npt.NDArray[np.float64]:
    """Values with the last good one in the place of bad ones.

    >>> held_over(np.array([5.0, 1.0, 6.0, 2.0]), np.array([True, False, True, False])).tolist()
    [0.0, 1.0, 1.0, 2.0]
    """
    last = np.maximum.accumulate(np.where(bad, -1, np.arange(len(values))))
    return np.where(last < 0, 0.0, values[np.maximum(last, 0)])
