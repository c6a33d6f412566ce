"""The fuzzer's rule programs: compiled, looked through for what they must not name, and run.

Rules:
1. A source is refused with `RuleError` or compiles; nothing else may happen.
2. What was compiled names only its own variables and the five helpers (`confined`).
3. It runs for some scans, raises nothing, and every value it leaves is one of its type.
"""

from __future__ import annotations

import ast
import re
from random import Random

from edge_runtime.rules import limits
from edge_runtime.rules.checking.types import Type, bounds, to_real
from edge_runtime.rules.program import Budget, Column, Program, compile_program
from edge_runtime.rules.running.runner import Runner

HELPERS = frozenset({"range", "int", "float", "wrap64", "add64", "sub64", "mul64", "sqrt"})
"""All that generated code may call."""

NODES = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign, ast.For,
    ast.If, ast.Expr, ast.Pass, ast.Name, ast.Load, ast.Store, ast.Constant, ast.Tuple, ast.Subscript,
    ast.Slice, ast.Call, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.operator,
    ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
"""All that generated code may consist of: no attributes, imports, functions in functions, comprehensions."""

BUDGET = Budget(operations=20_000, state_bytes=1 << 16)
"""Small enough for some hundred programs a second."""

SCANS = 4
EXTREMES = (0.0, 1.0, -1.0, 32767.0, -2147483648.0, 1e30, 0.1)

SEEDS = (
    """PROGRAM guard
VAR_INPUT p : LREAL := 1.0 {unit 'bar'}; n : INT; on : BOOL; END_VAR
VAR_INPUT CONSTANT high : LREAL := 16.0 {unit 'bar'}; wait : TIME := T#1m30s; END_VAR
VAR_OUTPUT trip : BOOL; level, mean : LREAL; count : DINT := 16#FF; END_VAR
VAR RETAIN t1 : TON; up : CTU; avg : MOVING_AVERAGE; END_VAR
VAR a : ARRAY[-1..4] OF REAL := [1.0, 2.5E-3, 2(0.0)]; i : INT; end : ALARM; END_VAR
t1(IN := (p > high) AND on, PT := wait, Q => trip); // comment
up(CU := trip, PV := 5);
avg(IN := p, N := 10, OUT => mean);
FOR i := -1 TO LIMIT(0, n, 4) BY 2 DO a[i] := a[i] + INT_TO_REAL(i) / 3.0; END_FOR;
CASE n MOD 5 OF
    1: count := count + 1;
    2, 3..4: count := SHL(count, n) XOR DINT#16#7F;
ELSE count := -count / n;
END_CASE;
IF IS_GOOD(p) THEN level := SQRT(p) * a[n]; ELSIF NOT trip THEN level := MARK(level, 1); ELSE ; END_IF;
end(IN := trip, VALUE := p, PRIORITY := 2, TEXT := 'it$'s high');
EVENT('pump tripped', VALUE := level);
END_PROGRAM
""",
    """(* a (* nested *) comment *)
FUNCTION mixed : LREAL
VAR_INPUT x : LREAL; k : DINT; END_VAR
VAR s : LREAL; i : DINT; END_VAR
FOR i := 3 TO 1 BY -1 DO s := s + MAX(x, 0.5, s) * i; END_FOR;
mixed := SEL(k > 1_000, s, LINT_TO_LREAL(TRUNC(x)));
END_FUNCTION
FUNCTION_BLOCK Ramp
VAR_INPUT target : REAL; reset : BOOL; END_VAR
VAR_OUTPUT out : REAL; q : INT; END_VAR
VAR name : STRING := 'low'; last : TIME; END_VAR
IF reset OR (name = 'off') THEN out := 0.0; name := 'low'; END_IF;
out := LIMIT(-100.0, out + (target - out) * 0.1, REAL#100.0);
q := QUALITY(target);
last := NOW() - T#5s * q;
END_FUNCTION_BLOCK
PROGRAM two
VAR_INPUT a, b : REAL; l : LINT; t : TIME; END_VAR
VAR_OUTPUT y : LREAL; z : LINT; u : TIME; END_VAR
VAR CONSTANT gain : REAL := 2.0; END_VAR
VAR r1, r2 : Ramp; END_VAR
r1(target := a * gain, reset := a <> b);
r2(target := r1.out);
y := mixed(r2.out, REAL_TO_DINT(b)) + mixed(k := 5, x := y);
z := ROL(l, r2.q) MOD 9223372036854775807 AND NOT l;
u := MIN(t, T#1d2h3m4s5ms) / 2 + LINT_TO_TIME(z);
END_PROGRAM
""",
)


