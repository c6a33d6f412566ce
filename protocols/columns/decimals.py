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

from protocols.columns.groups import Bools, Column, Groups
from protocols.samples import Int64s

Floats = npt.NDArray[Any]
Codes = npt.NDArray[np.uint8]

EXPONENT_MAX = 15
_CODE_UNIT = EXPONENT_MAX + 1
"""A group's code is its rule times this, plus its exponent."""

EXACT_MAX = 2.0**53
"""Integers up to here are doubles, each of them."""

_POWERS = np.array([float(f"1e{e}") for e in range(_CODE_UNIT)])


class Rule(IntEnum):
    """How an integer becomes a float; also the number on the wire."""

    BITS = 0
    DIVIDE = 1
    MULTIPLY = 2
    DIVIDE_SINGLE = 3
    SINGLE_BITS = 4


def _codes(rule: Rule, exponents: range) -> Codes:
    return np.array([rule * _CODE_UNIT + exponent for exponent in exponents], np.uint8)


CANDIDATES = {
    np.dtype(np.float64): (
        _codes(Rule.DIVIDE, range(6)),
        _codes(Rule.DIVIDE, range(6, 11)),
        _codes(Rule.MULTIPLY, range(1, 8)),
        _codes(Rule.DIVIDE_SINGLE, range(8)),
        _codes(Rule.SINGLE_BITS, range(1)),
        _codes(Rule.BITS, range(1)),
    ),
    np.dtype(np.float32): (_codes(Rule.DIVIDE_SINGLE, range(8)), _codes(Rule.SINGLE_BITS, range(1))),
}
"""Codes in the order of preference, those tried at once together; the last fits everything."""

_NARROW_MAX = 2**31
_PROBES = 4

EXCEPTIONS_PER_DIGIT = 20
"""An exception costs about 9 bytes, a decimal digit more 3.3 bits in every row."""

OTHER_RULE_DIGITS = 3
"""What another rule is taken to cost: another rule means that this one does not fit."""


def is_code(codes: Codes, dtype: np.dtype[Any]) -> bool:
    """Whether each is a rule that gives floats of this type, with an exponent it may have."""
    rules, exponents = codes // _CODE_UNIT, codes % _CODE_UNIT
    known = rules <= max(Rule) if dtype == np.float64 else (rules == 3) | (rules == 4)
    plain = (rules == Rule.BITS) | (rules == Rule.SINGLE_BITS)
    return bool((known & (~plain | (exponents == 0))).all())


def to_integers(values: Floats, groups: Groups) -> tuple[Codes, Column, Bools]:
    """A code for each group, an integer for each row, and the rows that are exceptions.

    What stands in an exception's place is the integer before it, which costs least.
    """
    places = ((groups.counts - 1) * np.arange(_PROBES)[:, None]) // (_PROBES - 1)
    probes = values[groups.starts + places]
    with np.errstate(all="ignore"):
        codes = _fitting(probes)
        numbers, wrong = _apply(values, codes, groups)
        unsettled = np.ones(len(groups), np.bool_)
        while wrong.any():
            # A counterexample becomes a probe: it rules out at least the code that failed.
            probes = np.vstack((probes, _counterexamples(values, wrong, groups)))
            better = _better(probes, codes)
            unsettled &= groups.counted(wrong) * EXCEPTIONS_PER_DIGIT > groups.counts * _digits(codes, better)
            if not unsettled.any():
                return codes, _bridged(numbers, wrong, groups), wrong
            codes = np.where(unsettled, better, codes)
            rows, chosen = groups.rows_of(unsettled)
            refitted, wrong[rows] = _apply(values[rows], codes[unsettled], chosen)
            numbers = numbers.astype(np.promote_types(numbers.dtype, refitted.dtype), copy=False)
            numbers[rows] = refitted
    return codes, numbers, wrong


def _better(probes: Floats, codes: Codes) -> Codes:
    """A code for each group that fits one probe more than its old one."""
    told = _telling(probes[-1])
    better = np.full_like(codes, CANDIDATES[probes.dtype][-1][0])
    better[told] = _fitting(probes[:, told])
    return better


