"""The rules by which integers become floats, and back: one pass over all rows of a kind.

===============  ====================================================  ==================
rule             the value of integer `x` with exponent `e`            who writes such
===============  ====================================================  ==================
BITS             the float whose bits, ordered, are `x`                computed values
DIVIDE           `x / 10**e`                                           text, databases
MULTIPLY         `x * 10**-e`                                          scaled registers
DIVIDE_SINGLE    `x / 10**e`, rounded to 32 bits                       PLC reals
SINGLE_BITS      the 32-bit float whose bits, ordered, are `x`         computed PLC reals
===============  ====================================================  ==================

"Ordered": where the sign is set, the other bits are inverted, so that greater floats have
greater integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from protocols.columns.groups import Bools, Column, Groups, Rows
from protocols.samples import Int64s

Floats = npt.NDArray[Any]
Codes = npt.NDArray[np.uint8]

EXPONENT_MAX = 15
CODE_UNIT = EXPONENT_MAX + 1
"""A group's code is its rule times this, plus its exponent."""

POWERS = np.array([float(f"1e{e}") for e in range(CODE_UNIT)])
"""Exact, so that one divided by them is the double next to 10**-e."""

OTHER_RULE_RATE = 16
"""If more than one value in so many is wrong, the rule may be the other one; by it one in three is."""

_INT32 = 2.0**31


class Rule(IntEnum):
    """How an integer becomes a float; also the number on the wire."""

    BITS = 0
    DIVIDE = 1
    MULTIPLY = 2
    DIVIDE_SINGLE = 3
    SINGLE_BITS = 4


def codes_of(rule: Rule, exponents: range) -> Codes:
    """The codes of a rule with these exponents."""
    return np.array([rule * CODE_UNIT + exponent for exponent in exponents], np.uint8)


def is_code(codes: Codes, dtype: np.dtype[Any]) -> bool:
    """Whether each is a rule that gives floats of this type, with an exponent it may have."""
    rules, exponents = codes // CODE_UNIT, codes % CODE_UNIT
    known = rules <= max(Rule) if dtype == np.float64 else (rules == 3) | (rules == 4)
    plain = (rules == Rule.BITS) | (rules == Rule.SINGLE_BITS)
    return bool((known & (~plain | (exponents == 0))).all())


def bits_of(values: Floats) -> Column:
    """The floats' own bits, as integers of the same size."""
    return values.view(np.dtype(f"i{values.itemsize}"))


def from_integers(codes: Codes, numbers: Int64s, groups: Groups, dtype: np.dtype[Any]) -> Floats:
    """The floats that integers mean, each group by its code."""
    values = np.empty(len(numbers), dtype)
    with np.errstate(all="ignore"):  # an integer too large for its rule is an infinity
        for rule, rows, chosen, some in _by_rule(codes, groups):
            powers = some.spread(POWERS[chosen % CODE_UNIT])
            values[rows] = _float(numbers[rows], rule, powers, dtype)
    return values


def apply(values: Floats, codes: Codes, groups: Groups) -> tuple[Codes, Column, Bools]:
    """What its rule makes of each value, and where that does not give it back.

    DIVIDE stands for MULTIPLY too: most values are told by both, so only all rows of a group
    show which it is.

    Returns:
        The codes with MULTIPLY where that is so; the integers; where they are wrong.
    """
    numbers = np.empty(len(values), np.int64)
    wrong = np.empty(len(values), np.bool_)
    decided = codes.copy()
    for rule, rows, chosen, some in _by_rule(codes, groups):
        own = values[rows]
        tried, failed = _tried(own, rule, some.spread(POWERS[chosen % CODE_UNIT]))
        if rule is Rule.DIVIDE and failed.any():
            multiply = _or_multiply(own, tried, failed, chosen, some)
            decided[codes // CODE_UNIT == rule] += multiply * np.uint8(CODE_UNIT)
        if isinstance(rows, slice):
            return decided, tried, failed
        numbers[rows], wrong[rows] = tried, failed
    return decided, numbers, wrong


def _tried(values: Floats, rule: Rule, powers: Column) -> tuple[Column, Bools]:
    """What a rule makes of these values, and where it does not give them back."""
    if rule is Rule.BITS or rule is Rule.SINGLE_BITS:
        single = values.astype(np.float32, copy=False) if rule is Rule.SINGLE_BITS else values
        numbers = _ordered(bits_of(single))
        return numbers, _differ(_float(numbers, rule, powers, values.dtype), values)
    scaled = values.astype(np.float64)  # two passes of one type are faster than one of two
    scaled *= powers
    np.rint(scaled, out=scaled)
    numbers = scaled.astype(np.int32)
    wrong = _differ(_float(numbers, rule, powers, values.dtype), values)
    if wrong.any() and (np.abs(scaled.take(np.flatnonzero(wrong))) >= _INT32).any():  # too large, perhaps
        numbers = scaled.astype(np.int64)
        wrong = _differ(_float(numbers, rule, powers, values.dtype), values)
    return numbers, wrong


def _or_multiply(values: Floats, numbers: Column, wrong: Bools, codes: Codes, groups: Groups) -> Bools:
    """The groups that MULTIPLY fits better than DIVIDE; `wrong` is set to what it makes wrong there."""
    failures = groups.counted(wrong)
    multiply = failures * OTHER_RULE_RATE > groups.counts
    if not multiply.any():
        return multiply
    rows, some = groups.rows_of(multiply)
    own, powers = values[rows], some.spread(POWERS[codes[multiply] % CODE_UNIT])
    still = _differ(_float(numbers[rows], Rule.MULTIPLY, powers, values.dtype), own)
    better = some.counted(still) < failures[multiply]
    wrong[rows] = np.where(some.spread(better), still, wrong[rows])
    multiply[multiply] = better
    return multiply


def _by_rule(codes: Codes, groups: Groups) -> Iterator[tuple[Rule, Rows, Codes, Groups]]:
    """Each rule in use, its rows, its codes and the groups that these rows form."""
    rules = codes // CODE_UNIT
    for rule in np.flatnonzero(np.bincount(rules)):
        chosen = rules == rule
        rows, some = groups.rows_of(chosen)
        yield Rule(int(rule)), rows, codes[chosen], some


def _float(numbers: Column, rule: Rule, powers: Column, dtype: np.dtype[Any]) -> Floats:
    if rule is Rule.BITS:
        return _ordered(numbers).view(np.float64)
    if rule is Rule.SINGLE_BITS:
        return _ordered(numbers.astype(np.int32)).view(np.float32).astype(dtype, copy=False)
    values = numbers.astype(np.float64)
    if rule is Rule.MULTIPLY:
        values *= 1.0 / powers
    else:
        values /= powers
    if rule is Rule.DIVIDE_SINGLE:
        values = values.astype(np.float32)
    return values.astype(dtype, copy=False)


def _differ(values: Floats, others: Floats) -> Bools:
    different: Bools = bits_of(values) != bits_of(others)
    return different


def _ordered(bits: Column) -> Column:
    """Between a float's bits and integers in the floats' order; its own inverse."""
    ordered: Column = bits ^ ((bits >> (bits.itemsize * 8 - 1)) & np.iinfo(bits.dtype).max)
    return ordered