def compile_and_run(data: bytes) -> None:
    """What the fuzzer calls.

    Raises:
        RuleError: The source was refused.
    """
    program = compile_program(data.decode("utf-8", "replace"), budget=BUDGET)
    confined(program.code)
    run(program)


def confined(code: str) -> None:
    """Look through generated code.

    Raises:
        AssertionError: It could reach something that it should not.
    """
    tree = ast.parse(code)
    [step] = tree.body
    assert isinstance(step, ast.FunctionDef) and not step.decorator_list, "expected one function"
    own = {argument.arg for argument in step.args.args}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
    assert not own & HELPERS, f"a helper is assigned: {own & HELPERS}"
    for node in ast.walk(tree):
        assert isinstance(node, NODES), f"a {type(node).__name__}"
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name) and not node.keywords, "a call of something else"
            assert node.func.id in HELPERS, f"a call of {node.func.id}"
        if isinstance(node, ast.Name):
            assert node.id in own or node.id in HELPERS, f"the name {node.id}"
            assert re.fullmatch(r"[a-zA-Z]+[0-9]*", node.id), f"the name {node.id}"
        if isinstance(node, ast.Constant):
            assert type(node.value) in (int, float), f"the constant {node.value!r}"


def run(program: Program) -> None:
    """Run some scans and look at what is left."""
    runner = Runner(program)
    for scan in range(SCANS):
        runner.times[0] = scan * 1000
        for n, column in enumerate(program.inputs):
            runner.inputs[n][0] = _fitting(column, EXTREMES[(scan + n) % len(EXTREMES)])
            runner.qualities[n][0] = (scan + n) % 3
        count = runner.step()
        assert count <= program.events_max, f"{count} events"
        columns = (
            *zip(program.outputs, runner.outputs, strict=True),
            *zip(program.states, runner.states, strict=True),
        )
        for column, cells in columns:
            for value in cells:
                assert _is_of(column.type, value), f"{column.name} is {value!r}"
        assert all(quality in (0, 1, 2) for cells in runner.output_qualities for quality in cells), (
            "a quality"
        )


def _fitting(column: Column, value: float) -> float | int:
    if column.type.is_real:
        return to_real(value) if column.type is Type.REAL else value
    if column.type is Type.BOOL:
        return int(value > 0)
    low, high = bounds(column.type)
    return max(low, min(int(value), high))


def _is_of(type: Type, value: object) -> bool:
    if type.is_real:
        return isinstance(value, (int, float)) and (
            type is Type.LREAL or value != value or to_real(value) == value
        )
    if type is Type.BOOL:
        return value in (0, 1)
    low, high = (0, limits.TEXTS_MAX) if type is Type.STRING else bounds(type)
    return isinstance(value, int) and low <= value <= high


TOKEN = re.compile(r"\w+#?[\w.+-]*|:=|=>|<=|>=|<>|\.\.|\(\*|\*\)|//|'[^'\n]*'|\s+|.")
ODD = (
    "(", ")", ";", ":=", "'", "(*", "*)", "#", "T#", "16#", "..", "[", "]", "{", "}", "$", "\0", "é",
    "END_IF", "FOR", "9" * 400, "1.0E999", "T#9999999999999d", "-", "e",
    "IF", "END_PROGRAM", "VAR", "@", "\t", "\n",
    "低", ".",
)  # fmt: skip


def damaged(source: str, draw: Random) -> str:
    """One to a few damages: tokens left out, doubled, swapped or replaced; characters replaced."""
    tokens = TOKEN.findall(source)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at, other = draw.randrange(len(tokens)), draw.randrange(len(tokens))
        kind = draw.randrange(6)
        if kind == 0:
            tokens[at] = ""
        elif kind == 1:
            tokens[at] += " " + tokens[at]
        elif kind == 2:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        elif kind == 3:
            tokens[at] = tokens[other]
        elif kind == 4:
            tokens[at] += draw.choice(ODD)
        else:
            text = tokens[at]
            place = draw.randrange(len(text) + 1)
            tokens[at] = (
                text[:place] + draw.choice((*ODD, chr(draw.randrange(1, 0x3000)))) + text[place + 1 :]
            )
    return "".join(tokens)


def damaged_bytes(seed: bytes, draw: Random) -> bytes:
    """The same, of encoded text."""
    return damaged(seed.decode("utf-8"), draw).encode("utf-8")
