"""What random programs are made of: literals, and the blocks and functions of the library."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from edge_runtime import rules
from edge_runtime.rules.reading import syntax
from edge_runtime.rules.reading.parse import parse
from tests.rules.values import INT_LITERAL, REAL_LITERAL, WIDTH, Plain, Value

LIBRARY = Path(str(rules.__file__)).with_name("library")

NUMBERS = ("INT", "DINT", "LINT", "REAL", "LREAL")
COLUMN_TYPES = ("BOOL", *NUMBERS, "TIME")
ALL_TYPES = (*COLUMN_TYPES, "STRING")

TEXTS = ("", "pump tripped", "high", "it$'s 5$$", "low 低")
LREALS = (
    "0.0", "1.0", "0.1", "2.5", "1_000.25", "3.0E5", "1.7976931348623157E308", "5.0E-324",
    "2.2250738585072014E-308", "1.0E300", "9007199254740993.0", "1.0E-200",
    "9.223372036854775E18", "2147483647.5", "0.49999999999999994",
)  # fmt: skip
REALS = (
    "0.0", "1.0", "0.1", "2.5", "3.0E5", "3.4E38", "1.4E-45", "1.17549435E-38", "16777217.0", "0.333333333",
    "32767.5", "1.0E-30", "8388609.5",
)  # fmt: skip
TIMES = ("T#0s", "T#1ms", "T#250ms", "T#1.5s", "TIME#1m", "T#1h30m", "T#-5s", "T#1d2h3m4s5ms", "T#100000d")


class Typed(NamedTuple):
    """An expression's text and its type; of an untyped literal its value too."""

    text: str
    type: str
    literal: Plain = 0

    @property
    def value(self) -> Value:
        return Value(self.type, self.literal)


class Signature(NamedTuple):
    """A function or block: inputs and outputs by name; of a function the output is its result."""

    name: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    constants: tuple[str, ...] = ()


class Known(NamedTuple):
    """The library."""

    source: syntax.Source
    blocks: tuple[Signature, ...]
    functions: tuple[Signature, ...]


FIXED = {"PRIORITY": ("1", "2", "INT#4"), "TEXT": tuple(f"'{text}'" for text in TEXTS), "N": ("3", "1", "7")}
"""Inputs of library blocks that take constants, the same in all calls: windows are kept short."""

REAL_MAX = 3.4e38


@cache
def library() -> Known:
    """The standard blocks and functions, by their own sources."""
    parsed = [parse(path.read_text(encoding="utf-8"), path.name) for path in sorted(LIBRARY.glob("*.st"))]
    units = tuple(unit for source in parsed for unit in source.units)
    blocks = tuple(_signature(unit) for unit in units if unit.kind == "FUNCTION_BLOCK")
    functions = tuple(_signature(unit) for unit in units if unit.kind == "FUNCTION")
    return Known(syntax.Source(units), blocks, functions)


def _signature(unit: syntax.Unit) -> Signature:
    def declared(section: str) -> dict[str, str]:
        found = [each for each in unit.declarations if each.section == section]
        return {each.name.text: each.type.key for each in found if isinstance(each.type, syntax.Name)}

    inputs = declared("VAR_INPUT")
    outputs = {"": unit.result.key} if unit.result is not None else declared("VAR_OUTPUT")
    return Signature(unit.name.text, inputs, outputs, tuple(name for name in FIXED if name in inputs))


def literal(draw: Random, type: str) -> Typed:
    """A literal that may stand where a value of a type is wanted."""
    if type in WIDTH and type != "TIME":
        return _integer(draw, type)
    if type in ("REAL", "LREAL"):
        return _real(draw, type)
    if type == "BOOL":
        return Typed(draw.choice(("TRUE", "FALSE", "BOOL#1", "BOOL#0", "true")), type)
    return Typed(draw.choice(TIMES) if type == "TIME" else f"'{draw.choice(TEXTS)}'", type)


def _integer(draw: Random, type: str) -> Typed:
    width = WIDTH[type]
    greatest = (1 << (width - 1)) - 1
    extreme = (greatest, greatest - 1, greatest // 2 + 1, 1 << (width // 2), 3, 10)
    value = draw.choice((0, 1, 2, 3, 7, 12, 100, draw.choice(extreme), draw.randrange(greatest + 1)))
    form = draw.random()
    if form < 0.1 and value < 1000:
        other = draw.randrange(1, 30)
        operator, result = draw.choice((("+", value + other), ("*", value * other), ("-", value - other)))
        return Typed(f"({value} {operator} {other})", INT_LITERAL, result)
    if form < 0.2:
        return Typed(f"{type}#{value}", type)
    if form < 0.3:
        return Typed(f"(-{type}#{greatest} - 1)", type)
    if form < 0.5:
        return Typed(f"(-{value})", INT_LITERAL, -value)
    if form < 0.6:
        return Typed(
            draw.choice((f"16#{value:X}", f"2#{value:b}", f"8#{value:o}", f"{value:_}")), INT_LITERAL, value
        )
    return Typed(str(value), INT_LITERAL, value)


def _real(draw: Random, type: str) -> Typed:
    text = draw.choice(REALS if type == "REAL" else LREALS)
    form = draw.random()
    if form < 0.15:
        return Typed(f"{type}#{text}", type)
    if form < 0.3:
        value = draw.choice((0, 1, 3, -7, 1000))
        return Typed(str(value) if value >= 0 else f"({value})", INT_LITERAL, value)
    if form < 0.4:
        return Typed(f"(1.5 {draw.choice('+-*/')} 0.3)", REAL_LITERAL, 0.0)
    return Typed(f"(-{text})" if form < 0.6 else text, REAL_LITERAL, float(text.replace("_", "")))
