"""What is worked out when a program is compiled is what would be worked out when it runs."""

from __future__ import annotations

import pytest

from edge_runtime.rules import Runner, compile_program

VALUES = {
    "INT": (0, 1, -1, -5, 12345, 32767, -32768),
    "DINT": (1, -5, 2**31 - 1, -(2**31), 305419896),
    "LINT": (1, -5, 2**63 - 1, -(2**63), 545681067092935613),
}
COUNTS = (-33, -1, 0, 1, 3, 15, 16, 31, 32, 63, 64, 100)


def constant(type: str, value: int) -> str:
    """A literal, also of the least value of a type."""
    return f"{type}#{value}" if value >= 0 else f"({type}#{value + 1} - 1)"


@pytest.mark.parametrize("function", ["SHL", "SHR", "ROL", "ROR"])
@pytest.mark.parametrize("type", VALUES)
def test_shifts_of_constants_are_those_of_variables(function: str, type: str) -> None:
    cases = [(value, count) for value in VALUES[type] for count in COUNTS]
    names = [f"y{at}" for at in range(len(cases))]
    folded = "".join(
        f"{name} := {function}({constant(type, value)}, {count});\n"
        for name, (value, count) in zip(names, cases, strict=True)
    )
    outputs = f"VAR_OUTPUT {', '.join(names)} : {type}; END_VAR"
    known = Runner(compile_program(f"PROGRAM p {outputs}\n{folded}END_PROGRAM"), 1)
    known.step()
    source = f"VAR_INPUT x : {type}; n : INT; END_VAR VAR_OUTPUT y : {type}; END_VAR y := {function}(x, n);"
    run = Runner(compile_program(f"PROGRAM p {source} END_PROGRAM"), len(cases))
    run.inputs[0][:] = [value for value, _ in cases]
    run.inputs[1][:] = [count for _, count in cases]
    run.step()
    assert [cells[0] for cells in known.outputs] == list(run.outputs[0])
