"""Gas in the air of areas where it may leak: a well-mixed, ventilated volume each.

A leak q into a volume V with ventilation Q gives `V dc/dt = 100 q / LEL - Q (c - c0)`: the
concentration goes to `c0 + 100 q / (Q LEL)` with the time constant V / Q. Concentrations
are in percent of the lower explosive limit (LEL).

Rules:
1. Pure: a seed and a sequence of `step` and `leak` calls decide every value.
2. A leak ends after its time, and ventilation clears the area.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

AREAS = ("CYQ10", "CYQ20", "CYQ30", "CYQ40")
"""KKS codes of the detection systems: generator (H2), ammonia, coal bunkers (CH4), ignition gas."""

CLEARING_S = 60.0
"""V / Q: sixty air changes an hour, as forced ventilation gives on a gas alarm."""
LEAK_LEL = 70.0
"""Where a leak tends to, %LEL: past 20 after some 20 s and past 40 after some 50."""
BACKGROUND_LEL = 0.8
WANDER_LEL, WANDER_S = 0.25, 300.0
"""Deviation and correlation time of the background, an Ornstein-Uhlenbeck process."""


class GasAreas:
    """The areas of several units.

    Args:
        count: How many units.
        seed: Decides everything that is random.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._random = np.random.default_rng([seed, 2])
        shape = (len(AREAS), count)
        self._background = self._random.normal(size=shape)
        self._excess = np.zeros(shape)
        self._leaking_s, self._testing_s = np.zeros(shape), np.zeros(shape)

    def leak(self, area: str, unit: int, seconds: float) -> None:
        """Let gas leak into an area for some time."""
        self._leaking_s[AREAS.index(area), unit] = seconds

    def test(self, area: str, unit: int, seconds: float) -> None:
        """Turn an area's test switch on for some time."""
        self._testing_s[AREAS.index(area), unit] = seconds

    def step(self, h: float) -> None:
        """Let `h` seconds pass."""
        keep = math.exp(-h / WANDER_S)
        self._background *= keep
        self._background += math.sqrt(1 - keep * keep) * self._random.normal(size=self._background.shape)
        source = np.where(self._leaking_s > 0, LEAK_LEL, 0.0)
        self._excess += (source - self._excess) * (1.0 - math.exp(-h / CLEARING_S))
        for left in (self._leaking_s, self._testing_s):
            np.maximum(left - h, 0.0, out=left)

    def signals(self) -> dict[str, Array]:
        """`gas_N` in %LEL and `gas_test_N`, 0 or 1, for each area from 1."""
        level = np.maximum(BACKGROUND_LEL + WANDER_LEL * self._background, 0.0) + self._excess
        found = {}
        for n in range(len(AREAS)):
            found[f"gas_{n + 1}"] = level[n]
            found[f"gas_test_{n + 1}"] = (self._testing_s[n] > 0).astype(np.float64)
        return found
