"""Where variables live while a program is interpreted: one scope for every instance of a unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeAlias

from edge_runtime.rules.reading import syntax
from tests.rules.values import INITIAL, Value, widen

Path: TypeAlias = tuple[str | int, ...]
"""Names of block instances; the identity of a call where a function was entered."""

ELEMENTARY = frozenset(INITIAL)


@dataclass
class Array:
    """Elements from a lower bound on."""

    low: int
    type: str
    elements: list[Value]

    def place(self, index: int) -> tuple[int, bool]:
        """Which element an index means, and whether it had to be moved."""
        at = index - self.low
        moved = max(0, min(at, len(self.elements) - 1))
        return moved, moved != at


@dataclass
class Scope:
    """A unit's variables and block instances."""

    unit: syntax.Unit
    path: Path
    variables: dict[str, Value | Array] = field(default_factory=dict)
    blocks: dict[str, Scope] = field(default_factory=dict)

    def single(self, key: str) -> Value:
        found = self.variables[key]
        assert isinstance(found, Value), key
        return found

    def array(self, key: str) -> Array:
        found = self.variables[key]
        assert isinstance(found, Array), key
        return found


Evaluate: TypeAlias = Callable[[syntax.Expression, Scope], Value]


def enter(unit: syntax.Unit, path: Path, units: dict[str, syntax.Unit], evaluate: Evaluate) -> Scope:
    """A scope with everything at its initial value, and so the blocks in it."""
    scope = Scope(unit, path)
    for declaration in unit.declarations:
        key = declaration.name.key
        if isinstance(declaration.type, syntax.ArrayType):
            scope.variables[key] = _array(declaration, declaration.type, scope, evaluate)
        elif declaration.type.key in ELEMENTARY:
            type = declaration.type.key
            value = Value(type, INITIAL[type])
            if declaration.initial is not None:
                assert not isinstance(declaration.initial, tuple)
                value = widen(evaluate(declaration.initial, scope), type)
            scope.variables[key] = value
        else:
            scope.blocks[key] = enter(units[declaration.type.key], (*path, key), units, evaluate)
    if unit.kind == "FUNCTION":
        assert unit.result is not None
        scope.variables[unit.name.key] = Value(unit.result.key, INITIAL[unit.result.key])
    return scope


def _array(
    declaration: syntax.Declaration, type: syntax.ArrayType, scope: Scope, evaluate: Evaluate
) -> Array:
    low, high = evaluate(type.low, scope).whole, evaluate(type.high, scope).whole
    element = type.element.key
    initial: Sequence[Any] = declaration.initial or ()  # type: ignore[assignment]
    found: list[Value] = []
    for part in initial:
        times = 1 if part.times is None else evaluate(part.times, scope).whole
        found += [widen(evaluate(part.value, scope), element)] * times
    found += [Value(element, INITIAL[element])] * (high - low + 1 - len(found))
    return Array(low, element, found)


def nodes(tree: object) -> Iterator[object]:
    """All syntax nodes in a tree."""
    if isinstance(tree, tuple) and not isinstance(tree, syntax.Span):
        for part in tree:
            yield from nodes(part)
    elif is_dataclass(tree):
        yield tree
        for each in fields(tree):
            yield from nodes(getattr(tree, each.name))
