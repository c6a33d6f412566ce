"""A program in one piece: blocks and functions put in, every variable with a place of its own.

What `flatten` makes, `quality` and `optimise` work on, and `generate` writes as Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

from edge_runtime.rules.checking.typed import Value
from edge_runtime.rules.checking.types import Type


class Role(Enum):
    """What a variable of the program is to the world outside."""

    INPUT = 1
    PARAMETER = 2
    OUTPUT = 3
    INNER = 4
    TABLE = 5
    """A constant array."""


@dataclass(eq=False, slots=True)
class Var:
    """A variable.

    Args:
        path: Where it is declared, as `t1.start`.
        type: Elementary type.
        role: See `Role`.
        length: Elements of an array, 0 for a single value.
        low: Index of an array's first element.
        initial: Its values at the start.
        retain: Kept over a cold start.
        unit: UCUM code, or `None`.
    """

    path: str
    type: Type
    role: Role = Role.INNER
    length: int = 0
    low: int = 0
    initial: tuple[Value, ...] = (0,)
    retain: bool = False
    unit: str | None = None


@dataclass(eq=False, slots=True)
class Mark:
    """A place that can mark what depends on it as bad; `index` numbers those that matter."""

    index: int = -1


class Quality(NamedTuple):
    """The worst of these in a scan.

    Args:
        inputs: Inputs of the program.
        marks: Places in it.
    """

    inputs: tuple[Var, ...]
    marks: tuple[Mark, ...]


ALWAYS_GOOD = Quality((), ())


# -- expressions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FConst:
    """A constant."""

    type: Type
    value: Value


@dataclass(frozen=True, slots=True)
class FRead:
    """A variable's value; `cut`: the unit asks about its quality, so that it carries none here."""

    var: Var
    cut: bool = False

    @property
    def type(self) -> Type:
        """Its type."""
        return self.var.type


@dataclass(frozen=True, slots=True)
class FElement:
    """An array's element; `mark` where the index may be outside."""

    var: Var
    index: FExpr
    mark: Mark | None

    @property
    def type(self) -> Type:
        """Its type."""
        return self.var.type


@dataclass(frozen=True, slots=True)
class FOp:
    """An operation; `mark` where it may fail."""

    name: str
    type: Type
    args: tuple[FExpr, ...]
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class FAsk:
    """The quality of a variable, now."""

    var: Var
    type: Type = Type.INT


@dataclass(frozen=True, slots=True)
class FNow:
    """The scan's time."""

    type: Type = Type.TIME


FExpr: TypeAlias = FConst | FRead | FElement | FOp | FAsk | FNow


# -- statements ----------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class FSet:
    """A variable gets a value."""

    var: Var
    value: FExpr


@dataclass(eq=False, slots=True)
class FSetElement:
    """An array's element gets a value."""

    var: Var
    index: FExpr
    value: FExpr
    mark: Mark | None


@dataclass(eq=False, slots=True)
class FReset:
    """An array of a function gets its initial values."""

    var: Var


@dataclass(eq=False, slots=True)
class FIf:
    """IF."""

    condition: FExpr
    then: list[FStmt]
    otherwise: list[FStmt]


class FChoice(NamedTuple):
    """A choice of a CASE."""

    ranges: tuple[tuple[int, int], ...]
    body: list[FStmt]


@dataclass(eq=False, slots=True)
class FCase:
    """CASE."""

    selector: FExpr
    choices: list[FChoice]
    otherwise: list[FStmt]


@dataclass(eq=False, slots=True)
class FLoop:
    """FOR."""

    var: Var
    first: FExpr
    last: FExpr
    step: int
    body: list[FStmt]
    turns_max: int


@dataclass(eq=False, slots=True)
class FEmit:
    """An event; `quality` is found by `quality`."""

    code: int
    value: FExpr
    quality: Quality = ALWAYS_GOOD


@dataclass(eq=False, slots=True)
class FStore:
    """An output's column gets its value, at the end of the scan."""

    var: Var
    value: FExpr


FStmt: TypeAlias = FStore | FSet | FSetElement | FReset | FIf | FCase | FLoop | FEmit


class EventSite(NamedTuple):
    """A place that emits; its code is twice its index, one more for `returned`.

    Args:
        kind: `event` or `alarm`.
        path: An alarm's instance, as `guard.high`; for an event the unit's, empty for the program.
        text: What is told.
        priority: Of an alarm, 1 (critical) to 4 (low); 0 for an event.
    """

    kind: str
    path: str
    text: str
    priority: int


@dataclass(eq=False, slots=True)
class Flat:
    """A program in one piece.

    Args:
        name: As written.
        variables: All of them, in order.
        body: What one scan does.
        events: Places that emit.
        texts: Text literals, by index.
        qualities: Of the outputs; found by `quality`.
        asked: Of the variables asked about; found by `quality`.
    """

    name: str
    variables: list[Var] = field(default_factory=list)
    body: list[FStmt] = field(default_factory=list)
    events: list[EventSite] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    qualities: dict[Var, Quality] = field(default_factory=dict)
    asked: dict[Var, Quality] = field(default_factory=dict)

    def of_role(self, role: Role) -> list[Var]:
        """Variables of a role, in order."""
        return [var for var in self.variables if var.role is role]


def parts(expr: FExpr) -> Iterator[FExpr]:
    """An expression and all expressions in it."""
    yield expr
    match expr:
        case FOp(_, _, args, _):
            for arg in args:
                yield from parts(arg)
        case FElement(_, index, _):
            yield from parts(index)


def expressions(stmt: FStmt) -> tuple[FExpr, ...]:
    """The expressions that a statement evaluates itself, without those of its bodies."""
    match stmt:
        case FSet(_, value) | FStore(_, value):
            return (value,)
        case FSetElement(_, index, value, _):
            return index, value
        case FIf(condition, _, _):
            return (condition,)
        case FCase(selector, _, _):
            return (selector,)
        case FLoop(_, first, last, _, _, _):
            return first, last
        case FEmit(_, value, _):
            return (value,)
        case FReset():
            return ()


def marks_in(stmt: FStmt) -> list[Mark]:
    """The marks that a statement may set itself, without those of its bodies."""
    found = [stmt.mark] if isinstance(stmt, FSetElement) else []
    for expr in expressions(stmt):
        found += [part.mark for part in parts(expr) if isinstance(part, FOp | FElement)]
    return [mark for mark in found if mark is not None]


def bodies(stmt: FStmt) -> tuple[list[FStmt], ...]:
    """The bodies inside a statement."""
    match stmt:
        case FIf(_, then, otherwise):
            return then, otherwise
        case FCase(_, choices, otherwise):
            return (*(choice.body for choice in choices), otherwise)
        case FLoop(_, _, _, _, body, _):
            return (body,)
        case _:
            return ()


def walk(body: list[FStmt]) -> Iterator[FStmt]:
    """All statements, outer before inner."""
    for stmt in body:
        yield stmt
        for inner in bodies(stmt):
            yield from walk(inner)
