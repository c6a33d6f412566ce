"""Floats as integers, by whichever of a few exact rules fits all of a group.

A measurement is a count of some last digit that somebody divided or multiplied; seen as
that count it needs far fewer bits than as a float. A rule is only used where it gives back
the very bits; a row where it does not is an exception and travels as it is.

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

from protocols.columns.frame import Bools
from protocols.columns.groups import Groups
from protocols.samples import Int64s

Floats = npt.NDArray[Any]
Codes = npt.NDArray[np.uint8]

EXPONENT_MAX = 15
_CODE_UNIT = EXPONENT_MAX + 1
"""A group's code is its rule times this, plus its exponent."""

EXACT_MAX = 2.0**53
"""Integers up to here are doubles, each of them."""

_POWERS = np.array([float(f"1e{e}") for e in range(_CODE_UNIT)])
_FRACTIONS = np.array([float(f"1e-{e}") for e in range(_CODE_UNIT)])


class Rule(IntEnum):
    """How an integer becomes a float; also the number on the wire."""

    BITS = 0
    DIVIDE = 1
    MULTIPLY = 2
    DIVIDE_SINGLE = 3
    SINGLE_BITS = 4


def _codes(*rules: tuple[Rule, range]) -> tuple[int, ...]:
    return tuple(rule * _CODE_UNIT + exponent for rule, exponents in rules for exponent in exponents)


_ONLY = range(1)
CANDIDATES = {
    np.dtype(np.float64): _codes(
        (Rule.DIVIDE, range(11)),
        (Rule.MULTIPLY, range(1, 8)),
        (Rule.DIVIDE_SINGLE, range(8)),
        (Rule.SINGLE_BITS, _ONLY),
        (Rule.BITS, _ONLY),
    ),
    np.dtype(np.float32): _codes((Rule.DIVIDE_SINGLE, range(8)), (Rule.SINGLE_BITS, _ONLY)),
}
"""Codes tried in this order; the last fits everything."""

_PROBES = 4
_EXCEPTIONS_LOG2 = 3
"""A rule fits a group if not more than one row in eight is an exception."""


def is_code(codes: Codes, dtype: np.dtype[Any]) -> bool:
    """Whether each is a rule that gives floats of this type, with an exponent it may have."""
    rules, exponents = codes // _CODE_UNIT, codes % _CODE_UNIT
    known = rules <= max(Rule) if dtype == np.float64 else (rules == 3) | (rules == 4)
    plain = (rules == Rule.BITS) | (rules == Rule.SINGLE_BITS)
    return bool((known & (~plain | (exponents == 0))).all())


def to_integers(values: Floats, groups: Groups) -> tuple[Codes, Int64s, Bools]:
    """A code for each group, an integer for each row, and the rows that are exceptions.

    What stands in an exception's place is the integer before it, which costs least.
    """
    spread = ((groups.counts - 1) * np.arange(_PROBES)[:, None]) // (_PROBES - 1)
    probes = values[groups.starts + spread]
    with np.errstate(all="ignore"):
        codes = _fitting(probes)
        numbers, wrong = _apply(values, codes, groups)
        while wrong.any():
            failed = groups.counted(wrong) > groups.counts >> _EXCEPTIONS_LOG2
            if not failed.any():
                return codes, _bridged(numbers, wrong, groups), wrong
            # A counterexample becomes a probe: it rules out at least the code that failed.
            probes = np.vstack((probes, _counterexamples(values, wrong, groups)))
            hopeless = failed & ~_telling(probes[-1])
            codes[failed] = _fitting(probes[:, failed])
            codes[hopeless] = CANDIDATES[values.dtype][-1]
            rows, chosen = groups.rows_of(failed)
            numbers[rows], wrong[rows] = _apply(values[rows], codes[failed], chosen)
    return codes, numbers, wrong


def from_integers(codes: Codes, numbers: Int64s, groups: Groups, dtype: np.dtype[Any]) -> Floats:
    """The inverse of `to_integers`, but for the exceptions."""
    values = np.empty(len(numbers), dtype)
    for rule, rows, exponents in _by_rule(codes, groups):
        values[rows] = _float(numbers[rows], rule, exponents, dtype)
    return values


