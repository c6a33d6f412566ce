"""What a program is said to cost: operations and bytes, and what of it lives from scan to scan."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from edge_runtime.rules import BOARD, SMALL_BOARD, RuleError, Runner, compile_program
from edge_runtime.rules.generating.boards import bytecode_bytes
from edge_runtime.rules.limits import BYTECODE_BYTES_MAX
from tests.rules import runtimes
from tests.rules.programs import program as random_program
from tests.rules.verdicts import OVERFLOW

MEDIAN_OF_THREE = """
FUNCTION middle : LREAL
VAR_INPUT a, b, c : LREAL; END_VAR
VAR held : ARRAY[0..2] OF LREAL; i : INT; END_VAR
held[0] := a; held[1] := b; held[2] := c;
FOR i := 0 TO 1 DO
    IF held[i] > held[i + 1] THEN held[i + 1] := held[i]; END_IF;
END_FOR;
middle := held[1];
END_FUNCTION
PROGRAM p
VAR_INPUT x : LREAL; END_VAR
VAR_OUTPUT y : LREAL; END_VAR
y := middle(x, 1.0, 2.0);
END_PROGRAM
"""

MEAN = """
PROGRAM p
VAR_INPUT x : LREAL; n : INT; END_VAR
VAR_OUTPUT y : LREAL; END_VAR
VAR mean : MOVING_AVERAGE; END_VAR
mean(IN := x, N := {turns}, OUT => y);
END_PROGRAM
"""


def test_an_array_of_a_function_costs_memory_and_is_no_state() -> None:
    program = compile_program(MEDIAN_OF_THREE)
    assert program.states == ()
    assert [column.name for column in program.scratch] == ["middle.held"]
    assert program.state_bytes == 24
    runner = Runner(program, instances=2)
    runner.step()
    assert runner.snapshot() == b""


def test_a_window_whose_length_is_known_costs_as_many_turns() -> None:
    ten, hundred, any_ = (
        compile_program(MEAN.format(turns=turns)).operations for turns in ("10", "100", "n")
    )
    assert ten < 200 < hundred < 2000 < any_


def test_a_loop_that_never_turns_costs_nothing() -> None:
    source = """
    PROGRAM p
    VAR_OUTPUT y : INT; END_VAR
    VAR i : INT; END_VAR
    FOR i := 5 TO 4 DO y := y + 1; END_FOR;
    END_PROGRAM
    """
    assert compile_program(source).operations == 2


@pytest.mark.parametrize(
    "body",
    [
        f"y := x{' + x' * 1000};",
        f"y := {'- ' * 300}x;",
        "IF x > 1.0 THEN y := x; " + "ELSIF x > 1.0 THEN y := x;\n" * 1000 + "END_IF;",
        f"CASE 1 OF {'-' * 900}1 : ; END_CASE;",
    ],
    ids=["operators", "signs", "branches", "labels"],
)
def test_what_nests_deeper_than_python_can_hold_is_refused_when_it_is_compiled(body: str) -> None:
    source = f"PROGRAM p VAR_INPUT x : LREAL; END_VAR VAR_OUTPUT y : LREAL; END_VAR {body} END_PROGRAM"
    with pytest.raises(RuleError, match="do not nest so deep"):
        compile_program(source)


def test_many_short_assignments_do_not_nest_however_they_follow_each_other() -> None:
    names = [f"v{number}" for number in range(1000)]
    steps = "\n".join(f"{name} := {before} * 2.0 - x;" for before, name in pairwise(names))
    source = f"""PROGRAM p
    VAR_INPUT x : LREAL; END_VAR
    VAR_OUTPUT y : LREAL; END_VAR
    VAR {", ".join(names)} : LREAL; END_VAR
    v0 := x;
    {steps}
    y := v999;
    END_PROGRAM"""
    runner = Runner(compile_program(source))
    runner.inputs[0][0] = 3.5
    runner.step()
    assert runner.outputs[0][0] == 3.5


def test_what_a_long_program_takes_to_compile_grows_with_its_length() -> None:
    """Where each value was followed to the end of the program, this took a minute."""
    names = [f"v{number}" for number in range(4000)]
    source = "\n".join(
        [
            "PROGRAM p VAR_INPUT x : LREAL; END_VAR VAR_OUTPUT y : LREAL; END_VAR VAR",
            *(f"{name} : LREAL;" for name in names),
            "END_VAR",
            *(f"{name} := x * {number}.0;" for number, name in enumerate(names)),
            *(f"y := y + {name};" for name in names),
            "END_PROGRAM",
        ]
    )
    began = time.process_time()
    compile_program(source)
    assert time.process_time() - began < 20


def test_a_time_of_thousands_of_digits_is_refused() -> None:
    source = f"PROGRAM p VAR_OUTPUT y : TIME; END_VAR y := T#1{'0' * 5000}d; END_PROGRAM"
    with pytest.raises(RuleError, match="at most 100 characters"):
        compile_program(source)


# -- boards ------------------------------------------------------------------------------------------


def alarms(count: int) -> str:
    """A program with some alarms."""
    declared = "".join(f"a{n} : HIGH_ALARM; " for n in range(count))
    called = "".join(f"a{n}(IN := x, LIMIT := {n}.0, TEXT := 'high'); " for n in range(count))
    return f"PROGRAM p VAR_INPUT x : LREAL; END_VAR VAR {declared} END_VAR {called} END_PROGRAM"


def test_a_program_that_no_board_holds_is_refused_for_boards_only() -> None:
    assert compile_program(alarms(20), budget=BOARD)
    assert compile_program(alarms(60))
    with pytest.raises(RuleError, match="expected at most 16384 bytes of byte code for a board, got "):
        compile_program(alarms(60), budget=BOARD)


def test_what_is_granted_a_board_it_holds() -> None:
    """Programs around the bound: what overflows there is beyond it, and it is not far too low."""
    cases = [runtimes.case_of(alarms(count), 1) for count in (40, 50, 60)]
    cases += [runtimes.case_of(random_program(seed, 16), seed) for seed in (1, 7)]
    held: list[int] = []
    refused: list[int] = []
    for case, trace in zip(cases, runtimes.on_micropython(cases), strict=True):
        overflows = isinstance(trace, str) and OVERFLOW in trace
        (refused if overflows else held).append(bytecode_bytes(case.program.code))
    assert refused and min(refused) > BYTECODE_BYTES_MAX
    assert max(held) > BYTECODE_BYTES_MAX


def test_a_board_with_short_floats_is_refused_what_computes_in_lreal() -> None:
    source = """
    PROGRAM p
    VAR_INPUT x : REAL; n : DINT; END_VAR
    VAR_OUTPUT y : REAL; on : BOOL; END_VAR
    y := x * 2.0;
    on := {condition};
    IF on THEN EVENT('high', VALUE := x); END_IF;
    END_PROGRAM
    """
    assert compile_program(source.format(condition="x > 1.0"), budget=SMALL_BOARD)
    with pytest.raises(RuleError, match="expected no LREAL for a board with 32-bit floats, got it in on"):
        compile_program(source.format(condition="x > n"), budget=SMALL_BOARD)
