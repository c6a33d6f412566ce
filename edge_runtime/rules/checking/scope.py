"""What a unit's names mean, and where faults go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

from edge_runtime.rules.checking import functions
from edge_runtime.rules.checking.typed import Const, Expr, Load, Op, Ref, Symbol, UnitCode
from edge_runtime.rules.checking.types import Type, bounds, to_real, widens
from edge_runtime.rules.reading.syntax import Expression, Name, Span, Variable

Say = Callable[[Span, str, str], None]


class Scope:
    """The names that a unit sees.

    Args:
        unit: The unit under way.
        units: Blocks and functions declared before it, by key.
        texts: Text literals of the program, by text; grows.
        say: Takes a fault: place, what, hint.
        in_library: Whether ALARM_ON and ALARM_OFF may be used.
        declared: Kinds of all units of the source by key, also of those below.
    """

    def __init__(
        self,
        unit: UnitCode,
        units: Mapping[str, UnitCode],
        texts: dict[str, int],
        say: Say,
        *,
        in_library: bool = False,
        declared: Mapping[str, str] | None = None,
    ) -> None:
        self.unit = unit
        self.units = units
        self.texts = texts
        self.say = say
        self.in_library = in_library
        self.declared = declared or {}
        self.loops: dict[Symbol, tuple[int, int]] = {}
        """Variables of the loops around the place under way, with their ranges."""

    def variable(self, name: Name) -> Symbol | None:
        """The variable of that name; says a fault when there is none, or was when it was declared."""
        symbol = self.unit.symbols.get(name.key)
        if symbol is None:
            hint = similar(name.text, (known.name.text for known in self.unit.symbols.values()))
            if self.declared.get(name.key) == "PROGRAM":
                hint = "programs share nothing: bind its output to an input of this one"
            self.say(name.span, f"expected a declared variable, got {name.text!r}", hint)
            if not hint:  # no slip: its declaration is missing, which is one fault wherever it is used
                self.unit.symbols[name.key] = Symbol(name, Type.LREAL, faulty=True)
            return None
        return None if symbol.faulty else symbol

    def is_whole(self, node: Expression) -> bool:
        """Whether an expression names an array or a block, which have no value."""
        symbol = self.unit.symbols.get(node.name.key) if isinstance(node, Variable) else None
        return symbol is not None and (symbol.length > 0 or symbol.block is not None)

    def is_function(self, key: str) -> bool:
        """Whether this is the name of a function."""
        unit = self.units.get(key)
        return key in functions.NAMES or (unit is not None and unit.kind == "FUNCTION")

    def value_of(self, name: Name) -> Symbol | None:
        """The same, but no block and no array."""
        symbol = self.variable(name)
        if symbol is None:
            return None
        if symbol.block is not None:
            hint = f"read one of its outputs, such as {name.text}.{_an_output(symbol.block)}"
            self.say(name.span, f"expected a value, got the block {name.text!r}", hint)
            return None
        if symbol.length:
            self.say(
                name.span,
                f"expected a value, got the array {name.text!r}",
                f"name an element: {name.text}[i]",
            )
            return None
        return symbol

    def member(self, block: Name, member: Name) -> Ref | None:
        """`t1.Q`."""
        instance = self.variable(block)
        if instance is None:
            return None
        if instance.block is None:
            self.say(block.span, f"expected an instance of a block before '.', got {block.text!r}", "")
            return None
        symbol = instance.block.symbols.get(member.key)
        if symbol is None or symbol.section == "VAR" or symbol.length:
            known = [s.name.text for s in instance.block.symbols.values() if s.section != "VAR"]
            hint = f"{instance.block.name.text} has {', '.join(known)}"
            what = f"expected an input or output of {instance.block.name.text}, got {member.text!r}"
            self.say(member.span, what, hint)
            return None
        return Ref(symbol, instance)

    def text(self, text: str) -> int:
        """The index of a text."""
        return self.texts.setdefault(text, len(self.texts))


def _an_output(block: UnitCode) -> str:
    return next((s.name.text for s in block.symbols.values() if s.section == "VAR_OUTPUT"), "OUT")


def similar(word: str, known: Iterable[str]) -> str:
    """A hint at what was probably meant."""
    by_key = {name.upper(): name for name in known}
    cutoff = 0.6 if len(word) == 3 else 0.7
    close = get_close_matches(word.upper(), by_key, n=1, cutoff=cutoff)
    return f"did you mean {by_key[close[0]]!r}?" if close else ""


def load(ref: Ref) -> Expr:
    """The value of a variable; of a constant, the constant."""
    symbol = ref.symbol
    if symbol.is_constant and ref.block is None:
        return Const(symbol.type, symbol.initial[0])
    return Load(ref, symbol.type, symbol.unit)


def convert(expr: Expr, type: Type) -> Expr:
    """A value in a type that it may change to."""
    if expr.type is type:
        return Const(type, expr.value) if isinstance(expr, Const) else expr
    if isinstance(expr, Const):
        value = expr.value
        if type.is_real:
            return Const(type, to_real(float(value)) if type is Type.REAL else float(value))
        return Const(type, value)
    return Op("CONVERT", type, (expr,), expr.unit)


def coerce(expr: Expr, type: Type, span: Span, say: Say, what: str = "") -> Expr | None:
    """A value as another type; says a fault when it may not change so by itself."""
    wanted = f"{type}{' for ' + what if what else ''}"
    if isinstance(expr, Const) and expr.loose:
        if type.is_integer and isinstance(expr.value, int):
            low, high = bounds(type)
            if low <= expr.value <= high:
                return Const(type, expr.value)
            say(span, f"expected a value within {wanted} ({low}..{high}), got {expr.value}", "")
            return None
        if type.is_real:
            value = float(expr.value)
            rounded = to_real(value) if type is Type.REAL else value
            if rounded - rounded == 0.0:
                return Const(type, rounded)
            say(span, f"expected a value within {wanted}, got {expr.value!r}", "")
            return None
    elif widens(expr.type, type):
        return convert(expr, type)
    say(span, f"expected {wanted}, got {kind_of(expr)}", conversion_hint(expr, type))
    return None


def kind_of(expr: Expr) -> str:
    """A value's type in words."""
    if isinstance(expr, Const) and expr.loose:
        return f"the literal {expr.value}"
    return str(expr.type)


