"""Puts blocks and functions into the program that uses them.

Each instance of a block gets variables of its own, each call of a function as well; so
what is left knows only assignments, branches, loops and events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge_runtime.rules import limits
from edge_runtime.rules.checking.typed import (
    Ask,
    CallBlock,
    CaseOf,
    Const,
    Emit,
    Expr,
    IfElse,
    Invoke,
    Load,
    LoadElement,
    Loop,
    Now,
    Op,
    Ref,
    Stmt,
    Store,
    StoreElement,
    Symbol,
    UnitCode,
)
from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.lowering.exposed import find_exposed
from edge_runtime.rules.lowering.flat import (
    EventSite,
    FAsk,
    FCase,
    FChoice,
    FConst,
    FElement,
    FEmit,
    FExpr,
    FIf,
    Flat,
    FLoop,
    FNow,
    FOp,
    FRead,
    FReset,
    FSet,
    FSetElement,
    FStmt,
    FStore,
    Mark,
    Role,
    Var,
    parts,
    walk,
)
from edge_runtime.rules.reading.syntax import Span

_ROLES = {"VAR_INPUT": Role.INPUT, "VAR_OUTPUT": Role.OUTPUT, "VAR": Role.INNER}


@dataclass(eq=False, slots=True)
class _Frame:
    """One instance of a unit: its variables, and those of the blocks in it.

    `span` is where the program declares the instance, or the one around it.
    """

    unit: UnitCode
    path: str
    span: Span
    vars: dict[Symbol, Var] = field(default_factory=dict)
    frames: dict[Symbol, _Frame] = field(default_factory=dict)


class TooLongError(Exception):
    """The program is too long once everything is put in."""


def flatten(program: UnitCode, texts: Sequence[str], say: Callable[[Span, str, str], None]) -> Flat:
    """The program in one piece.

    Args:
        program: Checked without faults.
        texts: Text literals by index.
        say: Takes faults that show only here.

    Raises:
        TooLongError: More than `limits.STATEMENTS_MAX` statements or `VARIABLES_MAX` variables.
    """
    return _Flattener(program, texts, say).flat


class _Flattener:
    def __init__(
        self, program: UnitCode, texts: Sequence[str], say: Callable[[Span, str, str], None]
    ) -> None:
        self.flat = Flat(program.name.text, texts=list(texts))
        self._say = say
        self._statements = self._variables = 0
        self._tables: dict[Symbol, Var] = {}
        self._sites: dict[tuple[str, int], int] = {}
        self._calls: list[Span] = []
        self._alarm_texts: list[tuple[int, _Frame]] = []
        frame = self._frame(program, "", program.name.span)
        self.flat.body = self._body(program.body, frame)
        self.flat.body += [FStore(var, FRead(var)) for var in self.flat.of_role(Role.OUTPUT)]
        constants = _constants(self.flat)
        for index, owner in self._alarm_texts:
            self._describe(index, owner, constants)

    # -- variables -------------------------------------------------------------------------------

    def _frame(self, unit: UnitCode, path: str, span: Span) -> _Frame:
        frame = _Frame(unit, path, span)
        self._variables += len(unit.symbols)
        if self._variables > limits.VARIABLES_MAX:
            raise TooLongError
        for symbol in unit.symbols.values():
            inner = f"{path}.{symbol.name.text}" if path else symbol.name.text
            if symbol.block is not None:
                where = span if path else symbol.name.span
                frame.frames[symbol] = self._frame(symbol.block, inner, where)
                if symbol.qualifier == "RETAIN":
                    for var in _all_vars(frame.frames[symbol]):
                        var.retain = True
            elif not symbol.is_constant or symbol.length:
                frame.vars[symbol] = self._var(symbol, inner, outermost=not path and unit.kind == "PROGRAM")
        return frame

    def _var(self, symbol: Symbol, path: str, *, outermost: bool) -> Var:
        role = _ROLES[symbol.section] if outermost else Role.INNER
        if symbol in self._tables:
            return self._tables[symbol]
        if symbol.qualifier == "CONSTANT":
            role = Role.TABLE if symbol.section == "VAR" else Role.PARAMETER
        var = Var(
            path,
            symbol.type,
            role,
            symbol.length,
            symbol.low,
            symbol.initial,
            symbol.qualifier == "RETAIN",
            symbol.unit,
        )
        self.flat.variables.append(var)
        if role is Role.TABLE:
            self._tables[symbol] = var  # the same for all instances
        return var

    def _at(self, ref: Ref, frame: _Frame) -> Var:
        return (frame if ref.block is None else frame.frames[ref.block]).vars[ref.symbol]

    # -- statements ------------------------------------------------------------------------------

    def _body(self, stmts: Sequence[Stmt], frame: _Frame) -> list[FStmt]:
        made: list[FStmt] = []
        for stmt in stmts:
            self._statement(stmt, frame, made)
            self._statements += 1
            if self._statements > limits.STATEMENTS_MAX:
                raise TooLongError
        return made

    def _statement(self, stmt: Stmt, frame: _Frame, out: list[FStmt]) -> None:
        match stmt:
            case Store(symbol, value):
                out.append(FSet(frame.vars[symbol], self._expr(value, frame, out)))
            case StoreElement(symbol, index, value):
                at = self._expr(index, frame, out)
                out.append(FSetElement(frame.vars[symbol], at, self._expr(value, frame, out), Mark()))
            case CallBlock(instance, args, takes):
                inner = frame.frames[instance]
                self._arguments([(inner.vars[s], self._expr(v, frame, out)) for s, v in args], out)
                out += self._body(inner.unit.body, inner)
                for take in takes:
                    self._statement(take, frame, out)
            case IfElse(condition, then, otherwise):
                test = self._expr(condition, frame, out)
                out.append(FIf(test, self._body(then, frame), self._body(otherwise, frame)))
            case CaseOf(selector, choices, otherwise):
                value_ = self._expr(selector, frame, out)
                made = [FChoice(choice.ranges, self._body(choice.body, frame)) for choice in choices]
                out.append(FCase(value_, made, self._body(otherwise, frame)))
            case Loop(symbol, first, last, step, body, turns_max):
                begin, end = self._expr(first, frame, out), self._expr(last, frame, out)
                inner_body = self._body(body, frame)
                out.append(FLoop(frame.vars[symbol], begin, end, step, inner_body, turns_max))
            case Emit():
                self._emit(stmt, frame, out)

    def _emit(self, stmt: Emit, frame: _Frame, out: list[FStmt]) -> None:
        alarm = stmt.kind != "event"
        key = (frame.path, -1) if alarm else (frame.path, id(stmt))
        if key not in self._sites:
            self._sites[key] = len(self.flat.events)
            site = EventSite("alarm" if alarm else "event", frame.path, stmt.text, 0)
            self.flat.events.append(site)
            if alarm:
                self._alarm_texts.append((self._sites[key], frame))
        code = 2 * self._sites[key] + (stmt.kind == "returned")
        out.append(FEmit(code, self._expr(stmt.value, frame, out)))

    def _describe(self, index: int, frame: _Frame, constants: Callable[[Var], int | float | None]) -> None:
        """Find an alarm's text and priority, which are the same in every scan."""
        given = {symbol.name.key: var for symbol, var in frame.vars.items()}
        text, priority = (constants(given[key]) for key in ("TEXT", "PRIORITY"))
        site = self.flat.events[index]
        if text is None or priority is None or not 1 <= priority <= 4:
            what = f"expected constants for TEXT and PRIORITY (1..4) of the alarm {site.path!r}"
            self._say(frame.span, what, "give them as literals: TEXT := 'high level', PRIORITY := 2")
            return
        self.flat.events[index] = site._replace(text=self.flat.texts[int(text)], priority=int(priority))

    # -- expressions -----------------------------------------------------------------------------

    def _arguments(self, args: list[tuple[Var, FExpr]], out: list[FStmt]) -> None:
        """Set a block's inputs, all arguments having been evaluated before."""
        targets = {var for var, _ in args}
        waiting = [
            at
            for at, (_, value) in enumerate(args)
            if at and any(isinstance(part, FRead) and part.var in targets for part in parts(value))
        ]
        # those before it too: one may ask for a quality that the next one changes
        for at in range(max(waiting, default=-1) + 1):
            var, value = args[at]
            if not isinstance(value, FConst):
                held = Var(f"{var.path}'", var.type)
                self.flat.variables.append(held)
                out.append(FSet(held, value))
                args[at] = var, FRead(held)
        out += [FSet(var, value) for var, value in args]

    def _expr(self, expr: Expr, frame: _Frame, out: list[FStmt]) -> FExpr:
        match expr:
            case Const(type, value, _, _):
                return FConst(type, value)
            case Load(ref, _, _):
                return FRead(self._at(ref, frame), ref in frame.unit.asked)
            case LoadElement(symbol, index, _, _):
                return FElement(frame.vars[symbol], self._expr(index, frame, out), Mark())
            case Op(name, type, args, _):
                made = tuple(self._expr(arg, frame, out) for arg in args)
                return FOp(name, type, made, Mark() if _can_fail(name, type, made) else None)
            case Ask(ref, _, _):
                return FAsk(self._at(ref, frame))
            case Now():
                return FNow()
            case Invoke():
                return self._invoke(expr, frame, out)

    def _invoke(self, expr: Invoke, frame: _Frame, out: list[FStmt]) -> FExpr:
        unit = expr.function
        path = f"{frame.path}.{unit.name.text}" if frame.path else unit.name.text
        inner = self._frame(unit, path, frame.span)
        values = [self._expr(arg, frame, out) for arg in expr.args]
        for symbol, var in inner.vars.items():
            if symbol.section != "VAR" or var.role is Role.TABLE:
                continue
            out.append(FReset(var) if var.length else FSet(var, FConst(var.type, var.initial[0])))
        for symbol, value in zip(unit.inputs, values, strict=True):
            out.append(FSet(inner.vars[symbol], value))
        out += self._body(unit.body, inner)
        assert unit.result is not None
        return FRead(inner.vars[unit.result])


