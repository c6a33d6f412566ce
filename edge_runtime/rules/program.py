"""A compiled program: its columns, its bounds and its generated code.

>>> program = compile_program('''
... PROGRAM high
... VAR_INPUT x : LREAL {unit 'bar'}; END_VAR
... VAR_INPUT CONSTANT limit : LREAL := 16.0 {unit 'bar'}; END_VAR
... VAR_OUTPUT too_high : BOOL; END_VAR
... too_high := x > limit;
... END_PROGRAM''')
>>> [column.name for column in program.inputs + program.parameters + program.outputs]
['x', 'limit', 'too_high']
>>> program.operations, program.state_bytes
(4, 0)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from edge_runtime.rules import limits
from edge_runtime.rules.checking.check import check_units, programs_of
from edge_runtime.rules.checking.typed import UnitCode, Value
from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.generating import boards, cost
from edge_runtime.rules.generating.generate import Layout, copied_qualities, generate
from edge_runtime.rules.lowering.flat import EventSite, Flat, Var
from edge_runtime.rules.lowering.flatten import TooLongError, flatten
from edge_runtime.rules.lowering.optimise import optimise
from edge_runtime.rules.lowering.quality import find_qualities
from edge_runtime.rules.reading.errors import Fault, RuleError
from edge_runtime.rules.reading.parse import Reading, parse, read
from edge_runtime.rules.reading.syntax import Source, Span

LANGUAGE = 1
"""Version of the language; a package names the one it is written in."""

GENERATOR = 1
"""Version of the generator: state written under one is not read under another."""

TOO_DEEP = (
    "expected operators, loops, IF and ELSIF that do not nest so deep",
    "assign parts of long expressions to variables of their own, and use CASE in the place of many ELSIF",
)
"""What is wrong with a program that fits all other bounds, and what to do."""

LIBRARY = Path(__file__).with_name("library")
"""The standard blocks and functions, in the language itself."""


class Column(NamedTuple):
    """A variable that lives outside the code.

    Args:
        name: As declared; of state the path, as `t1.start`.
        type: Elementary type.
        unit: UCUM code, or `None`.
        initial: Values at the start of one instance, `max(1, length)` of them.
        length: Elements of an array, 0 for a single value.
        retain: Kept over a cold start.
    """

    name: str
    type: Type
    unit: str | None
    initial: tuple[Value, ...]
    length: int = 0
    retain: bool = False


class Program(NamedTuple):
    """A compiled program.

    Args:
        name: As written.
        inputs: VAR_INPUT.
        parameters: VAR_INPUT CONSTANT.
        outputs: VAR_OUTPUT.
        states: What lives from scan to scan.
        scratch: Arrays of functions, which live for one call; the code finds them behind `states`.
        events: Places that emit; an event's code is twice the index, one more for `returned`.
        events_max: Most events of one scan of one instance.
        operations: Most operations of one scan of one instance.
        state_bytes: Bytes of one instance's state and scratch.
        code: The step function's source; see `generate`.
        quality_of: For each output the input whose quality it always has, or -1.
    """

    name: str
    inputs: tuple[Column, ...]
    parameters: tuple[Column, ...]
    outputs: tuple[Column, ...]
    states: tuple[Column, ...]
    scratch: tuple[Column, ...]
    events: tuple[EventSite, ...]
    events_max: int
    operations: int
    state_bytes: int
    code: str
    quality_of: tuple[int, ...]


class Budget(NamedTuple):
    """What a program may cost, for one scan of one instance.

    Args:
        operations: Most operations.
        state_bytes: Most bytes of state.
        bytecode_bytes: Most bytes of MicroPython's byte code; `None` where the program runs on none.
        lreal: Whether there is LREAL; boards whose floats have 32 bits have none.
    """

    operations: int = limits.OPERATIONS_MAX
    state_bytes: int = limits.STATE_BYTES_MAX
    bytecode_bytes: int | None = None
    lreal: bool = True


BOARD = Budget(bytecode_bytes=limits.BYTECODE_BYTES_MAX)
"""For a MicroPython board with 64-bit floats."""

SMALL_BOARD = BOARD._replace(lreal=False)
"""For one with 32-bit floats."""


class _Faults:
    """Gathers faults with the lines they stand in."""

    def __init__(self, text: str, file: str, reading: Reading | None = None) -> None:
        self._lines = text.split("\n")
        self._file = file
        self._echoes = frozenset() if reading is None else reading.skipped
        self.found: list[Fault] = [] if reading is None else list(reading.faults)

    def say(self, span: Span, what: str, hint: str) -> None:
        line = self._lines[span.line - 1].rstrip("\r") if 0 < span.line <= len(self._lines) else ""
        if line[span.column - 1 : span.end - 1].upper() not in self._echoes:
            self.found.append(Fault.clipped(span, what, hint, line, self._file))
        if len(self.found) > limits.MEANING_FAULTS_MAX + limits.FAULTS_MAX:
            self.raise_any()

    def raise_any(self) -> None:
        if self.found:
            raise RuleError(list(dict.fromkeys(self.found)))


class Library(NamedTuple):
    """The standard library, checked.

    Args:
        units: Its blocks and functions by key.
        texts: Text literals in it.
    """

    units: Mapping[str, UnitCode]
    texts: Mapping[str, int]


@cache
def library() -> Library:
    """The standard blocks and functions."""
    units: dict[str, UnitCode] = {}
    texts: dict[str, int] = {"": 0}
    for path in sorted(LIBRARY.glob("*.st")):
        text = path.read_text(encoding="utf-8")
        faults = _Faults(text, path.name)
        units |= check_units(parse(text, path.name), units, texts, faults.say, in_library=True)
        faults.raise_any()
    return Library(units, texts)


def compile_program(
    text: str, name: str | None = None, file: str = "", budget: Budget | None = None
) -> Program:
    """Compile one program of a source.

    Args:
        text: Structured Text.
        name: Which program, when there are several.
        file: The source's name, for messages.
        budget: What it may cost.

    Raises:
        RuleError: With every fault.
    """
    try:
        return _compile(text, name, file, budget or Budget())
    except RecursionError:
        faults = _Faults(text, file)
        faults.say(Span(1, 1, 2), *TOO_DEEP)
        faults.raise_any()
        raise


def _compile(text: str, name: str | None, file: str, budget: Budget) -> Program:
    reading = read(text, file)
    faults = _Faults(text, file, reading)
    if reading.source is None:
        faults.raise_any()
    source = reading.source or Source(())
    standard = library()
    texts = dict(standard.texts)
    units = check_units(source, standard.units, texts, faults.say)
    unit = _chosen(programs_of(units), name, faults)
    faults.raise_any()
    assert unit is not None
    try:
        flat = flatten(unit, list(texts), faults.say)
    except TooLongError:
        most = f"{limits.STATEMENTS_MAX} statements and {limits.VARIABLES_MAX} variables"
        what = f"expected at most {most} with all blocks and functions put in"
        faults.say(unit.name.span, what, "call fewer or smaller blocks, or use loops and arrays")
        faults.raise_any()
        raise
    _count_texts(flat, unit, faults)
    faults.raise_any()
    find_qualities(flat)
    optimise(flat)
    made = _program(flat)
    _afford(made, budget, unit, faults)
    faults.raise_any()
    _refuse_unloadable(made, unit, faults)
    _fit_board(made, flat, budget, unit, faults)
    faults.raise_any()
    return made


def _count_texts(flat: Flat, unit: UnitCode, faults: _Faults) -> None:
    for found, most, noun in (
        (len(flat.events), limits.EVENT_SITES_MAX, "places that tell an event or alarm"),
        (len(flat.texts), limits.TEXTS_MAX, "different texts"),
    ):
        if found > most:
            faults.say(
                unit.name.span, f"expected at most {most} {noun}, got {found}", "make several programs of it"
            )


def _refuse_unloadable(program: Program, unit: UnitCode, faults: _Faults) -> None:
    """Python bounds how deep code may nest: that must show here, not when a gateway starts."""
    try:
        compile(program.code, "<rules>", "exec")
    except (SyntaxError, RecursionError, MemoryError):  # 3.11 says MemoryError where the parser's stack ends
        faults.say(unit.name.span, *TOO_DEEP)
        faults.raise_any()


def _chosen(programs: Sequence[UnitCode], name: str | None, faults: _Faults) -> UnitCode | None:
    found = [unit for unit in programs if name is None or unit.name.key == name.upper()]
    if len(found) == 1:
        return found[0]
    if not faults.found:
        names = ", ".join(unit.name.text for unit in programs)
        wanted = "one PROGRAM" if name is None else f"a PROGRAM named {name!r}"
        hint = "" if names else "a program is written PROGRAM name ... END_PROGRAM"
        faults.say(Span(1, 1, 2), f"expected {wanted}, got {names or 'none'}", hint)
    return None


def _program(flat: Flat) -> Program:
    layout = Layout(flat)
    return Program(
        flat.name,
        tuple(map(_column, layout.inputs)),
        tuple(map(_column, layout.parameters)),
        tuple(map(_column, layout.outputs)),
        tuple(map(_column, layout.states)),
        tuple(map(_column, layout.scratch)),
        tuple(flat.events),
        cost.events(flat.body),
        cost.operations(flat.body),
        cost.state_bytes(layout.states + layout.scratch),
        generate(flat, layout),
        copied_qualities(flat, layout),
    )


def _column(var: Var) -> Column:
    return Column(var.path, var.type, var.unit, var.initial, var.length, var.retain)


def _afford(program: Program, budget: Budget, unit: UnitCode, faults: _Faults) -> None:
    if program.operations > budget.operations:
        what = f"expected at most {budget.operations} operations a scan, got {program.operations}"
        faults.say(unit.name.span, what, "shorten loops, or raise operations_max in app.toml")
    if program.state_bytes > budget.state_bytes:
        what = f"expected at most {budget.state_bytes} bytes of state, got {program.state_bytes}"
        faults.say(unit.name.span, what, "shorten arrays and windows, or raise state_bytes_max in app.toml")


def _fit_board(program: Program, flat: Flat, budget: Budget, unit: UnitCode, faults: _Faults) -> None:
    wide = [] if budget.lreal else boards.wide_reals(flat)
    if wide:
        shown = ", ".join(wide[:5]) + (" and others" if len(wide) > 5 else "")
        what = f"expected no LREAL for a board with 32-bit floats, got it in {shown}"
        faults.say(unit.name.span, what, "use REAL")
    if budget.bytecode_bytes is None:
        return
    size = boards.bytecode_bytes(program.code)
    if size > budget.bytecode_bytes:
        what = f"expected at most {budget.bytecode_bytes} bytes of byte code for a board, got {size}"
        faults.say(unit.name.span, what, "call fewer blocks, use loops, or make several programs of it")
