"""Types and units of expressions."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.rules.checking.check_calls import Calls
from edge_runtime.rules.checking.folding import fold, fold_loose, loose_integer
from edge_runtime.rules.checking.scope import Scope, coerce, kind_of, load, settle
from edge_runtime.rules.checking.typed import Const, Expr, LoadElement, Op, Ref
from edge_runtime.rules.checking.types import Type, meet
from edge_runtime.rules.reading import syntax
from edge_runtime.rules.reading.syntax import Span

_COMPARISONS = ("<", ">", "<=", ">=", "=", "<>")
_OF_INTEGERS = ("AND", "OR", "XOR", "NOT", "MOD")


class Expressions:
    """Checks the expressions of one unit."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._say = scope.say
        self._calls = Calls(scope, self)

    def check(self, node: syntax.Expression) -> Expr | None:
        """The expression with its types; `None` after a fault in it."""
        match node:
            case syntax.IntLiteral(value, type_name, span):
                return self._integer(value, type_name, span)
            case syntax.RealLiteral(value, type_name, span):
                if type_name is None:
                    return Const(Type.LREAL, value, loose=True)
                return coerce(Const(Type.LREAL, value, loose=True), Type(type_name), span, self._say)
            case syntax.BoolLiteral(value, _):
                return Const(Type.BOOL, int(value))
            case syntax.TimeLiteral(milliseconds, _):
                return Const(Type.TIME, milliseconds)
            case syntax.TextLiteral(value, _):
                return Const(Type.STRING, self._scope.text(value))
            case syntax.Variable(name):
                symbol = self._scope.value_of(name)
                return None if symbol is None else load(Ref(symbol))
            case syntax.Member(block, member, _):
                ref = self._scope.member(block, member)
                return None if ref is None else load(ref)
            case syntax.Element():
                return self._element(node)
            case syntax.Unary():
                return self._unary(node)
            case syntax.Binary():
                return self._binary(node)
            case syntax.Call():
                return self._calls.check(node)
            case syntax.Unread():
                return None

    def as_type(self, node: syntax.Expression, type: Type, what: str = "") -> Expr | None:
        """The expression, changed to a type."""
        expr = self.check(node)
        return None if expr is None else coerce(expr, type, place(node), self._say, what)

    def constant(self, node: syntax.Expression, type: Type, what: str) -> Const | None:
        """The expression, which must be a constant of a type."""
        expr = self.as_type(node, type, what)
        if expr is None or isinstance(expr, Const):
            return expr
        self._say(place(node), f"expected a constant for {what}", "use literals and VAR CONSTANT")
        return None

    def integer_constant(self, node: syntax.Expression, what: str) -> int | None:
        """The expression, which must be a constant integer."""
        expr = self.check(node)
        if expr is None:
            return None
        if isinstance(expr, Const) and expr.type.is_integer:
            return int(expr.value)
        self._say(place(node), f"expected a constant integer for {what}", "use literals and VAR CONSTANT")
        return None

    def index(self, node: syntax.Expression, what: str = "an integer index") -> Expr | None:
        """An array's index, or what CASE chooses by."""
        expr = self.check(node)
        if expr is None or expr.type.is_integer:
            return None if expr is None else settle(expr)
        self._say(place(node), f"expected {what}, got {kind_of(expr)}", "")
        return None

    def unify(self, exprs: Sequence[Expr], span: Span) -> tuple[Expr, ...] | None:
        """Values in the narrowest type that all widen to; says a fault when there is none."""
        found: Type | None = None
        loose = [expr for expr in exprs if isinstance(expr, Const) and expr.loose]
        for expr in exprs:
            if expr not in loose:
                found = expr.type if found is None else meet(found, expr.type)
                if found is None:
                    self._no_meeting(exprs, span)
                    return None
        for literal in loose:
            if found is not None and (_fits(literal, found)):
                continue
            found = literal.type if found is None else meet(found, literal.type)
            if found is None:
                self._no_meeting(exprs, span)
                return None
        assert found is not None
        made = [coerce(expr, found, span, self._say) for expr in exprs]
        return (
            None if any(expr is None for expr in made) else tuple(expr for expr in made if expr is not None)
        )

    def same_unit(self, exprs: Sequence[Expr], span: Span) -> str | None:
        """The unit that all known ones agree on; says a fault when they do not."""
        units = [expr.unit for expr in exprs if expr.unit is not None]
        for unit in units[1:]:
            if unit != units[0]:
                what = f"expected one unit, got {units[0]!r} with {unit!r}"
                self._say(span, what, "convert one of them with a factor: the product has no unit")
                return None
        return units[0] if units else None

    # -- parts -----------------------------------------------------------------------------------

    def _no_meeting(self, exprs: Sequence[Expr], span: Span) -> None:
        kinds = " and ".join(dict.fromkeys(kind_of(expr) for expr in exprs))
        types = {expr.type for expr in exprs}
        hint = "convert one of them, such as LINT_TO_LREAL(x)" if "LINT" in kinds else ""
        if Type.BOOL in types and any(type.is_number for type in types):
            hint = "compare each value by itself, such as (x > 1) AND (x < 9)"
        elif Type.TIME in types and any(type.is_number for type in types):
            hint = "a time is written T#5s, and multiplied with the time first: t * 2"
        self._say(span, f"expected values of a common type, got {kinds}", hint)

    def _integer(self, value: int, type_name: str | None, span: Span) -> Expr | None:
        if type_name is not None:
            return Const(Type(type_name), value)
        made = loose_integer(value)
        if made is None:
            self._say(span, "expected an integer of at most 64 bits", "")
        return made

    def _element(self, node: syntax.Element) -> Expr | None:
        symbol = self._scope.variable(node.name)
        index = self.index(node.index)
        if symbol is None:
            return None
        if not symbol.length:
            self._say(node.name.span, f"expected an array, got {node.name.text!r}", "")
            return None
        if index is None:
            return None
        if isinstance(index, Const):
            high = symbol.low + symbol.length - 1
            if not symbol.low <= index.value <= high:
                what = f"expected an index within {symbol.low}..{high}, got {index.value}"
                self._say(place(node.index), what, "")
                return None
            if symbol.is_constant:
                return Const(symbol.type, symbol.initial[int(index.value) - symbol.low])
        return LoadElement(symbol, index, symbol.type, symbol.unit)

    def _unary(self, node: syntax.Unary) -> Expr | None:
        operand = self.check(node.operand)
        if operand is None:
            return None
        name = "NEG" if node.operator == "-" else "NOT"
        allowed = (
            operand.type.is_number or operand.type is Type.TIME
            if name == "NEG"
            else operand.type is Type.BOOL or operand.type.is_integer
        )
        if not allowed:
            wanted = "a number or TIME" if name == "NEG" else "BOOL or an integer"
            self._say(node.span, f"expected {wanted} after {node.operator}, got {kind_of(operand)}", "")
            return None
        if isinstance(operand, Const):
            return self._folded(name, operand.type, (operand,), node.span)
        return Op(name, operand.type, (operand,), operand.unit if name == "NEG" else None)

    def _folded(self, name: str, type: Type, args: tuple[Const, ...], span: Span) -> Expr | None:
        if all(arg.loose for arg in args):
            made = fold_loose(name, args)
            if made is None and name in _OF_INTEGERS and any(isinstance(arg.value, float) for arg in args):
                self._say(span, f"expected integers around {name}, got a real literal", "")
            elif made is None:
                self._say(span, "this constant expression has no value", "division by zero, or out of range")
            return made
        known = tuple(Const(arg.type, arg.value) for arg in args)
        return fold(name, type, known) or Op(name, type, known)

    def _binary(self, node: syntax.Binary) -> Expr | None:
        left, right = self.check(node.left), self.check(node.right)
        if left is None or right is None:
            return None
        name = node.operator
        if name in ("*", "/") and left.type is Type.TIME:
            return self._scaled_time(node, left, right)
        if isinstance(left, Const) and isinstance(right, Const) and left.loose and right.loose:
            return self._folded(name, left.type, (left, right), node.span)
        both = self.unify((left, right), node.span)
        if both is None or not self._allowed(name, both, node.span):
            return None
        unit = self.same_unit(both, node.span) if name in ("+", "-", *_COMPARISONS) else None
        type = Type.BOOL if name in _COMPARISONS else both[0].type
        if name in _COMPARISONS:
            unit = None
        if all(isinstance(arg, Const) for arg in both):
            return self._folded(name, type, tuple(arg for arg in both if isinstance(arg, Const)), node.span)
        return Op(name, type, both, unit)

    def _allowed(self, name: str, args: Sequence[Expr], span: Span) -> bool:
        type = args[0].type
        if name in ("=", "<>"):
            return True
        if name in ("AND", "OR", "XOR"):
            fine, wanted = type is Type.BOOL or type.is_integer, "BOOL or integers of one type"
        elif name == "MOD":
            fine, wanted = type.is_integer, "integers"
        elif name in ("*", "/"):
            fine, wanted = type.is_number, "numbers"
        else:
            fine, wanted = type.is_number or type is Type.TIME, "numbers or TIME"
        if not fine:
            hint = "convert it: BOOL_TO_INT(...)" if type is Type.BOOL else ""
            self._say(span, f"expected {wanted} around {name}, got {kind_of(args[0])}", hint)
        return fine

    def _scaled_time(self, node: syntax.Binary, left: Expr, right: Expr) -> Expr | None:
        if not right.type.is_integer:
            what = f"expected an integer after TIME {node.operator}, got {kind_of(right)}"
            self._say(place(node.right), what, "compute in LINT: TIME_TO_LINT(t)")
            return None
        factor = coerce(settle(right), Type.LINT, place(node.right), self._say)
        if factor is None:
            return None
        if isinstance(left, Const) and isinstance(factor, Const):
            made = fold(node.operator, Type.TIME, (left, factor))
            return made or Op(node.operator, Type.TIME, (left, factor))
        return Op(node.operator, Type.TIME, (left, factor))


def _fits(literal: Const, type: Type) -> bool:
    """Whether a literal takes the type by itself."""
    if type.is_real:
        return True
    return (
        type.is_integer
        and isinstance(literal.value, int)
        and -(2**63) <= literal.value < 2**63
        and (coerce(literal, type, Span(0, 0, 0), lambda *_: None) is not None)
    )


def place(node: syntax.Expression) -> Span:
    """Where an expression stands: its leftmost part."""
    match node:
        case syntax.Binary(_, left, _, _):
            return place(left)
        case _:
            return node.span
