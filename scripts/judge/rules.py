"""When the alarms of the demo's apps must begin, worked out again from what they see.

Written from the apps' descriptions, and slowly and plainly, so that a fault of the rule
language, its blocks or its run time cannot hide behind the same fault here.

Rules:
1. An alarm begins at the first scan at which its condition has held for its delay.
2. What only shows after hours (trends, changed baselines, floods) is not expected at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from scripts.judge.seen import Scan

Parameters = Mapping[str, float]
"""Of one instance: numbers, booleans as 0 and 1, times in milliseconds."""

KELVIN = 273.15


class Due(NamedTuple):
    """An alarm that must begin.

    Args:
        source: Its block in the program.
        since_us: The scan at which its condition first held.
        at_us: The scan at which its delay was over.
    """

    source: str
    since_us: int
    at_us: int


class Held:
    """A condition that counts when it has held for a time.

    >>> held = Held(2000)
    >>> [held(now * 1_000_000, now != 3) for now in range(1, 8)]
    [False, False, False, False, False, True, True]
    """

    def __init__(self, delay_ms: float) -> None:
        self._delay_us = delay_ms * 1000
        self._since_us: int | None = None

    def __call__(self, now_us: int, condition: bool) -> bool:
        """Whether it has held for the delay, by now."""
        if not condition:
            self._since_us = None
        elif self._since_us is None:
            self._since_us = now_us
        return self._since_us is not None and now_us - self._since_us >= self._delay_us

    @property
    def since_us(self) -> int:
        """When it began to hold; 0 while it does not."""
        return self._since_us or 0


class Alarms:
    """The alarms of one instance; collects their beginnings."""

    def __init__(self) -> None:
        self.due: list[Due] = []
        self._active: set[str] = set()
        self._high: dict[str, tuple[Held, Held]] = {}

    def follow(self, source: str, now_us: int, active: bool, since_us: int) -> None:
        """An alarm that stands as long as it is `active`."""
        if active and source not in self._active:
            self.due.append(Due(source, since_us, now_us))
        (self._active.add if active else self._active.discard)(source)

    def high(
        self, source: str, now_us: int, value: float, limit: float, band: float, on_ms: float, off_ms: float
    ) -> None:
        """An alarm above a limit, after a delay, until below the band for another."""
        on, off = self._high.setdefault(source, (Held(on_ms), Held(off_ms)))
        above, below = on(now_us, value > limit), off(now_us, value <= limit - band)
        standing = source in self._active
        self.follow(source, now_us, not below if standing else above, on.since_us)


def gas_detection(p: Parameters, scans: Iterable[Scan]) -> list[Due]:
    """Pre-alarm by any detector, trip by two of three, less when detectors fail."""
    alarms = Alarms()
    letters = "abc"
    pre_on, trip_on, blind_on = (Held(p[name]) for name in ("pre_delay", "trip_delay", "fault_delay"))
    test_on, faulty_on = Held(p["test_max"]), {letter: Held(p["fault_delay"]) for letter in letters}
    over: dict[str, set[str]] = {"pre_level": set(), "trip_level": set()}
    for now_us, value, bad in scans:
        sound = set()
        for letter in letters:
            level, missing = value[f"gas_{letter}"], bad[f"gas_{letter}"]
            faulty = missing or level < p["under_range"] or level > p["over_range"]
            sound |= set() if faulty else {letter}
            for limit, letters_over in over.items():
                if level >= p[limit]:
                    letters_over.add(letter)
                elif level <= p[limit] - p["band"]:
                    letters_over.discard(letter)
            told = faulty_on[letter](now_us, faulty)
            alarms.follow(f"fault_{letter}", now_us, told, faulty_on[letter].since_us)
        pre = pre_on(now_us, bool(over["pre_level"] & sound))
        needed = 2 - (3 - len(sound)) if p["degrade_to_trip"] else min(2, len(sound))
        trip = trip_on(now_us, bool(sound) and len(over["trip_level"] & sound) >= max(needed, 1))
        blind = blind_on(now_us, not sound)
        alarms.follow("pre", now_us, pre, pre_on.since_us)
        alarms.follow("no_detector", now_us, blind, blind_on.since_us)
        blind_trip = blind and bool(p["trip_when_blind"])
        alarms.follow("tripped", now_us, trip or blind_trip, trip_on.since_us or blind_on.since_us)
        tested = test_on(now_us, bool(value["test"]) and not bad["test"])
        alarms.follow("expired", now_us, tested, test_on.since_us)
    return alarms.due


def vibration(p: Parameters, scans: Iterable[Scan]) -> list[Due]:
    """Zones C and D of a machine that runs steadily, and a hot bearing."""
    alarms = Alarms()
    started = Held(p["start_time"])
    for now_us, value, _ in scans:
        steady = started(now_us, bool(value["running"]))
        seen = value["velocity"] if steady else 0.0
        off = p["off_delay"]
        alarms.high("zone_c", now_us, seen, p["limit_bc"], p["band"], p["delay_c"], off)
        alarms.high("zone_d", now_us, seen, p["limit_cd"], p["band"], p["delay_d"], off)
        hot = (value["temperature"], p["temperature_high"], 2.0, p["temperature_delay"], off)
        alarms.high("hot", now_us, *hot)
    return alarms.due


def heat_rate(p: Parameters, scans: Iterable[Scan]) -> list[Due]:
    """Condenser pressure, and what each deviation of a loaded unit costs, smoothed."""
    alarms = Alarms()
    smooth: dict[str, float] = {}
    for scan in scans:
        now_us, value, _ = scan
        valid = (
            value["power"] >= p["power_least"]
            and value["main_temperature"] > 400.0
            and value["hot_reheat_temperature"] > 350.0
            and value["cold_reheat_temperature"] > 260.0
            and value["feedwater_temperature"] < 340.0
            and value["cold_reheat_pressure"] * 1000.0
            < saturation_kpa(min(value["cold_reheat_temperature"], 370.0))
        )
        if valid and scan.none_bad(*value):
            for name, loss in _losses(p, value).items():
                smooth[name] = smooth.get(name, loss) + p["smoothing"] * (loss - smooth.get(name, loss))
        pressure = value["condenser_pressure"] if valid else 0.0
        delay = p["condenser_delay"]
        alarms.high("vacuum", now_us, pressure, p["condenser_high"], 0.2, delay, delay)
        for name in smooth:
            loss = smooth[name] if valid else 0.0
            alarms.high(name, now_us, loss, p["loss_high"], 10.0, p["loss_delay"], p["loss_delay"])
    return alarms.due


def carbon(p: Parameters, scans: Iterable[Scan]) -> list[Due]:
    """Inputs that are lost or cannot be, and a dear kilowatt-hour."""
    alarms = Alarms()
    lost_on, unlikely_on = Held(p["input_delay"]), Held(p["input_delay"])
    coal = net = coal_smooth = net_smooth = 0.0
    last_us: int | None = None
    for scan in scans:
        now_us, value, _ = scan
        good = scan.none_bad("coal_flow", "gross_power", "auxiliary_power", "purchased_power")
        unlikely = good and value["coal_flow"] < p["coal_least"] and value["gross_power"] > 100.0
        alarms.follow("lost", now_us, lost_on(now_us, not good), lost_on.since_us)
        alarms.follow("unlikely", now_us, unlikely_on(now_us, unlikely), unlikely_on.since_us)
        if good:
            coal, net = value["coal_flow"], value["gross_power"] - value["auxiliary_power"]
            passed_ms = 0.0 if last_us is None else (now_us - last_us) / 1000
            passed_ms = passed_ms if passed_ms <= p["hole"] else 0.0
            share = 1.0 if last_us is None else passed_ms / max(p["smooth"] + passed_ms, 1.0)
            coal_smooth += share * (coal - coal_smooth)
            net_smooth += share * (net - net_smooth)
            last_us = now_us
        rate = coal_smooth * p["heating_value"] / 29.3076 * 1000.0 / net_smooth if net_smooth > 1.0 else 0.0
        delay = p["rate_delay"]
        alarms.high("dear", now_us, rate, p["coal_rate_high"], 5.0, delay, delay)
    return alarms.due


RULES: Mapping[str, Callable[[Parameters, Iterable[Scan]], list[Due]]] = {
    "gas-detection": gas_detection,
    "vibration": vibration,
    "heat-rate": heat_rate,
    "carbon": carbon,
}
"""By app."""


def _losses(p: Parameters, value: Mapping[str, float]) -> dict[str, float]:
    """What each deviation costs, kJ/(kW.h), by the alarm that watches it."""
    load = value["power"] / p["power_full"]
    unit = p["heat_rate_design"] / 100.0
    pressure = p["main_pressure_none"] + (p["main_pressure_full"] - p["main_pressure_none"]) * load
    feedwater = p["feedwater_none"] + (p["feedwater_full"] - p["feedwater_none"]) * load
    warmed = value["cooling_water_temperature"] + p["cooling_rise_full"] * load + p["terminal_difference"]
    deviations = {
        "cool_main": (p["main_temperature_target"] - value["main_temperature"], "per_main_kelvin"),
        "cool_reheat": (
            p["reheat_temperature_target"] - value["hot_reheat_temperature"],
            "per_reheat_kelvin",
        ),
        "low_pressure": (pressure - value["main_pressure"], "per_main_mpa"),
        "fouled": (value["condenser_pressure"] - saturation_kpa(warmed), "per_condenser_kpa"),
        "air": (value["oxygen"] - p["oxygen_target"], "per_oxygen_percent"),
        "cold_feed": (feedwater - value["feedwater_temperature"], "per_feedwater_kelvin"),
    }
    return {name: deviation * p[price] * unit for name, (deviation, price) in deviations.items()}


def saturation_kpa(celsius: float) -> float:
    """Saturation pressure of water.

    Source: W. Wagner, A. Pruss, J. Phys. Chem. Ref. Data 22 (1993) 783 (IAPWS SR1-86), eq. 1;
    another equation than the app's, and within 0.01% of it: a loss differs by 0.03 kJ/(kW.h).

    >>> round(saturation_kpa(100.0), 2)
    101.42
    """
    critical_k, critical_kpa = 647.096, 22_064.0
    t = 1.0 - (celsius + KELVIN) / critical_k
    powers = t ** np.array([1.0, 1.5, 3.0, 3.5, 4.0, 7.5])
    factors = (-7.85951783, 1.84408259, -11.7866497, 22.6807411, -15.9618719, 1.80122502)
    return critical_kpa * float(np.exp(critical_k / (celsius + KELVIN) * np.dot(factors, powers)))
