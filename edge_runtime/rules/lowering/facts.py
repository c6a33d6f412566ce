"""What a statement does to values that pass it, worked out once for all that pass."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.rules.lowering.flat import (
    FAsk,
    FEmit,
    FLoop,
    FRead,
    FSet,
    FSetElement,
    FStmt,
    Var,
    bodies,
    expressions,
    marks_in,
    parts,
    walk,
)


@dataclass(slots=True)
class Facts:
    """Of a statement and all in it.

    Args:
        changed: What may change.
        own: What its own expressions read.
        inner: The statements in it that read a variable.
        marks: Whether anything marks what matters.
        tells: Whether anything looks at marks.
    """

    changed: set[Var]
    own: set[Var]
    inner: dict[Var, list[FStmt]]
    marks: bool
    tells: bool


def facts_of(stmt: FStmt) -> Facts:
    """What there is to know of a statement."""
    inside = [each for part in bodies(stmt) for each in walk(part)]
    everything = [stmt, *inside]
    inner: dict[Var, list[FStmt]] = {}
    for each in inside:
        for var in _read_by(each):
            inner.setdefault(var, []).append(each)
    return Facts(
        {each.var for each in everything if isinstance(each, FSet | FSetElement | FLoop)},
        _read_by(stmt),
        inner,
        any(map(marks, everything)),
        any(map(_tells_quality, everything)),
    )


def marks(stmt: FStmt) -> bool:
    """Whether a statement itself can mark something that matters."""
    return any(mark.index >= 0 for mark in marks_in(stmt))


def _tells_quality(stmt: FStmt) -> bool:
    """Whether a statement itself looks at marks."""
    asks = any(isinstance(part, FAsk) for expr in expressions(stmt) for part in parts(expr))
    return asks or isinstance(stmt, FEmit)


def _read_by(stmt: FStmt) -> set[Var]:
    """What a statement's own expressions read."""
    return {part.var for expr in expressions(stmt) for part in parts(expr) if isinstance(part, FRead)}
