"""Where a program's state is fetched into a local name: as deep inside as everything that reads it.

A timer's start is read only while its input is TRUE; in all other scans it need not be fetched.
What is read or set in a loop is fetched before the loop, and kept in its column again behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from edge_runtime.rules.lowering.flat import (
    Flat,
    FLoop,
    FRead,
    FSet,
    FStmt,
    Var,
    bodies,
    expressions,
    parts,
    walk,
)

Path = tuple[int, ...]
"""Identities of the bodies around a place, outermost first; those of loops are not among them."""


def place(flat: Flat, states: Collection[Var]) -> dict[int, list[Var]]:
    """At the begin of which bodies state is fetched.

    Args:
        flat: The program.
        states: Single variables that live from scan to scan.

    Returns:
        By identity of a body, what is fetched there. A variable that is never read is in none.
    """
    paths: dict[Var, Path] = {}
    for var, path in _uses(flat.body, (id(flat.body),)):
        if var in states:
            paths[var] = _common(paths.get(var, path), path)
    found: dict[int, list[Var]] = {}
    for var in flat.variables:
        if var in paths:
            found.setdefault(paths[var][-1], []).append(var)
    return found


def set_in(loop: FLoop) -> list[Var]:
    """What a loop sets, its own variable too, each once."""
    return list(
        dict.fromkeys([loop.var, *(stmt.var for stmt in walk(loop.body) if isinstance(stmt, FSet | FLoop))])
    )


def _uses(body: list[FStmt], path: Path) -> Iterator[tuple[Var, Path]]:
    for stmt in body:
        for expr in expressions(stmt):
            yield from ((part.var, path) for part in parts(expr) if isinstance(part, FRead))
        if isinstance(stmt, FLoop):
            yield from ((var, path) for var in set_in(stmt))
            yield from ((var, path) for var, _ in _uses(stmt.body, path))
        else:
            for inner in bodies(stmt):
                yield from _uses(inner, (*path, id(inner)))


def _common(one: Path, other: Path) -> Path:
    """The bodies around both."""
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    return one[:same]