def _can_fail(name: str, type: Type, args: Sequence[FExpr]) -> bool:
    """Whether an operation may give nothing sensible, and mark what depends on it."""
    if name in ("/", "MOD"):
        return not (isinstance(args[1], FConst) and args[1].value != 0)
    if name == "CONVERT":
        return args[0].type.is_real and not type.is_real
    return name in ("SQRT", "TRUNC", "MARK")


def _all_vars(frame: _Frame) -> list[Var]:
    return [*frame.vars.values(), *(var for inner in frame.frames.values() for var in _all_vars(inner))]


def _constants(flat: Flat) -> Callable[[Var], int | float | None]:
    """A function that finds what a variable always is, or `None`."""
    assigned: dict[Var, list[FExpr]] = {}
    for stmt in walk(flat.body):
        if isinstance(stmt, FSet):
            assigned.setdefault(stmt.var, []).append(stmt.value)
    exposed = find_exposed(flat)
    known: dict[Var, int | float | None] = {}

    def find(var: Var, *, own: bool = True) -> int | float | None:
        """`own`: the alarm's input itself, which counts as given before the alarm can tell anything."""
        if var not in known:
            known[var] = None  # what depends on itself is not constant
            found = assigned.get(var, [])
            values = {_value(value) for value in found}
            if not found or (not own and var in exposed):
                values.add(var.initial[0])
            if var.role is Role.INNER and len(values) == 1:
                known[var] = values.pop()
        return known[var]

    def _value(value: FExpr) -> int | float | None:
        if isinstance(value, FConst):
            return value.value
        return find(value.var, own=False) if isinstance(value, FRead) else None

    return find
