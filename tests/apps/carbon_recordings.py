"""Recorded tests of the carbon account."""

from __future__ import annotations

from tests.apps.carbon_by_hand import expect
from tests.apps.parts import BEGIN_MS, Columns, Order, watch
from tests.apps.recordings import Recorded, steps, thinned

TAGS = {
    "coal_flow": "10HFB20CF001",
    "gross_power": "10MKA10CE001",
    "auxiliary_power": "10BBA30CE001",
    "purchased_power": "10ADA10CE001",
}

WET = Order(60, "coal-wet", 3000.0)
WIRE = Order(60, "broken-wire", 60.0, TAGS["coal_flow"])
DEAD = Order(180, "dead", 90.0, TAGS["gross_power"])

MINUTE_MS = 60_000
CHINESE_MIDNIGHT_MS = BEGIN_MS + 16 * 60 * MINUTE_MS


def _ramp() -> Columns:
    """Two hours before and one after midnight: full load, a ramp to half load, then standing still."""
    full = {"coal_flow": 225.0, "gross_power": 600.0, "auxiliary_power": 30.0, "purchased_power": 0.0}
    stopped = {"coal_flow": 0.0, "gross_power": 0.0, "auxiliary_power": 6.0, "purchased_power": 6.0}
    falling = [
        (1, {name: value * (1.0 - minute / 100.0) for name, value in full.items()}) for minute in range(50)
    ]
    return steps((50, full), *falling, (110, stopped))


def _wet() -> Columns:
    """The plant, seen every 20 s for somewhat more than an hour, while its coal gets wet."""
    return thinned(watch(TAGS, 4500, [WET], seed=2), 20)


RECORDINGS = {
    "hours-and-a-day": Recorded(
        _ramp, expect, period_ms=MINUTE_MS, begin_ms=CHINESE_MIDNIGHT_MS - 119 * MINUTE_MS,
        parameters=("limestone_per_coal = 0.03", "carbonate_share = 0.92", "heating_value = 22.1"),
    ),
    "wet-coal": Recorded(_wet, expect, period_ms=20_000, begin_ms=BEGIN_MS + 50 * 20_000),
    "lost-inputs": Recorded(lambda: watch(TAGS, 320, [WIRE, DEAD]), expect),
}  # fmt: skip