def bits_of(values: Floats) -> npt.NDArray[Any]:
    """The floats' own bits, as integers of the same size."""
    return values.view(np.dtype(f"i{values.itemsize}"))


def _apply(values: Floats, codes: Codes, groups: Groups) -> tuple[Int64s, Bools]:
    numbers = np.empty(len(values), np.int64)
    wrong = np.empty(len(values), np.bool_)
    for rule, rows, exponents in _by_rule(codes, groups):
        numbers[rows], wrong[rows] = _tried(values[rows], rule, exponents)
    return numbers, wrong


def _tried(values: Floats, rule: Rule, exponents: npt.NDArray[Any]) -> tuple[Int64s, Bools]:
    """What a rule makes of these values, and where it does not give them back."""
    numbers = _integer(values, rule, exponents)
    return numbers, bits_of(_float(numbers, rule, exponents, values.dtype)) != bits_of(values)


def _by_rule(codes: Codes, groups: Groups) -> Iterator[tuple[Rule, Bools | slice, npt.NDArray[Any]]]:
    """Each rule in use, its rows, and the exponent of each row."""
    rules, exponents = codes // _CODE_UNIT, codes % _CODE_UNIT
    for rule in Rule:
        chosen = rules == rule
        if chosen.any():
            rows, some = groups.rows_of(chosen)
            yield rule, rows, some.spread(exponents[chosen])


def _integer(values: Floats, rule: Rule, exponents: npt.NDArray[Any]) -> Int64s:
    if rule is Rule.BITS:
        return _ordered(bits_of(values))
    if rule is Rule.SINGLE_BITS:
        return _ordered(bits_of(values.astype(np.float32, copy=False))).astype(np.int64)
    scaled = values.astype(np.float64, copy=False) * _POWERS[exponents]
    numbers: Int64s = np.rint(scaled, out=scaled).astype(np.int64)
    return numbers


def _float(numbers: Int64s, rule: Rule, exponents: npt.NDArray[Any], dtype: np.dtype[Any]) -> Floats:
    if rule is Rule.BITS:
        return _ordered(numbers).view(np.float64)
    if rule is Rule.SINGLE_BITS:
        return _ordered(numbers.astype(np.int32)).view(np.float32).astype(dtype, copy=False)
    if rule is Rule.MULTIPLY:
        return numbers * _FRACTIONS[exponents]
    values = numbers / _POWERS[exponents]
    if rule is Rule.DIVIDE_SINGLE:
        values = values.astype(np.float32)
    return values.astype(dtype, copy=False)


def _ordered(bits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Between a float's bits and integers in the floats' order; its own inverse."""
    return bits ^ ((bits >> (bits.itemsize * 8 - 1)) & np.iinfo(bits.dtype).max)


def _fitting(probes: Floats) -> Codes:
    """The first candidate that gives back each column's telling probes."""
    *candidates, last = CANDIDATES[probes.dtype]
    codes = np.full(probes.shape[1], last, np.uint8)
    open_ = np.arange(probes.shape[1])
    for code in candidates:
        rule, exponent = Rule(code // _CODE_UNIT), np.array(code % _CODE_UNIT)
        tried = np.ascontiguousarray(probes[:, open_])
        _, wrong = _tried(tried, rule, exponent)
        fits = ~(wrong & _telling(tried)).any(axis=0)
        codes[open_[fits]] = code
        open_ = open_[~fits]
        if not len(open_):
            break
    return codes


def _telling(values: Floats) -> Bools:
    """Where a value says something about a rule: not for what no decimal can be."""
    return np.isfinite(values) & ((values != 0) | ~np.signbit(values))


def _counterexamples(values: Floats, wrong: Bools, groups: Groups) -> Floats:
    """A telling exception of each group, NaN where it has none."""
    found = np.full(len(groups), np.nan, values.dtype)
    rows = np.flatnonzero(wrong & _telling(values))
    found[groups.groups_of(rows)] = values[rows]
    return found


def _bridged(numbers: Int64s, wrong: Bools, groups: Groups) -> Int64s:
    numbers[wrong] = 0  # stays where a group has no row before
    before = np.maximum.accumulate(np.where(wrong, 0, np.arange(len(numbers))))
    rows: Int64s = np.maximum(before, groups.spread(groups.starts))
    return numbers[rows]
