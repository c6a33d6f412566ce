"""The physics of 600 MW coal units, small: one array element a unit, one step a tick.

A drum boiler with sliding pressure follows a load demand that ramps between targets, as a
grid dispatcher moves it. What the instruments see hangs together: more demand opens the
valve, pressure sags, fuel follows, air follows fuel, and heat, flue gas and vacuum come
after with their own delays. Loads are fractions of full load inside; signals are in
engineering units.

Rules:
1. Pure: a seed and a sequence of `step` and `order` calls decide every value.
2. A unit is stopped, firing, rolling or online. Starting takes about ten minutes, a tenth
   of what a real one takes from hot, so that a demonstration can show it.
3. Orders are the operator's (`start`, `stop`) or accidents (`trip`, `tube-leak`,
   `vacuum-loss`, `feed-pump-trip`, `fan-trip`, `coal-wet`, `condenser-fouling`) that last
   for a given time. `gas-leak`, `gas-test` and `bearing-wear` happen at a place of the unit.

>>> units = CoalUnits(1, seed=1)
>>> units.step(1.0)
>>> bool(250 < units.signal("load")[0] < 620)
True
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from scripts.plant.areas import AREAS, GasAreas
from scripts.plant.bearings import MACHINES, Bearings
from scripts.plant.condenser import FOULED_CLEANLINESS, FOULING_S, pressure_rise_kpa, saturation_kpa

Array = npt.NDArray[np.float64]

FULL_LOAD_MW = 600.0
MILLS = 6
RAMP_PER_S = 0.02 / 60.0
"""Load ramp: 2% of full load a minute, what the grid code asks of such units."""
WARMING_K = 9.3
"""By how much the condenser warms its cooling water at full load."""
APPROACH_K = 4.0
"""By how much the steam of a clean condenser is warmer than its cooling water at the outlet."""
FULL_COAL_T_H = 225.0
"""Coal at full load: 1439 MW at 23.0 MJ/kg, of which the steam takes 91%."""
STEP_MAX_S = 1.0
"""Longest integration step: the fastest lag inside is 3 s."""

DISTURBANCES = {
    # name: correlation time in seconds of an Ornstein-Uhlenbeck process of unit variance
    "coal": 1800.0, "furnace": 4.0, "flame": 12.0, "o2": 25.0, "steam_t": 180.0, "reheat_t": 220.0,
    "drum": 9.0, "feed": 6.0, "spray": 40.0, "gas": 60.0, "vacuum": 90.0, "cooling": 3600.0,
    "hotwell": 45.0, "deaerator": 60.0, "oil": 400.0, "bearing": 600.0, "vibration": 15.0,
    "voltage": 30.0, "reactive": 50.0, "hydrogen": 900.0, "so2": 200.0, "nox": 35.0, "ammonia": 50.0,
    "dust": 80.0, "carbon_monoxide": 30.0, "slurry": 700.0, "weather": 7200.0, "humidity": 5400.0,
    "barometer": 10800.0, "chemistry": 1500.0, "bus": 10.0, "ash": 300.0, "frequency": 20.0,
}  # fmt: skip

ACCIDENTS = ("tube-leak", "vacuum-loss", "feed-pump-trip", "fan-trip", "coal-wet", "condenser-fouling")
PLACED = {"gas-leak": AREAS, "gas-test": AREAS, "bearing-wear": MACHINES}
"""Orders that need a place, and the places there are, by KKS code."""
ORDERS = ("start", "stop", "trip", *ACCIDENTS, *PLACED)


class Phase(IntEnum):
    """What a unit is doing; served as its mode."""

    STOPPED = 0
    FIRING = 1
    ROLLING = 2
    ONLINE = 3


class CoalUnits:
    """Several units that differ by their disturbances and their dispatch.

    Args:
        count: How many units.
        seed: Decides everything that is random.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self._random = np.random.default_rng(seed)
        self._tau = np.array(list(DISTURBANCES.values()))[:, None]
        self._ou = self._random.normal(size=(len(DISTURBANCES), count))
        self._ou_row = {name: row for row, name in enumerate(DISTURBANCES)}
        self._faults: dict[str, Array] = {name: np.zeros(count) for name in ACCIDENTS}
        start = self._random.uniform(0.65, 0.95, count)
        self.phase = np.full(count, Phase.ONLINE, np.int64)
        self._target, self._demand = start.copy(), start.copy()
        self._hold_s = self._random.uniform(60.0, 300.0, count)
        self._fuel, self._heat, self._steam, self._load = (start.copy() for _ in range(4))
        self._pressure = 0.5 + 0.5 * start
        self._valve = start / self._pressure
        self._trim = np.zeros(count)
        self._speed = np.ones(count)
        self._air, self._o2, self._hot = start.copy(), np.full(count, 3.5), np.ones(count)
        self._gas, self._feed, self._level = start.copy(), start.copy(), np.zeros(count)
        self._vacuum = self._clean_vacuum()
        self._cleanliness = np.ones(count)
        self._metal = start.copy()
        self._mills = np.tile(np.arange(MILLS)[:, None] < 1 + start * 4.9, 1).astype(np.float64)
        self._energy_kwh = self._random.uniform(1e7, 9e7, count).round()
        self._hours = self._random.uniform(100.0, 5000.0, count)
        self._starts = self._random.integers(20, 400, count).astype(np.float64)
        self._areas, self._bearings = GasAreas(count, seed), Bearings(count, seed)
        self._signals: dict[str, Array] = {}
        self._observe()

    @property
    def names(self) -> tuple[str, ...]:
        """The signals there are."""
        return tuple(self._signals)

    def signal(self, name: str) -> Array:
        """One signal of every unit, in its engineering unit."""
        return self._signals[name]

    def matrix(self) -> Array:
        """All signals: a row each in the order of `names`, a column a unit."""
        return np.stack(list(self._signals.values()))

    def order(self, name: str, unit: int, seconds: float, place: str = "") -> None:
        """Start or stop a unit, or let an accident happen to it, or at a place of it, for some time."""
        assert name in ORDERS, name
        if name in PLACED:
            assert place in PLACED[name], place
            begin = {
                "gas-leak": self._areas.leak,
                "gas-test": self._areas.test,
                "bearing-wear": self._bearings.wear,
            }
            begin[name](place, unit, seconds)
        elif name == "start" and self.phase[unit] == Phase.STOPPED:
            self.phase[unit] = Phase.FIRING
            self._starts[unit] += 1
        elif name in ("stop", "trip"):
            self.phase[unit] = Phase.STOPPED
        else:
            self._faults[name][unit] = seconds

    def step(self, dt: float) -> None:
        """Let `dt` seconds pass."""
        steps = max(1, math.ceil(dt / STEP_MAX_S))
        for _ in range(steps):
            self._advance(dt / steps)
        self._observe()

    def _advance(self, h: float) -> None:
        keep = np.exp(-h / self._tau)
        self._ou = self._ou * keep + np.sqrt(1 - keep * keep) * self._random.normal(size=self._ou.shape)
        for left in self._faults.values():
            np.maximum(left - h, 0.0, out=left)
        self._dispatch(h)
        self._boil(h)
        self._turn(h)
        self._burn(h)
        self._areas.step(h)
        self._bearings.step(h, (self.phase != Phase.STOPPED).astype(np.float64), self._load)
        self._hours += h / 3600.0 * (self.phase == Phase.ONLINE)
        self._energy_kwh += self._load * FULL_LOAD_MW * 1000.0 * h / 3600.0

    def _dispatch(self, h: float) -> None:
        online = self.phase == Phase.ONLINE
        self._hold_s -= h
        due = self._hold_s <= 0
        self._target = np.where(due, self._random.uniform(0.5, 1.0, self.count), self._target)
        self._hold_s = np.where(due, self._random.uniform(200.0, 900.0, self.count), self._hold_s)
        goal = np.where(online, self._target, 0.0)
        goal = np.where(
            self._failed("feed-pump-trip") | self._failed("fan-trip"), np.minimum(goal, 0.5), goal
        )
        # A runback after the loss of a pump or fan goes at 100% a minute, far above dispatch.
        rate = np.where(goal < self._demand - 0.1, RAMP_PER_S * 20, RAMP_PER_S)
        self._demand += np.clip(goal - self._demand, -rate * h, rate * h)

    def _boil(self, h: float) -> None:
        lit = self.phase != Phase.STOPPED
        online = self.phase == Phase.ONLINE
        error = 0.5 + 0.5 * self._demand - self._pressure
        self._trim = np.where(online, np.clip(self._trim + error * h / 400.0, -0.15, 0.15), 0.0)
        wanted = np.where(
            online, np.maximum(self._demand + 0.8 * error + self._trim, 0.22), np.where(lit, 0.3, 0.0)
        )
        self._fuel += (np.clip(wanted, 0.0, 1.15) - self._fuel) * _share(h, np.where(lit, 15.0, 2.0))
        calorific = 1.0 + 0.015 * self._noise("coal") - 0.12 * self._failed("coal-wet")
        burning = self._fuel * calorific * (1.0 + 0.004 * self._noise("flame"))
        self._heat += (burning - self._heat) * _share(h, 50.0)
        leak = 0.06 * self._failed("tube-leak")
        spare = np.where(online, 0.12 + 0.5 * self._demand, 0.1)
        bypass = 0.4 * np.maximum(self._pressure - 0.5 - spare, 0.0) + np.where(online, 0.0, 0.0005)
        self._pressure += (self._heat - self._steam - leak - bypass) * h / 150.0
        self._pressure = np.clip(self._pressure, 0.01, 1.12)
        self._hot += (np.where(lit, 1.0, 0.0) - self._hot) * _share(h, np.where(lit, 200.0, 6000.0))
        self._feed += (self._steam + leak - 0.15 * self._level - self._feed) * _share(h, 8.0)
        swell = 0.05 * self._noise("drum")
        self._level += (self._feed - self._steam - leak) * h / 60.0 + (swell - self._level) * h / 120.0
        ready = (
            (self.phase == Phase.FIRING) & (self._fuel > 0.25) & (self._pressure > 0.3) & (self._hot > 0.7)
        )
        self.phase[ready] = Phase.ROLLING

    def _turn(self, h: float) -> None:
        online = self.phase == Phase.ONLINE
        rolling = self.phase == Phase.ROLLING
        droop = (50.0 - self._frequency()) / 50.0 * 20.0
        error = self._demand + np.where(np.abs(droop) > 0.013, droop * 0.5, 0.0) - self._load
        self._valve = np.where(online, np.clip(self._valve + error * h / 25.0, 0.0, 1.06), 0.0)
        self._steam += (self._valve * self._pressure - self._steam) * _share(h, 3.0)
        efficiency = 1.0 - 0.012 * (self._vacuum - 5.0)
        self._load += (np.where(online, self._steam * efficiency, 0.0) - self._load) * _share(h, 3.0)
        self._speed = np.where(
            online,
            self._frequency() / 50.0,
            np.where(rolling, np.minimum(self._speed + h / 240.0, 1.0), self._speed * (1 - _share(h, 500.0))),
        )
        synchronised = rolling & (self._speed >= 1.0)
        self.phase[synchronised] = Phase.ONLINE
        self._target = np.where(synchronised, 0.5, self._target)
        lost = 12.0 * self._failed("vacuum-loss") + 0.15 * self._noise("vacuum")
        dirty = np.where(self._failed("condenser-fouling"), FOULED_CLEANLINESS, 1.0)
        self._cleanliness += (dirty - self._cleanliness) * _share(h, FOULING_S)
        lost = lost + pressure_rise_kpa(self._river(), WARMING_K * self._steam, self._cleanliness)
        clean = np.where(self._speed > 0.5, self._clean_vacuum(), 60.0)
        self._vacuum += (clean + lost - self._vacuum) * _share(h, 30.0)

    def _clean_vacuum(self) -> Array:
        """Pressure of a clean condenser, kPa."""
        return saturation_kpa(self._river() + WARMING_K * self._steam + APPROACH_K)

    def _burn(self, h: float) -> None:
        excess = 1.0 + 0.02 * self._noise("o2")
        lit = self.phase != Phase.STOPPED
        air = np.where(lit, np.maximum(self._fuel, 0.3) * excess, 0.12)
        air = np.where(self._failed("fan-trip"), np.minimum(air, 0.55), air)
        self._air += (air - self._air) * _share(h, 10.0)
        ratio = np.where(self._fuel > 0.05, self._air / np.maximum(self._fuel, 0.05), 6.0)
        self._o2 += (np.clip(21.0 - 17.5 / np.maximum(ratio, 0.5), 0.3, 20.9) - self._o2) * _share(h, 8.0)
        self._gas += (self._heat - self._gas) * _share(h, 70.0)
        self._metal += (self._load - self._metal) * _share(h, 900.0)
        # Mills start above, and stop below, what the running ones carry: a band keeps them from chattering.
        running = self._mills.sum(axis=0)
        more = (self._fuel > running * 0.205) & (running < MILLS)
        less = (self._fuel < (running - 1) * 0.185) & (running > 0)
        wanted = running + more - less
        self._mills = (np.arange(MILLS)[:, None] < wanted).astype(np.float64)

    def _observe(self) -> None:
        signals = {**self._steam_side(), **self._gas_side(), **self._cold_side(), **self._machine_side()}
        signals |= {**self._areas.signals(), **self._bearings.signals(signals["amb_t"])}
        self._signals = {name: np.asarray(value, np.float64) for name, value in signals.items()}

    def _steam_side(self) -> dict[str, Array]:
        hot, load, noise = self._hot, self._load, self._noise
        main_t = 22.0 + 516.0 * hot + 2.2 * noise("steam_t") - 6.0 * (self._fuel - self._heat)
        reheat_t = 22.0 + (494.0 + 22.0 * np.minimum(load * 1.4, 1.0)) * hot + 3.0 * noise("reheat_t")
        feed_t = 40.0 + hot * (150.0 + 85.0 * load)
        return {
            "demand": self._demand * FULL_LOAD_MW,
            "drum_p": 18.4 * self._pressure + 0.3 * self._steam,
            "ms_p": 16.7 * self._pressure,
            "ms_t": main_t,
            "ms_flow": 1800.0 * self._steam * (1 + 0.002 * noise("feed")),
            "rh_p": 3.55 * self._steam,
            "crh_p": 3.92 * self._steam,
            "rh_t": reheat_t,
            "drum_l": 1000.0 * self._level * 0.6 + 6.0 * noise("drum"),
            "feed_flow": 1800.0 * self._feed * (1 + 0.006 * noise("feed")),
            "feed_p": np.where(self._feed > 0.02, 18.9 * self._pressure + 1.4, 0.1),
            "feed_t": feed_t,
            "spray": np.maximum(0.0, 60.0 * self._heat * hot + 9.0 * noise("spray")),
            "ext_p": self._steam,
            "furnace_load": self._heat,
            "steam_frac": self._steam,
        }

    def _gas_side(self) -> dict[str, Array]:
        gas, noise = self._gas, self._noise
        clean = np.where(self._fuel > 0.05, 1.0, 0.02)
        signals = {
            "fuel": FULL_COAL_T_H * self._fuel,
            "air": 2050.0 * self._air,
            "o2": self._o2 + 0.05 * noise("flame"),
            "furnace_p": -80.0 + 25.0 * noise("furnace") + 300.0 * (self._air - self._fuel) * clean,
            "gas_t": 60.0 + 1000.0 * gas**0.35 + 8.0 * noise("gas"),
            "eco_t": 40.0 + 335.0 * gas**0.4 + 1.8 * noise("gas"),
            "aph_t": 30.0 + 98.0 * gas**0.5 + 0.9 * noise("gas"),
            "hot_air_t": 25.0 + 300.0 * gas**0.4 + 1.0 * noise("gas"),
            "pa_p": 9.2 * np.minimum(1.0, self._fuel * 4) + 0.12 * noise("flame"),
            "sa_p": 0.5 + 2.3 * self._air + 0.03 * noise("furnace"),
            "gas_flow": 60.0 + 2150.0 * gas,
            "so2_in": clean * (2250.0 + 160.0 * noise("so2")),
            "so2_out": clean * np.maximum(2.0, 22.0 + 3.5 * noise("so2") + 1.2 * noise("slurry")),
            "nox_in": clean * (330.0 + 45.0 * (self._o2 - 3.5) + 12.0 * noise("nox")),
            "nox_out": clean * np.maximum(3.0, 38.0 + 5.0 * noise("nox")),
            "nh3": clean * np.maximum(0.1, 1.6 + 0.35 * noise("ammonia")),
            "dust": clean * np.maximum(0.3, 3.8 + 0.6 * noise("dust")),
            "co": clean * np.maximum(1.0, 60.0 + 25.0 * noise("carbon_monoxide")),
            "slurry_ph": 5.55 + 0.12 * noise("slurry"),
            "slurry_density": 1125.0 + 6.0 * noise("slurry"),
            "ash": clean * (30.0 * self._fuel + 2.0 * noise("ash")),
        }
        share = self._fuel * FULL_COAL_T_H / np.maximum(self._mills.sum(axis=0), 1.0)
        for mill in range(MILLS):
            signals[f"mill_{mill + 1}"] = self._mills[mill] * share * (1.0 + 0.01 * (mill - 2.5))
        return signals

    def _cold_side(self) -> dict[str, Array]:
        noise, turning = self._noise, np.where(self._speed > 0.3, 1.0, 0.05)
        cooling = self._river()
        return {
            "cond_p": self._vacuum,
            "cw_in": cooling,
            "cw_out": cooling + WARMING_K * self._steam,
            "cw_flow": 62.0 * turning + 0.4 * noise("bus"),
            "hotwell": 900.0 + 22.0 * noise("hotwell"),
            "cond_flow": turning * (150.0 + 1220.0 * self._steam + 8.0 * noise("hotwell")),
            "dea_p": 0.14 + 0.78 * self._steam,
            "dea_t": 108.0 + 66.0 * self._steam**0.7,
            "dea_l": 2350.0 + 30.0 * noise("deaerator"),
            "conductivity": np.maximum(0.05, 0.14 + 0.012 * noise("chemistry")),
            "water_ph": 9.25 + 0.04 * noise("chemistry"),
            "oxygen": np.maximum(0.5, 4.5 + 0.7 * noise("chemistry")),
            "amb_t": 15.0 + 6.0 * noise("weather"),
            "amb_p": 1013.2 + 5.0 * noise("barometer"),
            "amb_rh": np.clip(62.0 + 14.0 * noise("humidity"), 5.0, 100.0),
        }

    def _machine_side(self) -> dict[str, Array]:
        noise, load, speed = self._noise, self._load, self._speed
        live = (self.phase == Phase.ONLINE).astype(np.float64)
        volts = live * (20.0 + 0.06 * noise("voltage"))
        reactive = live * (110.0 + 25.0 * noise("reactive"))
        megawatts = load * FULL_LOAD_MW
        auxiliary = 4.0 + 26.0 * self._heat
        apparent = np.hypot(megawatts, reactive)
        critical = np.exp(-(((speed - 0.55) / 0.06) ** 2))  # the rotor's critical speed, passed at each start
        return {
            "load": megawatts,
            "freq": self._frequency() * np.ones(self.count),
            "speed": 3000.0 * speed,
            "valve": 100.0 * self._valve / 1.06,
            "gen_v": volts,
            "gen_i": apparent / (math.sqrt(3.0) * 20.0),
            "mvar": reactive,
            "gen_t": 38.0 + 45.0 * self._metal,
            "exc_i": live * (1400.0 + 2100.0 * load + 60.0 * noise("reactive")),
            "h2_p": 0.402 + 0.003 * noise("hydrogen"),
            "h2_t": 38.0 + 6.0 * self._metal + 0.5 * noise("hydrogen"),
            "brg_t": 45.0 + 25.0 * np.minimum(speed, 1.0) + 1.5 * noise("bearing"),
            "vib": speed * (42.0 + 3.0 * noise("vibration")) + 90.0 * critical,
            "oil_p": 0.182 + 0.0008 * noise("oil"),
            "oil_t": 43.0 + 1.2 * noise("oil"),
            "metal_t": 60.0 + 440.0 * self._hot,
            "bus": 6.25 + 0.03 * noise("bus"),
            "aux": auxiliary,
            "imported": auxiliary * (1.0 - live),
            "energy": np.floor(self._energy_kwh),
            "hours": np.floor(self._hours),
            "starts": self._starts,
            "mode": self.phase.astype(np.float64),
            "live": live,
            "lit": (self.phase != Phase.STOPPED).astype(np.float64),
            "tripped": sum(
                (code * self._failed(name) for code, name in enumerate(ACCIDENTS, 1)), np.zeros(self.count)
            ),
            "one": np.ones(self.count),
        }

    def _noise(self, name: str) -> Array:
        row: Array = self._ou[self._ou_row[name]]
        return row

    def _failed(self, name: str) -> npt.NDArray[np.bool_]:
        return self._faults[name] > 0

    def _frequency(self) -> float:
        """One grid for all units."""
        return 50.0 + 0.012 * float(self._ou[self._ou_row["frequency"], 0])

    def _river(self) -> Array:
        return 21.0 + 2.5 * self._noise("cooling")


def _share(h: float, tau: Array | float) -> Array:
    """How far a first-order lag goes in `h` seconds."""
    return np.asarray(1.0 - np.exp(-h / np.asarray(tau)))
