"""The standard functions: what they take and give (docs/rules-reference.md, section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edge_runtime.rules.checking.types import INTEGERS, REALS, Type


class Signature(NamedTuple):
    """How a standard function is called.

    Args:
        inputs: Names of its inputs; the last may repeat as `IN3`, `IN4` ... up to `most`.
        most: Most inputs.
    """

    inputs: tuple[str, ...]
    most: int

    def names(self) -> tuple[str, ...]:
        """The names of all inputs that there may be."""
        if len(self.inputs) == self.most:
            return self.inputs
        stem = self.inputs[-1].rstrip("0123456789")
        begin = int(self.inputs[-1][len(stem) :] or 0)
        more = range(1, self.most - len(self.inputs) + 1)
        return (*self.inputs, *(f"{stem}{begin + i}" for i in more))


def _exactly(*inputs: str) -> Signature:
    return Signature(inputs, len(inputs))


STANDARD = {
    "ABS": _exactly("IN"),
    "MIN": Signature(("IN1", "IN2"), 8),
    "MAX": Signature(("IN1", "IN2"), 8),
    "LIMIT": _exactly("MN", "IN", "MX"),
    "SEL": _exactly("G", "IN0", "IN1"),
    "MUX": Signature(("K", "IN0", "IN1"), 9),
    "SQRT": _exactly("IN"),
    "TRUNC": _exactly("IN"),
    "SHL": _exactly("IN", "N"),
    "SHR": _exactly("IN", "N"),
    "ROL": _exactly("IN", "N"),
    "ROR": _exactly("IN", "N"),
    "IS_FINITE": _exactly("IN"),
    "IS_GOOD": _exactly("IN"),
    "IS_BAD": _exactly("IN"),
    "QUALITY": _exactly("IN"),
    "MARK": _exactly("IN", "Q"),
    "NOW": _exactly(),
}
"""By name; conversions stand in `CONVERSIONS`."""

ASKING = frozenset({"IS_GOOD", "IS_BAD", "QUALITY"})
"""Those that take a variable, not its value."""


def _conversions() -> dict[str, tuple[Type, Type]]:
    found = {}
    kinds: Sequence[Type] = (Type.BOOL, *INTEGERS, *REALS)
    for source in kinds:
        for target in kinds:
            bool_with_real = Type.BOOL in (source, target) and (source.is_real or target.is_real)
            if source is not target and not bool_with_real:
                found[f"{source}_TO_{target}"] = (source, target)
    found["TIME_TO_LINT"] = (Type.TIME, Type.LINT)
    found["LINT_TO_TIME"] = (Type.LINT, Type.TIME)
    return found


CONVERSIONS = _conversions()
"""`DINT_TO_REAL` and its like: (from, to)."""

NAMES = frozenset(STANDARD) | frozenset(CONVERSIONS)
"""All names of standard functions."""
