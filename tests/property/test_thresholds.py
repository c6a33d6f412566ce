"""Whatever a threshold table holds, it becomes a program that compiles, or its problems are told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.rules import compile_program
from edge_runtime.rules.thresholds.lower import lower_thresholds
from edge_runtime.rules.thresholds.table import COLUMNS, NUMBERS
from protocols.errors import InputError
from protocols.tablefile import write_csv

NAMES = st.sampled_from(["a", "b", "c", "level", "a_high", "b_rate", "min", "_x"])
WRONG_NAMES = st.sampled_from(["A", "a_high_limit", "if", "REAL", "2x", "", "水", "x" * 41])
AMOUNTS = st.one_of(st.integers(1, 90).map(str), st.floats(0.001, 1e9).map(repr))
WRONG_AMOUNTS = st.one_of(st.floats(allow_nan=True).map(repr), st.sampled_from(["", "0,5", "-", "1e400"]))
TEXTS = st.sampled_from(["", "Drum's $level", "汽包", "$", "'"])
WRONG_TEXTS = st.text(max_size=8)
PRIORITIES = st.sampled_from(["", "1", "4", "high"])
WRONG_PRIORITIES = st.sampled_from(["0", "urgent"])
UNITS = st.sampled_from(["", "mm", "Cel"])
WRONG_UNITS = st.sampled_from(["℃", "{x}", "{'}"])


def cell(column: str, wrong: bool) -> st.SearchStrategy[str]:
    if column in NUMBERS:
        return WRONG_AMOUNTS if wrong else AMOUNTS
    if column in ("name", "input", "setpoint"):
        return WRONG_NAMES if wrong else NAMES
    if column.startswith("priority"):
        return WRONG_PRIORITIES if wrong else PRIORITIES
    if column == "unit":
        return WRONG_UNITS if wrong else UNITS
    return WRONG_TEXTS if wrong else TEXTS


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """A heading and rows; in half of the tables one column holds what is wrong more often than not."""
    columns = draw(st.lists(st.sampled_from(COLUMNS), max_size=4, unique=True))
    columns += [column for column in ("name", "high") if column not in columns]
    faulty = draw(st.sampled_from([*columns, *("" for _ in columns)]))
    cells = [cell(column, column == faulty) for column in columns]
    return columns, draw(st.lists(st.tuples(*cells).map(list), min_size=1, max_size=3))


def lowered_or_refused(text: str, file: str) -> None:
    try:
        lowered = lower_thresholds(text, file, "made")
    except InputError:
        return
    assert compile_program(lowered.source).events


@given(tables())
def test_a_csv_table_is_lowered_or_refused(table: tuple[list[str], list[list[str]]]) -> None:
    columns, rows = table
    lowered_or_refused(write_csv([columns, *rows]), "t.csv")


@given(tables(), st.booleans())
def test_a_toml_table_is_lowered_or_refused(table: tuple[list[str], list[list[str]]], plain: bool) -> None:
    columns, rows = table
    lines = []
    for row in rows:
        lines.append("[[threshold]]")
        for column, text in zip(columns, row, strict=True):
            quoted = '"' + text.encode("unicode_escape").decode().replace('"', "'").replace("\\x", "") + '"'
            lines.append(f"{column} = {text if plain and column in NUMBERS and text else quoted}")
    lowered_or_refused("\n".join(lines), "t.toml")


@given(st.text(max_size=200), st.sampled_from(["t.csv", "t.toml"]))
def test_garbage_is_refused(text: str, file: str) -> None:
    lowered_or_refused(text, file)
