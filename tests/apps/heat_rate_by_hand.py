"""Heat rate and losses in plain Python, with the steam properties of CoolProp (IAPWS-IF97)."""

from __future__ import annotations

from collections.abc import Iterable

from CoolProp.CoolProp import PropsSI

from edge_runtime.rules.apps.recording import Recording
from tests.apps.plainly import Alarms, Expected, High, numbers, scans

KELVIN = 273.15

VALID = ("power", "main_temperature", "hot_reheat_temperature", "cold_reheat_temperature",
         "feedwater_temperature", "main_pressure", "cold_reheat_pressure")  # fmt: skip
"""What says whether there is a heat rate at all: while one of them is bad, nothing is averaged."""

NEEDS = {
    "heat_rate": ("main_flow", "hot_reheat_pressure", "feedwater_pressure"),
    "main_temperature_loss": (),
    "reheat_temperature_loss": (),
    "main_pressure_loss": (),
    "condenser_loss": ("condenser_pressure", "cooling_water_temperature"),
    "oxygen_loss": ("oxygen",),
    "feedwater_loss": (),
}
"""What each result needs besides."""

ALARMS = {
    "main_temperature": "main steam temperature costs heat rate",
    "reheat_temperature": "reheat temperature costs heat rate",
    "main_pressure": "main steam pressure costs heat rate",
    "condenser": "condenser pressure costs heat rate: look for fouling or air",
    "oxygen": "excess air costs heat rate",
    "feedwater": "feed water temperature costs heat rate",
}
"""Of a loss; the text of its alarm."""

VACUUM = "condenser pressure high"
FLOOD = "alarm flood"
CHATTER = "an alarm chatters: look at its band and delay"


def enthalpy(mpa: float, celsius: float) -> float:
    """kJ/kg."""
    return float(PropsSI("H", "P", mpa * 1e6, "T", celsius + KELVIN, "IF97::Water")) / 1000


def saturation_kpa(celsius: float) -> float:
    """Of water."""
    return float(PropsSI("P", "T", celsius + KELVIN, "Q", 0, "IF97::Water")) / 1000


def is_valid(v: dict[str, float], p: dict[str, float]) -> bool:
    """Whether the unit is loaded and its steam superheated."""
    return (
        v["power"] >= p["power_least"]
        and v["main_temperature"] > 400.0
        and v["hot_reheat_temperature"] > 350.0
        and v["cold_reheat_temperature"] > 260.0
        and v["feedwater_temperature"] < 340.0
        and v["cold_reheat_pressure"] * 1000 < saturation_kpa(v["cold_reheat_temperature"])
    )


def enthalpies(v: dict[str, float]) -> dict[str, float]:
    """Of the four flows, by output."""
    names = ("main", "feedwater", "hot_reheat", "cold_reheat")
    return {f"{each}_enthalpy": enthalpy(v[f"{each}_pressure"], v[f"{each}_temperature"]) for each in names}


def results(v: dict[str, float], p: dict[str, float]) -> dict[str, float]:
    """Heat rate and losses of one scan, not averaged."""
    load = v["power"] / p["power_full"]
    h = enthalpies(v)
    turbine_kw = v["main_flow"] / 3.6 * (h["main_enthalpy"] - h["feedwater_enthalpy"])
    reheater_kw = (
        v["main_flow"] / 3.6 * p["reheat_share"] * (h["hot_reheat_enthalpy"] - h["cold_reheat_enthalpy"])
    )
    percent = p["heat_rate_design"] / 100
    pressure = p["main_pressure_none"] + (p["main_pressure_full"] - p["main_pressure_none"]) * load
    feedwater = p["feedwater_none"] + (p["feedwater_full"] - p["feedwater_none"]) * load
    main_short = p["main_temperature_target"] - v["main_temperature"]
    reheat_short = p["reheat_temperature_target"] - v["hot_reheat_temperature"]
    return {
        "heat_rate": (turbine_kw + reheater_kw) * 3600 / (v["power"] * 1000),
        "main_temperature_loss": main_short * p["per_main_kelvin"] * percent,
        "reheat_temperature_loss": reheat_short * p["per_reheat_kelvin"] * percent,
        "main_pressure_loss": (pressure - v["main_pressure"]) * p["per_main_mpa"] * percent,
        "condenser_loss": (v["condenser_pressure"] - target_kpa(v, p)) * p["per_condenser_kpa"] * percent,
        "oxygen_loss": (v["oxygen"] - p["oxygen_target"]) * p["per_oxygen_percent"] * percent,
        "feedwater_loss": (feedwater - v["feedwater_temperature"]) * p["per_feedwater_kelvin"] * percent,
    }


