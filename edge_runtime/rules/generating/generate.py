"""Writes a flat program as one portable Python function.

The same source runs on CPython (columns are lists), MicroPython (arrays) and under numba
(numpy); see also `narrowing`. What it may use: local names, `range`, `int`, `float`, and the
helpers `wrap64` and `sqrt`; no attributes, no imports, nothing of the author's spelling.

    def step(r0, r1, k0, k1, ni, T, F, I, Q, P, S, O, OQ, E, ne): ... return ne

Rows r0..r1 (scans) times instances k0..k1 of ni: cell j = r * ni + k of inputs I, their
qualities Q, outputs O and OQ; cell k of parameters P and S, which is state and then the
arrays of functions (arrays from k * length);
T the time of each row in ms; F one cell of REAL, through which every REAL is rounded; E
the columns of events (instance, code, time, value, quality), ne the next free one.
"""

from __future__ import annotations

from collections import Counter

from edge_runtime.rules.generating.constants import literal
from edge_runtime.rules.generating.generate_expressions import Writer
from edge_runtime.rules.generating.placing import place, set_in
from edge_runtime.rules.lowering.exposed import find_exposed
from edge_runtime.rules.lowering.flat import (
    FCase,
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
    Quality,
    Role,
    Var,
    bodies,
    expressions,
    marks_in,
    parts,
    walk,
)
from edge_runtime.rules.lowering.intervals import Intervals

SIGNATURE = "r0, r1, k0, k1, ni, T, F, I, Q, P, S, O, OQ, E, ne"
"""The parameters of every step function."""

_CELLS_A_LINE = 20
"""Qualities that are united in one expression: a board's compiler nests them."""


class Layout:
    """Which variables have columns.

    Args:
        flat: The program, optimised.
    """

    def __init__(self, flat: Flat) -> None:
        self.inputs = flat.of_role(Role.INPUT)
        self.parameters = flat.of_role(Role.PARAMETER)
        self.outputs = flat.of_role(Role.OUTPUT)
        exposed = find_exposed(flat)
        written = {s.var for s in walk(flat.body) if isinstance(s, FSet | FSetElement | FReset | FLoop)}
        reset = {s.var for s in walk(flat.body) if isinstance(s, FReset)}
        columns = [
            var
            for var in flat.variables
            if var.role in (Role.INNER, Role.OUTPUT)
            and (var in exposed or (var.length and var in _used(flat) | written))
        ]
        self.states = [var for var in columns if var not in reset]
        self.scratch = [var for var in columns if var in reset]


def _used(flat: Flat) -> set[Var]:
    return {
        part.var
        for stmt in walk(flat.body)
        for expr in expressions(stmt)
        for part in parts(expr)
        if not isinstance(part, FNow) and hasattr(part, "var")
    }


def generate(flat: Flat, layout: Layout) -> str:
    """The step function's source.

    Args:
        flat: The program, optimised.
        layout: Its columns.
    """
    return _Function(flat, layout).source()


def copied_qualities(flat: Flat, layout: Layout) -> tuple[int, ...]:
    """For each output the input whose quality it always has, or -1."""
    found = [flat.qualities[var] for var in layout.outputs]
    return tuple(
        layout.inputs.index(quality.inputs[0]) if len(quality.inputs) == 1 and not quality.marks else -1
        for quality in found
    )


