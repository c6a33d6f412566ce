"""What depends on what in a program: section 8, as a graph.

Nodes are the variables of each scope, the places that can mark, and the places that emit. An edge
leads from what depends to what it depends on. The quality of a node is the worst of all inputs
and marks that can be reached from it.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import NamedTuple, TypeAlias

from edge_runtime.rules.reading import syntax
from tests.rules.scopes import Path, Scope, nodes


class Node(NamedTuple):
    """A variable (`what` is its name), or a syntax node that marks or emits.

    What marks or emits in a block does so in each call by itself: `what` are the identities of the
    calls by which it was reached, and its own.
    """

    path: Path
    what: str | tuple[int, ...]


Nodes: TypeAlias = frozenset[Node]
NONE: Nodes = frozenset()

ASKING = ("IS_GOOD", "IS_BAD", "QUALITY")
TELLING = ("EVENT", "ALARM_ON", "ALARM_OFF")


class Dependence:
    """The graph of one program.

    Args:
        program: Its scope; those of its blocks are in it.
        units: All functions and blocks.
    """

    def __init__(self, program: Scope, units: dict[str, syntax.Unit]) -> None:
        self._units = units
        self._edges: defaultdict[Node, set[Node]] = defaultdict(set)
        self._reached: dict[Node, Nodes] = {}
        self._asked = {unit.name.key: asked(unit) for unit in (program.unit, *units.values())}
        self._calls: tuple[int, ...] = ()
        self._body(program.unit.body, program, NONE)

    def reached(self, node: Node) -> Nodes:
        """A node and all that it depends on."""
        if node not in self._reached:
            found, ahead = {node}, [node]
            while ahead:
                fresh = self._edges[ahead.pop()] - found
                found |= fresh
                ahead += fresh
            self._reached[node] = frozenset(found)
        return self._reached[node]

    def _add(self, node: Node, on: Nodes) -> None:
        self._edges[node] |= on

    def _body(self, body: tuple[syntax.Statement, ...], scope: Scope, conditions: Nodes) -> None:
        for statement in body:
            match statement:
                case syntax.Assign():
                    self._assign(
                        statement.target, self._expression(statement.value, scope), scope, conditions
                    )
                case syntax.BlockCall():
                    self._call(statement, scope, conditions)
                case syntax.If():
                    under = conditions
                    for branch in statement.branches:
                        under |= self._expression(branch.condition, scope)
                        self._body(branch.body, scope, under)
                    self._body(statement.otherwise, scope, under)
                case syntax.Case():
                    under = conditions | self._expression(statement.selector, scope)
                    for choice in statement.choices:
                        self._body(choice.body, scope, under)
                    self._body(statement.otherwise, scope, under)
                case syntax.For():
                    under = conditions | self._expression(statement.first, scope)
                    under |= self._expression(statement.last, scope)
                    self._add(Node(scope.path, statement.variable.key), under)
                    self._body(statement.body, scope, under)

    def _assign(
        self, target: syntax.Variable | syntax.Element, value: Nodes, scope: Scope, conditions: Nodes
    ) -> None:
        on = value | conditions
        if isinstance(target, syntax.Element):
            on |= self._expression(target.index, scope) | {self._mark(scope, target)}
        self._add(Node(scope.path, target.name.key), on)

    def _call(self, call: syntax.BlockCall, scope: Scope, conditions: Nodes) -> None:
        if call.block.key in TELLING:
            values = (argument.value for argument in call.arguments)
            on = conditions.union(*(self._expression(value, scope) for value in values))
            self._add(Node(scope.path, (*self._calls, id(call))), on)
            return
        block = scope.blocks[call.block.key]
        for argument in call.arguments:
            assert argument.name is not None
            value = self._expression(argument.value, scope)
            self._add(Node(block.path, argument.name.key), value | conditions)
        around, self._calls = self._calls, (*self._calls, id(call))
        self._body(block.unit.body, block, conditions)
        self._calls = around
        for take in call.takes:
            value = self._member(call.block, take.output, scope)
            self._assign(take.target, value, scope, conditions)

    def _expression(self, expression: syntax.Expression, scope: Scope) -> Nodes:
        match expression:
            case syntax.Variable():
                return self._variable(expression.name, scope)
            case syntax.Element():
                read = self._variable(expression.name, scope) | self._expression(expression.index, scope)
                return read | {self._mark(scope, expression)}
            case syntax.Member():
                return self._member(expression.block, expression.member, scope)
            case syntax.Unary():
                return self._expression(expression.operand, scope)
            case syntax.Binary():
                both = self._expression(expression.left, scope) | self._expression(expression.right, scope)
                return both | {self._mark(scope, expression)}
            case syntax.Call():
                return self._function(expression, scope)
        return NONE

    def _mark(self, scope: Scope, place: object) -> Node:
        """What a place in the source marks; of a block, each call by itself."""
        return Node(scope.path, (*self._calls, id(place)))

    def _variable(self, name: syntax.Name, scope: Scope) -> Nodes:
        return (
            NONE if name.key in self._asked[scope.unit.name.key] else frozenset({Node(scope.path, name.key)})
        )

    def _member(self, block: syntax.Name, member: syntax.Name, scope: Scope) -> Nodes:
        if f"{block.key}.{member.key}" in self._asked[scope.unit.name.key]:
            return NONE
        return frozenset({Node(scope.blocks[block.key].path, member.key)})

    def _function(self, call: syntax.Call, scope: Scope) -> Nodes:
        if call.function.key in ASKING:
            return NONE
        arguments = [self._expression(argument.value, scope) for argument in call.arguments]
        unit = self._units.get(call.function.key)
        if unit is None:
            return frozenset({self._mark(scope, call)}).union(*arguments)
        inside = Scope(unit, (*scope.path, id(call)))
        for name, value in zip(input_names(unit, call), arguments, strict=True):
            self._add(Node(inside.path, name), value)
        self._body(unit.body, inside, NONE)
        return frozenset({Node(inside.path, unit.name.key)})


def input_names(unit: syntax.Unit, call: syntax.Call) -> list[str]:
    """The inputs that a call's arguments are for, in their order."""
    declared = [each.name.key for each in unit.declarations if each.section == "VAR_INPUT"]
    return [
        declared[n] if argument.name is None else argument.name.key
        for n, argument in enumerate(call.arguments)
    ]


@cache
def asked(unit: syntax.Unit) -> frozenset[str]:
    """Variables and block outputs whose quality a unit asks for."""
    calls = (node for node in nodes(unit.body) if isinstance(node, syntax.Call))
    return frozenset(asked_name(call.arguments[0].value) for call in calls if call.function.key in ASKING)


def asked_name(expression: syntax.Expression) -> str:
    """`X`, or `T.Q`."""
    if isinstance(expression, syntax.Member):
        return f"{expression.block.key}.{expression.member.key}"
    assert isinstance(expression, syntax.Variable), expression
    return expression.name.key
