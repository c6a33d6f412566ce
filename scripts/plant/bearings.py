"""Bearings of fans and pumps: vibration and temperature, with wear that grows.

A spalled rolling bearing grows worse in proportion to how bad it is: `dw/dt = w / tau`. Its
vibration adds to that of the sound machine as uncorrelated ones do, by squares, and its
friction heats it: `C dT/dt = P (1 + w) - K (T - T_air)`. A real one takes weeks for what
happens here in a minute. The other bearing of the machine feels a part through the shaft.

Rules:
1. Pure: a seed and a sequence of `step` and `wear` calls decide every value.
2. Wear ends after its time: the bearing was replaced.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

MACHINES = ("HLB60", "HNC60", "LAC60", "PAC60")
"""KKS codes: forced draught fan, induced draught fan, feed pump, cooling water pump."""

SOUND_MM_S = np.array([1.3, 1.6, 1.1, 0.9])[:, None, None]
"""Vibration of the sound machines at full speed and load, RMS: zone A of ISO 20816-3."""
WEAR_MM_S = 0.6
"""Vibration that a wear of 1 adds."""
GROWTH_S = 20.0
WEAR_BEGIN, WEAR_MAX = 1.0, 40.0
THROUGH_SHAFT = 0.3
"""Part of a bearing's own vibration that the other one of the machine feels."""
WARM_K, HEAT_K = 25.0, 2.0
"""Above the air, of a sound bearing at full speed, and for each unit of wear."""
HEATING_S = 120.0
"""C / K: thermal time constant of a bearing with its housing."""
RUNDOWN_S = 20.0
WANDER, WANDER_S = 0.06, 15.0
"""Relative deviation and correlation time of a sound machine's vibration."""

BEARINGS = 2


class Bearings:
    """Two bearings of each machine of several units.

    Args:
        count: How many units.
        seed: Decides everything that is random.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._random = np.random.default_rng([seed, 3])
        shape = (len(MACHINES), BEARINGS, count)
        self._wander = self._random.normal(size=shape)
        self._wear, self._left_s = np.zeros(shape), np.zeros(shape)
        self._turning = np.ones(count)
        self._load = np.ones(count)
        self._over_air = np.full(shape, WARM_K)

    def wear(self, machine: str, unit: int, seconds: float) -> None:
        """Let the first bearing of a machine wear for some time, and be replaced then."""
        self._left_s[MACHINES.index(machine), 0, unit] = seconds

    def step(self, h: float, running: Array, load: Array) -> None:
        """Let `h` seconds pass.

        Args:
            h: Seconds.
            running: 0 or 1, an element a unit.
            load: Fraction of full load, an element a unit.
        """
        keep = math.exp(-h / WANDER_S)
        self._wander *= keep
        self._wander += math.sqrt(1 - keep * keep) * self._random.normal(size=self._wander.shape)
        self._turning += (running - self._turning) * (1.0 - math.exp(-h / RUNDOWN_S))
        self._load = load
        worn = self._left_s > 0
        grown = np.maximum(self._wear, WEAR_BEGIN) * math.exp(h / GROWTH_S)
        self._wear = np.where(worn, np.minimum(grown, WEAR_MAX), 0.0)
        np.maximum(self._left_s - h, 0.0, out=self._left_s)
        goal = self._turning * (WARM_K + HEAT_K * self._wear)
        self._over_air += (goal - self._over_air) * (1.0 - math.exp(-h / HEATING_S))

    def signals(self, air_c: Array) -> dict[str, Array]:
        """`bearing_v_M_B` in mm/s RMS and `bearing_t_M_B` in Cel, machine M and bearing B from 1."""
        sound = SOUND_MM_S * (0.8 + 0.2 * self._load) * (1.0 + WANDER * self._wander)
        felt = self._wear + THROUGH_SHAFT * self._wear[:, ::-1]
        vibration = np.hypot(sound, WEAR_MM_S * felt) * self._turning
        found = {}
        for m in range(len(MACHINES)):
            for b in range(BEARINGS):
                found[f"bearing_v_{m + 1}_{b + 1}"] = vibration[m, b]
                found[f"bearing_t_{m + 1}_{b + 1}"] = air_c + self._over_air[m, b]
        return found
