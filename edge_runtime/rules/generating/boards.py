"""What a MicroPython board can hold: byte code of a bounded size, and maybe no LREAL.

Source: MicroPython's py/emitbc.c and py/compile.c (1.20 to 1.25). A jump back reaches 16 kB, and
the loop over instances ends with one, so that a longer step function is refused there with
"bytecode overflow". The sizes here are those of the emitter or a little more, never less.
"""

from __future__ import annotations

import ast

from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.lowering.flat import FElement, FEmit, Flat, FOp, FRead, FSet, expressions, parts, walk

NEAR = 60
"""Bytes that a jump of two bytes surely spans; a farther one takes three."""

LOOP = 12
"""Counting, comparing and jumping of a FOR over a range, beside its variable, bounds and body."""


def bytecode_bytes(code: str) -> int:
    """Bytes of a step function's loops, at most.

    Args:
        code: As `generate` writes it.

    >>> bytecode_bytes("def step(n):\\n    for k in range(n):\\n        x = k + 1\\n    return 0")
    24
    """
    [step] = ast.parse(code).body
    assert isinstance(step, ast.FunctionDef)
    sizes = _Sizes(step)
    return max((sizes.of(stmt) for stmt in step.body if isinstance(stmt, ast.For)), default=0)


class _Sizes:
    """Sizes of the parts of one function."""

    def __init__(self, step: ast.FunctionDef) -> None:
        names = [arg.arg for arg in step.args.args]
        names += [node.id for node in ast.walk(step) if isinstance(node, ast.Name)]
        objects = {node.value for node in ast.walk(step) if isinstance(node, ast.Constant)}
        self._places = {name: place for place, name in enumerate(dict.fromkeys(names))}
        self._object = 2 if len(objects) < 128 else 3

    def of(self, node: ast.AST) -> int:
        """Bytes of a node and all in it."""
        inner = sum(self.of(child) for child in ast.iter_child_nodes(node))
        jump = 2 if inner < NEAR else 3
        match node:
            case ast.Constant(value=value):
                return self._constant(value)
            case ast.Name(id=name):
                place = self._places[name]
                return 1 if place < 16 else 2 if place < 128 else 3
            case ast.Call():
                return inner + 4  # the helper's name is global: up to two bytes more
            case ast.Compare(ops=ops):
                chained = len(ops) - 1
                return inner + 1 + chained * (2 + jump) + (jump + 2 if chained else 0)
            case ast.BoolOp(values=values):
                return inner + jump * len(values)
            case ast.IfExp() | ast.If():
                return inner + 2 * jump
            case ast.For(target=target, iter=ast.Call(func=name)):
                return inner + LOOP + 2 * jump + self.of(target) - self.of(name) - 4  # range is not called
            case ast.BinOp() | ast.UnaryOp() | ast.Subscript() | ast.Assign() | ast.Tuple():
                return inner + 1
            case ast.AugAssign(target=target):
                return inner + 1 + self.of(target)
        return inner

    def _constant(self, value: object) -> int:
        if not isinstance(value, int) or not -(1 << 30) <= value < 1 << 30:
            return self._object
        return 1 if -16 <= value < 47 else 2 + abs(value).bit_length() // 7


def wide_reals(flat: Flat) -> list[str]:
    """Where a program computes in LREAL, which a board with 32-bit floats cannot.

    The value of an event is LREAL by definition and does not count.
    """
    found: dict[str, None] = {}
    for stmt in walk(flat.body):
        for expr in expressions(stmt):
            for part in parts(expr):
                if part.type is not Type.LREAL or (isinstance(stmt, FEmit) and part is expr):
                    continue
                if isinstance(part, FRead | FElement):
                    found[part.var.path] = None
                elif isinstance(part, FOp):
                    found[stmt.var.path if isinstance(stmt, FSet) else part.name] = None
    return list(found)
