"""Recorded tests of the heat rate and its alarms."""

from __future__ import annotations

from tests.apps.heat_rate_by_hand import expect
from tests.apps.parts import Columns, Order, watch
from tests.apps.recordings import Recorded, steps, thinned

TAGS = {
    "main_flow": "10LBA10CF001",
    "main_pressure": "10LBA10CP001",
    "main_temperature": "10LBA10CT001",
    "hot_reheat_pressure": "10LBB10CP001",
    "hot_reheat_temperature": "10LBB10CT001",
    "cold_reheat_pressure": "10LBC20CP001",
    "cold_reheat_temperature": "10LBC10CT001",
    "feedwater_pressure": "10LAC10CP001",
    "feedwater_temperature": "10LAB20CT001",
    "cooling_water_temperature": "10PAB10CT001",
    "condenser_pressure": "10MAG10CP001",
    "oxygen": "10HNA30CQ001",
    "power": "10MKA10CE001",
}

FOULING = Order(30, "condenser-fouling", 200.0)
VACUUM_LOSS = Order(20, "vacuum-loss", 100.0)

DESIGN: dict[str, float | None] = {
    "main_flow": 1800.0, "main_pressure": 16.7, "main_temperature": 538.0,
    "hot_reheat_pressure": 3.55, "hot_reheat_temperature": 538.0,
    "cold_reheat_pressure": 3.92, "cold_reheat_temperature": 320.0,
    "feedwater_pressure": 20.3, "feedwater_temperature": 275.0,
    "cooling_water_temperature": 20.0, "condenser_pressure": 5.0, "oxygen": 3.5, "power": 600.0,
}  # fmt: skip

HALF: dict[str, float | None] = DESIGN | {
    "main_flow": 860.0, "main_pressure": 12.0, "hot_reheat_pressure": 1.75, "cold_reheat_pressure": 1.93,
    "cold_reheat_temperature": 300.0, "feedwater_pressure": 14.9, "feedwater_temperature": 232.0,
    "condenser_pressure": 3.9, "power": 300.0,
}  # fmt: skip


OFF: list[dict[str, float | None]] = [
    {"main_temperature": 490.0},
    {"hot_reheat_temperature": 485.0},
    {"main_pressure": 13.5},
    {"condenser_pressure": 6.8},
    {"oxygen": 7.5},
    {"feedwater_temperature": 220.0},
]
"""Deviations that cost more than is told."""


def _loads() -> Columns:
    """Full load, half load, a trip, wet cold reheat steam, and full load again."""
    wet: dict[str, float | None] = {"cold_reheat_pressure": 5.2, "cold_reheat_temperature": 265.0}
    return steps((20, DESIGN), (40, HALF), (10, HALF | {"power": 0.0}), (10, DESIGN | wet), (20, DESIGN))


def _every_loss() -> Columns:
    """Each deviation alone, for long enough to be told and to end."""
    return steps((5, DESIGN), *((15, DESIGN | each) for each in OFF), (15, DESIGN))


def _bad() -> Columns:
    return steps(
        (5, DESIGN),
        (5, DESIGN | {"oxygen": None, "main_temperature": 530.0}),
        (5, DESIGN | {"main_flow": None}),
        (5, DESIGN | {"power": None, "condenser_pressure": 6.0}),
        (5, DESIGN | {"cooling_water_temperature": None}),
        (5, DESIGN),
    )


def _chatter() -> Columns:
    """The vacuum alarm begins every ten seconds, for two minutes and a half; then it is quiet."""
    bout = ((5, DESIGN | {"condenser_pressure": 9.5}), (5, DESIGN))
    return steps(*bout * 15, (15, DESIGN))


def _every_chatter() -> Columns:
    """Each loss three times in a minute of its own: one scan every five seconds."""
    return steps(*((2, values) for each in OFF for _ in range(3) for values in (DESIGN | each, DESIGN)))


def _flood() -> Columns:
    """Three alarms in three minutes, and twelve minutes after them: one scan every ten seconds."""
    bout = ((6, DESIGN | {"condenser_pressure": 9.5}), (12, DESIGN))
    return steps(*bout * 3, (72, DESIGN))


_QUICK = ("smoothing = 0.5", 'loss_delay = "T#3s"', 'condenser_delay = "T#0s"')

RECORDINGS = {
    "normal": Recorded(lambda: watch(TAGS, 120), expect),
    "fouling": Recorded(
        lambda: thinned(watch(TAGS, 360, [FOULING]), 4), expect, period_ms=4000,
        parameters=("smoothing = 0.2", 'loss_delay = "T#30s"'),
    ),
    "vacuum-loss": Recorded(lambda: watch(TAGS, 180, [VACUUM_LOSS]), expect),
    "loads": Recorded(_loads, expect, parameters=("smoothing = 0.2",)),
    "every-loss": Recorded(_every_loss, expect, parameters=_QUICK),
    "bad-inputs": Recorded(_bad, expect, parameters=_QUICK),
    "chatter": Recorded(_chatter, expect, parameters=_QUICK),
    "every-chatter": Recorded(
        _every_chatter, expect, period_ms=5000, parameters=("smoothing = 1.0", 'loss_delay = "T#0s"')
    ),
    "flood": Recorded(_flood, expect, period_ms=10_000, parameters=(*_QUICK, "flood_count = 2")),
}  # fmt: skip
