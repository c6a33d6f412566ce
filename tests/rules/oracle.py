"""An interpreter of rule programs that walks the syntax tree: slow, and plain to read.

It says what docs/rules-reference.md means, for the compiler to be judged by. Of the compiler it
uses the parser only.

>>> from edge_runtime.rules.reading.parse import parse
>>> source = parse('''PROGRAM p
... VAR_INPUT x : INT; END_VAR
... VAR_OUTPUT y : INT; END_VAR
... y := y + x / 2;
... END_PROGRAM''')
>>> oracle = Oracle(source, syntax.Source(()))
>>> oracle.scan(0, {"x": (5, 1)}).outputs, oracle.scan(1, {"x": (5, 0)}).outputs
({'Y': (2, 1)}, {'Y': (4, 0)})
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from edge_runtime.rules.reading import syntax
from tests.rules import functions, values
from tests.rules.dependence import ASKING, TELLING, Dependence, Node, asked_name, input_names
from tests.rules.scopes import Array, Scope, enter
from tests.rules.values import INT_LITERAL, REAL_LITERAL, Plain, Value, truth, widen

GOOD, UNCERTAIN, BAD = 0, 1, 2


class Emitted(NamedTuple):
    """An event.

    Args:
        kind: `event`, `alarm` or `returned`.
        path: Of an alarm its instance, of an event the unit that tells it: `GUARD.HIGH`.
        text: What is told.
        priority: Of an alarm; 0 of an event.
        time_ms: The scan's time.
        value: Its value.
        quality: 0 to 2.
    """

    kind: str
    path: str
    text: str
    priority: int
    time_ms: int
    value: float
    quality: int


class ScanResult(NamedTuple):
    """What one scan gave: outputs by name in capitals, each value with its quality."""

    outputs: dict[str, tuple[Plain, int]]
    events: list[Emitted]


class Oracle:
    """One instance of a program.

    Args:
        source: Where the program stands, the only one in it.
        library: Standard blocks and functions, in order.
        parameters: Values of VAR_INPUT CONSTANT by name; the declared ones for those left out.
    """

    def __init__(
        self,
        source: syntax.Source,
        library: syntax.Source,
        parameters: Mapping[str, Plain] | None = None,
    ) -> None:
        self._units = {unit.name.key: unit for unit in (*library.units, *source.units)}
        [unit] = [unit for unit in source.units if unit.kind == "PROGRAM"]
        self._now = 0
        self._marks: dict[Node, int] = {}
        self._qualities: dict[Node, int] = {}
        self._events: list[Emitted] = []
        self._calls: tuple[int, ...] = ()
        self._program = enter(unit, (), self._units, self._evaluate)
        for name, value in (parameters or {}).items():
            held = self._program.single(name.upper())
            self._program.variables[name.upper()] = Value(held.type, value)
        self._dependence = Dependence(self._program, self._units)

    def scan(self, now_ms: int, inputs: Mapping[str, tuple[Plain, int]]) -> ScanResult:
        """Run once.

        Args:
            now_ms: What NOW() gives.
            inputs: Value and quality by name.
        """
        self._now = now_ms
        self._marks.clear()
        self._events.clear()
        for name, (value, quality) in inputs.items():
            self._take(name.upper(), value, quality)
        self._body(self._program.unit.body, self._program)
        declared = self._program.unit.declarations
        outputs = [each.name.key for each in declared if each.section == "VAR_OUTPUT"]
        return ScanResult({key: self._output(key) for key in outputs}, list(self._events))

    def state(self, path: str) -> list[Plain] | None:
        """A variable by its path, as `t1.start`: the one value of it, or all of an array.

        Returns:
            `None` for what does not live from scan to scan: a function's variable.
        """
        *blocks, name = path.upper().split(".")
        scope = self._program
        for block in blocks:
            if block not in scope.blocks:
                return None
            scope = scope.blocks[block]
        held = scope.variables[name]
        return [each.value for each in held.elements] if isinstance(held, Array) else [held.value]

    def _take(self, key: str, value: Plain, quality: int) -> None:
        """An input: a bad one, or one that is not finite, keeps the last good value."""
        held = self._program.single(key)
        finite = not isinstance(value, float) or math.isfinite(value)
        if quality != BAD and finite:
            self._program.variables[key] = Value(held.type, value)
        self._qualities[Node((), key)] = quality if finite else BAD

    def _output(self, key: str) -> tuple[Plain, int]:
        value = self._program.single(key).value
        if isinstance(value, float) and not math.isfinite(value):
            return value, BAD
        return value, self._quality(Node((), key))

    def _quality(self, node: Node) -> int:
        """The worst that a node depends on, as far as the scan has come."""
        reached = self._dependence.reached(node)
        return max(max(self._qualities.get(n, GOOD), self._marks.get(n, GOOD)) for n in reached)

    def _mark(self, scope: Scope, place: object, quality: int) -> None:
        node = Node(scope.path, (*self._calls, id(place)))
        self._marks[node] = max(self._marks.get(node, GOOD), quality)

    # -- statements ------------------------------------------------------------------------------

    def _body(self, body: tuple[syntax.Statement, ...], scope: Scope) -> None:
        for statement in body:
            match statement:
                case syntax.Assign():
                    at = self._index(statement.target, scope)
                    self._store(statement.target, at, self._evaluate(statement.value, scope), scope)
                case syntax.BlockCall():
                    self._call_block(statement, scope)
                case syntax.If():
                    self._body(self._branch(statement, scope), scope)
                case syntax.Case():
                    self._body(self._choice(statement, scope), scope)
                case syntax.For():
                    self._loop(statement, scope)

    def _index(self, target: syntax.Variable | syntax.Element, scope: Scope) -> int:
        """Which element is assigned; it is settled, and marked, before the value is worked out."""
        if isinstance(target, syntax.Variable):
            return 0
        at, moved = scope.array(target.name.key).place(self._evaluate(target.index, scope).whole)
        if moved:
            self._mark(scope, target, BAD)
        return at

    def _store(self, target: syntax.Variable | syntax.Element, at: int, value: Value, scope: Scope) -> None:
        key = target.name.key
        if isinstance(target, syntax.Variable):
            scope.variables[key] = widen(value, scope.single(key).type)
        else:
            array = scope.array(key)
            array.elements[at] = widen(value, array.type)

    def _branch(self, statement: syntax.If, scope: Scope) -> tuple[syntax.Statement, ...]:
        for branch in statement.branches:
            if self._evaluate(branch.condition, scope).value:
                return branch.body
        return statement.otherwise

    def _choice(self, statement: syntax.Case, scope: Scope) -> tuple[syntax.Statement, ...]:
        selector = self._evaluate(statement.selector, scope).whole
        for choice in statement.choices:
            for label in choice.labels:
                low, high = self._evaluate(label.low, scope).whole, self._evaluate(label.high, scope).whole
                if low <= selector <= high:
                    return choice.body
        return statement.otherwise

    def _loop(self, statement: syntax.For, scope: Scope) -> None:
        key = statement.variable.key
        type = scope.single(key).type
        first = self._evaluate(statement.first, scope).whole
        last = self._evaluate(statement.last, scope).whole
        step = 1 if statement.step is None else self._evaluate(statement.step, scope).whole
        for turn in range(first, last + (1 if step > 0 else -1), step):
            scope.variables[key] = Value(type, turn)
            self._body(statement.body, scope)

    def _call_block(self, call: syntax.BlockCall, scope: Scope) -> None:
        if call.block.key in TELLING:
            self._tell(call, scope)
            return
        block = scope.blocks[call.block.key]
        given = [(argument.name, self._evaluate(argument.value, scope)) for argument in call.arguments]
        for name, value in given:
            assert name is not None
            block.variables[name.key] = widen(value, block.single(name.key).type)
        around, self._calls = self._calls, (*self._calls, id(call))
        self._body(block.unit.body, block)
        self._calls = around
        for take in call.takes:
            self._store(take.target, self._index(take.target, scope), block.single(take.output.key), scope)

    def _tell(self, call: syntax.BlockCall, scope: Scope) -> None:
        value, text, priority = Value("LREAL", 0.0), "", 0
        for argument in call.arguments:
            found = self._evaluate(argument.value, scope)
            if found.type == "STRING":
                text = str(found.value)
            else:
                value = widen(found, "LREAL")
        kind = {"EVENT": "event", "ALARM_ON": "alarm", "ALARM_OFF": "returned"}[call.block.key]
        if kind != "event":
            text, priority = str(scope.single("TEXT").value), scope.single("PRIORITY").whole
        quality = self._quality(Node(scope.path, (*self._calls, id(call))))
        path = ".".join(map(str, scope.path))
        self._events.append(Emitted(kind, path, text, priority, self._now, value.real, quality))

    # -- expressions -----------------------------------------------------------------------------

    def _evaluate(self, expression: syntax.Expression, scope: Scope) -> Value:
        match expression:
            case syntax.IntLiteral():
                return _literal(Value(INT_LITERAL, expression.value), expression.type)
            case syntax.RealLiteral():
                return _literal(Value(REAL_LITERAL, expression.value), expression.type)
            case syntax.BoolLiteral():
                return truth(expression.value)
            case syntax.TimeLiteral():
                return Value("TIME", expression.milliseconds)
            case syntax.TextLiteral():
                return Value("STRING", expression.value)
            case syntax.Variable():
                return scope.single(expression.name.key)
            case syntax.Member():
                return scope.blocks[expression.block.key].single(expression.member.key)
            case syntax.Element():
                return self._element(expression, scope)
            case syntax.Unary():
                return values.unary(expression.operator, self._evaluate(expression.operand, scope))
            case syntax.Binary():
                left, right = self._evaluate(expression.left, scope), self._evaluate(expression.right, scope)
                return self._marked(values.binary(expression.operator, left, right), expression, scope)
            case syntax.Call():
                return self._call(expression, scope)
            case syntax.Unread():
                raise AssertionError("a source with faults")

    def _marked(self, result: values.Result, place: object, scope: Scope) -> Value:
        if result.bad:
            self._mark(scope, place, BAD)
        return result.value

    def _element(self, element: syntax.Element, scope: Scope) -> Value:
        array = scope.array(element.name.key)
        at, moved = array.place(self._evaluate(element.index, scope).whole)
        if moved:
            self._mark(scope, element, BAD)
        return array.elements[at]

    def _call(self, call: syntax.Call, scope: Scope) -> Value:
        key = call.function.key
        if key in ASKING:
            return self._ask(key, call.arguments[0].value, scope)
        arguments = [self._evaluate(argument.value, scope) for argument in call.arguments]
        if key in self._units:
            return self._call_function(self._units[key], call, arguments, scope)
        if call.arguments and call.arguments[0].name is not None:
            arguments = _in_order(key, call, arguments)
        if key == "NOW":
            return Value("TIME", self._now)
        if key == "MARK":
            self._mark(scope, call, max(GOOD, min(arguments[1].whole, BAD)))
            return arguments[0]
        conversion = functions.CONVERSION.fullmatch(key)
        if conversion:
            return self._marked(values.convert(arguments[0], *conversion.groups()), call, scope)
        return self._marked(functions.PURE[key](*arguments), call, scope)

    def _ask(self, key: str, about: syntax.Expression, scope: Scope) -> Value:
        *block, name = asked_name(about).split(".")
        quality = self._quality(Node((*scope.path, *block), name))
        if key == "QUALITY":
            return Value("INT", quality)
        return truth(quality == (GOOD if key == "IS_GOOD" else BAD))

    def _call_function(
        self, unit: syntax.Unit, call: syntax.Call, arguments: list[Value], scope: Scope
    ) -> Value:
        inside = enter(unit, (*scope.path, id(call)), self._units, self._evaluate)
        for name, value in zip(input_names(unit, call), arguments, strict=True):
            inside.variables[name] = widen(value, inside.single(name).type)
        self._body(unit.body, inside)
        return inside.single(unit.name.key)


def _literal(value: Value, type: str | None) -> Value:
    return value if type is None else widen(value, type)


def _in_order(key: str, call: syntax.Call, arguments: list[Value]) -> list[Value]:
    """Arguments given by name, in the function's order."""
    given = {
        argument.name.key: value
        for argument, value in zip(call.arguments, arguments, strict=True)
        if argument.name
    }
    return [given[name] for name in functions.PARAMETERS[key].split() if name in given]
