"""How much one scan of one instance can cost: operations, events, bytes of state.

An operation is a node of an expression or a statement; of branches the dearest counts, a
loop counts as often as it can turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_runtime.rules.checking.types import WIDTHS
from edge_runtime.rules.lowering.flat import FCase, FEmit, FIf, FLoop, FReset, FStmt, Var, expressions, parts

EVENT_OPERATIONS = 6
"""Cells written for an event."""


def operations(body: Sequence[FStmt]) -> int:
    """Most operations of some statements."""
    return sum(_statement(stmt, operations, _operations_of) for stmt in body)


def events(body: Sequence[FStmt]) -> int:
    """Most events that some statements emit."""
    return sum(_statement(stmt, events, _events_of) for stmt in body)


def state_bytes(states: Sequence[Var]) -> int:
    """Bytes of one instance's state in packed columns."""
    return sum(WIDTHS[var.type.code] * max(1, var.length) for var in states)


def _statement(stmt: FStmt, inner: Callable[[Sequence[FStmt]], int], own: Callable[[FStmt], int]) -> int:
    match stmt:
        case FIf(_, then, otherwise):
            return own(stmt) + max(inner(then), inner(otherwise))
        case FCase(_, choices, otherwise):
            return own(stmt) + max(inner(body) for body in (*(c.body for c in choices), otherwise))
        case FLoop(_, _, _, _, body, turns):
            return own(stmt) * (turns + 1) + turns * inner(body)
        case _:
            return own(stmt)


def _events_of(stmt: FStmt) -> int:
    return int(isinstance(stmt, FEmit))


def _operations_of(stmt: FStmt) -> int:
    if isinstance(stmt, FReset):
        return max(1, stmt.var.length)
    weight = EVENT_OPERATIONS if isinstance(stmt, FEmit) else 1
    tests = sum(len(choice.ranges) for choice in stmt.choices) if isinstance(stmt, FCase) else 0
    return weight + tests + sum(1 for expr in expressions(stmt) for _ in parts(expr))
