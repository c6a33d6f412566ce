"""The carbon account, by the formulas of GB/T 32151.1-2015, from all samples at once."""

from __future__ import annotations

import math
from typing import NamedTuple

from edge_runtime.rules.apps.recording import Recording
from tests.apps.plainly import Alarms, Event, Expected, Held, High, numbers, scans

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
STANDARD_COAL_GJ_T = 29.3076
"""7000 kcal/kg: GB/T 2589-2020."""

INPUTS = ("coal_flow", "gross_power", "auxiliary_power", "purchased_power")

LOST = "carbon: an input is lost, the account has a hole"
UNLIKELY = "carbon: power without coal"
DEAR = "coal for each kW.h supplied is high"
HOUR = "carbon: hour closed, t of CO2"
HOLE = "carbon: the hour that ended is not fully measured"
DAY = "carbon: day closed, t of CO2"


def combustion_t(coal_t: float, p: dict[str, float]) -> float:
    """E = AD x EF: AD = FC x NCV in GJ, EF = CC x OF x 44/12 in t/GJ. Clause 5.2.1."""
    activity_gj = coal_t * p["heating_value"]
    factor_t_gj = p["carbon_content"] * p["oxidised"] * 44 / 12
    return activity_gj * factor_t_gj


def desulphurisation_t(coal_t: float, p: dict[str, float]) -> float:
    """E = CAL x EF: CAL the carbonate in the limestone, EF 0.440 t of CO2 for each t of CaCO3."""
    limestone_t = coal_t * p["limestone_per_coal"]
    return limestone_t * p["carbonate_share"] * 0.440


def purchased_t(energy_mwh: float, p: dict[str, float]) -> float:
    """E = AD x EF of the grid."""
    return energy_mwh * p["grid_factor"]


def standard_coal_g_kwh(coal_t: float, net_mwh: float, p: dict[str, float]) -> float:
    """Coal of 29.3076 GJ/t for each kW.h supplied."""
    return coal_t * p["heating_value"] / STANDARD_COAL_GJ_T * 1e6 / (net_mwh * 1e3)


class Piece(NamedTuple):
    """What passed between two good samples: by trapezia, in t and MW.h."""

    end_ms: int
    hours: float
    coal: float
    gross: float
    auxiliary: float
    purchased: float


class Sums(NamedTuple):
    """A period."""

    covered_h: float
    coal: float
    gross: float
    auxiliary: float
    purchased: float

    @property
    def net(self) -> float:
        """Supplied: generated less what the unit itself used of it."""
        return self.gross - (self.auxiliary - self.purchased)

    def co2(self, p: dict[str, float]) -> float:
        """All three sources."""
        return combustion_t(self.coal, p) + desulphurisation_t(self.coal, p) + purchased_t(self.purchased, p)


def expect(recording: Recording) -> Expected:
    """Outputs and events of a recording that holds no more than a day's end."""
    p, expected = numbers(recording), Expected()
    pieces = _pieces(recording, p)
    _sums(recording, pieces, p, expected)
    _now(recording, p, expected)
    return expected


def _pieces(recording: Recording, p: dict[str, float]) -> list[Piece]:
    found = []
    before: tuple[int, list[float]] | None = None
    for now, value in scans(recording):
        seen = [cell for cell in (value[name] for name in INPUTS) if cell is not None]
        if len(seen) < len(INPUTS):
            continue
        if before is not None and now - before[0] <= p["hole"]:
            hours = (now - before[0]) / HOUR_MS
            means = [(one + other) / 2 * hours for one, other in zip(before[1], seen, strict=True)]
            found.append(Piece(now, hours, *means))
        before = now, seen
    return found


def _total(pieces: list[Piece], begin_ms: float, until_ms: float) -> Sums:
    """Of the pieces that end after `begin_ms`, up to and at `until_ms`."""
    inside = [piece for piece in pieces if begin_ms < piece.end_ms <= until_ms]
    return Sums(*(math.fsum(piece[at] for piece in inside) for at in range(1, 6)))


