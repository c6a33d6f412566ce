"""Between which bounds the integers of a program stay, so that what cannot overflow is not guarded.

Without regard to the order of statements: a variable's interval holds all that is ever
assigned to it, and its initial value where that may be read. What still grows after
`ROUNDS` gets its type's whole range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from edge_runtime.rules.checking.types import Type, bounds
from edge_runtime.rules.lowering.exposed import find_exposed
from edge_runtime.rules.lowering.flat import (
    FAsk,
    FConst,
    FElement,
    FExpr,
    Flat,
    FLoop,
    FNow,
    FOp,
    FRead,
    FSet,
    FSetElement,
    Role,
    Var,
    walk,
)

ROUNDS = 6

NOW_MAX_MS = 1 << 60
"""Times of scans lie in 0 .. NOW_MAX_MS: the runtimes see to it."""

Interval: TypeAlias = tuple[int, int]


class Intervals:
    """The intervals of one program."""

    def __init__(self, flat: Flat) -> None:
        self._known: dict[Var, Interval] = {}
        exposed = find_exposed(flat)
        for var in flat.variables:
            if var.role in (Role.INPUT, Role.PARAMETER):
                self._known[var] = bounds(var.type)
            elif not var.type.is_real and (var in exposed or var.length):
                values = [int(value) for value in var.initial]
                self._known[var] = min(values), max(values)
        for turn in range(ROUNDS + 1):
            if not self._grow(flat, widen=turn == ROUNDS):
                break
        else:
            while self._grow(flat, widen=True):
                pass

    def _grow(self, flat: Flat, *, widen: bool) -> bool:
        grown = False
        for stmt in walk(flat.body):
            if isinstance(stmt, FSet | FSetElement):
                fresh = self.of(stmt.value)
            elif isinstance(stmt, FLoop):
                first, last = self.of(stmt.first), self.of(stmt.last)
                fresh = min(first[0], last[0]), max(first[1], last[1])
            else:
                continue
            if stmt.var.type.is_real:
                continue
            if stmt.var not in self._known:
                self._known[stmt.var] = fresh
                grown = True
            low, high = self._known[stmt.var]
            if fresh[0] < low or fresh[1] > high:
                hull = min(low, fresh[0]), max(high, fresh[1])
                self._known[stmt.var] = bounds(stmt.var.type) if widen else hull
                grown = True
        return grown

    def of(self, expr: FExpr) -> Interval:
        """The interval of an expression's value, wrapped into its type where it may leave it."""
        low, high = self.unwrapped(expr)
        type_low, type_high = bounds(expr.type)
        return (low, high) if type_low <= low and high <= type_high else (type_low, type_high)

    def unwrapped(self, expr: FExpr) -> Interval:
        """The same before it is wrapped; of what is not an integer, the widest."""
        match expr:
            case FConst(type, value):
                return bounds(Type.LINT) if type.is_real else (int(value), int(value))
            case FRead(var, _) | FElement(var, _, _):
                return self._known.get(var, bounds(Type.LINT))
            case FAsk():
                return 0, 2
            case FNow():
                return 0, NOW_MAX_MS
            case FOp():
                return self._operation(expr)

    def _operation(self, expr: FOp) -> Interval:
        if expr.type is Type.BOOL:
            return 0, 1
        if expr.type.is_real or (expr.args and expr.args[0].type.is_real):
            return bounds(Type.LINT)
        args = [self.of(arg) for arg in expr.args]
        match expr.name:
            case "+" | "-" | "*" | "NEG":
                return combine(expr.name, args)
            case "/":
                most = max(abs(args[0][0]), abs(args[0][1]))
                return (0 if args[0][0] >= 0 <= args[1][0] else -most), most
            case "MOD":
                most = max(abs(args[1][0]), abs(args[1][1])) - 1
                return (0 if args[0][0] >= 0 else -max(most, 0)), max(most, 0)
            case "ABS":
                low, high = args[0]
                return (0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
            case "MIN":
                return min(arg[0] for arg in args), min(arg[1] for arg in args)
            case "MAX":
                return max(arg[0] for arg in args), max(arg[1] for arg in args)
            case "SEL" | "MUX":
                return min(arg[0] for arg in args[1:]), max(arg[1] for arg in args[1:])
            case "LIMIT":
                return min(arg[0] for arg in args), max(arg[1] for arg in args)
            case "CONVERT" | "MARK":
                return args[0]
            case "AND" if args[0][0] >= 0 and args[1][0] >= 0:
                return 0, min(args[0][1], args[1][1])
        return bounds(expr.type)


def combine(name: str, args: Sequence[Interval]) -> Interval:
    """The interval of a sum, difference, product or negation of intervals."""
    match name:
        case "+":
            return args[0][0] + args[1][0], args[0][1] + args[1][1]
        case "-":
            return args[0][0] - args[1][1], args[0][1] - args[1][0]
        case "NEG":
            return -args[0][1], -args[0][0]
    products = [one * two for one in args[0] for two in args[1]]
    return min(products), max(products)
