"""Which variables a scan may read before it has written them: those must live from scan to scan."""

from __future__ import annotations

from edge_runtime.rules.flat import (
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
    """Go through statements. Returns what is surely written behind them."""
    written = set(written)
    for stmt in body:
        for expr in expressions(stmt):
            for part in parts(expr):
                if isinstance(part, FRead | FElement) and part.var not in written:
                    found.add(part.var)
        match stmt:
            case FSet(var, _):
                written.add(var)
            case FIf(_, then, otherwise):
                written = _read(then, written, found) & _read(otherwise, written, found)
            case FCase(_, choices, otherwise):
                ends = [_read(choice.body, written, found) for choice in choices]
                written = set.intersection(_read(otherwise, written, found), *ends)
            case FLoop(var, _, _, _, inner, _):
                behind = _read(inner, written | {var}, found)
                if _surely_runs(stmt):
                    written = behind
    return written


def _surely_runs(loop: FLoop) -> bool:
    first, last = loop.first, loop.last
    if not (isinstance(first, FConst) and isinstance(last, FConst)):
        return False
    return first.value <= last.value if loop.step > 0 else first.value >= last.value
