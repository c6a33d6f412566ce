"""Which variables a scan may read before it has written them: those must live from scan to scan."""

from __future__ import annotations

from edge_runtime.rules.lowering.flat import (
    FCase,
    FConst,
    FElement,
    FIf,
    Flat,
    FLoop,
    FRead,
    FSet,
    FStmt,
    Role,
    Var,
    expressions,
    parts,
)


def find_exposed(flat: Flat) -> set[Var]:
    """Variables whose value of the scan before may be read."""
    found: set[Var] = set()
    _read(flat.body, set(), found)
    return {var for var in found if var.role in (Role.INNER, Role.OUTPUT)}


def _read(body: list[FStmt], written: set[Var], found: set[Var]) -> set[Var]:
    """Go through statements.

    Args:
        body: The statements.
        written: What is surely written before them; afterwards also what is written by them.
        found: Takes what may be read before it is written.

    Returns:
        What has come to `written`, so that it can be taken back: copies would cost a square.
    """
    fresh: set[Var] = set()
    for stmt in body:
        for expr in expressions(stmt):
            for part in parts(expr):
                if isinstance(part, FRead | FElement) and part.var not in written:
                    found.add(part.var)
        surely: set[Var] = set()
        match stmt:
            case FSet(var, _):
                surely = {var}
            case FIf(_, then, otherwise):
                surely = _aside(then, written, found) & _aside(otherwise, written, found)
            case FCase(_, choices, otherwise):
                surely = _aside(otherwise, written, found)
                for choice in choices:
                    surely &= _aside(choice.body, written, found)
            case FLoop(var, _, _, _, inner, _):
                counts = {var} - written
                written |= counts
                surely = _aside(inner, written, found) | counts
                written -= counts
                surely = surely if _surely_runs(stmt) else set()
        surely -= written
        written |= surely
        fresh |= surely
    return fresh


def _aside(body: list[FStmt], written: set[Var], found: set[Var]) -> set[Var]:
    """The same for what may be left out: `written` is afterwards as it was."""
    fresh = _read(body, written, found)
    written -= fresh
    return fresh


def _surely_runs(loop: FLoop) -> bool:
    first, last = loop.first, loop.last
    if not (isinstance(first, FConst) and isinstance(last, FConst)):
        return False
    return first.value <= last.value if loop.step > 0 else first.value >= last.value
