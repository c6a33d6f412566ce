"""Random programs that are well typed, as source text: equal seeds make equal programs."""

from __future__ import annotations

from random import Random

from tests.rules.expressions import Expressions, Surroundings, Variable
from tests.rules.values import INTEGERS
from tests.rules.vocabulary import ALL_TYPES, COLUMN_TYPES, FIXED, Signature, library, literal

ODD_NAMES = ("limit", "min", "Level_1", "_x", "event1", "abs", "q")


def program(seed: int, size: int = 5) -> str:
    """A source with one program.

    Args:
        seed: Another one makes another program.
        size: About how many statements the program has.
    """
    return _Maker(Random(seed), size).source()


class _Maker:
    """Writes one source."""

    def __init__(self, draw: Random, size: int) -> None:
        self._draw = draw
        self._size = size
        self._functions: list[Signature] = list(library().functions)
        self._blocks: list[Signature] = []
        self._names = 0

    def source(self) -> str:
        units = [self._function() for _ in range(self._draw.choice((0, 0, 0, 1, 2)))]
        units += [self._block() for _ in range(self._draw.choice((0, 0, 0, 1)))]
        return "\n\n".join([*units, self._program()]) + "\n"

    def _function(self) -> str:
        name, type = self._name("f"), self._draw.choice(ALL_TYPES)
        inputs = self._variables("i", ALL_TYPES, 1, 3, writable=False)
        unit = _Unit(self._draw, Surroundings([*inputs], functions=tuple(self._functions), may_ask=False))
        head = [f"FUNCTION {name} : {type}", *self._section("VAR_INPUT", inputs, unit)]
        head += self._locals(unit)
        unit.known.variables.append(Variable(name, type))
        body = unit.statements(self._draw.randint(1, max(1, self._size // 2)), 0)
        body.append(f"{name} := {unit.make.any(type).text};")
        self._functions.append(Signature(name, {each.name: each.type for each in inputs}, {"": type}))
        return "\n".join([*head, *body, "END_FUNCTION"])

    def _block(self) -> str:
        name = self._name("B")
        inputs = self._variables("i", COLUMN_TYPES, 1, 3, writable=False)
        outputs = self._variables("o", COLUMN_TYPES, 1, 2)
        unit = _Unit(self._draw, Surroundings([*inputs, *outputs], functions=tuple(self._functions)))
        head = [f"FUNCTION_BLOCK {name}", *self._section("VAR_INPUT", inputs, unit)]
        head += [*self._section("VAR_OUTPUT", outputs, unit), *self._locals(unit), *self._instances(unit, 1)]
        body = unit.statements(self._draw.randint(1, max(1, self._size // 2)), 0)
        body += unit.assigned(outputs)
        found = Signature(
            name, {each.name: each.type for each in inputs}, {each.name: each.type for each in outputs}
        )
        self._blocks.append(found)
        return "\n".join([*head, *body, "END_FUNCTION_BLOCK"])

    def _program(self) -> str:
        inputs = self._variables("in", COLUMN_TYPES, 1, 4, writable=False)
        parameters = self._variables("par", COLUMN_TYPES, 0, 2, writable=False)
        outputs = self._variables("out", COLUMN_TYPES, 1, 3)
        known = Surroundings([*inputs, *parameters, *outputs], functions=tuple(self._functions))
        unit = _Unit(self._draw, known)
        head = ["PROGRAM main", *self._section("VAR_INPUT", inputs, unit)]
        head += self._section("VAR_INPUT CONSTANT", parameters, unit)
        head += self._section("VAR_OUTPUT", outputs, unit)
        head += [*self._locals(unit), *self._instances(unit, self._draw.choice((0, 1, 2, 3)))]
        body = unit.statements(self._draw.randint(1, max(1, self._size)), 0) + unit.assigned(outputs)
        return "\n".join([*head, *body, "END_PROGRAM"])

    def _name(self, prefix: str) -> str:
        self._names += 1
        if prefix in ("v", "in") and self._draw.random() < 0.1:
            return f"{self._draw.choice(ODD_NAMES)}_{self._names}"
        return f"{prefix}{self._names}"

    def _variables(
        self, prefix: str, types: tuple[str, ...], least: int, most: int, *, writable: bool = True
    ) -> list[Variable]:
        count = self._draw.randint(least, most)
        return [
            Variable(self._name(prefix), self._draw.choice(types), writable=writable) for _ in range(count)
        ]

    def _section(self, kind: str, variables: list[Variable], unit: _Unit) -> list[str]:
        declared = [unit.declared(variable) for variable in variables]
        return [kind, *(f"    {line}" for line in declared), "END_VAR"] if declared else []

    def _locals(self, unit: _Unit) -> list[str]:
        constants = self._variables("K", ALL_TYPES, 0, 1, writable=False)
        lines = self._section("VAR CONSTANT", constants, unit)
        own = self._variables("v", ALL_TYPES, 1, 3)
        own += [Variable(self._name("n"), self._draw.choice(INTEGERS)) for _ in range(1)]
        for _ in range(self._draw.choice((0, 0, 1, 2))):
            low = self._draw.choice((0, 1, -3))
            bounds = (low, low + self._draw.randrange(6))
            own.append(Variable(self._name("a"), self._draw.choice(COLUMN_TYPES), bounds))
        retained = unit.known.may_ask and self._draw.random() < 0.2
        lines += self._section("VAR RETAIN" if retained else "VAR", own, unit)
        unit.known.variables += [*constants, *own]
        return lines

    def _instances(self, unit: _Unit, most: int) -> list[str]:
        lines = []
        for _ in range(most):
            blocks = self._blocks if self._blocks and self._draw.random() < 0.5 else library().blocks
            name, block = self._name("t"), self._draw.choice(blocks)
            fixed = {key: self._draw.choice(FIXED[key]) for key in block.constants}
            unit.known.blocks.append((name, block, fixed))
            lines.append(f"    {name} : {block.name};")
        return ["VAR", *lines, "END_VAR"] if lines else []


class _Unit:
    """Writes one unit's declarations and statements."""

    def __init__(self, draw: Random, known: Surroundings) -> None:
        self._draw = draw
        self.known = known
        self.make = Expressions(draw, known)

    def declared(self, variable: Variable) -> str:
        draw, type = self._draw, variable.type
        if variable.bounds is not None:
            low, high = variable.bounds
            line = f"{variable.name} : ARRAY[{low}..{high}] OF {type}"
            filled = draw.randint(0, high - low + 1)
            values = [literal(draw, type).text for _ in range(filled)]
            if filled > 1 and draw.random() < 0.5:
                values = [f"{filled}({values[0]})"]
            return line + (f" := [{', '.join(values)}];" if values else ";")
        given = variable.name.startswith("K") or draw.random() < 0.5
        initial = f" := {literal(draw, type).text}" if given else ""
        return f"{variable.name} : {type}{initial};"

    def assigned(self, variables: list[Variable]) -> list[str]:
        """Most of the outputs get a value at the end."""
        chosen = [each for each in variables if self._draw.random() < 0.7]
        return [f"{each.name} := {self.make.any(each.type).text};" for each in chosen]

    def statements(self, count: int, depth: int) -> list[str]:
        lines = []
        for _ in range(count):
            kinds = [self._assign] * 5 + [self._call] * (4 if self.known.blocks else 0)
            kinds += [self._event] if self.known.may_ask else []
            if depth < 2:
                kinds += [self._if] * 2 + [self._case, self._for]
            lines += self._draw.choice(kinds)(depth)
        return lines

    def _block_of(self, depth: int) -> list[str]:
        return ["    " + line for line in self.statements(self._draw.choice((0, 1, 1, 2)), depth + 1)]

    def _writable(self) -> list[Variable]:
        return [v for v in self.known.variables if v.writable and v.name not in self.known.locked]

    def _target(self, variable: Variable) -> str:
        name = self.make.spelt(variable.name)
        return name if variable.bounds is None else f"{name}[{self.make.index(variable)}]"

    def _assign(self, depth: int) -> list[str]:
        variables = self._writable()
        if not variables:
            return [";"]
        variable = self._draw.choice(variables)
        return [f"{self._target(variable)} := {self.make.any(variable.type).text};"]

    def _call(self, depth: int) -> list[str]:
        name, block, fixed = self._draw.choice(self.known.blocks)
        most = [key for key in block.inputs if self._draw.random() < 0.8 or key in FIXED]
        given = [f"{key} := {self.make.argument(block, key, 2, fixed)}" for key in most]
        for output, type in block.outputs.items():
            targets = [variable for variable in self._writable() if variable.type == type]
            if targets and self._draw.random() < 0.3:
                given.append(f"{output} => {self._target(self._draw.choice(targets))}")
        return [f"{name}({', '.join(given)});"]

    def _event(self, depth: int) -> list[str]:
        value = f", VALUE := {self.make.any('LREAL', 2).text}" if self._draw.random() < 0.8 else ""
        return [f"EVENT('happened {self._draw.randrange(3)}'{value});"]

    def _if(self, depth: int) -> list[str]:
        lines = [f"IF {self.make.any('BOOL').text} THEN", *self._block_of(depth)]
        for _ in range(self._draw.choice((0, 0, 1, 2))):
            lines += [f"ELSIF {self.make.any('BOOL').text} THEN", *self._block_of(depth)]
        if self._draw.random() < 0.5:
            lines += ["ELSE", *self._block_of(depth)]
        return [*lines, "END_IF;"]

    def _case(self, depth: int) -> list[str]:
        selector = self.make.exact(self._draw.choice(INTEGERS), 2)
        if self._draw.random() < 0.6:
            selector = selector._replace(text=f"({selector.text} MOD {selector.type}#6)")
        points = sorted(self._draw.sample(range(-8, 9), 6))
        labels = [str(points[0]), f"{points[1]}..{points[2]}", f"{points[3]}, {points[4]}..{points[5]}"]
        lines = [f"CASE {selector.text} OF"]
        for label in labels[: self._draw.randint(1, 3)]:
            lines += [f"    {label}:", *("    " + line for line in self._block_of(depth) or ["    ;"])]
        if self._draw.random() < 0.6:
            lines += ["ELSE", *self._block_of(depth)]
        return [*lines, "END_CASE;"]

    def _for(self, depth: int) -> list[str]:
        counters = [v for v in self._writable() if v.type in INTEGERS and v.bounds is None]
        if not counters:
            return self._assign(depth)
        counter = self._draw.choice(counters)
        first, last, step, reach = self._range(counter.type)
        self.known.locked.add(counter.name)
        counter.range, counter.writable = reach, False
        lines = [f"FOR {counter.name} := {first} TO {last}{step} DO", *self._block_of(depth), "END_FOR;"]
        counter.range, counter.writable = None, True
        self.known.locked.discard(counter.name)
        return lines

    def _range(self, type: str) -> tuple[str, str, str, tuple[int, int]]:
        """First, last, BY, and between which numbers the counter stays."""
        draw = self._draw
        low = draw.choice((0, 1, -3, -1, 2))
        high = low + draw.choice((-1, 0, 1, 2, 4))
        reach = (min(low, high), max(low, high))
        first, last = str(low), str(high)
        bounds = [v.name for v in self.make.unfixed() if v.type == type]
        outer = [v for v in self.known.variables if v.type == type and v.range is not None]
        form = draw.random()
        if outer and form < 0.5:
            counter = draw.choice(outer)
            assert counter.range is not None
            first, last = counter.name, f"{counter.name} + {high - low}"
            reach = (counter.range[0] - 1, counter.range[1] + 6)
        elif bounds and form < 0.65:
            last = f"MIN({draw.choice(bounds)}, {high})"
        elif bounds and form < 0.8:
            last = f"LIMIT({low}, {draw.choice(bounds)}, {high})"
        elif bounds and form < 0.9:
            first = f"MAX({draw.choice(bounds)}, {low})"
        if draw.random() < 0.3:
            return last, first, f" BY -{draw.choice((1, 2))}", reach
        return first, last, draw.choice(("", "", " BY 2", " BY 3")), reach
