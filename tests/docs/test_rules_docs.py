"""docs/rules.md: programs do what is shown, mistakes are told as shown, every block is listed.

A fenced block `st`, `csv FILE` or `toml FILE` is a source. A block `scans` below it is run on it
(words behind `scans` set parameters), a block `faults` is what the compiler says of it.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import NamedTuple

import pytest

from edge_runtime.rules import compile_program
from edge_runtime.rules.checking.functions import CONVERSIONS, STANDARD
from edge_runtime.rules.checking.typed import Symbol, UnitCode
from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.program import library
from edge_runtime.rules.thresholds.lower import lower_thresholds, real
from edge_runtime.rules.thresholds.table import COLUMNS
from protocols.errors import InputError
from tests.docs.tracked import ROOT, text_of
from tests.rules.tables import check

PAGE = text_of(ROOT / "docs" / "rules.md")


class Fence(NamedTuple):
    """A fenced block: the words behind its fence, its text, the line it begins in."""

    words: list[str]
    text: str
    line: int


def fences() -> list[Fence]:
    found = re.finditer(r"^```(\w[^\n]*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [Fence(match[1].split(), match[2], PAGE.count("\n", 0, match.start()) + 1) for match in found]


def pairs() -> list[tuple[Fence, Fence]]:
    """Sources, each with what stands below it."""
    found = fences()
    return list(zip(found[::2], found[1::2], strict=True))


def compiled(source: Fence) -> str:
    """The Structured Text of a source, which may be a threshold table."""
    return (
        source.text
        if source.words[0] == "st"
        else lower_thresholds(source.text, source.words[1], "made").source
    )


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: f"line {pair[0].line}")
def test_an_example_does_what_stands_below_it(pair: tuple[Fence, Fence]) -> None:
    source, below = pair
    assert source.words[0] in ("st", "csv", "toml")
    if below.words == ["faults"]:
        with pytest.raises(InputError) as caught:
            compile_program(compiled(source), file="rule.st")
        assert str(caught.value) == below.text.rstrip("\n")
        return
    assert below.words[0] == "scans"
    parameters = dict(word.split("=") for word in below.words[1:])
    check(compile_program(compiled(source)), below.text, **parameters)


# -- the tables of blocks and functions ------------------------------------------------------------


def rows_of(heading: str) -> dict[str, list[str]]:
    """The rows of all tables below a heading, by their first cell."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line
    ]
    return {row[0]: row for row in rows if row[0].startswith("`")}


def units(kind: str) -> dict[str, UnitCode]:
    """What the library offers; names that begin with _ are its own parts."""
    return {
        unit.name.text: unit
        for unit in library().units.values()
        if unit.kind == kind and not unit.name.text.startswith("_")
    }


def shown(symbols: list[Symbol]) -> str:
    """Inputs or outputs as in the table: `` `IN : BOOL; PT, HOLE : TIME` ``."""
    groups = groupby(symbols, type_and_value)
    return "`" + "; ".join(f"{', '.join(s.name.text for s in some)} : {type}" for type, some in groups) + "`"


def type_and_value(symbol: Symbol) -> str:
    value = symbol.initial[0]
    if not value:
        return symbol.type
    if symbol.type is Type.BOOL:
        return "BOOL := TRUE"
    if symbol.type is Type.TIME:
        return f"TIME := {time_literal(int(value))}"
    return f"{symbol.type} := {real(float(value)) if symbol.type.is_real else value}"


def time_literal(ms: int) -> str:
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms % size == 0:
            return f"T#{ms // size}{unit}"
    return f"T#{ms}ms"


def test_every_block_of_the_library_is_listed_with_its_inputs_and_outputs() -> None:
    listed = {name: row[:3] for name, row in rows_of("All blocks").items()}
    assert listed == {
        f"`{name}`": [
            f"`{name}`",
            shown(list(unit.inputs)),
            shown([symbol for symbol in unit.symbols.values() if symbol.section == "VAR_OUTPUT"]),
        ]
        for name, unit in units("FUNCTION_BLOCK").items()
    }


def test_every_function_is_listed_with_its_inputs() -> None:
    rows = rows_of("All functions")
    inputs = {
        name.strip("`"): re.findall(r"\w+", row[1])
        for names, row in rows.items()
        for name in names.split(", ")
    }
    assert inputs.pop("INT_TO_LREAL") and "INT_TO_LREAL" in CONVERSIONS
    inputs.pop("...")
    wanted = {name: list(signature.inputs) for name, signature in STANDARD.items()}
    wanted |= {name: [symbol.name.text for symbol in unit.inputs] for name, unit in units("FUNCTION").items()}
    assert inputs == wanted


def test_every_row_says_what_it_does() -> None:
    silent = [
        name for part in ("All blocks", "All functions") for name, row in rows_of(part).items() if not row[-1]
    ]
    assert not silent


def test_every_column_of_a_threshold_table_is_explained() -> None:
    named = {name for row in rows_of("Threshold tables").values() for name in re.findall(r"`(\w+)`", row[0])}
    assert named == set(COLUMNS)