def conversion_hint(expr: Expr, type: Type) -> str:
    """How a value is changed to a type on purpose."""
    name = f"{expr.type}_TO_{type}"
    if isinstance(expr, Const) and expr.loose:
        if type is Type.TIME:
            return "a time is written T#5s"
        if type.is_integer:
            return f"write it without decimals, or compute in LREAL and convert: LREAL_TO_{type}(...)"
        return "write TRUE or FALSE" if type is Type.BOOL else ""
    if type is Type.BOOL and expr.type.is_number:
        return "compare it, such as x > 0" if expr.type.is_integer else "compare it, such as x > 0.0"
    return f"convert it: {name}(...)" if name in functions.CONVERSIONS else ""


def conversion_by_steps(source: Type, target: Type) -> str:
    """How a value is changed where there is no function for it."""
    if source is Type.BOOL and target.is_real:
        return "use SEL(b, 0.0, 1.0)"
    if source is Type.TIME and target.is_number:
        return f"go by LINT: LINT_TO_{target}(TIME_TO_LINT(t)) are milliseconds"
    if target is Type.TIME and source.is_number:
        return f"go by LINT: LINT_TO_TIME({source}_TO_LINT(x)), x in milliseconds"
    return "use a comparison, such as x <> 0.0" if target is Type.BOOL else ""


def settle(expr: Expr) -> Expr:
    """A literal in the type that it has on its own."""
    return Const(expr.type, expr.value) if isinstance(expr, Const) else expr
