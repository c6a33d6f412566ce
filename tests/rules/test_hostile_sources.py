"""Sources that mean harm: each is refused in bounded time and memory, and none reaches the host."""

from __future__ import annotations

import pytest

from edge_runtime.rules import RuleError, Runner, compile_program
from scripts.fuzz_rules import confined

FRAME = """PROGRAM p
VAR_INPUT x : LREAL; n : INT; END_VAR
VAR_OUTPUT y : LREAL; k : INT; END_VAR
{}
END_PROGRAM"""


def blocks(levels: int, each: int, *, called: bool) -> str:
    """Blocks that hold some of those below, which hold some of those below, and so on."""
    units = [
        "FUNCTION_BLOCK b0 VAR_INPUT x : LREAL; END_VAR VAR y : LREAL; END_VAR y := x; END_FUNCTION_BLOCK"
    ]
    for level in range(1, levels):
        names = [f"c{number}" for number in range(each)]
        declared = "\n".join(f"{name} : b{level - 1};" for name in names)
        calls = "\n".join(f"{name}(x := x);" for name in names) if called else ""
        units.append(
            f"FUNCTION_BLOCK b{level} VAR_INPUT x : LREAL; END_VAR VAR {declared} END_VAR\n"
            f"{calls}\nEND_FUNCTION_BLOCK"
        )
    return "\n".join([*units, f"PROGRAM p VAR a : b{levels - 1}; END_VAR a(x := 1.0); END_PROGRAM"])


def functions(levels: int, each: int) -> str:
    """Functions that call those below them several times."""
    units = ["FUNCTION f0 : LREAL VAR_INPUT x : LREAL; END_VAR f0 := x; END_FUNCTION"]
    for level in range(1, levels):
        value = " + ".join([f"f{level - 1}(x)"] * each)
        units.append(
            f"FUNCTION f{level} : LREAL VAR_INPUT x : LREAL; END_VAR f{level} := {value}; END_FUNCTION"
        )
    last = f"PROGRAM p VAR_OUTPUT y : LREAL; END_VAR y := f{levels - 1}(1.0); END_PROGRAM"
    return "\n".join([*units, last])


def declared(count: int, declaration: str) -> str:
    return (
        "PROGRAM p\nVAR\n"
        + "".join(f"v{number} : {declaration};\n" for number in range(count))
        + "END_VAR\nEND_PROGRAM"
    )