def _sums(recording: Recording, pieces: list[Piece], p: dict[str, float], expected: Expected) -> None:
    """Of this hour and day, and of the last ones; a scan on the hour belongs to the hour before."""
    closed: dict[str, Sums | None] = {"hour": None, "day": None}
    begun: dict[str, int] = {}
    for now, value in scans(recording):
        cells: dict[str, float] = {}
        marks: dict[str, int] = {}
        whole = all(value[name] is not None for name in INPUTS)
        for period, length, shift in (("hour", HOUR_MS, 0.0), ("day", DAY_MS, p["day_offset"])):
            begin = int((now + shift - 1) // length * length - shift)
            if begin != begun.setdefault(period, begin):
                last = closed[period] = _total(pieces, begun[period], begun[period] + length)
                begun[period] = begin
                text = HOUR if period == "hour" else DAY
                expected.events.append(Event(now, "event", text, last.co2(p)))
                covered = last.covered_h / (length / HOUR_MS)
                if period == "hour" and covered < p["covered_least"]:
                    expected.events.append(Event(now, "event", HOLE, covered))
            current = _total(pieces, begin, now)
            cells |= {
                f"coal_{period}": current.coal, f"co2_{period}": current.co2(p),
                f"gross_{period}": current.gross, f"net_{period}": current.net,
            }  # fmt: skip
            marks |= {f"co2_{period}": 0 if whole else 1}
            cells |= _last(period, closed[period], length, p)
            full = cells[f"covered_last_{period}"] >= p["covered_least"]
            marks |= {f"co2_last_{period}": 0 if full else 1}
        expected.row(marks, **cells)


def _last(period: str, last: Sums | None, length_ms: int, p: dict[str, float]) -> dict[str, float]:
    names = ("coal", "co2", "net", "covered")
    found = dict.fromkeys([f"{name}_last_{period}" for name in names] + [f"coal_rate_last_{period}"], 0.0)
    if last is not None:
        values = (last.coal, last.co2(p), last.net, last.covered_h / (length_ms / HOUR_MS))
        found = {f"{name}_last_{period}": value for name, value in zip(names, values, strict=True)}
        rate = standard_coal_g_kwh(last.coal, last.net, p) if last.net > 0 else 0.0
        found[f"coal_rate_last_{period}"] = rate
    return found


def _now(recording: Recording, p: dict[str, float], expected: Expected) -> None:
    """What is burnt and supplied now, and the alarms."""
    alarms = Alarms(expected.events)
    lost_on, unlikely_on = Held(p["input_delay"]), Held(p["input_delay"])
    dear_on = High(p["coal_rate_high"], 5.0, p["rate_delay"], p["rate_delay"])
    coal_smooth = net_smooth = 0.0
    last: dict[str, float] = dict.fromkeys(INPUTS, 0.0)
    last_ms: int | None = None
    for now, value in scans(recording):
        seen = {name: cell for name, cell in value.items() if cell is not None}
        good = len(seen) == len(INPUTS)
        if good:
            passed = 0 if last_ms is None or now - last_ms > p["hole"] else now - last_ms
            part = 1.0 if last_ms is None else passed / (p["smooth"] + passed)
            coal_smooth += part * (seen["coal_flow"] - coal_smooth)
            net_smooth += part * (seen["gross_power"] - seen["auxiliary_power"] - net_smooth)
            last, last_ms = seen, now
        loaded = net_smooth > 1.0
        rate = standard_coal_g_kwh(coal_smooth, net_smooth, p) if loaded else 0.0
        fuel_co2 = combustion_t(1.0, p) + desulphurisation_t(1.0, p)
        lost = lost_on(now, not good)
        power = good and last["coal_flow"] < p["coal_least"] and last["gross_power"] > 100.0
        unlikely = unlikely_on(now, power)
        alarms.follow(LOST, now, lost, 0.0)
        # An alarm tells the last good value, also of an input that is bad.
        alarms.follow(UNLIKELY, now, unlikely, None)
        alarms.follow(DEAR, now, dear_on(now, rate), rate)
        mark = 0 if good else 2
        expected.row(
            {"co2_flow": mark, "coal_rate": mark if loaded else None},
            coal_rate=rate,
            co2_flow=last["coal_flow"] * fuel_co2 + purchased_t(last["purchased_power"], p),
            co2_intensity=coal_smooth * fuel_co2 / net_smooth if loaded else 0.0,
            auxiliary_ratio=100.0 * last["auxiliary_power"] / max(last["gross_power"], 1.0)
            if loaded
            else 0.0,
            input_lost=lost,
            implausible=unlikely,
        )
