"""Which instruments a unit has: about a thousand points, in groups of like ones.

A group is a row of `instruments.csv`: where it sits (KKS system code, VGB-B 105), what it
measures (KKS component code: CP pressure, CT temperature, CF flow, CL level, CY vibration,
CE electrical, CS speed, CQ analysis, CG position, AP pump, AN fan, AA valve), which signal
of the unit drives it, and how its transmitter sees that signal. Resolutions are what such
instruments deliver: 0.1 Cel for thermocouples, 1 mm for levels, 0.01 MPa for pressures.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from importlib.resources.abc import Traversable

POINTS_A_UNIT = 1000


class Kind(StrEnum):
    """What the device holds; the words of the point table's column `type`."""

    BOOL = "bool"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    F32 = "f32"
    F64 = "f64"
    STRING = "string"


@dataclass(frozen=True, slots=True)
class PlantPoint:
    """One instrument.

    Args:
        name: Its tag, unique in the plant.
        kind: What the device holds.
        unit: UCUM code of the scaled value.
        decimals: The value is a whole multiple of `10**-decimals`; -1 for raw floats.
        scale: Engineering value = held value * scale.
        low: Lower end of the instrument's range, engineering units; `None` for texts.
        high: Upper end.
        block: Number of the unit, or of the replayed table; 0 and up.
        description: For people.
    """

    name: str
    kind: Kind
    unit: str
    decimals: int
    scale: float
    low: float | None
    high: float | None
    block: int
    description: str


@dataclass(frozen=True, slots=True)
class Group:
    """Instruments that differ by their number only.

    Args:
        system: KKS system code.
        component: KKS component code.
        count: How many.
        signal: What drives them, a name of `unit.CoalUnits`.
        gain: Value = signal * gain + bias.
        bias: See `gain`.
        spread: Standard deviation of the difference between instruments, engineering units.
        lag_s: Time constant of the instrument; 0 for none.
        noise: Standard deviation of its noise, engineering units.
        decimals: Its resolution.
        kind: What the device holds.
        unit: UCUM code.
        low: Lower end of its range.
        high: Upper end.
        text: Description; a number is added.
    """

    system: str
    component: str
    count: int
    signal: str
    gain: float
    bias: float
    spread: float
    lag_s: float
    noise: float
    decimals: int
    kind: Kind
    unit: str
    low: float
    high: float
    text: str


def read_groups(file: Traversable) -> tuple[Group, ...]:
    """Read groups from a CSV file whose columns are the fields of `Group`."""
    rows = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))
    return tuple(_group(row) for row in rows)


def _group(row: dict[str, str]) -> Group:
    gain, bias, spread, lag_s, noise, low, high = (
        float(row[name]) for name in ("gain", "bias", "spread", "lag_s", "noise", "low", "high")
    )
    return Group(
        row["system"],
        row["component"],
        int(row["count"]),
        row["signal"],
        gain,
        bias,
        spread,
        lag_s,
        noise,
        int(row["decimals"]),
        Kind(row["kind"]),
        row["unit"],
        low,
        high,
        row["text"],
    )


ANALOG = read_groups(resources.files("scripts.plant") / "instruments.csv")
"""Boiler, fuel, air and flue gas, cleaning, turbine, condenser, feed water, generator, gas, bearings."""

COUNTERS = (
    # system, component, signal, gain, kind, unit, text
    ("MKA90", "CE", "energy", 1, Kind.UINT32, "kW.h", "energy delivered"),
    ("MKA91", "CE", "hours", 1, Kind.UINT32, "h", "hours online"),
    ("MKA92", "CE", "starts", 1, Kind.UINT16, "{count}", "starts"),
    ("MKA93", "CE", "mode", 1, Kind.UINT16, "{code}", "mode: 0 stopped, 1 firing, 2 rolling, 3 online"),
    ("MKA94", "CE", "tripped", 1, Kind.INT16, "{code}", "accident: 0 none"),
    ("LBA90", "CF", "ms_flow", 1000, Kind.INT32, "kg/h", "main steam flow, computed"),
)

SWITCHES = (
    # system, component, count, signal, threshold, text; a negative threshold means "below its absolute value"
    ("HFC90", "AV", 6, "mill_{n}", 1.0, "mill running"),
    ("HFB90", "AF", 6, "mill_{n}", 1.0, "coal feeder running"),
    ("HHQ90", "CQ", 16, "lit", 0.5, "flame seen"),
    ("HLB90", "AN", 2, "lit", 0.5, "forced draught fan running"),
    ("HFE90", "AN", 2, "lit", 0.5, "primary air fan running"),
    ("HNC90", "AN", 2, "lit", 0.5, "induced draught fan running"),
    ("LAC90", "AP", 3, "feed_flow", 60.0, "feed pump running"),
    ("LCB90", "AP", 3, "cond_flow", 100.0, "condensate pump running"),
    ("PAC90", "AP", 3, "cw_flow", 20.0, "cooling water pump running"),
    ("MAA90", "AA", 8, "valve", 2.0, "control valve open"),
    ("MAY90", "EZ", 6, "live", -0.5, "turbine trip channel"),
    ("BAC90", "GS", 2, "live", 0.5, "generator breaker closed"),
    ("HAD90", "CL", 4, "drum_l", 60.0, "drum level high"),
    ("HAH90", "AA", 8, "spray", 35.0, "spray block valve open"),
    ("LBS90", "AA", 12, "ext_p", 0.2, "extraction valve open"),
    ("HTF90", "AP", 4, "lit", 0.5, "slurry pump running"),
    ("HQA90", "GS", 12, "lit", 0.5, "precipitator field on"),
    ("CYQ10", "GS", 1, "gas_test_1", 0.5, "test of gas detectors at the generator"),
    ("CYQ20", "GS", 1, "gas_test_2", 0.5, "test of gas detectors at the ammonia vaporisers"),
    ("CYQ30", "GS", 1, "gas_test_3", 0.5, "test of gas detectors at the coal bunkers"),
    ("CYQ40", "GS", 1, "gas_test_4", 0.5, "test of gas detectors at the ignition gas station"),
)

TEXTS = (
    # system, component, signal, choices, text
    ("CJA10", "EA", "mode", ("STOPPED", "FIRING", "ROLLING", "COORDINATED"), "unit mode"),
    (
        "CJA20", "EA", "tripped",
        ("NONE", "TUBE LEAK", "VACUUM LOSS", "FEED PUMP TRIP", "FAN TRIP", "WET COAL",
         "CONDENSER FOULING"), "first cause",
    ),
    ("CJA30", "EA", "live", ("OPEN", "CLOSED"), "breaker"),
    ("CJA40", "EA", "one", ("", "烟煤 5500"), "coal in use"),
)  # fmt: skip
