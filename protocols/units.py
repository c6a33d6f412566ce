"""Units of measure: a light check against UCUM.

The full code has some 300 atoms; this knows those of process plants. So a unit that it
does not know is reported as a warning, with the code when the plant's usual spelling is
known; only what no unit can look like is refused.

Source: The Unified Code for Units of Measure (UCUM), version 2.1, sections 2.1 and 4.

>>> check("t/h"), check("℃")
(None, UnitFault(reason="not a UCUM unit; write 'Cel'", hopeless=False))
>>> check("m3/(h").hopeless
True
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from protocols import limits


class UnitFault(NamedTuple):
    """What is wrong with a unit.

    Args:
        reason: What was found and what to write instead.
        hopeless: It cannot be a unit in any spelling.
    """

    reason: str
    hopeless: bool


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PREFIXES = ("da", *"YZEPTGMkhdcmunpfazy")
_METRIC = _words(
    "m s g rad K C cd mol sr Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv l L ar t bar u eV "
    "P St gf B B[V] B[mV] B[kW] B[W] B[SPL] Np cal kat U G Mx Oe Ci R RAD REM tex bit_s bit By Bd "
    "[pH] eq osm m[H2O] m[Hg]"
)
_PLAIN = _words(
    "% [ppm] [ppb] [ppth] [pptr] ' '' deg gon min h d wk mo a atm att [degF] [degR] [psi] [lb_av] "
    "[lbf_av] [oz_av] [in_i] [ft_i] [yd_i] [mi_i] [kn_i] [nmi_i] [gal_us] [foz_us] [bbl_us] [gal_br] "
    "[sin_i] [sft_i] [cin_i] [cft_i] [cyd_i] [HP] [Btu] [Btu_IT] [Btu_th] [in_i'H2O] [in_i'Hg] [g] "
    "[c] [h] [k] [e] [pi] 10* 10^ circ sph st bit_s Cal [Cal]"
)
_USUAL = {
    "℃": "Cel", "°C": "Cel", "degC": "Cel", "deg C": "Cel", "摄氏度": "Cel", "℉": "[degF]",
    "°F": "[degF]", "degF": "[degF]", "°": "deg", "psi": "[psi]", "psig": "[psi]", "ppm": "[ppm]",
    "ppb": "[ppb]", "pH": "[pH]", "PH": "[pH]", "rpm": "/min", "r/min": "/min", "RPM": "/min",
    "rev/min": "/min", "mmH2O": "mm[H2O]", "mmHg": "mm[Hg]", "mH2O": "m[H2O]", "kWh": "kW.h",
    "MWh": "MW.h", "kW·h": "kW.h", "Wh": "W.h", "kVA": "kV.A", "MVA": "MV.A", "kvar": "kV.A{reactive}",
    "kVar": "kV.A{reactive}", "Mvar": "MV.A{reactive}", "MVar": "MV.A{reactive}", "Nm3/h": "m3/h{normal}",
    "Nm³/h": "m3/h{normal}", "mg/Nm3": "mg/m3{normal}", "mg/Nm³": "mg/m3{normal}", "NTU": "{NTU}",
    "sec": "s", "hr": "h", "hour": "h", "KPa": "kPa", "Mpa": "MPa", "mpa": "MPa", "kpa": "kPa",
    "Kg": "kg", "KG": "kg", "KW": "kW", "Mw": "MW", "KV": "kV", "Amp": "A", "Volt": "V", "Ω": "Ohm",
    "kΩ": "kOhm", "ohm": "Ohm", "um/m": "um/m", "吨/时": "t/h", "吨": "t", "千帕": "kPa", "兆帕": "MPa",
    "兆瓦": "MW", "千瓦": "kW", "安": "A", "伏": "V", "赫兹": "Hz", "Bar": "bar", "BAR": "bar",
    "barg": "bar{gauge}", "bara": "bar{absolute}", "kPag": "kPa{gauge}", "MPag": "MPa{gauge}",
    "inH2O": "[in_i'H2O]", "inHg": "[in_i'Hg]", "gpm": "[gal_us]/min", "kgf/cm²": "kgf/cm2",
}  # fmt: skip
_SIGNS = str.maketrans(
    {
        "µ": "u",
        "μ": "u",
        "²": "2",
        "³": "3",
        "·": ".",
        "⋅": ".",
        "×": ".",
        "*": ".",
        "^": "",
        "Ω": "Ohm",
        " ": "",
    }
)
_COMPONENT = re.compile(r"((?:[^\s./(){}\[\]0-9+\-]|\[[^\[\]{}]*\])+|10[*^])([+-]?\d{1,3})?(\{[^{}]*\})?$")


@lru_cache(maxsize=1024)  # a table of 100,000 points has a few dozen units
def check(unit: str) -> UnitFault | None:
    """What is wrong with a unit, or `None`. An empty unit is right."""
    if not unit:
        return None
    if len(unit) > limits.UNIT_CHARS_MAX or not unit.isprintable():
        return UnitFault(f"not a unit; write a UCUM code of at most {limits.UNIT_CHARS_MAX} characters", True)
    if unit in _USUAL and _USUAL[unit] != unit:
        return UnitFault(f"not a UCUM unit; write {_USUAL[unit]!r}", False)
    broken = _structure(unit)
    if broken:
        return UnitFault(broken, True)
    if _unknown(unit) is None:
        return None
    plain = unit.translate(_SIGNS)
    if plain != unit and not _structure(plain) and _unknown(plain) is None:
        return UnitFault(f"not a UCUM unit; write {plain!r}", False)
    return UnitFault(
        f"a unit with {_unknown(unit)!r}, which is not known as UCUM; headquarters may not convert it", False
    )


def _structure(unit: str) -> str:
    """Why it cannot be a unit at all, or an empty text: brackets and operators do not fit."""
    if not _balanced(unit):
        return "brackets that do not close; write for example 'm3/(h.m2)'"
    outline = re.sub(r"\{[^{}]*\}", "1", unit)
    if re.search(r"[./][./]|[./]$|^\.|\([./)]|[./]\)", outline):
        return "an operator without a unit beside it; write for example 'kg/m3'"
    return ""


def _balanced(unit: str) -> bool:
    closing = {"(": ")", "[": "]", "{": "}"}
    expected: list[str] = []
    for character in unit:
        if expected and expected[-1] in "]}" and character != expected[-1]:
            if character in "[]{}":
                return False
        elif character in closing:
            expected.append(closing[character])
        elif character in ")]}" and (not expected or expected.pop() != character):
            return False
    return not expected


def _unknown(unit: str) -> str | None:
    """The first part that is no known unit, or `None`."""
    for part in _parts(unit):
        if not part or part.isdecimal() or re.fullmatch(r"\{[^{}]*\}", part):
            continue
        match = _COMPONENT.match(part)
        if match is None or not _atom(match[1]):
            return part
    return None


def _parts(unit: str) -> list[str]:
    """Split at operators and parentheses that are not inside brackets or braces."""
    parts, current, inside = [], "", ""
    for character in unit:
        if not inside and character in "./()":
            parts.append(current)
            current = ""
            continue
        if not inside and character in "[{":
            inside = "]" if character == "[" else "}"
        elif character == inside:
            inside = ""
        current += character
    return [*parts, current]


def _atom(name: str) -> bool:
    if name in _METRIC or name in _PLAIN:
        return True
    return any(name.startswith(prefix) and name[len(prefix) :] in _METRIC for prefix in _PREFIXES)
