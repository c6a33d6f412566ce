r"""Lowers a threshold table to Structured Text: the same program that an engineer would write.

Each limit becomes a parameter (so that an instance may have its own), an alarm named after
row and limit, and an output that says whether it is active.

>>> made = lower_thresholds("name,unit,high,text_en\nlevel,mm,50,Drum level\n", "drum.csv", "drum")
>>> print(made.source)
PROGRAM drum
VAR_INPUT
    level : LREAL {unit 'mm'};
END_VAR
VAR_INPUT CONSTANT
    level_high_limit : LREAL := 50.0 {unit 'mm'};
END_VAR
VAR_OUTPUT
    level_high_active : BOOL;
END_VAR
VAR
    level_high : HIGH_ALARM;
END_VAR
level_high(IN := level, LIMIT := level_high_limit, PRIORITY := 3, TEXT := 'Drum level high',
    ACTIVE => level_high_active);
END_PROGRAM
<BLANKLINE>
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from edge_runtime.rules.program import library
from edge_runtime.rules.thresholds.table import LIMITS, TAKEN, Threshold, names_of, read_table_text
from protocols import units
from protocols.errors import InputError, Problem


class Lowered(NamedTuple):
    """A program made of a table.

    Args:
        source: Structured Text with one PROGRAM.
        translations: Its alarms' texts in Chinese, by the English that stands in the source.
    """

    source: str
    translations: Mapping[str, str]


_WORDS = {
    "low_low": ("low low", "低低"),
    "low": ("low", "低"),
    "high": ("high", "高"),
    "high_high": ("high high", "高高"),
    "rate_per_min": ("changes too fast", "变化过快"),
    "deviation": ("is off its setpoint", "偏离设定值"),
}
assert tuple(_WORDS) == LIMITS


def lower_thresholds(text: str, file: str, program: str) -> Lowered:
    """The program of a table.

    Args:
        text: The table's content.
        file: Its name for problems; ends in `.csv` or `.toml`.
        program: The program's name.

    Raises:
        InputError: With every problem.
    """
    rows = read_table_text(text, file)
    _refuse_clashes(rows, file)
    translations = {
        f"{row.text_en} {_WORDS[limit][0]}": row.text_zh + _WORDS[limit][1]
        for row in rows
        if row.text_zh
        for limit in row.limits
    }
    return Lowered("\n".join(_program(rows, program)) + "\n", translations)


def program_name(stem: str) -> str:
    """A table's program, called after its file as far as that is a name.

    >>> program_name("drum"), program_name("drum-level.2"), program_name("2nd"), program_name("ton")
    ('drum', 'table_drum_level_2', 'table_2nd', 'table_ton')
    """
    plain = re.sub("[^A-Za-z0-9_]", "_", stem)
    taken = stem.upper() in TAKEN or stem.upper() in library().units
    fine = plain == stem and not stem[0].isdigit() and not taken
    return stem if fine else f"table_{plain}"


def _refuse_clashes(rows: Sequence[Threshold], file: str) -> None:
    """Names that are made must not be names that were given, nor made twice."""
    taken = {
        name.upper(): f"the input {name!r}" for row in rows for name in (row.input, row.setpoint) if name
    }
    problems = []
    for row in rows:
        made = [f"{alarm}{suffix}" for _, alarm in names_of(row) for suffix in ("", "_limit", "_active")]
        if "rate_per_min" in row.limits:
            made.append(f"{row.name}_speed")
        for name in made:
            if name.upper() in taken:
                expected = f"another name: it makes {name!r}, and so does {taken[name.upper()]}"
                problems.append(Problem(file, "column name", row.name, expected))
            taken[name.upper()] = f"the row {row.name!r}"
    if problems:
        raise InputError(problems)


def _program(rows: Sequence[Threshold], program: str) -> Iterator[str]:
    alarms = [(row, limit, alarm) for row in rows for limit, alarm in names_of(row)]
    yield f"PROGRAM {program}"
    yield from _section("VAR_INPUT", _inputs(rows))
    yield from _section(
        "VAR_INPUT CONSTANT",
        (
            f"{alarm}_limit : LREAL := {real(row.limits[limit].value)}{_unit_of(row, limit)};"
            for row, limit, alarm in alarms
        ),
    )
    yield from _section("VAR_OUTPUT", (f"{alarm}_active : BOOL;" for _, _, alarm in alarms))
    yield from _section("VAR", _blocks(rows))
    for row in rows:
        if "rate_per_min" in row.limits:
            yield f"{row.name}_speed(IN := {row.input}, PER := T#1m);"
        for limit, alarm in names_of(row):
            yield from _call(row, limit, alarm)
    yield "END_PROGRAM"


def _section(head: str, lines: Iterator[str]) -> Iterator[str]:
    yield head
    yield from (f"    {line}" for line in lines)
    yield "END_VAR"


def _inputs(rows: Sequence[Threshold]) -> Iterator[str]:
    seen: set[str] = set()
    for row in rows:
        for name in (row.input, row.setpoint):
            if name and name.upper() not in seen:
                seen.add(name.upper())
                yield f"{name} : LREAL{_unit(row.unit)};"


def _blocks(rows: Sequence[Threshold]) -> Iterator[str]:
    for row in rows:
        if "rate_per_min" in row.limits:
            yield f"{row.name}_speed : RATE_OF_CHANGE;"
        for limit, alarm in names_of(row):
            yield f"{alarm} : {'LOW_ALARM' if limit.startswith('low') else 'HIGH_ALARM'};"


def _call(row: Threshold, limit: str, alarm: str) -> Iterator[str]:
    watched = row.input
    if limit == "rate_per_min":
        watched = f"ABS({row.name}_speed.OUT)"
    elif limit == "deviation":
        watched = f"ABS({row.input} - {row.setpoint})"
    given = [f"IN := {watched}", f"LIMIT := {alarm}_limit"]
    if row.hysteresis and limit != "rate_per_min":
        given.append(f"BAND := {real(row.hysteresis)}")
    if row.on_delay_ms:
        given.append(f"ON_DELAY := T#{row.on_delay_ms}ms")
    if row.off_delay_ms:
        given.append(f"OFF_DELAY := T#{row.off_delay_ms}ms")
    given.append(f"PRIORITY := {row.limits[limit].priority}")
    given.append(f"TEXT := {quoted(f'{row.text_en} {_WORDS[limit][0]}')}")
    yield f"{alarm}({', '.join(given)},"
    yield f"    ACTIVE => {alarm}_active);"


def _unit(unit: str) -> str:
    return f" {{unit {quoted(unit)}}}" if unit else ""


def _unit_of(row: Threshold, limit: str) -> str:
    if limit != "rate_per_min":
        return _unit(row.unit)
    rate = f"{row.unit}/min"
    return _unit(rate) if row.unit and units.check(rate) is None else ""


def real(value: float) -> str:
    """A number as a literal of the rule language.

    >>> real(50.0), real(1e-7), real(-2.5e22)
    ('50.0', '1.0E-7', '-2.5E22')
    """
    digits, _, exponent = repr(value).partition("e")
    if not exponent:
        return digits
    return f"{digits}{'' if '.' in digits else '.0'}E{int(exponent)}"


def quoted(text: str) -> str:
    """A text as a literal of the rule language.

    >>> quoted("it's 5$")
    "'it$'s 5$$'"
    """
    return "'" + text.replace("$", "$$").replace("'", "$'") + "'"
