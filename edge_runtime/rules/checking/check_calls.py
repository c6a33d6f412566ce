"""Types of function calls: standard functions, and those written in the language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge_runtime.rules.checking import functions
from edge_runtime.rules.checking.folding import fold
from edge_runtime.rules.checking.scope import (
    Scope,
    coerce,
    conversion_by_steps,
    conversion_hint,
    kind_of,
    settle,
    similar,
)
from edge_runtime.rules.checking.typed import Ask, Const, Expr, Invoke, Now, Op, Ref, UnitCode
from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.reading import slips, syntax
from edge_runtime.rules.reading.syntax import Span


class Arguments(Protocol):
    """Checks the arguments of calls, which are expressions themselves: `check_expressions`."""

    def check(self, node: syntax.Expression) -> Expr | None:
        """The expression with its types; `None` after a fault in it."""

    def as_type(self, node: syntax.Expression, type: Type, what: str = "") -> Expr | None:
        """The expression, changed to a type."""

    def unify(self, exprs: Sequence[Expr], span: Span) -> tuple[Expr, ...] | None:
        """Values in the narrowest type that all widen to; says a fault when there is none."""

    def same_unit(self, exprs: Sequence[Expr], span: Span) -> str | None:
        """The unit that all known ones agree on; says a fault when they do not."""


class Calls:
    """Checks the calls of one unit.

    Args:
        scope: The unit's names.
        arguments: Checks arguments.
    """

    def __init__(self, scope: Scope, arguments: Arguments) -> None:
        self._scope = scope
        self._say = scope.say
        self._arguments = arguments

    def check(self, node: syntax.Call) -> Expr | None:
        """A call with its types; `None` after a fault in it."""
        key = node.function.key
        if key in functions.CONVERSIONS:
            return self._conversion(node)
        if key in functions.STANDARD:
            return self._standard(node)
        unit = self._scope.units.get(key)
        if unit is not None and unit.kind == "FUNCTION":
            return self._invoke(node, unit)
        if key == self._scope.unit.name.key:
            what = f"expected another function, {node.function.text!r} cannot call itself"
            self._say(node.span, what, "time must be bounded: use FOR with constant bounds")
            return None
        if unit is not None or key in self._scope.unit.symbols:
            hint = "a block is called in a statement of its own, its outputs are read as name.Q"
            self._say(node.span, f"expected a function, got the block {node.function.text!r}", hint)
            return None
        self._say(node.span, f"expected a function, got {node.function.text!r}", self._meant(node.function))
        return None

    def _meant(self, name: syntax.Name) -> str:
        """What a function's unknown name may mean."""
        if name.key in slips.FUNCTIONS:
            return slips.FUNCTIONS[name.key]
        source, _, target = name.key.partition("_TO_")
        if {source, target} <= set(Type.__members__):
            return conversion_by_steps(Type(source), Type(target))
        if name.key in self._scope.declared:
            return f"{name.text!r} stands below: it must stand above what uses it"
        known = [*functions.NAMES, *(u.name.text for u in self._scope.units.values() if u.kind == "FUNCTION")]
        return similar(name.text, known)

    # -- standard functions ----------------------------------------------------------------------

    def _conversion(self, node: syntax.Call) -> Expr | None:
        source, target = functions.CONVERSIONS[node.function.key]
        nodes = self._ordered(node, functions.Signature(("IN",), 1))
        if nodes is None:
            return None
        arg = self._arguments.as_type(nodes[0], source, node.function.text)
        if arg is None:
            return None
        unit = arg.unit if source.is_number and target.is_number else None
        if isinstance(arg, Const):
            return fold("CONVERT", target, (arg,)) or Op("CONVERT", target, (arg,), unit)
        return Op("CONVERT", target, (arg,), unit)

    def _standard(self, node: syntax.Call) -> Expr | None:
        key = node.function.key
        nodes = self._ordered(node, functions.STANDARD[key])
        if nodes is None:
            return None
        if key == "NOW":
            return Now()
        if key in functions.ASKING:
            return self._ask(node, nodes[0])
        args = [self._arguments.check(arg) for arg in nodes]
        known = [arg for arg in args if arg is not None]
        if len(known) < len(args):
            return None
        match key:
            case "MIN" | "MAX" | "LIMIT":
                return self._ordering(node, known)
            case "SEL" | "MUX":
                return self._choosing(node, known)
            case "SHL" | "SHR" | "ROL" | "ROR":
                return self._shift(node, known)
            case "MARK":
                quality = coerce(known[1], Type.INT, node.span, self._say, "MARK's quality")
                value = settle(known[0])
                return None if quality is None else Op("MARK", value.type, (value, quality), value.unit)
            case _:
                return self._of_one(node, known[0])

    def _of_one(self, node: syntax.Call, arg: Expr) -> Expr | None:
        key = node.function.key
        arg = settle(arg)
        fine = arg.type.is_number if key == "ABS" else arg.type.is_real
        if not fine:
            wanted = "a number" if key == "ABS" else "REAL or LREAL"
            self._say(
                node.span,
                f"expected {wanted} for {key}, got {kind_of(arg)}",
                conversion_hint(arg, Type.LREAL),
            )
            return None
        type = {"TRUNC": Type.LINT, "IS_FINITE": Type.BOOL}.get(key, arg.type)
        return Op(key, type, (arg,), arg.unit if key == "ABS" else None)

    def _ordering(self, node: syntax.Call, args: Sequence[Expr]) -> Expr | None:
        made = self._arguments.unify(args, node.span)
        if made is None:
            return None
        type = made[0].type
        if not (type.is_number or type is Type.TIME):
            self._say(node.span, f"expected numbers or TIME for {node.function.key}, got {type}", "")
            return None
        unit = self._arguments.same_unit(made, node.span)
        constants = tuple(arg for arg in made if isinstance(arg, Const))
        if len(constants) == len(made):
            return fold(node.function.key, type, constants)
        return Op(node.function.key, type, made, unit)

    def _choosing(self, node: syntax.Call, args: Sequence[Expr]) -> Expr | None:
        key = node.function.key
        selector: Expr | None = settle(args[0])
        if key == "SEL":
            selector = coerce(args[0], Type.BOOL, node.span, self._say, "SEL's selector")
        elif not args[0].type.is_integer:
            self._say(node.span, f"expected an integer for MUX's selector, got {kind_of(args[0])}", "")
            selector = None
        made = self._arguments.unify(args[1:], node.span)
        if made is None or selector is None:
            return None
        return Op(key, made[0].type, (selector, *made), self._arguments.same_unit(made, node.span))

    def _shift(self, node: syntax.Call, args: Sequence[Expr]) -> Expr | None:
        value = settle(args[0])
        if not value.type.is_integer:
            self._say(node.span, f"expected an integer for {node.function.key}, got {kind_of(value)}", "")
            return None
        count = coerce(args[1], Type.INT, node.span, self._say, "the number of bits")
        return None if count is None else Op(node.function.key, value.type, (value, count))

    def _ask(self, node: syntax.Call, arg: syntax.Expression) -> Expr | None:
        if self._scope.unit.kind == "FUNCTION":
            what = f"expected no {node.function.key} in a function"
            self._say(node.span, what, "a function has values, not their quality; use a block")
            return None
        ref: Ref | None = None
        if isinstance(arg, syntax.Variable):
            symbol = self._scope.value_of(arg.name)
            ref = None if symbol is None else Ref(symbol)
        elif isinstance(arg, syntax.Member):
            ref = self._scope.member(arg.block, arg.member)
        else:
            what = f"expected a variable or a block's output for {node.function.key}"
            self._say(node.span, what, "assign the expression to a variable first")
        if ref is None:
            return None
        ask: Expr = Const(Type.INT, 0)
        if not ref.symbol.is_constant:
            self._scope.unit.asked.add(ref)
            ask = Ask(ref)
        if node.function.key == "QUALITY":
            return ask
        wanted = Const(Type.INT, 0 if node.function.key == "IS_GOOD" else 2)
        if isinstance(ask, Const):
            return Const(Type.BOOL, int(ask.value == wanted.value))
        return Op("=", Type.BOOL, (ask, wanted))

    # -- functions written in the language -------------------------------------------------------

    def _invoke(self, node: syntax.Call, unit: UnitCode) -> Expr | None:
        inputs = unit.inputs
        signature = functions.Signature(tuple(symbol.name.key for symbol in inputs), len(inputs))
        nodes = self._ordered(node, signature)
        if nodes is None or unit.result is None:
            return None
        args = []
        for symbol, arg in zip(inputs, nodes, strict=True):
            what = f"{unit.name.text}'s input {symbol.name.text}"
            made = self._arguments.as_type(arg, symbol.type, what)
            if made is not None and symbol.unit is not None and made.unit not in (None, symbol.unit):
                self._say(node.span, f"expected unit {symbol.unit!r} for {what}, got {made.unit!r}", "")
            args.append(made)
        made_args = tuple(arg for arg in args if arg is not None)
        if len(made_args) < len(args):
            return None
        return Invoke(unit, made_args, unit.result.type, unit.result.unit)

    def _ordered(self, node: syntax.Call, signature: functions.Signature) -> list[syntax.Expression] | None:
        """The arguments in the order of the inputs; says faults in their number and names."""
        names = signature.names()
        least = len(signature.inputs)
        named = [arg for arg in node.arguments if arg.name is not None]
        count = f"{least}" if least == len(names) else f"{least} to {len(names)}"
        if not least <= len(node.arguments) <= len(names):
            what = f"expected {count} argument(s) for {node.function.text}, got {len(node.arguments)}"
            self._say(node.span, what, f"inputs: {', '.join(signature.inputs)}" if names else "")
            return None
        if not named:
            return [arg.value for arg in node.arguments]
        if len(named) < len(node.arguments):
            self._say(node.span, "expected arguments all by position or all by name", "")
            return None
        found: dict[str, syntax.Expression] = {}
        for arg in node.arguments:
            assert arg.name is not None
            if arg.name.key not in names or arg.name.key in found:
                what = f"expected an input of {node.function.text}, got {arg.name.text!r}"
                if arg.name.key in found:
                    what = f"expected {arg.name.text} once"
                hint = similar(arg.name.text, names) or f"inputs: {', '.join(names)}"
                self._say(arg.name.span, what, hint)
                return None
            found[arg.name.key] = arg.value
        return [found[name] for name in names if name in found]
