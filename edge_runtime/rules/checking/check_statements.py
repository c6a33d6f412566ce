"""Types of statements; loops are bounded here."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from edge_runtime.rules import limits
from edge_runtime.rules.checking.check_expressions import Expressions, place
from edge_runtime.rules.checking.ranges import Range, range_of
from edge_runtime.rules.checking.scope import Scope, coerce, load, similar
from edge_runtime.rules.checking.typed import (
    CallBlock,
    CaseOf,
    Const,
    Emit,
    Expr,
    IfElse,
    Labelled,
    Loop,
    Ref,
    Stmt,
    Store,
    StoreElement,
    Symbol,
)
from edge_runtime.rules.checking.types import Type, bounds
from edge_runtime.rules.reading import syntax
from edge_runtime.rules.reading.syntax import Span

_EMITS = {"EVENT": "event", "ALARM_ON": "alarm", "ALARM_OFF": "returned"}


class Statements:
    """Checks the statements of one unit."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._say = scope.say
        self._expressions = Expressions(scope)

    def check(self, nodes: Sequence[syntax.Statement]) -> tuple[Stmt, ...]:
        """The statements with their types; those with faults are left out."""
        made = [self._statement(node) for node in nodes]
        return tuple(stmt for stmt in made if stmt is not None)

    def _statement(self, node: syntax.Statement) -> Stmt | None:
        match node:
            case syntax.Assign(target, value, _):
                return self._assign(target, value)
            case syntax.BlockCall():
                return self._emit(node) if node.block.key in _EMITS else self._call(node)
            case syntax.If(branches, otherwise, _):
                return self._if(branches, otherwise)
            case syntax.Case():
                return self._case(node)
            case syntax.For():
                return self._for(node)

    # -- assignment ------------------------------------------------------------------------------

    def _assign(self, target: syntax.Variable | syntax.Element, value: syntax.Expression) -> Stmt | None:
        symbol = self._assignable(target)
        if symbol is None and self._scope.is_whole(value):
            return None  # `a := b;` of two arrays is one fault
        expr = self._expressions.check(value)
        if symbol is None or expr is None:
            return None
        made = coerce(expr, symbol.type, place(value), self._say, symbol.name.text)
        if made is None:
            return None
        self._same_unit(made, symbol, place(value))
        return self._store(target, symbol, made)

    def _store(self, target: syntax.Variable | syntax.Element, symbol: Symbol, value: Expr) -> Stmt | None:
        if isinstance(target, syntax.Variable):
            return Store(symbol, value)
        index = self._expressions.index(target.index)
        if index is None:
            return None
        if isinstance(index, Const) and not symbol.low <= index.value < symbol.low + symbol.length:
            what = (
                f"expected an index within {symbol.low}..{symbol.low + symbol.length - 1}, got {index.value}"
            )
            self._say(place(target.index), what, "")
            return None
        return StoreElement(symbol, index, value)

    def _assignable(self, target: syntax.Variable | syntax.Element) -> Symbol | None:
        symbol = self._scope.variable(target.name)
        if symbol is None:
            return None
        name, span = target.name.text, target.name.span
        if symbol.block is not None:
            self._say(span, f"expected a variable, got the block {name!r}", f"call it: {name}(...);")
        elif symbol.section == "VAR_INPUT" or symbol.qualifier == "CONSTANT":
            kind = "input" if symbol.qualifier != "CONSTANT" else "parameter"
            kind = "constant" if symbol.section == "VAR" else kind
            self._say(
                span, f"expected a variable, got the {kind} {name!r}", f"{kind}s are not assigned: use a VAR"
            )
        elif symbol in self._scope.loops:
            self._say(span, f"expected no assignment to {name!r}: it counts the loop around this", "")
        elif symbol.length and isinstance(target, syntax.Variable):
            self._say(span, f"expected an element of the array {name!r}", f"write {name}[i] := ...")
        elif not symbol.length and isinstance(target, syntax.Element):
            self._say(span, f"expected an array, got {name!r}", "")
        else:
            return symbol
        return None

    # -- calls -----------------------------------------------------------------------------------

    def _emit(self, node: syntax.BlockCall) -> Stmt | None:
        key = node.block.key
        if key != "EVENT" and not self._scope.in_library:
            self._say(node.span, f"expected no {key} here", "use the block ALARM")
            return None
        if self._scope.unit.kind == "FUNCTION":
            self._say(node.span, f"expected no {key} in a function", "use a block")
            return None
        texts = [arg for arg in node.arguments if arg.name is None]
        values = [arg for arg in node.arguments if arg.name is not None and arg.name.key == "VALUE"]
        text = ""
        if key == "EVENT":
            if len(texts) == 1 and isinstance(texts[0].value, syntax.Unread):
                return None
            if len(texts) != 1 or not isinstance(texts[0].value, syntax.TextLiteral):
                self._say(node.span, "expected EVENT('text', VALUE := x)", "the text is a literal")
                return None
            text = texts[0].value.value
            texts = []
        if texts or len(values) + (key == "EVENT") != len(node.arguments) or len(values) > 1 or node.takes:
            self._say(node.span, f"expected no other argument of {key} than VALUE := x", "")
            return None
        value: Expr | None = Const(Type.LREAL, 0.0)
        if values:
            value = self._expressions.as_type(values[0].value, Type.LREAL, "VALUE")
        return None if value is None else Emit(_EMITS[key], text, value, node.span)

    def _call(self, node: syntax.BlockCall) -> Stmt | None:
        name = node.block.text
        instance = self._scope.unit.symbols.get(node.block.key)
        if instance is not None and instance.faulty:
            return None
        if instance is None or instance.block is None:
            known = [s.name.text for s in self._scope.unit.symbols.values() if s.block is not None]
            hint = similar(name, known)
            if node.block.key in self._scope.units:
                hint = f"declare an instance: VAR my : {name}; END_VAR, and call my(...)"
            if self._scope.is_function(node.block.key):
                hint = f"a function gives a value: write y := {name}(...);"
            self._say(node.span, f"expected an instance of a block, got {name!r}", hint)
            return None
        args: dict[Symbol, Expr] = {}
        for arg in node.arguments:
            self._argument(node, instance, arg, args)
            if arg.name is None:
                break  # once is enough
        takes = [self._take(instance, take) for take in node.takes]
        return CallBlock(instance, tuple(args.items()), tuple(take for take in takes if take is not None))

    def _argument(
        self, node: syntax.BlockCall, instance: Symbol, arg: syntax.Argument, args: dict[Symbol, Expr]
    ) -> None:
        block = instance.block
        assert block is not None
        known = ", ".join(symbol.name.text for symbol in block.inputs)
        if arg.name is None:
            what = f"expected the name of an input before the value: {node.block.text}(IN := x)"
            self._say(place(arg.value), what, f"{block.name.text} has the inputs {known}")
            return
        value = self._expressions.check(arg.value)
        symbol = block.symbols.get(arg.name.key)
        if symbol is None or symbol.section != "VAR_INPUT":
            hint = similar(arg.name.text, (s.name.text for s in block.inputs)) or f"it has {known}"
            self._say(arg.name.span, f"expected an input of {block.name.text}, got {arg.name.text!r}", hint)
            return
        if symbol in args:
            self._say(arg.name.span, f"expected {arg.name.text} once", "")
            return
        if value is None:
            return
        made = coerce(value, symbol.type, place(arg.value), self._say, symbol.name.text)
        if made is None:
            return
        self._same_unit(made, symbol, place(arg.value))
        args[symbol] = made

    def _take(self, instance: Symbol, take: syntax.Take) -> Stmt | None:
        block = instance.block
        assert block is not None
        output = block.symbols.get(take.output.key)
        symbol = self._assignable(take.target)
        if output is None or output.section != "VAR_OUTPUT" or output.length:
            known = ", ".join(s.name.text for s in block.symbols.values() if s.section == "VAR_OUTPUT")
            what = f"expected an output of {block.name.text}, got {take.output.text!r}"
            self._say(take.output.span, what, f"it has {known}")
            return None
        if symbol is None:
            return None
        source = load(Ref(output, instance))
        value = coerce(source, symbol.type, take.output.span, self._say, symbol.name.text)
        self._same_unit(source, symbol, take.output.span)
        return None if value is None else self._store(take.target, symbol, value)

    def _same_unit(self, value: Expr, symbol: Symbol, span: Span) -> None:
        """Say a fault when a value has another unit than what it goes to."""
        if symbol.unit is not None and value.unit not in (None, symbol.unit):
            what = f"expected unit {symbol.unit!r} for {symbol.name.text}, got {value.unit!r}"
            self._say(span, what, "convert it with a factor: the product has no unit")

    # -- control ---------------------------------------------------------------------------------

    def _if(self, branches: Sequence[syntax.Branch], otherwise: Sequence[syntax.Statement]) -> Stmt | None:
        first, *rest = branches
        condition = self._expressions.as_type(first.condition, Type.BOOL, "a condition")
        then = self.check(first.body)
        if rest:
            nested = self._if(rest, otherwise)
            other: tuple[Stmt, ...] = () if nested is None else (nested,)
        else:
            other = self.check(otherwise)
        return None if condition is None else IfElse(condition, then, other)

    def _case(self, node: syntax.Case) -> Stmt | None:
        selector = self._expressions.index(node.selector, "an integer for CASE")
        taken: list[tuple[int, int]] = []
        choices = []
        for choice in node.choices:
            ranges = [self._label(label, selector, taken) for label in choice.labels]
            body = self.check(choice.body)
            choices.append(Labelled(tuple(r for r in ranges if r is not None), body))
        otherwise = self.check(node.otherwise)
        return None if selector is None else CaseOf(selector, tuple(choices), otherwise)

    def _label(
        self, label: syntax.Label, selector: Expr | None, taken: list[tuple[int, int]]
    ) -> tuple[int, int] | None:
        low = self._expressions.integer_constant(label.low, "a label")
        high = low if label.high is label.low else self._expressions.integer_constant(label.high, "a label")
        if low is None or high is None:
            return None
        if low > high:
            self._say(label.span, f"expected a range upwards, got {low}..{high}", "")
            return None
        least, most = bounds(Type.LINT if selector is None else selector.type)
        if low < least or high > most:
            self._say(label.span, f"expected labels within {least}..{most}, what CASE chooses by", "")
            return None
        at = bisect_left(taken, (low, high))  # `taken` is in order
        if any(low <= taken[n][1] and taken[n][0] <= high for n in (at - 1, at) if 0 <= n < len(taken)):
            self._say(label.span, "expected labels that do not overlap with those before", "")
            return None
        taken.insert(at, (low, high))
        return low, high

    def _for(self, node: syntax.For) -> Stmt | None:
        symbol = self._assignable(syntax.Variable(node.variable))
        if symbol is not None and not symbol.type.is_integer:
            self._say(node.variable.span, f"expected an integer variable, got {symbol.type}", "")
            self.check(node.body)
            return None
        type = Type.LINT if symbol is None else symbol.type
        first = self._expressions.as_type(node.first, type, "the first value")
        last = self._expressions.as_type(node.last, type, "the last value")
        step: int | None = 1
        if node.step is not None:
            step = self._expressions.integer_constant(node.step, "the step")
            if step == 0:
                self._say(place(node.step), "expected a step other than 0", "")
                step = None
        around = None
        if first is not None and last is not None and step is not None:
            around = self._turns(node, first, last, step)
        if symbol is None:
            self.check(node.body)
            return None
        before = self._scope.loops.get(symbol)
        self._scope.loops[symbol] = (0, 0) if around is None else around[1]
        body = self.check(node.body)
        del self._scope.loops[symbol]
        assert before is None
        if first is None or last is None or step is None or around is None:
            return None
        return Loop(symbol, first, last, step, body, around[0])

    def _turns(
        self, node: syntax.For, first: Expr, last: Expr, step: int
    ) -> tuple[int, tuple[int, int]] | None:
        """How often the body runs at most, and the range of the variable."""
        begin, end = range_of(first, self._scope.loops), range_of(last, self._scope.loops)
        if step < 0:
            begin, end = Range(end.low, end.high), Range(begin.low, begin.high)
        low, high = begin.low, end.high
        if low is None or high is None:
            unbounded = node.first if (low is None) == (step > 0) else node.last
            hint = "bound it, such as MIN(n, 60) or LIMIT(1, n, 60)"
            self._say(
                place(unbounded), "expected a bound that the compiler can see: time must be bounded", hint
            )
            return None
        turns = max(0, (high - low) // abs(step) + 1)
        if low < -(1 << 31) or high >= 1 << 31:
            self._say(place(node.first), f"expected bounds within DINT, got {low}..{high}", "")
            return None
        if turns > limits.LOOP_TURNS_MAX:
            what = f"expected at most {limits.LOOP_TURNS_MAX} turns, got {turns}"
            self._say(place(node.last), what, "")
            return None
        return turns, (low, max(low, high))
