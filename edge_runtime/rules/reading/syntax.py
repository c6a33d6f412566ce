"""The syntax tree of a rule source: what the parser makes and the checker reads.

Rules:
1. A node says what was written and where, nothing of what it means: names are not looked
   up, literals not typed.
2. Names keep the capitals of the source; `Name.key` is what is compared.
3. Nodes are immutable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class Span(NamedTuple):
    """A place in the source.

    Args:
        line: From 1.
        column: From 1, in characters.
        end: Column after its last character; on a later line it is the end of the first.
    """

    line: int
    column: int
    end: int


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier as written."""

    text: str
    span: Span

    @property
    def key(self) -> str:
        """What it is compared by: the language does not distinguish capitals."""
        return self.text.upper()


# -- expressions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unread:
    """What could not be read; its fault has been told."""

    span: Span


@dataclass(frozen=True, slots=True)
class IntLiteral:
    """`12`, `16#FF`, `DINT#5`; `type` is the prefix in capitals, or `None`."""

    value: int
    type: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class RealLiteral:
    """`1.5`, `REAL#2.0`; the value is not rounded to REAL yet."""

    value: float
    type: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class BoolLiteral:
    """`TRUE`, `FALSE`."""

    value: bool
    span: Span


@dataclass(frozen=True, slots=True)
class TimeLiteral:
    """`T#1m30s`."""

    milliseconds: int
    span: Span


@dataclass(frozen=True, slots=True)
class TextLiteral:
    """`'pump tripped'`, escapes resolved."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Variable:
    """`x`."""

    name: Name

    @property
    def span(self) -> Span:
        """Where it stands."""
        return self.name.span


@dataclass(frozen=True, slots=True)
class Element:
    """`a[i]`."""

    name: Name
    index: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Member:
    """`t1.Q`: a block's output or input."""

    block: Name
    member: Name
    span: Span


@dataclass(frozen=True, slots=True)
class Unary:
    """`-x` or `NOT x`; the operator in capitals."""

    operator: str
    operand: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Binary:
    """`a + b`; the operator in capitals (`&` is `AND`), `span` is the operator's own."""

    operator: str
    left: Expression
    right: Expression
    span: Span


class Argument(NamedTuple):
    """`e`, or `name := e`."""

    name: Name | None
    value: Expression


@dataclass(frozen=True, slots=True)
class Call:
    """`MIN(a, b)`: a function."""

    function: Name
    arguments: tuple[Argument, ...]
    span: Span


Expression: TypeAlias = (
    IntLiteral
    | RealLiteral
    | BoolLiteral
    | TimeLiteral
    | TextLiteral
    | Variable
    | Element
    | Member
    | Unary
    | Binary
    | Call
    | Unread
)


# -- statements ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assign:
    """`target := value`."""

    target: Variable | Element
    value: Expression
    span: Span


class Take(NamedTuple):
    """`Q => v` in a call of a block."""

    output: Name
    target: Variable | Element


@dataclass(frozen=True, slots=True)
class BlockCall:
    """`t1(IN := x, Q => y)`; of `EVENT('text', VALUE := v)` the block is named EVENT."""

    block: Name
    arguments: tuple[Argument, ...]
    takes: tuple[Take, ...]
    span: Span


class Branch(NamedTuple):
    """`IF condition THEN body`."""

    condition: Expression
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class If:
    """All branches of one IF, and what ELSE holds."""

    branches: tuple[Branch, ...]
    otherwise: tuple[Statement, ...]
    span: Span


class Label(NamedTuple):
    """`5` (low = high) or `5..9`."""

    low: Expression
    high: Expression
    span: Span


class Choice(NamedTuple):
    """`1, 5..9: body`."""

    labels: tuple[Label, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """CASE."""

    selector: Expression
    choices: tuple[Choice, ...]
    otherwise: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class For:
    """FOR; `step` is `None` when BY is left out."""

    variable: Name
    first: Expression
    last: Expression
    step: Expression | None
    body: tuple[Statement, ...]
    span: Span


Statement: TypeAlias = Assign | BlockCall | If | Case | For


# -- declarations --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArrayType:
    """`ARRAY[low..high] OF element`."""

    low: Expression
    high: Expression
    element: Name
    span: Span


class Repeated(NamedTuple):
    """`58(0.0)` or a single value (`times` is `None`) in an array's initial value."""

    times: Expression | None
    value: Expression


@dataclass(frozen=True, slots=True)
class Declaration:
    """One variable.

    Args:
        name: Its name.
        section: `VAR`, `VAR_INPUT` or `VAR_OUTPUT`.
        qualifier: `CONSTANT`, `RETAIN` or `None`.
        type: An elementary type, a block's name, or an array.
        initial: What follows `:=`; a tuple for an array.
        unit: UCUM code as written, or `None`.
        unit_span: Where it stands.
    """

    name: Name
    section: str
    qualifier: str | None
    type: Name | ArrayType
    initial: Expression | tuple[Repeated, ...] | None
    unit: str | None
    unit_span: Span | None


@dataclass(frozen=True, slots=True)
class Unit:
    """A PROGRAM, FUNCTION_BLOCK or FUNCTION (`kind` in capitals); `result` is a function's type."""

    kind: str
    name: Name
    result: Name | None
    declarations: tuple[Declaration, ...]
    body: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Source:
    """All units of a source, in order."""

    units: tuple[Unit, ...]