def target_kpa(v: dict[str, float], p: dict[str, float]) -> float:
    """Pressure of a clean condenser."""
    rise = p["cooling_rise_full"] * v["power"] / p["power_full"]
    return saturation_kpa(v["cooling_water_temperature"] + rise + p["terminal_difference"])


def expect(recording: Recording) -> Expected:
    """Outputs and events of a recording whose first scan is good and valid."""
    p, expected = numbers(recording), Expected()
    alarms = Alarms(expected.events)
    delay, delay_c = p["loss_delay"], p["condenser_delay"]
    vacuum_on = High(p["condenser_high"], 0.2, delay_c, delay_c)
    loss_on = {each: High(p["loss_high"], 10.0, delay, delay) for each in ALARMS}
    performance = Performance(p)
    last: dict[str, float] = {}
    smooth: dict[str, float] = {}
    shown: dict[str, float] = {}
    for now, value in scans(recording):
        last |= {name: seen for name, seen in value.items() if seen is not None}
        bad = {name for name, seen in value.items() if seen is None}
        valid = is_valid(last, p)
        if valid:
            fresh = results(last, p)
            for name, found in fresh.items():
                if not bad.intersection((*VALID, *NEEDS[name])):
                    smooth[name] = smooth.get(name, found) + p["smoothing"] * (
                        found - smooth.get(name, found)
                    )
            shown = enthalpies(last) | {"condenser_target": target_kpa(last, p)}
        losses = {each: smooth[f"{each}_loss"] for each in ALARMS}
        standing = {each: loss_on[each](now, losses[each] if valid else 0.0) for each in ALARMS}
        pressure = last["condenser_pressure"] if valid else 0.0
        standing["vacuum"] = vacuum_on(now, pressure)
        for each, text in ALARMS.items():
            alarms.follow(text, now, standing[each], losses[each] if valid else 0.0)
        alarms.follow(VACUUM, now, standing["vacuum"], pressure)
        old = 0 if valid else 1
        marks = {name: _mark(bad, NEEDS[name], old) for name in NEEDS}
        marks["total_loss"] = max(marks[f"{each}_loss"] for each in ALARMS)
        expected.row(
            marks,
            **smooth,
            **shown,
            total_loss=sum(losses.values()),
            valid=valid,
            condenser_alarm=standing["vacuum"],
            condenser_loss_alarm=standing["condenser"],
            **{f"{each}_alarm": standing[each] for each in ALARMS if each != "condenser"},
            **performance(now, standing, alarms),
        )
    return expected


def _mark(bad: set[str], needs: Iterable[str], old: int) -> int:
    return 2 if bad.intersection((*VALID, *needs)) else old


class Performance:
    """Alarms that began in the running minute and the nine before it."""

    def __init__(self, p: dict[str, float]) -> None:
        self._p = p
        self._begun: list[tuple[int, str]] = []
        self._stood: set[str] = set()

    def __call__(self, now_ms: int, standing: dict[str, bool], alarms: Alarms) -> dict[str, bool | int]:
        """Outputs of one scan."""
        minute = now_ms // 60_000
        stands = {each for each, is_active in standing.items() if is_active}
        self._begun += [(minute, each) for each in stands - self._stood]
        self._stood = stands
        recent = sum(begun > minute - 10 for begun, _ in self._begun)
        most = max((self._begun.count((minute, each)) for each in standing), default=0)
        flood, chatters = recent > self._p["flood_count"], most >= self._p["chatter_count"]
        return {
            "alarms_10_minutes": recent,
            "standing_alarms": len(stands),
            "flood": alarms.follow(FLOOD, now_ms, flood, recent),
            "chattering": alarms.follow(CHATTER, now_ms, chatters, 0.0),
        }
