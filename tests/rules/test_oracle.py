"""The interpreter itself, on what section 6 to 8 of docs/rules-reference.md say in so many words."""

from __future__ import annotations

import math

import pytest

from edge_runtime.rules.reading.parse import parse
from tests.rules.oracle import Oracle
from tests.rules.vocabulary import library


def evaluated(expression: str, type: str, declared: str = "") -> tuple[object, int]:
    text = f"PROGRAM p VAR_OUTPUT o : {type}; END_VAR {declared} o := {expression}; END_PROGRAM"
    return Oracle(parse(text), library().source).scan(0, {}).outputs["O"]


@pytest.mark.parametrize(
    ("expression", "type", "value", "quality"),
    [
        ("INT#32767 + INT#1", "INT", -32768, 0),
        ("(-INT#32767 - 1) / -INT#1", "INT", -32768, 0),
        ("(-INT#32767 - 1) MOD -INT#1", "INT", 0, 0),
        ("-INT#7 / INT#2", "INT", -3, 0),
        ("-INT#7 MOD INT#2", "INT", -1, 0),
        ("INT#1 / INT#0", "INT", 0, 2),
        ("LREAL#1.0 / LREAL#0.0", "LREAL", 0.0, 2),
        ("SQRT(-LREAL#1.0)", "LREAL", 0.0, 2),
        ("REAL#16777216.0 + 1", "REAL", 16777216.0, 0),
        ("LREAL_TO_INT(LREAL#2.5)", "INT", 2, 0),
        ("LREAL_TO_INT(LREAL#-3.5)", "INT", -4, 0),
        ("LREAL_TO_INT(LREAL#32767.5)", "INT", 0, 2),
        ("TRUNC(LREAL#-3.9)", "LINT", -3, 0),
        ("DINT_TO_INT(DINT#65537)", "INT", 1, 0),
        ("SHR(-INT#1, 1)", "INT", 32767, 0),
        ("SHL(INT#1, 16)", "INT", 0, 0),
        ("SHL(INT#5, -1)", "INT", 5, 0),
        ("ROL(-INT#32767, 17)", "INT", 3, 0),
        ("ROR(INT#1, -1)", "INT", 2, 0),
        ("MUX(9, INT#1, INT#2)", "INT", 2, 0),
        ("LIMIT(5, INT#7, 3)", "INT", 3, 0),
        ("MARK(INT#7, 9)", "INT", 7, 2),
        ("T#1s * 3 / 2", "TIME", 1500, 0),
    ],
)
def test_an_expression_has_the_value_and_quality_of_the_reference(
    expression: str, type: str, value: object, quality: int
) -> None:
    assert evaluated(expression, type) == (value, quality)


def test_an_overflow_is_infinite_and_leaves_as_bad() -> None:
    assert evaluated("LREAL#1.0E300 * LREAL#1.0E300", "LREAL") == (math.inf, 2)


def test_an_index_outside_the_bounds_is_moved_and_marks_bad() -> None:
    array = "VAR a : ARRAY[1..3] OF INT := [10, 20, 30]; n : INT := 9; END_VAR"
    assert evaluated("a[n]", "INT", array) == (30, 2)


def test_quality_follows_all_assignments_and_their_conditions() -> None:
    oracle = Oracle(
        parse(
            """PROGRAM p
            VAR_INPUT a, b, c : INT; END_VAR
            VAR_OUTPUT o, free : INT; END_VAR
            IF a > 0 THEN o := b; END_IF;
            free := QUALITY(c) + c;
            END_PROGRAM"""
        ),
        library().source,
    )
    assert oracle.scan(0, {"a": (0, 1), "b": (5, 0), "c": (7, 2)}).outputs == {"O": (0, 1), "FREE": (2, 0)}
    assert oracle.scan(1, {"a": (0, 0), "b": (5, 2), "c": (7, 0)}).outputs == {"O": (0, 2), "FREE": (7, 0)}


def test_a_bad_input_keeps_its_last_good_value() -> None:
    text = "PROGRAM p VAR_INPUT x : LREAL := 1.5; END_VAR VAR_OUTPUT o : LREAL; END_VAR o := x; END_PROGRAM"
    oracle = Oracle(parse(text), library().source)
    given = [(9.0, 2), (4.0, 1), (math.nan, 0), (8.0, 2)]
    found = [oracle.scan(0, {"x": value}).outputs["O"] for value in given]
    assert found == [(1.5, 2), (4.0, 1), (4.0, 2), (4.0, 2)]
