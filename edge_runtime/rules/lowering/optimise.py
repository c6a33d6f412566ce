"""Makes a flat program cheaper without changing what anybody can see.

1. What is always the same is put in where it is read; branches never taken go.
2. What nobody reads goes: an ET that the program does not use costs nothing.
3. A value that is read once moves to where it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from edge_runtime.rules import limits
from edge_runtime.rules.checking.folding import fold
from edge_runtime.rules.checking.typed import Const
from edge_runtime.rules.lowering.exposed import find_exposed
from edge_runtime.rules.lowering.facts import Facts, facts_of, marks
from edge_runtime.rules.lowering.flat import (
    FAsk,
    FCase,
    FConst,
    FElement,
    FEmit,
    FExpr,
    FIf,
    Flat,
    FLoop,
    FOp,
    FRead,
    FSet,
    FSetElement,
    FStmt,
    FStore,
    Role,
    Var,
    bodies,
    expressions,
    parts,
    walk,
)

ROUNDS = 8
"""Each round finds what the one before made possible; more than a few are never needed."""


def optimise(flat: Flat) -> None:
    """Work on a program whose qualities are known."""
    for _ in range(ROUNDS):
        before = _size(flat)
        _substitute(flat)
        flat.body = _folded(flat.body)
        _follow_copies(flat.body, _reads_of(flat))
        _drop_dead(flat)
        _forward(flat)
        if _size(flat) == before:
            break


def rewrite(expr: FExpr, change: Callable[[FExpr], FExpr]) -> FExpr:
    """An expression with each part changed, inner before outer."""
    match expr:
        case FOp(_, _, args, _):
            made = tuple([rewrite(arg, change) for arg in args])
            if any(new is not old for new, old in zip(made, args, strict=True)):
                expr = replace(expr, args=made)
        case FElement(_, index, _):
            place = rewrite(index, change)
            if place is not index:
                expr = replace(expr, index=place)
    return change(expr)


def rewrite_statement(stmt: FStmt, change: Callable[[FExpr], FExpr]) -> None:
    """Change the expressions that a statement evaluates itself."""
    match stmt:
        case FSet() | FStore() | FEmit():
            stmt.value = rewrite(stmt.value, change)
        case FSetElement():
            stmt.index, stmt.value = rewrite(stmt.index, change), rewrite(stmt.value, change)
        case FIf():
            stmt.condition = rewrite(stmt.condition, change)
        case FCase():
            stmt.selector = rewrite(stmt.selector, change)
        case FLoop():
            stmt.first, stmt.last = rewrite(stmt.first, change), rewrite(stmt.last, change)


def _size(flat: Flat) -> int:
    return sum(1 + sum(1 for expr in expressions(s) for _ in parts(expr)) for s in walk(flat.body))


# -- what is always the same -----------------------------------------------------------------------


def _substitute(flat: Flat) -> None:
    known = _always(flat)
    if known:

        def change(expr: FExpr) -> FExpr:
            return known.get(expr.var, expr) if isinstance(expr, FRead) else expr

        for stmt in walk(flat.body):
            rewrite_statement(stmt, change)

    for stmt in walk(flat.body):
        rewrite_statement(stmt, _fold)


def _always(flat: Flat) -> dict[Var, FExpr]:
    """Variables that always have one value, or that of an input."""
    exposed = find_exposed(flat)
    assigned = _assignments(flat)
    looped = {
        var for stmt in walk(flat.body) if isinstance(stmt, FLoop) for var in (stmt.var, *_set_in(stmt.body))
    }
    found: dict[Var, FExpr] = {}
    for var in flat.variables:
        if var.role is not Role.INNER or var.length or var in looped:
            continue
        values = assigned.get(var, [])
        initial = FConst(var.type, var.initial[0])
        constants = {_identity(value) for value in values} | (
            {_identity(initial)} if var in exposed or not values else set()
        )
        if len(constants) == 1 and None not in constants:
            value = values[0] if values else initial
            assert isinstance(value, FConst)
            found[var] = value
        elif len(values) == 1 and var not in exposed and isinstance(values[0], FRead):
            source = values[0].var
            fixed = source.role in (Role.INPUT, Role.PARAMETER)
            once = len(assigned.get(source, [])) == 1 and source not in exposed and source not in looped
            if fixed or (once and source.role is Role.INNER):
                found[var] = values[0]
    return {var: _end(value, found) for var, value in found.items()}


def _end(value: FExpr, found: dict[Var, FExpr]) -> FExpr:
    """Where a chain of copies begins."""
    while isinstance(value, FRead) and value.var in found:
        value = found[value.var]
    return value


def _identity(value: FExpr) -> tuple[str, str] | None:
    """Equal for equal constants only: 0.0 is not -0.0 and a NaN is itself."""
    return (value.type, repr(value.value)) if isinstance(value, FConst) else None


def _assignments(flat: Flat) -> dict[Var, list[FExpr]]:
    found: dict[Var, list[FExpr]] = {}
    for stmt in walk(flat.body):
        if isinstance(stmt, FSet):
            found.setdefault(stmt.var, []).append(stmt.value)
    return found


def _set_in(body: list[FStmt]) -> list[Var]:
    return [stmt.var for stmt in walk(body) if isinstance(stmt, FSet | FLoop)]


def _fold(expr: FExpr) -> FExpr:
    if not isinstance(expr, FOp) or (expr.mark is not None and expr.mark.index >= 0):
        return expr
    if any(not isinstance(arg, FConst) for arg in expr.args):
        return expr
    known = [Const(arg.type, arg.value) for arg in expr.args if isinstance(arg, FConst)]
    made = fold(expr.name, expr.type, known)
    return expr if made is None else FConst(made.type, made.value)


def _folded(body: list[FStmt]) -> list[FStmt]:
    """Statements without branches that are never taken."""
    made: list[FStmt] = []
    for stmt in body:
        if isinstance(stmt, FIf) and isinstance(stmt.condition, FConst):
            made += _folded(stmt.then if stmt.condition.value else stmt.otherwise)
            continue
        if isinstance(stmt, FLoop) and isinstance(stmt.first, FConst) and isinstance(stmt.last, FConst):
            stmt.turns_max = len(
                range(int(stmt.first.value), int(stmt.last.value) + _toward(stmt), stmt.step)
            )
            if not stmt.turns_max:
                continue
        for inner in bodies(stmt):
            inner[:] = _folded(inner)
        made.append(stmt)
    return made


def _toward(loop: FLoop) -> int:
    return 1 if loop.step > 0 else -1


# -- copies ----------------------------------------------------------------------------------------


def _reads_of(flat: Flat) -> Counter[Var]:
    """How often each variable is read."""
    return Counter(
        part.var
        for stmt in walk(flat.body)
        for expr in expressions(stmt)
        for part in parts(expr)
        if isinstance(part, FRead)
    )


def _follow_copies(body: list[FStmt], reads: Counter[Var]) -> None:
    """Read the origin in the place of its copy, as long as both stay as they are."""
    facts = [facts_of(stmt) for stmt in body]
    for at, stmt in enumerate(body):
        for inner in bodies(stmt):
            _follow_copies(inner, reads)
        if isinstance(stmt, FSet) and isinstance(stmt.value, FRead) and not stmt.value.var.length:
            end = at + 1 + limits.AHEAD_MAX
            _follow(stmt, stmt.value, zip(body[at + 1 : end], facts[at + 1 : end], strict=True), reads)


def _follow(copy: FSet, origin: FRead, rest: Iterable[tuple[FStmt, Facts]], reads: Counter[Var]) -> None:
    def change(expr: FExpr) -> FExpr:
        if not (isinstance(expr, FRead) and expr.var is copy.var):
            return expr
        reads[copy.var] -= 1
        reads[origin.var] += 1
        return origin

    for stmt, facts in rest:
        if not reads[copy.var]:
            return
        ends = copy.var in facts.changed or origin.var in facts.changed
        if ends and bodies(stmt):
            return
        if copy.var in facts.own:
            rewrite_statement(stmt, change)
            facts.own.add(origin.var)
        if ends:
            return
        readers = facts.inner.pop(copy.var, [])
        for inner in readers:
            rewrite_statement(inner, change)
        facts.inner.setdefault(origin.var, []).extend(readers)


# -- what nobody reads -----------------------------------------------------------------------------


def _drop_dead(flat: Flat) -> None:
    live: set[Var] = set()
    reads: dict[Var, set[Var]] = {}
    _collect(flat.body, set(), live, reads)
    waiting = list(live)
    while waiting:
        for var in reads.get(waiting.pop(), ()):
            if var not in live:
                live.add(var)
                waiting.append(var)
    flat.body = _kept(flat.body, live)


def _collect(body: list[FStmt], around: set[Var], live: set[Var], reads: dict[Var, set[Var]]) -> None:
    """What each variable needs, and what is needed anyway."""
    for stmt in body:
        used = {
            part.var
            for expr in expressions(stmt)
            for part in parts(expr)
            if isinstance(part, FRead | FElement)
        }
        if isinstance(stmt, FEmit | FStore) or marks(stmt):
            live |= used | around
        if isinstance(stmt, FSet | FSetElement | FLoop):
            reads.setdefault(stmt.var, set()).update(used, around)
        for inner in bodies(stmt):
            _collect(inner, around | used | ({stmt.var} if isinstance(stmt, FLoop) else set()), live, reads)


def _kept(body: list[FStmt], live: set[Var]) -> list[FStmt]:
    made = []
    for stmt in body:
        inner = bodies(stmt)
        for part in inner:
            part[:] = _kept(part, live)
        if isinstance(stmt, FEmit | FStore) or marks(stmt):
            made.append(stmt)
        elif isinstance(stmt, FIf | FCase):
            if any(inner):
                made.append(stmt)
        elif stmt.var in live or any(inner):
            made.append(stmt)
    return made


# -- what is read once -----------------------------------------------------------------------------


def _forward(flat: Flat) -> None:
    exposed = find_exposed(flat)
    reads: Counter[Var] = Counter()
    sets: Counter[Var] = Counter()
    for stmt in walk(flat.body):
        if isinstance(stmt, FSet | FLoop):
            sets[stmt.var] += 1
        for expr in expressions(stmt):
            reads.update(part.var for part in parts(expr) if isinstance(part, FRead))
    movable = {
        var
        for var in flat.variables
        if var.role in (Role.INNER, Role.OUTPUT)
        and not var.length
        and reads[var] == sets[var] == 1
        and var not in exposed
    }
    _forward_in(flat.body, movable)


def _forward_in(body: list[FStmt], movable: set[Var]) -> None:
    for stmt in body:
        for inner in bodies(stmt):
            _forward_in(inner, movable)
    facts = [facts_of(stmt) for stmt in body]
    for at in range(len(body) - 2, -1, -1):
        stmt = body[at]
        if isinstance(stmt, FSet) and stmt.var in movable:
            end = at + 1 + limits.AHEAD_MAX
            if _move(stmt, zip(body[at + 1 : end], facts[at + 1 : end], strict=True)):
                del body[at], facts[at]


def _move(stmt: FSet, rest: Iterable[tuple[FStmt, Facts]]) -> bool:
    """Put a value in where it is read, if nothing between changes it."""
    needs = {part.var for part in parts(stmt.value) if isinstance(part, FRead | FElement)}
    asks = any(isinstance(part, FAsk) for part in parts(stmt.value))
    marking = marks(stmt)
    for other, facts in rest:
        if marking and facts.tells:
            return False
        if stmt.var in facts.own:
            return _put_in(stmt, other, facts)
        if not facts.changed.isdisjoint(needs) or (asks and facts.marks) or stmt.var in facts.inner:
            return False
    return False


def _put_in(stmt: FSet, reader: FStmt, facts: Facts) -> bool:
    """Put a value in where it is read, unless that would nest too deep."""
    if _depth(stmt.value) + max(map(_depth, expressions(reader))) > limits.NESTING_MAX:
        return False

    def change(expr: FExpr) -> FExpr:
        return stmt.value if isinstance(expr, FRead) and expr.var is stmt.var else expr

    rewrite_statement(reader, change)
    facts.own |= {part.var for part in parts(stmt.value) if isinstance(part, FRead)}
    facts.marks |= marks(stmt)
    facts.tells |= any(isinstance(part, FAsk) for part in parts(stmt.value))
    return True


def _depth(expr: FExpr) -> int:
    match expr:
        case FOp(_, _, args, _):
            return 1 + max(map(_depth, args), default=0)
        case FElement(_, index, _):
            return 1 + _depth(index)
    return 1