BOMBS = {
    "ten megabytes": ("x" * 10_000_000, "at most 1048576 characters"),
    "one long line": (" " * 30_000, "at most 20000 characters in a line"),
    "a long name": (FRAME.format(f"{'a' * 5000} := 1.0;"), "a name of at most 100 characters"),
    "a long integer": (FRAME.format(f"k := {'9' * 9000};"), "an integer of at most 64 bits"),
    "a long typed integer": (FRAME.format(f"k := INT#{'9' * 9000};"), "an integer of at most 64 bits"),
    "a long real": (FRAME.format(f"y := {'9' * 9000}.0;"), "a number within LREAL"),
    "a long time": (FRAME.format(f"k := T#{'9' * 9000}d;"), "a time of at most 100 characters"),
    "a long text": (FRAME.format(f"EVENT('{'a' * 9000}');"), "at most 500 characters in a text"),
    "many parentheses": (FRAME.format(f"y := {'(' * 10_000};"), "at most 40 levels of nesting"),
    "many statements": (FRAME.format("y := x;\n" * 30_000), "at most 20000 statements"),
    "many words": (FRAME.format(";\n" * 260_000), "at most 250000 words and signs"),
    "no statement ends": (FRAME.format("y\n" * 10_000), "a ';' after at most 4000 words and signs"),
    "many ends": (FRAME.format("END_IF;\n" * 50_000), "expected no END_IF here"),
    "many unknown names": (FRAME.format("y := z;\n" * 5000), "a declared variable, got 'z'"),
    "many loops in loops": (
        FRAME.format("FOR k := 1 TO 9 DO\n" * 39 + "y := x;\n" + "END_FOR;\n" * 39),
        "no assignment to 'k'",
    ),
    "a long array": (declared(1, "ARRAY[0..2147483647] OF LREAL"), "1 to 10000 elements"),
    "many arrays": (declared(200, "ARRAY[0..9999] OF LREAL"), "at most 200000 elements in all arrays"),
    "many elements": (declared(1, "ARRAY[0..9] OF LREAL := [2147483647(1.0)]"), "at most 10 elements"),
    "blocks that are called": (blocks(11, 10, called=True), "at most 20000 statements and 50000 variables"),
    "blocks that are declared": (
        blocks(11, 10, called=False),
        "at most 20000 statements and 50000 variables",
    ),
    "a thousand blocks of a thousand": (blocks(3, 1000, called=True), "at most 20000 statements and 50000"),
    "blocks in blocks in blocks": (blocks(20, 1, called=True), "at most 12 levels of blocks"),
    "functions": (functions(11, 10), "at most 20000 statements and 50000 variables"),
    "functions in functions": (functions(500, 1), "do not nest so deep"),
    "many events": (FRAME.format("EVENT('t');\n" * 10_001), "at most 10000 places that tell an event"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_source_that_would_cost_too_much_is_refused(name: str) -> None:
    source, expected = BOMBS[name]
    with pytest.raises(RuleError) as caught:
        compile_program(source)
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 200_000


def test_texts_that_depend_on_each_other_in_many_ways_are_followed_once_each() -> None:
    names = [f"s{number}" for number in range(60)]
    mixed = "\n".join(
        f"{name} := {names[(n + 1) % 60]}; {name} := {names[(n + 7) % 60]};" for n, name in enumerate(names)
    )
    source = f"""PROGRAM p
    VAR_INPUT on : BOOL; END_VAR
    VAR {", ".join(names)} : STRING; a : ALARM; END_VAR
    {mixed}
    a(IN := on, TEXT := s0);
    END_PROGRAM"""
    with pytest.raises(RuleError, match="expected constants for TEXT"):
        compile_program(source)


def test_a_constant_table_stands_once_in_the_code_however_many_instances_read_it() -> None:
    instances = "\n".join(f"c{number} : curve;" for number in range(50))
    calls = "\n".join(f"c{number}(n := n); y := y + c{number}.y;" for number in range(50))
    source = f"""FUNCTION_BLOCK curve
    VAR_INPUT n : INT; END_VAR
    VAR_OUTPUT y : LREAL; END_VAR
    VAR CONSTANT table : ARRAY[0..999] OF LREAL := [1.5, 998(0.0), 2.5]; END_VAR
    y := table[n];
    END_FUNCTION_BLOCK
    PROGRAM p
    VAR_INPUT n : INT; END_VAR
    VAR_OUTPUT y : LREAL; END_VAR
    VAR
    {instances}
    END_VAR
    y := 0.0;
    {calls}
    END_PROGRAM"""
    program = compile_program(source)
    assert program.code.count("2.5") == 1
    runner = Runner(program)
    runner.inputs[0][0] = 999
    runner.step()
    assert runner.outputs[0][0] == 125.0


# -- names -------------------------------------------------------------------------------------------


def test_names_of_the_host_and_of_generated_code_are_the_authors_own() -> None:
    names = [
        "ne", "now", "r", "k", "j", "b", "m0", "t1", "v0", "s0", "wrap64", "add64", "sqrt", "range", "float",
        "Lambda", "import", "class", "def", "None", "print", "exec", "eval", "open", "self", "__import__",
        "__builtins__", "__class__", "T", "F", "I", "Q", "P", "S", "O", "OQ", "E", "step",
    ]  # fmt: skip
    sums = "\n".join(f"{name} := {name} + x;" for name in names)
    source = f"""PROGRAM eval
    VAR_INPUT x : LREAL; END_VAR
    VAR_OUTPUT {", ".join(names)} : LREAL; END_VAR
    {sums}
    END_PROGRAM"""
    program = compile_program(source)
    confined(program.code)
    runner = Runner(program)
    runner.inputs[0][0] = 2.0
    for _ in range(3):
        runner.step()
    assert [cells[0] for cells in runner.outputs] == [6.0] * len(names)


def test_however_many_columns_there_are_none_is_called_like_a_helper() -> None:
    every = range(100)
    source = f"""PROGRAM p
    VAR_INPUT {", ".join(f"x{n}" for n in every)} : LINT; END_VAR
    VAR_OUTPUT {", ".join(f"y{n}" for n in every)} : LINT; END_VAR
    VAR {", ".join(f"z{n}" for n in every)} : LINT; END_VAR
    {" ".join(f"z{n} := ROL(z{n}, 1) + x{n}; y{n} := y{n} * x{n} - z{n};" for n in every)}
    END_PROGRAM"""
    program = compile_program(source)
    confined(program.code)
    runner = Runner(program)
    for cells in runner.inputs:
        cells[0] = 1 << 62
    for _ in range(2):
        runner.step()
    assert [cells[0] for cells in runner.outputs] == [1 << 62] * 100


@pytest.mark.parametrize(
    "text",
    ["it$'s", "$$", "\\\\", '"""', "{x}", "%s", "$'); import os; (", "é中\U0001f600", "\t"],
)
def test_a_text_reaches_nobody_but_who_reads_the_event(text: str) -> None:
    program = compile_program(FRAME.format(f"EVENT('{text}');"))
    confined(program.code)
    [site] = program.events
    assert site.text == text.replace("$'", "'").replace("$$", "$")


@pytest.mark.parametrize(
    "name",
    ["\u0131f", "\ufb01", "\u212fval", "\uff58", "\u212a", "y\u017f", "\u212b", "x\u0301", "\u0445"],
    ids=["dotless", "ligature", "script", "wide", "kelvin", "long s", "angstrom", "combining", "Cyrillic"],
)  # fmt: skip
def test_letters_that_only_look_or_fold_like_ascii_are_no_names(name: str) -> None:
    with pytest.raises(RuleError, match=r"names are of the letters A to Z|invisible|expected no"):
        compile_program(FRAME.format(f"{name} := 1.0;"))


@pytest.mark.parametrize("sign", ["\0", "\u200b", "\u00a0", "\u2028", "\x85", "\ufeff", "\ud800", "\x1b"])
def test_invisible_characters_are_told_by_number(sign: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile_program(FRAME.format(f"y := {sign}x;"))
    assert f"expected no invisible character here, got U+{ord(sign):04X}" in str(caught.value)


def test_a_mark_of_byte_order_before_the_source_is_let_pass() -> None:
    assert compile_program("\ufeff" + FRAME.format("y := x;"))
