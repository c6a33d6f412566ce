"""Damaged sources compile or are refused with `RuleError`, and nothing else happens."""

from __future__ import annotations

from random import Random

from edge_runtime.rules.errors import RuleError
from edge_runtime.rules.program import compile_program
from tests.rules.mutants import mutant
from tests.rules.programs import program

MUTANTS = 1000


def test_a_thousand_mutants_compile_or_are_refused() -> None:
    draw = Random(3)
    refused = 0
    for number in range(MUTANTS):
        text = mutant(program(number % 50, 3), draw)
        try:
            compile_program(text)
        except RuleError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"a mutant raised {error!r}:\n{text}") from error
    assert MUTANTS // 2 < refused < MUTANTS
