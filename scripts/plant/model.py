"""The instruments of a plant: what each one shows of the units behind it.

Every instrument sees one signal through its gain and bias, lags behind it, drifts a little,
is noisy, is cut to its range and shows whole multiples of its resolution.

Rules:
1. Pure: a seed and a sequence of `step` and `order` calls decide every value.
2. `held` is what a device holds, bit for bit: scaled integers as integers, f32 rounded to
   f32, never a negative zero (an OPC UA server sees no change from 0.0 to -0.0).
3. Numeric points come first, texts last; their order never changes.

>>> plant = Plant(40, seed=7)
>>> plant.step(1.0)
>>> len(plant.points), len(plant.held()), len(plant.texts())
(40, 40, 0)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scripts.plant.bearings import BEARINGS
from scripts.plant.catalogue import (
    ANALOG,
    COUNTERS,
    POINTS_A_UNIT,
    SWITCHES,
    TEXTS,
    Kind,
    PlantPoint,
)
from scripts.plant.unit import MILLS, ORDERS, PLACED, Array, CoalUnits

UInt32s = npt.NDArray[np.uint32]

GOOD = 0x0000_0000
BAD_SENSOR_FAILURE = 0x808C_0000

SENSOR_ORDERS = ("stuck", "noisy", "dead", "broken-wire")
"""Faults of one instrument: its value stays, is ten times as noisy, is gone, or is the lower end of
its range, where a transmitter goes whose current falls to its failure signal (NAMUR NE 43)."""

DRIFT_TAU_S = 300.0
RANGE_OF_KIND = {
    Kind.BOOL: (0, 1),
    Kind.INT16: (-(2**15), 2**15 - 1),
    Kind.UINT16: (0, 2**16 - 1),
    Kind.INT32: (-(2**31), 2**31 - 1),
    Kind.UINT32: (0, 2**32 - 1),
}


class Source(Protocol):
    """What a server serves: a simulated plant or a replayed table."""

    @property
    def points(self) -> tuple[PlantPoint, ...]:
        """Every point: numeric ones first, then texts."""
        ...

    def step(self, dt: float) -> None:
        """Let one tick of `dt` seconds pass."""
        ...

    def held(self) -> Array:
        """What the devices hold, one float64 a numeric point; every held value fits one."""
        ...

    def texts(self) -> list[str]:
        """What the text points hold."""
        ...

    def status(self) -> UInt32s:
        """OPC UA StatusCodes of all points; a Modbus server cannot tell them."""
        ...

    def order(self, name: str, block: int, seconds: float, point: str) -> None:
        """Let something happen; raises ValueError for what this source does not know."""
        ...


@dataclass(frozen=True, slots=True)
class _Instrument:
    """A point with how it sees its signal; `threshold` is set for switches only."""

    point: PlantPoint
    signal: str
    gain: float = 1.0
    bias: float = 0.0
    lag_s: float = 0.0
    noise: float = 0.0
    threshold: float | None = None
    choices: tuple[str, ...] = ()


class Plant:
    """Simulated 600 MW coal units with a thousand instruments each.

    Args:
        count: How many points; more than a thousand make more units.
        seed: Decides everything that is random.
    """

    def __init__(self, count: int, seed: int = 1) -> None:
        assert count >= 1
        blocks = math.ceil(count / POINTS_A_UNIT)
        self.units = CoalUnits(blocks, seed)
        self._random = np.random.default_rng([seed, 1])
        instruments: list[_Instrument] = []
        for block in range(blocks):
            wanted = min(POINTS_A_UNIT, count - block * POINTS_A_UNIT)
            instruments += _spread(_instruments(block, self._random), wanted)
        numeric = [i for i in instruments if i.point.kind is not Kind.STRING]
        self._text = [i for i in instruments if i.point.kind is Kind.STRING]
        self.points = tuple(i.point for i in [*numeric, *self._text])
        self._index = {point.name: i for i, point in enumerate(self.points)}
        self._lay_out(numeric)
        self._faults: dict[int, tuple[str, float]] = {}
        self._seen = self._target()
        self._drift = self._random.normal(size=len(numeric))
        self._held = np.zeros(len(numeric))
        self._show()

    def _lay_out(self, numeric: list[_Instrument]) -> None:
        def column(values: list[float]) -> Array:
            return np.array(values, np.float64)

        names = {name: row for row, name in enumerate(self.units.names)}
        points = [i.point for i in numeric]
        self._row = np.array([names[i.signal] for i in numeric], np.intp)
        self._block = np.array([p.block for p in points], np.intp)
        self._gain, self._bias = column([i.gain for i in numeric]), column([i.bias for i in numeric])
        self._lag, self._noise = column([i.lag_s for i in numeric]), column([i.noise for i in numeric])
        self._is_switch = np.array([i.threshold is not None for i in numeric])
        self._threshold = column([i.threshold or 0.0 for i in numeric])
        self._ten = 10.0 ** column([p.decimals for p in points])
        self._integer = np.array([p.kind in RANGE_OF_KIND for p in points])
        self._f32 = np.array([p.kind is Kind.F32 for p in points])
        self._low = column([-np.inf if p.low is None else p.low for p in points])
        self._high = column([np.inf if p.high is None else p.high for p in points])

    def step(self, dt: float) -> None:
        """Let `dt` seconds pass."""
        self.units.step(dt)
        lag = np.where(self._lag > 0, 1.0 - np.exp(-dt / np.maximum(self._lag, 1e-9)), 1.0)
        self._seen += (self._target() - self._seen) * lag
        keep = math.exp(-dt / DRIFT_TAU_S)
        self._drift = keep * self._drift + math.sqrt(1 - keep * keep) * self._random.normal(
            size=len(self._seen)
        )
        self._faults = {i: (kind, left - dt) for i, (kind, left) in self._faults.items() if left > dt}
        self._show()

    def held(self) -> Array:
        """What the devices hold, one float64 a numeric point."""
        return self._held

    def texts(self) -> list[str]:
        """What the text points hold."""
        return [
            i.choices[min(int(self.units.signal(i.signal)[i.point.block]), len(i.choices) - 1)]
            for i in self._text
        ]

    def status(self) -> UInt32s:
        """Bad for instruments that are dead, good for all others."""
        codes = np.full(len(self.points), GOOD, np.uint32)
        dead = [i for i, (kind, _) in self._faults.items() if kind == "dead"]
        codes[dead] = BAD_SENSOR_FAILURE
        return codes

    def order(self, name: str, block: int, seconds: float, point: str) -> None:
        """Let something happen to a unit, at its place `point`, or to the instrument `point`.

        Raises:
            ValueError: There is no such order, unit, place or numeric point.
        """
        if name in ORDERS:
            if not 0 <= block < self.units.count:
                raise ValueError(f"expected a unit below {self.units.count}, got {block}")
            if name in PLACED and point not in PLACED[name]:
                raise ValueError(f"expected one of {', '.join(PLACED[name])} for {name}, got {point!r}")
            self.units.order(name, block, seconds, point)
        elif name in SENSOR_ORDERS:
            index = self._index.get(point, len(self._seen))
            if index >= len(self._seen):
                raise ValueError(f"expected the name of a numeric point, got {point!r}")
            self._faults[index] = (name, seconds)
        else:
            raise ValueError(f"expected one of {', '.join((*ORDERS, *SENSOR_ORDERS))}, got {name!r}")

    def _target(self) -> Array:
        signals: Array = self.units.matrix()[self._row, self._block]
        analog = signals * self._gain + self._bias
        return np.where(self._is_switch, _switched(signals, self._threshold), analog)

    def _show(self) -> None:
        noise = self._noise.copy()
        for index, (kind, _) in self._faults.items():
            if kind == "noisy":
                noise[index] *= 10.0
        shown = self._seen + noise * (0.5 * self._drift + self._random.normal(size=len(noise)))
        broken = [index for index, (kind, _) in self._faults.items() if kind == "broken-wire"]
        shown[broken] = self._low[broken]
        counts = np.rint(np.clip(shown, self._low, self._high) * self._ten)
        held = np.where(self._integer, counts, counts / self._ten) + 0.0
        held = np.where(self._f32, held.astype(np.float32), held)
        stuck = [index for index, (kind, _) in self._faults.items() if kind in ("stuck", "dead")]
        held[stuck] = self._held[stuck]
        self._held = held


def _switched(signals: Array, threshold: Array) -> Array:
    above = signals > np.abs(threshold)
    return np.where(threshold < 0, ~above, above).astype(np.float64)


def _spread(instruments: list[_Instrument], wanted: int) -> list[_Instrument]:
    """`wanted` of the instruments, evenly over the whole list, so that every kind is among them."""
    chosen = (np.arange(wanted) * len(instruments)) // wanted
    return [instruments[i] for i in chosen]


def _instruments(block: int, random: np.random.Generator) -> list[_Instrument]:
    """All instruments of one unit, in the order of the catalogue."""
    prefix = f"{(block + 1) * 10}"
    made = [*_analog(block, prefix, random), *_counters(block, prefix), *_switches(block, prefix)]
    for system, component, signal, choices, text in TEXTS:
        point = PlantPoint(
            f"{prefix}{system}{component}001", Kind.STRING, "", 0, 1.0, None, None, block, text
        )
        made.append(_Instrument(point, signal, choices=choices))
    assert len(made) == POINTS_A_UNIT, len(made)
    return made


def _analog(block: int, prefix: str, random: np.random.Generator) -> list[_Instrument]:
    made: list[_Instrument] = []
    for g in ANALOG:
        scale = 10.0**-g.decimals if g.kind in RANGE_OF_KIND else 1.0
        for n in range(g.count):
            name = f"{prefix}{g.system}{g.component}{n + 1:03d}"
            text = f"{g.text} {n + 1}" if g.count > 1 else g.text
            point = PlantPoint(name, g.kind, g.unit, g.decimals, scale, g.low, g.high, block, text)
            bias = g.bias + g.spread * float(random.normal())
            made.append(_Instrument(point, _numbered(g.signal, n), g.gain, bias, g.lag_s, g.noise))
    return made


def _counters(block: int, prefix: str) -> list[_Instrument]:
    made = []
    for system, component, signal, gain, kind, unit, text in COUNTERS:
        low, high = RANGE_OF_KIND[kind]
        point = PlantPoint(f"{prefix}{system}{component}001", kind, unit, 0, 1.0, low, high, block, text)
        made.append(_Instrument(point, signal, gain))
    return made


def _switches(block: int, prefix: str) -> list[_Instrument]:
    made = []
    for system, component, count, signal, threshold, text in SWITCHES:
        for n in range(count):
            name = f"{prefix}{system}{component}{n + 1:03d}"
            point = PlantPoint(name, Kind.BOOL, "", 0, 1.0, 0.0, 1.0, block, f"{text} {n + 1}")
            made.append(_Instrument(point, _numbered(signal, n), threshold=threshold))
    return made


def _numbered(signal: str, n: int) -> str:
    """`mill_{n}` stands for the mill, `{bearing}` for the bearing that instrument `n` sits on."""
    return signal.format(n=n % MILLS + 1, bearing=n % BEARINGS + 1)
