"""The typed tree of one unit: what the checker makes and `flatten` takes apart.

Every name is resolved to a `Symbol`, every literal has a type, every change of type is an
explicit `CONVERT`. `Op.name` is an operator (`+`, `AND`, `NEG`) or a standard function.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.reading.syntax import Name, Span

Value: TypeAlias = int | float
"""A constant: BOOL as 0 or 1, TIME in milliseconds, STRING as an index into the program's texts."""


@dataclass(eq=False, slots=True)
class Symbol:
    """A declared variable, or an instance of a block.

    Args:
        name: As declared.
        type: Its elementary type; of an array, the elements'; STRING stands in for a block.
        section: `VAR`, `VAR_INPUT` or `VAR_OUTPUT`.
        qualifier: `CONSTANT`, `RETAIN` or `None`.
        length: Elements of an array, 0 for a single value.
        low: Index of an array's first element.
        initial: Values at the start, `max(1, length)` of them.
        unit: UCUM code, or `None`.
        block: The block of which it is an instance, or `None`.
        faulty: Its declaration has a fault: what is done with it is let pass.
    """

    name: Name
    type: Type
    section: str = "VAR"
    qualifier: str | None = None
    length: int = 0
    low: int = 0
    initial: tuple[Value, ...] = (0,)
    unit: str | None = None
    block: UnitCode | None = None
    faulty: bool = False

    @property
    def is_constant(self) -> bool:
        """Whether its value is known to the compiler."""
        return self.qualifier == "CONSTANT" and self.section == "VAR"


class Ref(NamedTuple):
    """What stands for a single variable: `x`, or `t1.Q` (`block` is `t1`)."""

    symbol: Symbol
    block: Symbol | None = None


# -- expressions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Const:
    """A value of a known type; `loose` says that it was a literal, which takes the type it meets."""

    type: Type
    value: Value
    loose: bool = False
    unit: None = None


@dataclass(frozen=True, slots=True)
class Load:
    """The value of a variable."""

    ref: Ref
    type: Type
    unit: str | None


@dataclass(frozen=True, slots=True)
class LoadElement:
    """An array's element; `index` counts from the declared lower bound."""

    symbol: Symbol
    index: Expr
    type: Type
    unit: str | None


@dataclass(frozen=True, slots=True)
class Op:
    """An operator or standard function."""

    name: str
    type: Type
    args: tuple[Expr, ...]
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Invoke:
    """A call of a function written in the language; all its inputs in order."""

    function: UnitCode
    args: tuple[Expr, ...]
    type: Type
    unit: str | None


@dataclass(frozen=True, slots=True)
class Ask:
    """The quality of a variable, 0 to 2."""

    ref: Ref
    type: Type = Type.INT
    unit: None = None


@dataclass(frozen=True, slots=True)
class Now:
    """The scan's time."""

    type: Type = Type.TIME
    unit: None = None


Expr: TypeAlias = Const | Load | LoadElement | Op | Invoke | Ask | Now


# -- statements ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Store:
    """`x := value`."""

    symbol: Symbol
    value: Expr


@dataclass(frozen=True, slots=True)
class StoreElement:
    """`a[index] := value`."""

    symbol: Symbol
    index: Expr
    value: Expr


@dataclass(frozen=True, slots=True)
class CallBlock:
    """A call of a block's instance: its inputs set, run, its outputs taken."""

    instance: Symbol
    args: tuple[tuple[Symbol, Expr], ...]
    takes: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class IfElse:
    """IF with one condition; ELSIF nests in `otherwise`."""

    condition: Expr
    then: tuple[Stmt, ...]
    otherwise: tuple[Stmt, ...]


class Labelled(NamedTuple):
    """A choice of a CASE: inclusive ranges and what to do."""

    ranges: tuple[tuple[int, int], ...]
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class CaseOf:
    """CASE."""

    selector: Expr
    choices: tuple[Labelled, ...]
    otherwise: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """FOR; `turns_max` bounds how often the body runs, `span` is where it stands."""

    symbol: Symbol
    first: Expr
    last: Expr
    step: int
    body: tuple[Stmt, ...]
    turns_max: int


@dataclass(frozen=True, slots=True)
class Emit:
    """An event: `kind` is `event`, `alarm` or `returned`."""

    kind: str
    text: str
    value: Expr
    span: Span


Stmt: TypeAlias = Store | StoreElement | CallBlock | IfElse | CaseOf | Loop | Emit


@dataclass(eq=False, slots=True)
class UnitCode:
    """A checked program, block or function.

    Args:
        kind: `PROGRAM`, `FUNCTION_BLOCK` or `FUNCTION`.
        name: As written.
        symbols: By key, in the order of declaration.
        body: Its statements.
        result: A function's result variable.
        asked: Variables whose quality it asks about.
        depth: Levels of blocks and functions below it.
    """

    kind: str
    name: Name
    symbols: dict[str, Symbol] = field(default_factory=dict)
    body: tuple[Stmt, ...] = ()
    result: Symbol | None = None
    asked: set[Ref] = field(default_factory=set)
    depth: int = 0

    @property
    def inputs(self) -> list[Symbol]:
        """VAR_INPUT, in order."""
        return [symbol for symbol in self.symbols.values() if symbol.section == "VAR_INPUT"]
