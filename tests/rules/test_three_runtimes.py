"""Random programs give the same bits on CPython, MicroPython and numba as by the interpreter.

`python -m tests.rules --programs 3000` judges more of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules import runtimes
from tests.rules.verdicts import judge

CHUNKS = (
    range(20),
    range(20, 40),
    range(40, 60),
    range(60, 80),
    (
        2,
        112,
        142,
        153,
        185,
        275,
        303,
        681,
        728,
        1049,
        1189,
        1239,
        1295,
        1475,
        1951,
        1956,
        2159,
        2440,
        2957,
        3308,
        5127,
        6020,
        21240,
        21268,
        1000456,
        1000761,
    ),
)
"""Programs judged in each run of the tests; the last have been judged differently once."""

COMPILED = (0, 20, 40, 78, 275, 681, 1049, 1956, 2957, 5127, 1000456)
"""Those that numba compiles too, at one or two seconds each."""

EXTREMES = sorted(Path(__file__).with_name("extremes").glob("*.st"))


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"from {seeds[0]}")
def test_recorded_programs_agree_on_all_runtimes(seeds: Sequence[int]) -> None:
    verdict = judge(seeds, COMPILED)
    assert verdict.faults == ()
    assert verdict.events > 20


@pytest.mark.parametrize("path", EXTREMES, ids=lambda path: path.stem)
def test_the_ends_of_all_types_agree_on_all_runtimes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    case = runtimes.case_of(text, 4, instances=60)  # so that every pair of odd values meets
    expected = runtimes.by_oracle(case)
    [on_micropython] = runtimes.on_micropython([case])
    for trace in (runtimes.on_cpython(case), runtimes.on_numba(case), on_micropython):
        assert runtimes.differences(case, expected, trace) == []


@given(seed=st.integers(0, 1 << 32), size=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_any_program_gives_on_cpython_what_the_interpreter_says(seed: int, size: int) -> None:
    case = runtimes.case(seed, size)
    assert runtimes.differences(case, runtimes.by_oracle(case), runtimes.on_cpython(case)) == []
