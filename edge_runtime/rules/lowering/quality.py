"""Which inputs and marks the quality of an output depends on (docs/rules-reference.md, section 8).

A graph with an edge from a variable to all that stands in what is assigned to it, or in a
condition around; the quality of a variable is the worst of all inputs and marks in reach.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from edge_runtime.rules.lowering.flat import (
    FAsk,
    FElement,
    FEmit,
    FExpr,
    Flat,
    FLoop,
    FOp,
    FRead,
    FSet,
    FSetElement,
    FStmt,
    Mark,
    Quality,
    Role,
    Var,
    bodies,
    expressions,
    parts,
)

_Node: TypeAlias = Var | Mark


def find_qualities(flat: Flat) -> None:
    """Fill in the qualities of outputs, of events and of variables asked about."""
    graph = _Graph(flat)
    for var in flat.of_role(Role.OUTPUT):
        flat.qualities[var] = graph.quality({var})
    for var in graph.asked:
        flat.asked[var] = graph.quality({var})
    for stmt, roots in graph.emits:
        stmt.quality = graph.quality(roots)
    needed = [*flat.qualities.values(), *flat.asked.values(), *(stmt.quality for stmt, _ in graph.emits)]
    marks = dict.fromkeys(mark for quality in needed for mark in quality.marks)
    for index, mark in enumerate(marks):
        mark.index = index


class _Graph:
    def __init__(self, flat: Flat) -> None:
        self._order: dict[_Node, int] = {var: index for index, var in enumerate(flat.variables)}
        self._edges: dict[Var, set[_Node]] = {}
        self.asked: dict[Var, None] = {}
        self.emits: list[tuple[FEmit, set[_Node]]] = []
        self._read(flat.body, frozenset())

    def quality(self, roots: Iterable[_Node]) -> Quality:
        """The inputs and marks in reach of some nodes, in a fixed order."""
        seen: set[_Node] = set()
        waiting = list(roots)
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                if isinstance(node, Var):
                    waiting += self._edges.get(node, ())
        ordered = sorted(seen, key=self._order.__getitem__)
        inputs = tuple(n for n in ordered if isinstance(n, Var) and n.role is Role.INPUT)
        return Quality(inputs, tuple(node for node in ordered if isinstance(node, Mark)))

    def _read(self, body: list[FStmt], around: frozenset[_Node]) -> None:
        for stmt in body:
            found = set(around)
            for expr in expressions(stmt):
                found |= self._nodes(expr)
            match stmt:
                case FSet(var, _):
                    self._edges.setdefault(var, set()).update(found)
                case FSetElement(var, _, _, mark):
                    if mark is not None:
                        self._order.setdefault(mark, len(self._order))
                        found.add(mark)
                    self._edges.setdefault(var, set()).update(found)
                case FEmit():
                    self.emits.append((stmt, found))
                case FLoop(var):
                    self._edges.setdefault(var, set()).update(found)
            for inner in bodies(stmt):
                self._read(inner, frozenset(found))

    def _nodes(self, expr: FExpr) -> set[_Node]:
        found: set[_Node] = set()
        for part in parts(expr):
            match part:
                case FRead(var, cut):
                    if not cut:
                        found.add(var)
                case FElement(var, _, mark):
                    found.add(var)
                    self._add_mark(mark, found)
                case FOp(_, _, _, mark):
                    self._add_mark(mark, found)
                case FAsk(var):
                    self.asked[var] = None
        return found

    def _add_mark(self, mark: Mark | None, found: set[_Node]) -> None:
        if mark is not None:
            self._order.setdefault(mark, len(self._order))
            found.add(mark)
