"""Random expressions that are well typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.rules.values import INTEGERS, LITERALS, REALS, WIDER, common, settle
from tests.rules.vocabulary import FIXED, NUMBERS, REAL_MAX, Signature, Typed, literal

CONVERTED = {
    "BOOL": ("INT", "DINT", "LINT"),
    "INT": ("BOOL", "DINT", "LINT", "REAL", "LREAL"),
    "DINT": ("BOOL", "INT", "LINT", "REAL", "LREAL"),
    "LINT": ("BOOL", "INT", "DINT", "REAL", "LREAL", "TIME"),
    "REAL": ("INT", "DINT", "LINT", "LREAL"),
    "LREAL": ("INT", "DINT", "LINT", "REAL"),
    "TIME": ("LINT",),
}
"""From which types there is a conversion."""


@dataclass
class Variable:
    """What can be read, and perhaps written. `bounds` is of an array."""

    name: str
    type: str
    bounds: tuple[int, int] | None = None
    writable: bool = True
    range: tuple[int, int] | None = None


@dataclass
class Surroundings:
    """What stands at disposal in a unit."""

    variables: list[Variable] = field(default_factory=list)
    blocks: list[tuple[str, Signature, dict[str, str]]] = field(default_factory=list)
    functions: Sequence[Signature] = ()
    may_ask: bool = True
    locked: set[str] = field(default_factory=set)

    def of(self, type: str) -> list[Variable]:
        return [variable for variable in self.variables if variable.type == type]


def widens(typed: Typed, type: str) -> bool:
    """Whether an expression may stand where a type is wanted."""
    if type == "REAL" and typed.type in LITERALS and abs(typed.value.real) > REAL_MAX:
        return False
    if typed.type == "int literal":
        return type in REALS or type in WIDER.get(settle(typed.value).type, ())
    if typed.type == "real literal":
        return type in REALS
    return typed.type == type or type in WIDER.get(typed.type, ())


def met(parts: Sequence[Typed]) -> str | None:
    """Where expressions meet, if they do."""
    try:
        type = common(part.value for part in parts)
    except TypeError:
        return None
    too_large = any(part.type in LITERALS and abs(part.value.real) > REAL_MAX for part in parts)
    return None if type == "REAL" and too_large else type


class Expressions:
    """Makes expressions over what is known."""

    def __init__(self, draw: Random, known: Surroundings) -> None:
        self.draw = draw
        self.known = known

    def any(self, type: str, depth: int = 2) -> Typed:
        """One that may stand where a type is wanted."""
        if depth <= 0 or self.draw.random() < 0.2:
            return self.leaf(type)
        makers = self._makers(type)
        return self.draw.choice(makers)(type, depth - 1)

    def exact(self, type: str, depth: int = 2) -> Typed:
        """One that is of the type itself."""
        made = self.any(type, depth)
        if made.type == type:
            return made
        if made.type in LITERALS:
            named = [variable for variable in self.known.of(type) if variable.bounds is None]
            if named and self.draw.random() < 0.7:
                return Typed(self.spelt(self.draw.choice(named).name), type)
            return Typed(
                f"{type}#{self.draw.choice(('1.5', '0.25') if type in REALS else ('1', '16#7F'))}", type
            )
        return Typed(f"{made.type}_TO_{type}({made.text})", type)

    def leaf(self, type: str) -> Typed:
        """A variable, element, block output or literal."""
        found = [
            variable for variable in self.known.variables if type in (variable.type, *self._narrow(variable))
        ]
        outputs = [
            Typed(f"{self.spelt(name)}.{output}", of)
            for name, block, _ in self.known.blocks
            for output, of in (*block.outputs.items(), *list(block.inputs.items())[:1])
            if of == type
        ]
        chance = self.draw.random()
        if outputs and chance < 0.15:
            return self.draw.choice(outputs)
        if found and chance < 0.75:
            variable = self.draw.choice(found)
            name = self.spelt(variable.name)
            if variable.bounds is None:
                return Typed(name, variable.type)
            return Typed(f"{name}[{self.index(variable)}]", variable.type)
        if type == "TIME" and chance < 0.85:
            return Typed("NOW()", type)
        return literal(self.draw, type)

    def index(self, array: Variable) -> str:
        """Mostly within the bounds."""
        assert array.bounds is not None
        low, high = array.bounds
        chance = self.draw.random()
        counters = [v for v in self.known.variables if v.range is not None]
        if counters and chance < 0.5:
            return self.draw.choice(counters).name
        plain = self.unfixed()
        if chance < 0.75 or not plain:
            index = self.draw.randint(low, high)
            return str(index) if index >= 0 else f"({index})"
        name = self.spelt(self.draw.choice(plain).name)
        return self.draw.choice((f"LIMIT({low}, {name}, {high})", name, f"{name} + 1", f"{name} MOD 5"))

    def unfixed(self) -> list[Variable]:
        """Integer variables that no constant can be folded from."""
        return [v for v in self.known.variables if v.type in INTEGERS and v.bounds is None and v.writable]

    def spelt(self, name: str) -> str:
        """The language does not distinguish capitals."""
        return name.upper() if self.draw.random() < 0.1 else name

    def askable(self) -> str | None:
        """Something whose quality may be asked."""
        names = [v.name for v in self.known.variables if v.bounds is None and not v.name.startswith("K")]
        names += [f"{name}.{output}" for name, block, _ in self.known.blocks for output in block.outputs]
        return self.spelt(self.draw.choice(names)) if names and self.known.may_ask else None

    def _narrow(self, variable: Variable) -> tuple[str, ...]:
        return WIDER.get(variable.type, ()) if self.draw.random() < 0.2 else ()

    def _makers(self, type: str) -> list[Callable[[str, int], Typed]]:
        makers: list[Callable[[str, int], Typed]] = [self._select, self._mark, self._multiplex]
        if any(of == type for function in self.known.functions for of in function.outputs.values()):
            makers += [self._own] * 2
        if type in CONVERTED:
            makers.append(self._conversion)
        if type == "BOOL":
            makers += [self._comparison] * 4 + [self._logic] * 3 + [self._ask, self._finite]
        elif type == "TIME":
            makers += [self._sum] * 3 + [self._scaled] * 2 + [self._folded, self._limit]
        elif type in NUMBERS:
            makers += [self._sum] * 5 + [self._folded, self._limit, self._negative]
            makers += [self._bits] * 3 if type in INTEGERS else [self._root]
            makers += [self._ask] if type == "INT" else [self._truncation] if type == "LINT" else []
        return makers

    def _operands(self, type: str, count: int, depth: int) -> list[Typed]:
        """Expressions that meet at a type, or at one that widens to it."""
        parts = [self.any(type, depth) for _ in range(count)]
        meeting = met(parts)
        if meeting is None or meeting in LITERALS or not widens(Typed("", meeting), type):
            parts = [self.exact(type, depth), *parts[1:]]
            if met(parts) != type:
                parts = [self.exact(type, depth - 1) for _ in range(count)]
            self.draw.shuffle(parts)
        return parts

    def _joined(self, operator: str, parts: Sequence[Typed]) -> Typed:
        type = met(parts)
        assert type is not None
        return Typed(f"({parts[0].text} {operator} {parts[1].text})", type)

    def _called(self, function: str, parts: Sequence[Typed], type: str | None = None) -> Typed:
        type = type or met(parts)
        assert type is not None
        return Typed(f"{self.spelt(function)}({', '.join(part.text for part in parts)})", type)

    def _sum(self, type: str, depth: int) -> Typed:
        operators = "+-" if type == "TIME" else "+-*/" if type in REALS else ["+", "-", "*", "/", "MOD"]
        return self._joined(self.draw.choice(operators), self._operands(type, 2, depth))

    def _bits(self, type: str, depth: int) -> Typed:
        if self.draw.random() < 0.5:
            parts = [self.exact(type, depth), self.exact(type, depth)]
            return self._joined(self.draw.choice(("AND", "OR", "XOR", "&")), parts)
        if self.draw.random() < 0.2:
            return Typed(f"(NOT {self.exact(type, depth).text})", type)
        far = (
            Typed(str(self.draw.randrange(70)), "INT")
            if self.draw.random() < 0.7
            else self.exact("INT", depth)
        )
        parts = [self.exact(type, depth), far]
        return self._called(self.draw.choice(("SHL", "SHR", "ROL", "ROR")), parts, type)

    def _negative(self, type: str, depth: int) -> Typed:
        part = self.exact(type, depth)
        return Typed(f"(-{part.text})" if self.draw.random() < 0.5 else f"ABS({part.text})", type)

    def _scaled(self, type: str, depth: int) -> Typed:
        factor = self.any(self.draw.choice(INTEGERS), depth)
        return Typed(f"({self.exact('TIME', depth).text} {self.draw.choice('*/')} {factor.text})", "TIME")

    def _folded(self, type: str, depth: int) -> Typed:
        parts = self._operands(type, self.draw.choice((2, 2, 3, 5)), depth - 1)
        return self._called(self.draw.choice(("MIN", "MAX")), parts)

    def _limit(self, type: str, depth: int) -> Typed:
        parts = self._operands(type, 3, depth - 1)
        if self.draw.random() < 0.2:
            low, value, high = parts
            return Typed(
                f"LIMIT(MX := {high.text}, MN := {low.text}, IN := {value.text})", met(parts) or type
            )
        return self._called("LIMIT", parts)

    def _select(self, type: str, depth: int) -> Typed:
        parts = self._operands(type, 2, depth)
        return Typed(
            f"SEL({self.any('BOOL', depth).text}, {parts[0].text}, {parts[1].text})", met(parts) or type
        )

    def _multiplex(self, type: str, depth: int) -> Typed:
        if type == "STRING":
            return self._select(type, depth)
        parts = self._operands(type, self.draw.randint(2, 4), depth - 1)
        choices = ", ".join(part.text for part in parts)
        return Typed(f"MUX({self.exact('INT', depth).text}, {choices})", met(parts) or type)

    def _mark(self, type: str, depth: int) -> Typed:
        part = self.exact(type, depth)
        quality = (
            self.any("INT", depth - 1) if self.draw.random() < 0.5 else Typed(self.draw.choice("012"), "INT")
        )
        return Typed(f"MARK({part.text}, {quality.text})", type)

    def _root(self, type: str, depth: int) -> Typed:
        return Typed(f"SQRT({self.exact(type, depth).text})", type)

    def _truncation(self, type: str, depth: int) -> Typed:
        return Typed(f"TRUNC({self.exact(self.draw.choice(REALS), depth).text})", type)

    def _finite(self, type: str, depth: int) -> Typed:
        return Typed(f"IS_FINITE({self.exact(self.draw.choice(REALS), depth).text})", type)

    def _conversion(self, type: str, depth: int) -> Typed:
        source = self.draw.choice(CONVERTED[type])
        return Typed(f"{source}_TO_{type}({self.exact(source, depth).text})", type)

    def _ask(self, type: str, depth: int) -> Typed:
        about = self.askable()
        if about is None or self.draw.random() < 0.6:
            return self.leaf(type)
        function = "QUALITY" if type == "INT" else self.draw.choice(("IS_GOOD", "IS_BAD"))
        return Typed(f"{self.spelt(function)}({about})", type)

    def _comparison(self, type: str, depth: int) -> Typed:
        of = self.draw.choice((*NUMBERS, *NUMBERS, "TIME", "BOOL", "STRING"))
        operators = ("=", "<>") if of in ("BOOL", "STRING") else ("=", "<>", "<", ">", "<=", ">=")
        compared = self._joined(self.draw.choice(operators), self._operands(of, 2, depth))
        return Typed(compared.text, "BOOL")

    def _logic(self, type: str, depth: int) -> Typed:
        if self.draw.random() < 0.2:
            return Typed(f"(NOT {self.any('BOOL', depth).text})", "BOOL")
        parts = [self.any("BOOL", depth), self.any("BOOL", depth)]
        return self._joined(self.draw.choice(("AND", "OR", "XOR", "&")), parts)

    def _own(self, type: str, depth: int) -> Typed:
        functions = [each for each in self.known.functions if type in each.outputs.values()]
        function = self.draw.choice(functions)
        given = [(name, self.argument(function, name, depth - 1)) for name in function.inputs]
        if self.draw.random() < 0.3:
            self.draw.shuffle(given)
            listed = ", ".join(f"{name} := {text}" for name, text in given)
        else:
            listed = ", ".join(text for _, text in given)
        return Typed(f"{self.spelt(function.name)}({listed})", type)

    def argument(self, callee: Signature, name: str, depth: int, fixed: dict[str, str] | None = None) -> str:
        """What may be given to an input."""
        if name in callee.constants:
            return (fixed or {}).get(name) or self.draw.choice(FIXED[name])
        return self.any(callee.inputs[name], depth).text