class _Function:
    def __init__(self, flat: Flat, layout: Layout) -> None:
        self._flat = flat
        self._layout = layout
        self._used = _used(flat)
        self._reads: Counter[Var] = Counter()
        self._count(flat.body, in_loop=False)
        self._out: list[str] = []
        self._indent = 3
        self._states = {*layout.states, *layout.scratch}
        self._fetched = place(flat, {var for var in layout.states if not var.length})
        self._known: set[Var] = set()
        """State whose local name holds its value here."""
        self._loops = 0
        self._columns = {
            **{var: f"i{n}" for n, var in enumerate(layout.inputs)},
            **{var: f"p{n}" for n, var in enumerate(layout.parameters)},
            **{var: f"s{n}" for n, var in enumerate(layout.states + layout.scratch)},
        }
        self._tables = [var for var in flat.of_role(Role.TABLE) if var in self._used]
        self._columns |= {var: f"c{n}" for n, var in enumerate(self._tables)}
        self._locals = {var: f"v{n}" for n, var in enumerate(flat.variables)}
        self._write = Writer(Intervals(flat), self._line, self._name, self._column, self._quality_of)
        self._qualities: dict[Quality, str] | None = None

    def _count(self, body: list[FStmt], *, in_loop: bool) -> None:
        """How often each variable is read; what only goes with an event is read seldom."""
        for stmt in body:
            for expr in () if isinstance(stmt, FEmit) else expressions(stmt):
                for part in parts(expr):
                    if isinstance(part, FRead):
                        self._reads[part.var] += 2 if in_loop else 1
            for inner in bodies(stmt):
                self._count(inner, in_loop=in_loop or isinstance(stmt, FLoop))

    # -- the function ------------------------------------------------------------------------------

    def source(self) -> str:
        self._marks()
        self._load()
        self._body(self._flat.body)
        self._store_qualities()
        body = self._out
        needs_now = any(isinstance(s, FEmit) for s in walk(self._flat.body)) or any(
            isinstance(part, FNow)
            for stmt in walk(self._flat.body)
            for expr in expressions(stmt)
            for part in parts(expr)
        )
        head = [f"def step({SIGNATURE}):", *self._unpack(), *self._copy_qualities()]
        head.append("    for r in range(r0, r1):")
        if needs_now:
            head.append("        now = T[r]")
        head += ["        b = r * ni", "        for k in range(k0, k1):", "            j = b + k"]
        return "\n".join([*head, *body, "    return ne", ""])

    def _unpack(self) -> list[str]:
        layout = self._layout
        lines = []
        groups = (
            ("I", [f"i{n}" for n in range(len(layout.inputs))]),
            ("Q", [f"q{n}" for n in range(len(layout.inputs))]),
            ("P", [f"p{n}" for n in range(len(layout.parameters))]),
            ("S", [f"s{n}" for n in range(len(layout.states) + len(layout.scratch))]),
            ("O", [f"o{n}" for n in range(len(layout.outputs))]),
            ("OQ", [f"w{n}" for n in range(len(layout.outputs))]),
        )
        for group, names in groups:
            if names:
                lines.append(f"    {', '.join(names)}{',' if len(names) == 1 else ''} = {group}")
        if self._flat.events:
            lines.append("    ek, ec, et, ev, eq = E")
        for var in self._tables:
            values = ", ".join(literal(value, var.type) for value in var.initial)
            lines.append(f"    {self._columns[var]} = ({values},)")
        return lines

    def _line(self, text: str, deeper: int = 0) -> None:
        self._out.append("    " * (self._indent + deeper) + text)

    def _marks(self) -> None:
        needed = [*self._flat.qualities.values(), *self._flat.asked.values()]
        needed += [stmt.quality for stmt in walk(self._flat.body) if isinstance(stmt, FEmit)]
        marks = {mark for quality in needed for mark in quality.marks}
        marks |= {mark for stmt in walk(self._flat.body) for mark in marks_in(stmt)}
        for index in sorted({mark.index for mark in marks if mark.index >= 0}):
            self._line(f"m{index} = 0")

    def _load(self) -> None:
        """Fetch inputs and parameters that are read more than once, and find where arrays begin."""
        for var in self._flat.variables:
            column = self._columns.get(var)
            if column is None or var.role is Role.TABLE:
                continue
            if var.length:
                if var in self._states and var.length > 1:
                    self._line(f"b{column} = k * {var.length}")
            elif var.role in (Role.INPUT, Role.PARAMETER) and self._reads[var] > 1:
                at = "j" if var.role is Role.INPUT else "k"
                self._line(f"{self._locals[var]} = {column}[{at}]")

    def _name(self, var: Var) -> str:
        if var.role in (Role.INPUT, Role.PARAMETER) and self._reads[var] <= 1:
            return f"{self._columns[var]}[{'j' if var.role is Role.INPUT else 'k'}]"
        return self._locals[var]

    def _column(self, var: Var, index: str) -> str:
        column = self._columns[var]
        if var.role is Role.TABLE:
            return f"{column}[{index}]"
        return f"{column}[k]" if var.length == 1 else f"{column}[b{column} + {index}]"

    def _store_qualities(self) -> None:
        self._qualities = {}  # all marks are made: alike qualities are one from here
        copied = copied_qualities(self._flat, self._layout)
        for n, var in enumerate(self._layout.outputs):
            if copied[n] < 0:
                self._line(f"w{n}[j] = {self._worst(self._flat.qualities[var])}")

    def _copy_qualities(self) -> list[str]:
        """Those of outputs that depend on one input: in one piece, which is cheaper than one by one."""
        found = copied_qualities(self._flat, self._layout)
        pairs = [(n, of) for n, of in enumerate(found) if of >= 0]
        if not pairs:
            return []
        return [
            "    if k1 - k0 == ni:",
            *(f"        w{n}[r0 * ni:r1 * ni] = q{of}[r0 * ni:r1 * ni]" for n, of in pairs),
            "    else:",
            "        for r in range(r0, r1):",
            "            for j in range(r * ni + k0, r * ni + k1):",
            *(f"                w{n}[j] = q{of}[j]" for n, of in pairs),
        ]

    # -- statements ----------------------------------------------------------------------------------

    def _body(self, body: list[FStmt]) -> None:
        fetched = self._fetched.get(id(body), [])
        for var in fetched:
            self._line(f"{self._locals[var]} = {self._columns[var]}[k]")
        self._known.update(fetched)
        for stmt in body:
            self._statement(stmt)
        self._known.difference_update(fetched)

    def _inner(self, body: list[FStmt]) -> None:
        self._indent += 1
        begin = len(self._out)
        self._body(body)
        if len(self._out) == begin:
            self._line("pass")
        self._indent -= 1

    def _statement(self, stmt: FStmt) -> None:
        match stmt:
            case FSet(var, value):
                if _same(var, value):  # what it may mark is all that it does
                    self._write.value(value)
                else:
                    self._write.assign(self._targets(var), value)
            case FStore(var, value):
                self._write.assign([f"o{self._layout.outputs.index(var)}[j]"], value)
            case FSetElement(var, index, value, mark):
                at = self._write.index(index, var, mark)
                self._write.assign([self._column(var, at)], value)
            case FReset(var):
                self._reset(var)
            case FIf(condition, then, otherwise):
                self._if(self._write.condition(condition), then, otherwise)
            case FCase():
                self._case(stmt)
            case FLoop():
                self._loop(stmt)
            case FEmit(code, value, quality):
                text = self._write.value(value)
                worst = self._worst(quality)
                pairs = ("ek", "k"), ("ec", code), ("et", "now"), ("ev", text), ("eq", worst)
                for column, cell in pairs:
                    self._line(f"{column}[ne] = {cell}")
                self._line("ne += 1")

    def _targets(self, var: Var) -> list[str]:
        """Where a value goes; what is set in a loop goes to its column behind it."""
        if var not in self._states:
            return [self._locals[var]]
        name = [self._locals[var]] if var in self._known else []
        return name if self._loops else [*name, f"{self._columns[var]}[k]"]

    def _if(self, condition: str, then: list[FStmt], otherwise: list[FStmt]) -> None:
        if not then:
            self._line(f"if not ({condition}):")
            self._inner(otherwise)
            return
        self._line(f"if {condition}:")
        self._inner(then)
        if otherwise:
            self._line("else:")
            self._inner(otherwise)

    def _case(self, stmt: FCase) -> None:
        selector = self._write.atom(stmt.selector)
        word = "if"
        for choice in stmt.choices:
            tests = [
                f"{selector} == {low}" if low == high else f"{low} <= {selector} <= {high}"
                for low, high in choice.ranges
            ]
            self._line(f"{word} {' or '.join(tests) or '0'}:")
            self._inner(choice.body)
            word = "elif"
        if stmt.otherwise and stmt.choices:
            self._line("else:")
            self._inner(stmt.otherwise)
        elif stmt.otherwise:
            self._body(stmt.otherwise)

    def _loop(self, stmt: FLoop) -> None:
        if not self._write.may_be_far(stmt.first, stmt.last):
            self._turns(stmt)
            return
        # numba counts the turns of a range in 64 bits, and takes one that is far too empty for a full one
        first, last = self._write.atom(stmt.first), self._write.atom(stmt.last)
        self._line(f"if {first} {'<=' if stmt.step > 0 else '>='} {last}:")
        self._indent += 1
        self._turns(stmt)
        self._indent -= 1

    def _turns(self, stmt: FLoop) -> None:
        first = self._write.value(stmt.first)
        end = self._write.after(stmt.last, 1 if stmt.step > 0 else -1)
        step = "" if stmt.step == 1 else f", {stmt.step}"
        name = self._locals[stmt.var]
        state = stmt.var in self._states
        counter = self._write.fresh() if state else name
        self._line(f"for {counter} in range({first}, {end}{step}):")
        if state:
            self._line(f"{name} = {counter}", 1)
        self._loops += 1
        self._inner(stmt.body)
        self._loops -= 1
        if not self._loops:
            for var in set_in(stmt):
                if var in self._states:
                    self._line(f"{self._columns[var]}[k] = {self._locals[var]}")

    def _reset(self, var: Var) -> None:
        values = [literal(value, var.type) for value in var.initial]
        if len(set(values)) == 1 and var.length > 1:
            counter = self._write.fresh()
            self._line(f"for {counter} in range({var.length}):")
            self._line(f"{self._column(var, counter)} = {values[0]}", 1)
            return
        for n, value in enumerate(values):
            self._line(f"{self._column(var, str(n))} = {value}")

    # -- quality -------------------------------------------------------------------------------------

    def _quality_of(self, var: Var) -> str:
        text = self._worst(self._flat.asked[var])
        if not text.startswith("m"):
            return text
        name = self._write.fresh()  # the mark may be set again before this is used
        self._line(f"{name} = {text}")
        return name

    def _worst(self, quality: Quality) -> str:
        """The worst of some inputs and marks, in a name of its own when there are several."""
        order = {var: n for n, var in enumerate(self._layout.inputs)}
        cells = [f"q{order[var]}[j]" for var in quality.inputs]
        cells += [f"m{mark.index}" for mark in quality.marks]
        if len(cells) < 2:
            return cells[0] if cells else "0"
        if self._qualities is not None and quality in self._qualities:
            return self._qualities[quality]
        name = self._write.fresh()
        # The greatest of 0, 1 and 2 by their bits: a branch each would be most of a long program,
        # and numba walks branches by recursion.
        for begin in range(0, len(cells), _CELLS_A_LINE):
            part = " | ".join(cells[begin : begin + _CELLS_A_LINE])
            self._line(f"{name} = {part}" if begin == 0 else f"{name} |= {part}")
        self._line(f"if {name} > 2:")
        self._line(f"{name} = 2", 1)
        if self._qualities is not None:
            self._qualities[quality] = name
        return name


def _same(var: Var, value: FExpr) -> bool:
    """Whether a variable would get the value that it has."""
    match value:
        case FRead(origin, _) | FOp("MARK", _, (FRead(origin, _), _), _):
            return origin is var
        case _:
            return False
