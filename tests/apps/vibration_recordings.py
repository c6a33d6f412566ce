"""Recorded tests of the vibration app."""

from __future__ import annotations

from tests.apps.parts import Columns, Order, watch
from tests.apps.recordings import Recorded, steps
from tests.apps.vibration_by_hand import expect, expect_change, expect_trend

TAGS = {"velocity": "10HLB60CY001", "temperature": "10HLB60CT001", "running": "10HLB90AN001"}
"""The first bearing of a forced draught fan."""

WEAR = Order(30, "bearing-wear", 120.0, "HLB60")


def _zones() -> Columns:
    """At, just above and far above each limit; a start, a stop, and values that are bad."""
    levels = (1.0, 2.3, 2.31, 4.5, 4.51, 7.1, 7.11, 20.0, 7.0, 6.9, 6.89, 4.31, 4.3, 1.0)
    run = {"temperature": 60.0, "running": 1.0}
    return steps(
        (3, {"velocity": 0.1, "temperature": 20.0, "running": 0.0}),
        (10, {"velocity": 15.0, **run}),  # through the critical speed
        *((8, {"velocity": level, **run}) for level in levels),
        (8, {"velocity": None, **run}),
        (8, {"velocity": 8.0, **run}),
        (8, {"velocity": None, **run}),  # the alarm stands while nothing is known
        (8, {"velocity": 1.0, "temperature": 90.0, "running": 1.0}),
        (8, {"velocity": 1.0, "temperature": 90.5, "running": 1.0}),
        (8, {"velocity": 1.0, "temperature": None, "running": 1.0}),
        (8, {"velocity": 9.0, "temperature": 95.0, "running": 0.0}),  # stopped, and still hot
        (8, {"velocity": 0.0, "temperature": 88.0, "running": 0.0}),
    )


def _step() -> Columns:
    still = {"temperature": 55.0, "running": 1.0}
    return steps((100, {"velocity": 1.5, **still}), (120, {"velocity": 3.0, **still}))


def _ramp() -> Columns:
    """2 mm/s, and 0.02 mm/s more each hour."""
    hours = range(160)
    return {
        "velocity": [round(2.0 + 0.02 * hour, 2) for hour in hours],
        "temperature": [55.0 for _ in hours],
        "running": [1.0 for _ in hours],
    }


_QUICK = ('start_time = "T#5s"', 'delay_c = "T#5s"', 'delay_d = "T#2s"', 'off_delay = "T#4s"')

RECORDINGS = {
    "normal": Recorded(lambda: watch(TAGS, 120), expect),
    "wear": Recorded(lambda: watch(TAGS, 300, [WEAR]), expect),
    "zones": Recorded(_zones, expect, parameters=(*_QUICK, 'temperature_delay = "T#2s"')),
    "change": Recorded(_step, expect_change, parameters=('start_time = "T#5s"', 'learn_time = "T#1m"')),
    "trend": Recorded(
        _ramp, expect_trend, period_ms=3_600_000,
        parameters=('start_time = "T#0s"', 'trend_time = "T#1d"', 'learn_time = "T#30d"'),
    ),
}  # fmt: skip
"""A real trend takes weeks; here scans are an hour apart."""
