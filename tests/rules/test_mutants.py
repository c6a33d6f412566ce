"""Damaged sources compile or are refused with `RuleError`, and nothing else happens."""

from __future__ import annotations

from random import Random

import pytest

from edge_runtime.rules.program import compile_program
from edge_runtime.rules.reading.errors import RuleError
from scripts.fuzz_rules import confined, damaged
from tests.rules.programs import program

MUTANTS = 1000


def test_a_thousand_mutants_compile_or_are_refused() -> None:
    draw = Random(3)
    refused = 0
    for number in range(MUTANTS):
        text = damaged(program(number % 50, 3), draw)
        try:
            compile_program(text)
        except RuleError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"a mutant raised {error!r}:\n{text}") from error
    assert MUTANTS // 2 < refused < MUTANTS


def test_generated_code_names_nothing_but_its_own() -> None:
    for seed in range(60):
        confined(compile_program(program(seed)).code)


@pytest.mark.parametrize(
    "escape",
    [
        "return ni.real",
        "import os",
        "return open(ni)",
        "x = 'text'",
        "x = [n for n in T]",
        "x = lambda: 1",
        "int = 3",
    ],
)
def test_code_that_could_reach_out_is_seen(escape: str) -> None:
    with pytest.raises(AssertionError):
        confined(f"def step(ni, T):\n    {escape}\n")
