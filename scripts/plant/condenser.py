"""A condenser's pressure when its tubes foul.

The cooling water takes the heat of condensation with an effectiveness of `1 - exp(-NTU)`,
where NTU is the tubes' conductance over the water's capacity flow, and falls with dirt:
`T_s = T_in + dT / (1 - exp(-NTU * cleanliness))`. The pressure is that of saturation at T_s.

>>> import numpy as np
>>> pressure_rise_kpa(np.array([21.0]), np.array([9.3]), np.array([1.0])).round(3).tolist()
[0.0]
>>> pressure_rise_kpa(np.array([21.0]), np.array([9.3]), np.array([0.4])).round(1).tolist()
[1.9]
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

CLEAN_NTU = 2.0
FOULED_CLEANLINESS = 0.3
"""Where fouling tends to; a real condenser is cleaned at about 0.6."""
FOULING_S = 60.0
"""How fast it gets there; a real one takes weeks."""


def saturation_kpa(celsius: Array) -> Array:
    """Saturation pressure of water by the Magnus formula, 0 to 60 Cel within 0.5%.

    Source: WMO-No. 8 (2018), volume I, annex 4.B, without the enhancement factor.
    """
    return np.asarray(0.6112 * np.exp(17.62 * celsius / (243.12 + celsius)))


def pressure_rise_kpa(inlet_c: Array, rise_k: Array, cleanliness: Array) -> Array:
    """How far above that of clean tubes the pressure settles.

    Args:
        inlet_c: Cooling water at the inlet.
        rise_k: By how much it is warmed.
        cleanliness: Conductance over that of clean tubes, above 0, at most 1.
    """
    clean = inlet_c + rise_k / (1.0 - np.exp(-CLEAN_NTU))
    fouled = inlet_c + rise_k / (1.0 - np.exp(-CLEAN_NTU * cleanliness))
    return saturation_kpa(fouled) - saturation_kpa(clean)
