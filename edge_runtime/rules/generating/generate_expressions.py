"""Writes expressions as portable Python: what needs more than an expression becomes lines before it.

REAL operations go through the cell `F[0]`; integers are wrapped where they may leave their
type; what may fail is guarded and marks. Where 64 bits may overflow the helpers `add64`,
`sub64` and `mul64` do it: numba lets LLVM assume that signed sums and products never do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_runtime.rules.checking.types import BITS, Type, bounds
from edge_runtime.rules.generating.constants import literal
from edge_runtime.rules.lowering.flat import FAsk, FConst, FElement, FExpr, FNow, FOp, FRead, Mark, Var
from edge_runtime.rules.lowering.intervals import Interval, Intervals, combine

_COMPARE = {"<": "<", ">": ">", "<=": "<=", ">=": ">=", "=": "==", "<>": "!="}
_BITWISE = {"AND": "&", "OR": "|", "XOR": "^"}
_ADDITIVE = ("+", "-", "*", "NEG")
_WIDE = {"+": "add64", "-": "sub64", "NEG": "sub64", "*": "mul64"}


class Writer:
    """Writes the expressions of one function.

    Args:
        intervals: What integers can be.
        line: Takes a line, and how many levels deeper it stands.
        name: A variable's name.
        column: An array's element.
        quality: The quality of a variable asked about.
    """

    def __init__(
        self,
        intervals: Intervals,
        line: Callable[..., None],
        name: Callable[[Var], str],
        column: Callable[[Var, str], str],
        quality: Callable[[Var], str],
    ) -> None:
        self._intervals = intervals
        self._line = line
        self._name = name
        self._column = column
        self._quality = quality
        self._fresh = 0

    def fresh(self) -> str:
        """A new name."""
        self._fresh += 1
        return f"t{self._fresh}"

    # -- the ways to want a value --------------------------------------------------------------------

    def value(self, expr: FExpr) -> str:
        """An expression that gives the value, in parentheses where it needs them."""
        match expr:
            case FConst(type, value):
                return literal(value, type)
            case FRead(var, _):
                return self._name(var)
            case FElement(var, index, mark):
                return self._column(var, self.index(index, var, mark))
            case FNow():
                return "now"
            case FAsk(var):
                return self._quality(var)
            case FOp():
                return self._operation(expr, None)

    def atom(self, expr: FExpr) -> str:
        """The value as a name or constant, to be used more than once."""
        text = self.value(expr)
        if isinstance(expr, FConst | FRead | FNow) and "[" not in text:
            return text
        if text.isidentifier():
            return text
        name = self.fresh()
        self._line(f"{name} = {text}")
        return name

    def assign(self, targets: Sequence[str], expr: FExpr) -> None:
        """Lines that give the value to targets, the first of which may be used meanwhile."""
        into = targets[0] if targets[0].isidentifier() else None
        text = self._operation(expr, into) if isinstance(expr, FOp) else self.value(expr)
        if text == into:
            if len(targets) > 1:
                self._line(f"{targets[1]} = {into}")
            return
        self._line(f"{' = '.join(targets)} = {text}")

    def condition(self, expr: FExpr) -> str:
        """A test for `if`."""
        match expr:
            case FOp(name, _, args, _) if name in _COMPARE:
                left, right = self.value(args[0]), self.value(args[1])
                return f"{left} {_COMPARE[name]} {right}"
            case FOp("AND" | "OR" as name, Type.BOOL, args, _):
                left, right = (self._inner_condition(arg) for arg in args)
                return f"{left} {name.lower()} {right}"
            case FOp("NOT", Type.BOOL, (arg,), _):
                return f"not {self._inner_condition(arg)}"
            case FOp("IS_FINITE", _, (arg,), _):
                value = self.atom(arg)
                return f"{value} - {value} == 0.0"
            case FOp("CONVERT", Type.BOOL, (arg,), _):
                return f"{self.value(arg)} != 0"
            case _:
                return self.value(expr)

    def _inner_condition(self, expr: FExpr) -> str:
        text = self.condition(expr)
        return text if text.isidentifier() else f"({text})"

    def index(self, expr: FExpr, var: Var, mark: Mark | None) -> str:
        """An index counted from 0, moved to the nearer end where it may lie outside."""
        first, last = var.low, var.low + var.length - 1
        if isinstance(expr, FConst) and first <= expr.value <= last:
            return str(int(expr.value) - first)
        low, high = self._intervals.of(expr)
        at = self.value(expr)
        if low < first or high > last:
            name = self.fresh()
            self._line(f"{name} = {at}")
            for word, sign, end in (("if", "<", first), ("elif", ">", last)):
                self._line(f"{word} {name} {sign} {end}:")
                self._line(f"{name} = {end}", 1)
                self._mark(mark, "2", 1)
            at = name
        return f"{at} - {first}" if first else at

    def after(self, expr: FExpr, by: int) -> str:
        """The value plus one or minus one: the end of a range."""
        if isinstance(expr, FConst):
            return str(int(expr.value) + by)
        return f"{self.value(expr)} {'+' if by > 0 else '-'} 1"

    def may_be_far(self, first: FExpr, last: FExpr) -> bool:
        """Whether the distance between two integers may need more than 64 bits."""
        (low, high), (least, most) = self._intervals.of(first), self._intervals.of(last)
        return max(most - low, high - least) >= (1 << 63) - 1

    def _mark(self, mark: Mark | None, quality: str, deeper: int) -> None:
        if mark is not None and mark.index >= 0:
            self._line(f"m{mark.index} = {quality}", deeper)

    # -- operations ----------------------------------------------------------------------------------

    def _operation(self, op: FOp, into: str | None) -> str:
        if op.name in _COMPARE or op.name == "IS_FINITE":
            return f"(1 if {self.condition(op)} else 0)"
        if op.type is Type.BOOL:
            return self._boolean(op)
        handler = getattr(self, f"_{op.name.lower()}", None)
        if op.name in _ADDITIVE:
            return self._real(op, into) if op.type.is_real else self._wrapped(op, into)
        if op.name in _BITWISE:
            left, right = (self.value(arg) for arg in op.args)
            return f"({left} {_BITWISE[op.name]} {right})"
        if op.name == "NOT":
            return f"(~{self.value(op.args[0])})"
        if op.name == "/":
            return self._real_quotient(op, into) if op.type.is_real else self._quotient(op, into)
        if op.name == "MARK":
            return self._marked(op)
        assert handler is not None, op.name
        return str(handler(op, into))

    def _boolean(self, op: FOp) -> str:
        match op:
            case FOp("AND" | "OR" | "XOR" as name, _, args, _):
                if name != "XOR" and any(isinstance(arg, FOp) and arg.name in _COMPARE for arg in args):
                    return f"(1 if {self.condition(op)} else 0)"
                left, right = (self.value(arg) for arg in args)
                return f"({left} {_BITWISE[name]} {right})"
            case FOp("NOT", _, (arg,), _):
                return f"(0 if {self.condition(arg)} else 1)"
            case FOp("CONVERT", _, _, _):
                return f"(1 if {self.condition(op)} else 0)"
            case FOp("MARK", _, _, _):
                return self._marked(op)
            case _:
                return self._choice(op)

    def _wrapped(self, op: FOp, into: str | None) -> str:
        """Sums and products of integers: wrapped where they may leave their type."""
        low, high = bounds(op.type)
        reached = self._intervals.unwrapped(op)
        fits = low <= reached[0] and reached[1] <= high
        if BITS[op.type] == 64 and not fits:
            # beyond 64 bits nothing can be put right afterwards: under numba it would be undefined
            left, right = (["0"] if op.name == "NEG" else []) + [self.value(arg) for arg in op.args]
            return f"{_WIDE[op.name]}({left}, {right})"
        text = self._chain(op)
        if fits and self._tame(op):
            return text
        name = into or self.fresh()
        self._line(f"{name} = {text[1:-1]}")
        self._guard(name, op.type)
        return name

    def _chain(self, op: FOp) -> str:
        """A chain of them, wrapped once at its end as long as all of it fits in 64 bits."""
        values = [self._link(arg, op) for arg in op.args]
        if op.name == "NEG":
            return _negative(values[0])
        return f"({values[0]} {op.name} {values[1]})"

    def _link(self, arg: FExpr, op: FOp) -> str:
        if isinstance(arg, FOp) and arg.name in _ADDITIVE and arg.type is op.type:
            low, high = self._reach(op)
            if low >= -(1 << 63) and high < 1 << 63:
                return self._chain(arg)
        return self.value(arg)

    def _reach(self, expr: FExpr) -> Interval:
        """What a chain can be when none of its links is wrapped."""
        if not (isinstance(expr, FOp) and expr.name in _ADDITIVE and not expr.type.is_real):
            return self._intervals.of(expr)
        args = [self._reach(arg) if arg.type is expr.type else self._intervals.of(arg) for arg in expr.args]
        return combine(expr.name, args)

    def _tame(self, op: FOp) -> bool:
        """Whether no link of a chain leaves the type either."""
        low, high = bounds(op.type)
        reached = self._reach(op)
        links = [arg for arg in op.args if isinstance(arg, FOp) and arg.name in _ADDITIVE]
        return low <= reached[0] and reached[1] <= high and all(map(self._tame, links))

    def _guard(self, name: str, type: Type, deeper: int = 0) -> None:
        """Wrap a name around its type."""
        low, high = bounds(type)
        self._line(f"if not {low} <= {name} <= {high}:", deeper)
        if BITS[type] == 64:
            self._line(f"{name} = wrap64({name})", deeper + 1)
        else:
            self._line(f"{name} = ({name} + {-low} & {2 * high + 1}) - {-low}", deeper + 1)

    def _rounded(self, text: str) -> str:
        """A REAL: rounded through the cell."""
        self._line(f"F[0] = {text}")
        name = self.fresh()
        self._line(f"{name} = F[0]")
        return name

    def _real(self, op: FOp, into: str | None) -> str:
        values = [self.value(arg) for arg in op.args]
        text = f"-{values[0]}" if op.name == "NEG" else f"{values[0]} {op.name} {values[1]}"
        return self._rounded(text) if op.type is Type.REAL else f"({text})"

    def _real_quotient(self, op: FOp, into: str | None) -> str:
        left, right = op.args
        if isinstance(right, FConst) and right.value != 0.0:
            text = f"{self.value(left)} / {self.value(right)}"
            return self._rounded(text) if op.type is Type.REAL else f"({text})"
        a, b = self.atom(left), self.atom(right)
        name = self.fresh()
        self._line(f"if {b} != 0.0:")
        if op.type is Type.REAL:
            self._line(f"F[0] = {a} / {b}", 1)
        else:
            self._line(f"{name} = {a} / {b}", 1)
        self._line("else:")
        self._line("F[0] = 0.0" if op.type is Type.REAL else f"{name} = 0.0", 1)
        self._mark(op.mark, "2", 1)
        if op.type is Type.REAL:
            self._line(f"{name} = F[0]")
        return name

    def _quotient(self, op: FOp, into: str | None) -> str:
        return self._divided(op)[0]

    def _mod(self, op: FOp, into: str | None) -> str:
        quotient, a, b = self._divided(op)
        name = self.fresh()
        low, high = self._intervals.of(op.args[1])
        if low <= 0 and high >= -1:  # by 0 it is 0; the quotient of the least value and -1 wraps
            self._line(f"if -1 <= {b} <= 0:")
            self._line(f"{name} = 0", 1)
            self._line("else:")
            self._line(f"{name} = {a} - {quotient} * {b}", 1)
        else:
            self._line(f"{name} = {a} - {quotient} * {b}")
        return name

    def _divided(self, op: FOp) -> tuple[str, str, str]:
        """(the quotient, truncated towards zero and wrapped; the dividend; the divisor)."""
        a, b = self.atom(op.args[0]), self.atom(op.args[1])
        name = self.fresh()
        low, high = self._intervals.of(op.args[1])
        least = bounds(op.type)[0]
        negated = low <= -1 <= high and self._intervals.of(op.args[0])[0] == least
        word = "if"
        if low <= 0 <= high:
            self._line(f"if {b} == 0:")
            self._line(f"{name} = 0", 1)
            self._mark(op.mark, "2", 1)
            word = "elif"
        if negated:
            self._line(f"{word} {b} == -1:")
            self._negated(name, a, op.type)
            word = "elif"
        deeper = 0
        if word == "elif":
            self._line("else:")
            deeper = 1
        self._line(f"{name} = {a} // {b}", deeper)
        dividend = self._intervals.of(op.args[0])
        if not (dividend[0] >= 0 and low >= 0):
            self._line(f"if {name} < 0 and {a} % {b} != 0:", deeper)
            self._line(f"{name} += 1", deeper + 1)
        return name, a, b

    # -- functions -----------------------------------------------------------------------------------

    def _convert(self, op: FOp, into: str | None) -> str:
        (arg,) = op.args
        source, target = arg.type, op.type
        if target is Type.REAL:
            return self._rounded(f"float({self.value(arg)})" if not source.is_real else self.value(arg))
        if target is Type.LREAL:
            return f"(1.0 * {self.value(arg)})" if source is Type.REAL else f"float({self.value(arg)})"
        if source.is_real:
            return self._nearest(op)
        low, high = self._intervals.of(arg)
        type_low, type_high = bounds(target)
        if type_low <= low and high <= type_high:
            return self.value(arg)
        name = self.fresh()
        self._line(f"{name} = {self.value(arg)}")
        self._guard(name, target)
        return name

    def _nearest(self, op: FOp) -> str:
        """The nearest integer, ties to even."""
        x, name, rest = self.atom(op.args[0]), self.fresh(), self.fresh()
        self._truncated(op, x, name)
        self._line(f"{rest} = {x} - {name}", 1)
        self._line(f"if {rest} > 0.5 or {rest} == 0.5 and {name} & 1:", 1)
        self._line(f"{name} += 1", 2)
        self._line(f"elif {rest} < -0.5 or {rest} == -0.5 and {name} & 1:", 1)
        self._line(f"{name} -= 1", 2)
        if op.type is not Type.LINT:
            low, high = bounds(op.type)
            self._line(f"if not {low} <= {name} <= {high}:", 1)
            self._line(f"{name} = 0", 2)
            self._mark(op.mark, "2", 2)
        self._outside(op, name)
        return name

    def _trunc(self, op: FOp, into: str | None) -> str:
        x, name = self.atom(op.args[0]), self.fresh()
        self._truncated(op, x, name)
        self._outside(op, name)
        return name

    def _truncated(self, op: FOp, x: str, name: str) -> None:
        low, high = bounds(op.type)
        if op.type is Type.LINT:
            self._line(f"if -9223372036854775808.0 <= {x} < 9223372036854775808.0:")
        else:
            self._line(f"if {low - 1}.0 < {x} < {high + 1}.0:")
        self._line(f"{name} = int({x})", 1)

    def _outside(self, op: FOp, name: str) -> None:
        self._line("else:")
        self._line(f"{name} = 0", 1)
        self._mark(op.mark, "2", 1)

    def _abs(self, op: FOp, into: str | None) -> str:
        x = self.atom(op.args[0])
        if op.type.is_real:
            return f"({x} if {x} > 0.0 else 0.0 - {x})"
        text = f"({_negative(x)} if {x} < 0 else {x})"
        if self._intervals.of(op.args[0])[0] > bounds(op.type)[0]:
            return text
        name = self.fresh()
        self._line(f"if {x} < 0:")
        self._negated(name, x, op.type)
        self._line("else:")
        self._line(f"{name} = {x}", 1)
        return name

    def _negated(self, name: str, x: str, type: Type) -> None:
        """The negative of an integer, which of the least one is itself."""
        if BITS[type] == 64:
            self._line(f"{name} = sub64(0, {x})", 1)
            return
        self._line(f"{name} = {_negative(x)[1:-1]}", 1)
        self._guard(name, type, 1)

    def _min(self, op: FOp, into: str | None) -> str:
        return self._extreme(op, "<")

    def _max(self, op: FOp, into: str | None) -> str:
        return self._extreme(op, ">")

    def _extreme(self, op: FOp, better: str) -> str:
        name = self.atom(op.args[0])
        for arg in op.args[1:]:
            other, best = self.atom(arg), self.fresh()
            self._line(f"{best} = {other} if {other} {better} {name} else {name}")
            name = best
        return name

    def _limit(self, op: FOp, into: str | None) -> str:
        low, x, high = (self.atom(arg) for arg in op.args)
        return f"({low} if {x} < {low} else {high} if {x} > {high} else {x})"

    def _sel(self, op: FOp, into: str | None) -> str:
        return self._choice(op)

    def _mux(self, op: FOp, into: str | None) -> str:
        return self._choice(op)

    def _choice(self, op: FOp) -> str:
        if op.name == "SEL":
            condition = self.condition(op.args[0])
            off, on = (self.value(arg) for arg in op.args[1:])
            return f"({on} if {condition} else {off})"
        assert op.name == "MUX", op.name
        selector = self.atom(op.args[0])
        *first, last = (self.value(arg) for arg in op.args[1:])
        tests = [f"{value} if {selector} <= {n} else " for n, value in enumerate(first)]
        return f"({''.join(tests)}{last})"

    def _sqrt(self, op: FOp, into: str | None) -> str:
        x, name = self.atom(op.args[0]), self.fresh()
        self._line(f"if {x} < 0.0:")
        self._line(f"{name} = 0.0", 1)
        self._mark(op.mark, "2", 1)
        self._line("else:")
        self._line(f"{name} = sqrt({x})", 1)
        return self._rounded(name) if op.type is Type.REAL else name

    def _marked(self, op: FOp) -> str:
        value, quality = op.args
        text = self.atom(value)
        if op.mark is None or op.mark.index < 0:
            return text
        mark = f"m{op.mark.index}"
        if isinstance(quality, FConst):
            worst = min(2, max(0, int(quality.value)))
            if worst:
                self._line(f"if {mark} < {worst}:")
                self._line(f"{mark} = {worst}", 1)
            return text
        q = self.atom(quality)
        self._line(f"if {q} > {mark}:")
        self._line(f"{mark} = 2 if {q} > 2 else {q}", 1)
        return text

    def _shl(self, op: FOp, into: str | None) -> str:
        return self._shifted(op, turn=False)

    def _shr(self, op: FOp, into: str | None) -> str:
        return self._shifted(op, turn=False)

    def _rol(self, op: FOp, into: str | None) -> str:
        return self._shifted(op, turn=True)

    def _ror(self, op: FOp, into: str | None) -> str:
        return self._shifted(op, turn=True)

    def _shifted(self, op: FOp, *, turn: bool) -> str:
        width = BITS[op.type]
        x, n = self.atom(op.args[0]), self.atom(op.args[1])
        name = self.fresh()
        if turn:
            by = self.fresh()
            self._line(f"{by} = {n} % {width}" if op.name == "ROL" else f"{by} = -{n} % {width}")
            n = by
        self._line(f"if {n} <= 0:")
        self._line(f"{name} = {x}", 1)
        if not turn:
            self._line(f"elif {n} >= {width}:")
            self._line(f"{name} = 0", 1)
        self._line("else:")
        if op.name == "SHR":
            self._line(f"{name} = ({x} >> {n}) & ((1 << ({width} - {n})) - 1)", 1)
            return name
        self._line(f"{name} = {x} << {n}", 1)
        self._guard(name, op.type, 1)
        if turn:
            self._line(f"{name} = {name} | (({x} >> ({width} - {n})) & ((1 << {n}) - 1))", 1)
        return name


def _negative(x: str) -> str:
    """The negative of an integer: numba gives `-x` of a cell the cell's own width, `0 - x` 64 bits."""
    return f"(0 - {x})"
