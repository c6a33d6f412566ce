"""From a syntax tree to typed units: names, types, units and bounds, every fault at once.

Rules:
1. A unit may use the blocks and functions above it only, so nothing recurs.
2. After a fault the checking goes on; what depends on the faulty part is let pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edge_runtime.rules import limits
from edge_runtime.rules.checking import functions
from edge_runtime.rules.checking.check_expressions import Expressions, place
from edge_runtime.rules.checking.check_statements import Statements
from edge_runtime.rules.checking.scope import Say, Scope, similar
from edge_runtime.rules.checking.typed import Symbol, UnitCode, Value
from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.reading import slips, syntax
from protocols import units as ucum

_RESERVED = functions.NAMES | {"EVENT", "ALARM_ON", "ALARM_OFF", *Type}


def check_units(
    source: syntax.Source,
    known: Mapping[str, UnitCode],
    texts: dict[str, int],
    say: Say,
    *,
    in_library: bool = False,
) -> dict[str, UnitCode]:
    """All units of a source.

    Args:
        source: As parsed.
        known: Blocks and functions that it may use: the library.
        texts: Text literals so far, by text; grows.
        say: Takes a fault: place, what, hint.
        in_library: Whether the primitives of alarms may be used.

    Returns:
        Its units by key, in order; those with faults too.
    """
    made: dict[str, UnitCode] = {}
    declared = {node.name.key: node.kind for node in source.units}
    elements = _Elements()
    for node in source.units:
        units = {**known, **{key: unit for key, unit in made.items() if unit.kind != "PROGRAM"}}
        unit = UnitCode(node.kind, node.name)
        if node.name.key in made or node.name.key in known:
            say(node.name.span, f"expected a new name, {node.name.text!r} exists already", "")
        elif node.name.key in _RESERVED:
            say(
                node.name.span,
                f"expected a name of your own, {node.name.text!r} is taken by the language",
                "",
            )
        scope = Scope(unit, units, texts, say, in_library=in_library, declared=declared)
        _UnitChecker(scope, node, elements).check()
        made[node.name.key] = unit
    return made


class _Elements:
    """Counts the elements of all arrays of a source: each has an initial value in memory."""

    def __init__(self) -> None:
        self._count = 0
        self._said = False

    def fit(self, more: int) -> bool:
        """Whether so many more are not too many."""
        self._count += more
        return self._count <= limits.ELEMENTS_MAX

    def say_once(self) -> bool:
        """Whether that there are too many has not been said yet."""
        said, self._said = self._said, True
        return not said


class _UnitChecker:
    """Checks one unit."""

    def __init__(self, scope: Scope, node: syntax.Unit, elements: _Elements) -> None:
        self._elements_so_far = elements
        self._scope = scope
        self._node = node
        self._unit = scope.unit
        self._say: Callable[[syntax.Span, str, str], None] = scope.say
        self._expressions = Expressions(scope)

    def check(self) -> None:
        for declaration in self._node.declarations:
            symbol = self._declare(declaration)
            if declaration.name.key in self._unit.symbols:
                self._say(
                    declaration.name.span,
                    f"expected a new name, {declaration.name.text!r} exists already",
                    "",
                )
            elif declaration.name.key in Type.__members__:
                what = f"expected a name of your own, {declaration.name.text!r} is taken by the language"
                self._say(declaration.name.span, what, "")
            self._unit.symbols[declaration.name.key] = symbol
        if self._node.result is not None:
            self._result(self._node.result)
        self._unit.body = Statements(self._scope).check(self._node.body)
        below = [s.block.depth for s in self._unit.symbols.values() if s.block is not None]
        self._unit.depth = 1 + max(below, default=0)
        if self._unit.depth > limits.CALL_DEPTH_MAX:
            what = f"expected at most {limits.CALL_DEPTH_MAX} levels of blocks, got {self._unit.depth}"
            self._say(self._node.name.span, what, "")

    def _result(self, name: syntax.Name) -> None:
        type = self._elementary(name)
        symbol = Symbol(
            self._node.name, type or Type.LREAL, initial=(_zero(type or Type.LREAL, self._scope),)
        )
        if self._node.name.key in self._unit.symbols:
            self._say(name.span, f"expected no variable named as the function, {self._node.name.text!r}", "")
        self._unit.symbols[self._node.name.key] = symbol
        self._unit.result = symbol

    # -- declarations ----------------------------------------------------------------------------

    def _declare(self, node: syntax.Declaration) -> Symbol:
        self._placed(node)
        unit = self._unit_of(node)
        if isinstance(node.type, syntax.ArrayType):
            return self._array(node, node.type, unit)
        block = self._scope.units.get(node.type.key)
        if block is not None and block.kind == "FUNCTION_BLOCK":
            return self._instance(node, block)
        type = self._elementary(node.type)
        symbol = Symbol(
            node.name, type or Type.LREAL, node.section, node.qualifier, unit=unit, faulty=type is None
        )
        symbol.initial = (self._initial(node, symbol.type, known=type is not None),)
        if type is Type.STRING and self._node.kind == "PROGRAM" and node.section != "VAR":
            self._say(node.type.span, "expected no STRING here: texts stay within the program", "")
        return symbol

    def _placed(self, node: syntax.Declaration) -> None:
        kind = self._node.kind
        if kind == "FUNCTION" and (node.section == "VAR_OUTPUT" or node.qualifier == "RETAIN"):
            hint = "a function gives one value, by its name, and keeps none"
            self._say(node.name.span, "expected VAR_INPUT or VAR in a function", hint)
        if node.qualifier == "CONSTANT" and (
            node.section == "VAR_OUTPUT" or (node.section == "VAR_INPUT" and kind != "PROGRAM")
        ):
            self._say(node.name.span, f"expected no {node.section} CONSTANT here", "")
        if node.qualifier == "CONSTANT" and node.section == "VAR" and node.initial is None:
            self._say(node.name.span, f"expected a value for the constant {node.name.text!r}", "write := ...")

    def _unit_of(self, node: syntax.Declaration) -> str | None:
        if node.unit is None or node.unit_span is None:
            return None
        fault = ucum.check(node.unit)
        if fault is not None:
            self._say(node.unit_span, f"expected a UCUM unit, got {node.unit!r}: {fault.reason}", "")
            return None
        return node.unit

    def _elementary(self, name: syntax.Name) -> Type | None:
        if name.key in Type.__members__:
            return Type(name.key)
        blocks = [unit.name.text for unit in self._scope.units.values() if unit.kind == "FUNCTION_BLOCK"]
        hint = slips.TYPES.get(name.key) or similar(name.text, [*Type.__members__, *blocks])
        if name.key == self._unit.name.key:
            hint = "a block cannot hold itself: memory must be bounded"
        elif self._scope.declared.get(name.key) == "FUNCTION_BLOCK":
            hint = f"{name.text!r} stands below: it must stand above what uses it"
        self._say(name.span, f"expected a type or a block, got {name.text!r}", hint)
        return None

    def _initial(self, node: syntax.Declaration, type: Type, *, known: bool) -> Value:
        if node.initial is None or not known:
            return _zero(type, self._scope)
        if isinstance(node.initial, tuple):
            self._say(node.name.span, f"expected one value for {node.name.text!r}, got a list", "")
            return _zero(type, self._scope)
        made = self._expressions.constant(node.initial, type, f"the initial value of {node.name.text}")
        return _zero(type, self._scope) if made is None else made.value

    def _instance(self, node: syntax.Declaration, block: UnitCode) -> Symbol:
        if self._node.kind == "FUNCTION":
            self._say(
                node.name.span, "expected no block in a function", "a function keeps no state; use a block"
            )
        elif node.section != "VAR":
            self._say(node.name.span, f"expected an instance of {block.name.text} in VAR", "")
        if node.initial is not None:
            self._say(node.name.span, f"expected no initial value for the block {node.name.text!r}", "")
        return Symbol(node.name, Type.STRING, "VAR", node.qualifier, block=block)

    def _array(self, node: syntax.Declaration, kind: syntax.ArrayType, unit: str | None) -> Symbol:
        type = self._element(kind.element)
        low = self._expressions.integer_constant(kind.low, "an array's bound")
        high = self._expressions.integer_constant(kind.high, "an array's bound")
        symbol = Symbol(
            node.name,
            type or Type.LREAL,
            node.section,
            node.qualifier,
            length=1,
            unit=unit,
            faulty=type is None,
        )
        if node.section != "VAR":
            self._say(node.name.span, f"expected a single value in {node.section}, got an array", "")
        if low is None or high is None:
            symbol.faulty = True
            return symbol
        if not 1 <= high - low + 1 <= limits.ARRAY_LENGTH_MAX:
            what = f"expected 1 to {limits.ARRAY_LENGTH_MAX} elements, got {low}..{high}"
            self._say(place(kind.low), what, "")
            symbol.faulty = True
            return symbol
        if not self._elements_so_far.fit(high - low + 1):
            symbol.faulty = True
            if self._elements_so_far.say_once():
                what = f"expected at most {limits.ELEMENTS_MAX} elements in all arrays together"
                self._say(place(kind.low), what, "shorten arrays and windows")
            return symbol
        symbol.low, symbol.length = low, high - low + 1
        symbol.initial = self._elements(node, symbol)
        return symbol

    def _element(self, name: syntax.Name) -> Type | None:
        block = self._scope.units.get(name.key)
        if block is None or block.kind != "FUNCTION_BLOCK":
            return self._elementary(name)
        what = f"expected an elementary type, got the block {name.text!r}"
        self._say(name.span, what, "there are no arrays of blocks: declare an instance for each")
        return None

    def _elements(self, node: syntax.Declaration, symbol: Symbol) -> tuple[Value, ...]:
        zero = _zero(symbol.type, self._scope)
        values: list[Value] = []
        if node.initial is not None and not isinstance(node.initial, tuple):
            self._say(
                place(node.initial),
                f"expected a list for the array {node.name.text!r}",
                "write [1, 2, 58(0)]",
            )
            return (zero,) * symbol.length
        for part in node.initial or ():
            made = self._expressions.constant(part.value, symbol.type, f"an element of {node.name.text}")
            times: int | None = 1
            if part.times is not None:
                times = self._expressions.integer_constant(part.times, "a number of elements")
            if made is None or times is None:
                continue
            if len(values) + times > symbol.length:
                self._say(place(part.value), f"expected at most {symbol.length} elements", "")
                break
            values += [made.value] * times
        return tuple(values + [zero] * (symbol.length - len(values)))


def _zero(type: Type, scope: Scope) -> Value:
    if type is Type.STRING:
        return scope.text("")
    return 0.0 if type.is_real else 0


def programs_of(units: Mapping[str, UnitCode]) -> Sequence[UnitCode]:
    """The programs among units."""
    return [unit for unit in units.values() if unit.kind == "PROGRAM"]