def _digits(codes: Codes, better: Codes) -> npt.NDArray[np.int64]:
    """How many digits a row of each group costs more under another code."""
    more = better.astype(np.int64) - codes
    return np.where(codes // _CODE_UNIT == better // _CODE_UNIT, more, OTHER_RULE_DIGITS)


def from_integers(codes: Codes, numbers: Int64s, groups: Groups, dtype: np.dtype[Any]) -> Floats:
    """The inverse of `to_integers`, but for the exceptions."""
    values = np.empty(len(numbers), dtype)
    for rule, rows, powers in _by_rule(codes, groups):
        values[rows] = _float(numbers[rows], rule, powers, dtype)
    return values


def bits_of(values: Floats) -> Column:
    """The floats' own bits, as integers of the same size."""
    return values.view(np.dtype(f"i{values.itemsize}"))


def _apply(values: Floats, codes: Codes, groups: Groups) -> tuple[Column, Bools]:
    numbers = np.empty(len(values), np.int64)
    wrong = np.empty(len(values), np.bool_)
    for rule, rows, powers in _by_rule(codes, groups):
        if isinstance(rows, slice):
            return _tried(values, rule, powers)
        numbers[rows], wrong[rows] = _tried(values[rows], rule, powers)
    return numbers, wrong


def _tried(values: Floats, rule: Rule, powers: Column) -> tuple[Column, Bools]:
    """What a rule makes of these values, and where it does not give them back."""
    numbers = _integer(values, rule, powers)
    return numbers, bits_of(_float(numbers, rule, powers, values.dtype)) != bits_of(values)


def _by_rule(codes: Codes, groups: Groups) -> Iterator[tuple[Rule, Bools | slice, Column]]:
    """Each rule in use, its rows, and for each row the power of ten."""
    rules, powers = codes // _CODE_UNIT, _POWERS[codes % _CODE_UNIT]
    for rule in Rule:
        chosen = rules == rule
        if chosen.any():
            rows, some = groups.rows_of(chosen)
            yield rule, rows, some.spread(powers[chosen])


def _integer(values: Floats, rule: Rule, powers: Column) -> Column:
    if rule is Rule.BITS:
        return _ordered(bits_of(values))
    if rule is Rule.SINGLE_BITS:
        return _ordered(bits_of(values.astype(np.float32, copy=False)))
    scaled = values * powers
    np.rint(scaled, out=scaled)
    narrow = -_NARROW_MAX < scaled.min() and scaled.max() < _NARROW_MAX  # never with a NaN
    return scaled.astype(np.int32 if narrow else np.int64)


def _float(numbers: Column, rule: Rule, powers: Column, dtype: np.dtype[Any]) -> Floats:
    if rule is Rule.BITS:
        return _ordered(numbers).view(np.float64)
    if rule is Rule.SINGLE_BITS:
        return _ordered(numbers.astype(np.int32)).view(np.float32).astype(dtype, copy=False)
    if rule is Rule.MULTIPLY:
        values = numbers * (1.0 / powers)  # the double next to 10**-e: `powers` are exact
    else:
        values = numbers / powers
    if rule is Rule.DIVIDE_SINGLE:
        values = values.astype(np.float32)
    return values.astype(dtype, copy=False)


def _ordered(bits: Column) -> Column:
    """Between a float's bits and integers in the floats' order; its own inverse."""
    return bits ^ ((bits >> (bits.itemsize * 8 - 1)) & np.iinfo(bits.dtype).max)


def _fitting(probes: Floats) -> Codes:
    """The first candidate that gives back each column's telling probes."""
    fitting = np.empty(probes.shape[1], np.uint8)
    undecided = np.arange(probes.shape[1])
    if not len(undecided):
        return fitting
    for codes in CANDIDATES[probes.dtype]:
        tried = np.repeat(probes[None, :, undecided], len(codes), axis=0)
        powers = _POWERS[codes % _CODE_UNIT][:, None, None]
        _, wrong = _tried(tried, Rule(codes[0] // _CODE_UNIT), powers)
        fits = ~(wrong & _telling(tried)).any(axis=1)
        found = fits.any(axis=0)
        fitting[undecided[found]] = codes[fits.argmax(axis=0)[found]]
        undecided = undecided[~found]
        if not len(undecided):
            return fitting
    fitting[undecided] = CANDIDATES[probes.dtype][-1][0]
    return fitting


def _telling(values: Floats) -> Bools:
    """Where a value says something about a rule: not for what no decimal can be."""
    return np.isfinite(values) & ((values != 0) | ~np.signbit(values))


def _counterexamples(values: Floats, wrong: Bools, groups: Groups) -> Floats:
    """A telling exception of each group, NaN where it has none."""
    found = np.full(len(groups), np.nan, values.dtype)
    rows = np.flatnonzero(wrong & _telling(values))
    found[groups.groups_of(rows)] = values[rows]
    return found


def _bridged(numbers: Column, wrong: Bools, groups: Groups) -> Column:
    numbers[wrong] = 0  # stays where a group has no row before
    before = np.maximum.accumulate(np.where(wrong, 0, np.arange(len(numbers))))
    rows = np.maximum(before, groups.spread(groups.starts))
    return numbers[rows]
