"""Faults that the demo injects in the plant, and the alarms that each must raise.

Rules:
1. A fault is injected when there is time for its first alarm; later alarms are asked for when
   there is time for them too.
2. Both field servers are told: they are one plant.

>>> [fault.name for fault in plan(60.0, 1.0, {"gas-detection/coal-bunkers", "gas-detection/generator"})]
['broken-wire', 'gas-leak']
>>> [fault.name for fault in plan(30.0, 1.0, {"gas-detection/coal-bunkers", "gas-detection/generator"})]
['broken-wire']
"""

from __future__ import annotations

import json
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.plant.orders import FILE

MARGIN_S = 2.0
"""A fault is injected up to a second late, and seen with the next tick and scan."""


@dataclass(frozen=True, slots=True)
class Effect:
    """An alarm that a fault raises.

    Args:
        alarm: `app/instance/source`.
        plant_s: At the latest so long after the fault, in the plant's time, its condition holds.
        delay_s: For how long it must hold, in our time.
    """

    alarm: str
    plant_s: float
    delay_s: float


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault and when it is injected.

    Args:
        name: The order to the plant.
        place: Which instrument, area or machine; empty for the unit.
        what: For people.
        at_s: When, in seconds after all is up.
        effects: What it raises, in order.
    """

    name: str
    place: str
    what: str
    at_s: float
    effects: tuple[Effect, ...]

    def alarms(self, duration_s: float | None, pace: float, instances: Container[str]) -> tuple[str, ...]:
        """Those that a run of so many seconds has time for, of these instances of apps."""
        return tuple(
            effect.alarm
            for effect in self.effects
            if effect.alarm.rpartition("/")[0] in instances
            and (duration_s is None or self._by_s(effect, pace) + MARGIN_S <= duration_s)
        )

    def plant_seconds(self, pace: float) -> float:
        """For how long it lasts, in the plant's time: until its last alarm, and a little more."""
        last = max(self.effects, key=lambda effect: self._by_s(effect, pace))
        return last.plant_s + (last.delay_s + MARGIN_S) * pace

    def _by_s(self, effect: Effect, pace: float) -> float:
        return self.at_s + effect.plant_s / pace + effect.delay_s


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that was injected.

    Args:
        fault: Which.
        at_us: When the plant was told.
    """

    fault: PlannedFault
    at_us: int


FAULTS = (
    PlannedFault(
        "broken-wire", "10CYQ30CQ002", "a gas detector's wire breaks", 3.0,
        (Effect("gas-detection/coal-bunkers/fault_b", 3.0, 10.0),),
    ),
    PlannedFault(
        "gas-leak", "CYQ10", "hydrogen leaks at the generator", 4.0,
        (Effect("gas-detection/generator/pre", 36.0, 2.0),
         Effect("gas-detection/generator/tripped", 70.0, 2.0)),
    ),
    PlannedFault(
        "bearing-wear", "HNC60", "a bearing of the induced draught fan spalls", 5.0,
        (Effect("vibration/id-fan-1/zone_c", 45.0, 10.0), Effect("vibration/id-fan-1/zone_d", 55.0, 3.0)),
    ),
    PlannedFault(
        "vacuum-loss", "", "air gets into the condenser", 6.0,
        (Effect("heat-rate/unit-1/vacuum", 25.0, 10.0), Effect("heat-rate/unit-1/fouled", 25.0, 20.0)),
    ),
    PlannedFault(
        "broken-wire", "10HFB20CF001", "the coal flow of one gateway reads nothing", 7.0,
        (Effect("carbon/unit-1/unlikely", 3.0, 10.0),),
    ),
    PlannedFault(
        "dead", "10BBA30CE001", "an auxiliary power meter dies", 28.0,
        (Effect("carbon/unit-1/lost", 3.0, 10.0),),
    ),
    PlannedFault(
        "condenser-fouling", "", "the condenser fouls", 180.0,
        (Effect("heat-rate/unit-1/fouled", 220.0, 40.0),),
    ),
)  # fmt: skip
"""In the order of time. The plant says how fast they grow: `docs/plant.md`."""


def plan(duration_s: float | None, pace: float, instances: Container[str]) -> list[PlannedFault]:
    """What is injected into a run.

    Args:
        duration_s: How long it is; `None` when nobody knows.
        pace: Seconds of the plant's life in one second.
        instances: What can raise alarms, as `app/instance`.
    """
    return [fault for fault in FAULTS if fault.alarms(duration_s, pace, instances)]


def inject(fault: PlannedFault, pace: float, plants: Sequence[Path]) -> Injected:
    """Order a fault of the first unit.

    Args:
        fault: Which.
        pace: Seconds of the plant's life in one second.
        plants: Directories of the field servers.
    """
    order = {"name": fault.name, "block": 0, "seconds": fault.plant_seconds(pace), "point": fault.place}
    at_us = time.time_ns() // 1000
    for directory in plants:
        with (directory / FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(order) + "\n")
    return Injected(fault, at_us)
